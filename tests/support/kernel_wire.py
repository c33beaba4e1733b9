"""The sockets to one kernel process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import zmq
from jupyter_client.session import Session

Content = dict[str, Any]

PATIENCE_SECONDS = 30.0
"""How long anything may take before it counts as stuck; machines that run tests are busy."""


class Wire:
    """The sockets to one kernel process, all in one thread, which alone may touch them."""

    def __init__(self, info: Mapping[str, Any], receive: Callable[[str, Content, int], None]) -> None:
        self._session = Session(key=info["key"].encode())
        self._receive = receive
        self._context = zmq.Context()
        self._sockets = {
            name: self._connect(kind, f"{info['transport']}://{info['ip']}-{info[f'{name}_port']}")
            for name, kind in (("shell", zmq.DEALER), ("control", zmq.DEALER), ("iopub", zmq.SUB))
        }
        self._sockets["iopub"].subscribe(b"")
        self._outbox, self._inbox = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._outbox.bind("inproc://out")
        self._inbox.connect("inproc://out")
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._turn, name="kernel wire", daemon=True)
        self._thread.start()

    def _connect(self, kind: int, address: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.connect(address)
        return socket

    def send(self, channel: str, kind: str, content: Content, subshell: str | None) -> str:
        message = self._session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        with self._sending:
            self._outbox.send_multipart([channel.encode(), *self._session.serialize(message)])
        return str(message["header"]["msg_id"])

    def close(self) -> None:
        with self._sending:
            self._outbox.send_multipart([b""])
        self._thread.join(PATIENCE_SECONDS)
        self._outbox.close(0)
        self._context.destroy(linger=0)

    def _turn(self) -> None:
        poller = zmq.Poller()
        for socket in (*self._sockets.values(), self._inbox):
            poller.register(socket, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._inbox in ready:
                channel, *frames = self._inbox.recv_multipart()
                if not channel:
                    return
                self._sockets[channel.decode()].send_multipart(frames)
            for name, socket in self._sockets.items():
                if socket in ready:
                    self._take(name, socket.recv_multipart())

    def _take(self, name: str, frames: list[bytes]) -> None:
        _, parts = self._session.feed_identities(frames)
        self._receive(name, self._session.deserialize(parts), sum(map(len, frames)))
