"""The conductor's socket: connections of this user, so many at once, none of which can hold up the others.

A connection is read only as fast as it is answered. What is bounded: the number of connections, the calls under way
and the calls per second of each, the time that a line may take to arrive, and the time that an answer may wait to be
read. The system lets nobody else in (0600), and where it says who is there it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mozart_nb.errors import ConductorError, MozartError, WorldError
from mozart_nb.hosts.conductor import rpc
from mozart_nb.hosts.conductor.faults import RESOURCE_EXHAUSTED, fault_of
from mozart_nb.hosts.conductor.place import LONGEST_SOCKET_PATH, private_folder

MOST_CONNECTIONS: Final = 100
MOST_UNDER_WAY: Final = 8
MOST_PER_SECOND: Final = 200
LINE_SECONDS: Final = 30.0
"""How long a line may take from its first byte to its end."""
IDLE_SECONDS: Final = 600.0
"""After so long without a call and without a watch a connection is closed."""
UNREAD_SECONDS: Final = 60.0
"""How long an answer waits for somebody to read it."""
CLOSING_SECONDS: Final = 1.0
"""How long the rest of an answer may take to be read once the connection is closed."""
MOST_WATCHES: Final = 16
"""Watches of one connection."""

_CHUNK: Final = 1 << 16
_BACKLOG: Final = 128
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer with a sequel: bursts of events that follow it, as notifications of the method `event`."""

    bursts: AsyncIterator[Sequence[Any]]


Serve = Callable[[rpc.Call], Awaitable[Any]]
"""Carries out a call: what it returns is the result. Raises `MozartError`."""


def bound(path: Path) -> socket.socket:
    """A socket of this user alone at `path`, whose lock the caller holds: what is left of an earlier one is replaced.

    Raises `WorldError` where something else stands there, or nothing can.
    """
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        text = f"the path of the conductor's socket is longer than {LONGEST_SOCKET_PATH} bytes: {path}"
        raise WorldError(text, hint="set `socket` in conductor.yaml to a shorter path in a private folder")
    private_folder(path.parent)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        _require_no_other(path)
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise WorldError(f"the conductor cannot listen at {path} ({error.strerror})") from error
    except WorldError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def _require_no_other(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
            text = f"{path} is not a socket of this user, so the conductor does not replace it"
            raise WorldError(text, hint="remove it, or set `socket` in conductor.yaml to another path")


class Server:
    """Answers whoever connects. On one loop; `close` ends every connection."""

    def __init__(self, serve: Serve, *, most_connections: int = MOST_CONNECTIONS) -> None:
        self._serve = serve
        self._most = most_connections
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self, listening: socket.socket) -> None:
        """Take connections from now on, there and no longer anywhere else; those that are open stay open."""
        if self._server is not None:
            self._server.close()
        self._server = await asyncio.start_unix_server(self._take, sock=listening)

    async def close(self) -> None:
        """Take no more connections, and end those that are open."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        if left := [*self._connections, *self._leaving]:
            await asyncio.wait(left)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if not _is_ours(writer) or not self._has_room():
            await _turned_away(writer, self._most)
            return
        connection = self._connections[task] = _Connection(reader, writer, self._serve)
        try:
            await connection.serve()
        except asyncio.CancelledError:
            pass  # the conductor stops, or somebody needs the room: asyncio.streams would report it as an error
        finally:
            self._connections.pop(task, None)
            self._leaving.add(task)
            await connection.close()
            self._leaving.discard(task)

    def _has_room(self) -> bool:
        """Whether one more can be served. Of those for whom nothing is done, whoever asked least lately has to go."""
        if len(self._connections) < self._most:
            return True
        idle = [(one.active_at, task) for task, one in self._connections.items() if one.is_idle]
        if not idle:
            return False
        _, longest = min(idle, key=lambda pair: pair[0])
        del self._connections[longest]
        self._leaving.add(longest)
        longest.cancel()
        return True


class _Connection:
    """One connection, from its first byte to its last."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serve: Serve) -> None:
        self._reader = reader
        self._writer = writer
        self._serve = serve
        self._lines = rpc.Lines()
        self._room = asyncio.Semaphore(MOST_UNDER_WAY)
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches = 0
        self._numbers = 0
        self._second, self._in_second = 0.0, 0
        self.active_at = time.monotonic()
        """When it last asked for something."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is done for it, whatever it may be about to say."""
        return not self._tasks

    async def serve(self) -> None:
        """Until the other side is through, or too slow."""
        began = 0.0
        while True:
            seconds = LINE_SECONDS - (time.monotonic() - began) if self._lines.is_open else IDLE_SECONDS
            try:
                async with asyncio.timeout(max(seconds, 0)):
                    data = await self._reader.read(_CHUNK)
            except TimeoutError:
                if self._tasks and not self._lines.is_open:
                    continue
                return
            except OSError:
                return
            if not data:
                await self._finish()
                return
            was_open = self._lines.is_open
            for line in self._lines.feed(data):
                was_open = False
                await self._begin(rpc.read(line))
            if self._lines.is_open and not was_open:
                began = time.monotonic()

    async def _finish(self) -> None:
        """Nothing more is asked; what was asked is still answered, unless it goes on for ever."""
        if self._tasks and not self._watches:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._writer.wait_closed()
        except OSError:  # a time-out is one, too: nobody reads what is left
            self._writer.transport.abort()

    async def _begin(self, message: rpc.Message) -> None:
        self.active_at = time.monotonic()
        await self._pace(len(message.calls) + len(message.faults))
        await self._room.acquire()
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled() and task.exception() is not None:
            self._writer.transport.abort()  # it cannot be written to, so there is nobody to tell

    async def _pace(self, calls: int) -> None:
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._in_second = now, 0
        self._in_second += calls
        if self._in_second > MOST_PER_SECOND:
            await asyncio.sleep(max(self._second + 1 - now, 0))

    async def _answer(self, message: rpc.Message) -> None:
        answers = list(message.faults)
        streams = []
        for call in message.calls:
            answer, stream = await self._carried_out(call)
            if not call.is_notification:
                answers.append(answer)
            if stream is not None and not call.is_notification:
                streams.append((answer["result"]["subscription"], stream))
        if answers:
            await self._write(answers if message.is_batch else answers[0])
        for number, stream in streams:
            self._follow(number, stream)

    async def _carried_out(self, call: rpc.Call) -> tuple[rpc.Answer, Stream | None]:
        try:
            found = await self._serve(call)
            if not isinstance(found, Stream):
                return rpc.result(call.id, found), None
            if self._watches >= MOST_WATCHES:
                raise ConductorError(f"more than {MOST_WATCHES} watches on one connection", number=RESOURCE_EXHAUSTED)
            self._numbers += 1
            return rpc.result(call.id, {"subscription": self._numbers}), found
        except MozartError as error:
            told = fault_of(error)
            return rpc.fault(call.id, told["code"], told["message"], told["data"]), None
        except Exception as error:
            return rpc.fault(call.id, rpc.INTERNAL_ERROR, f"{type(error).__name__}: {error}"), None

    def _follow(self, number: int, stream: Stream) -> None:
        self._watches += 1
        task = asyncio.create_task(self._told(number, stream))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._watches -= 1
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                self._writer.transport.abort()

        task.add_done_callback(ended)

    async def _told(self, number: int, stream: Stream) -> None:
        """The next burst is fetched when the last one has been read: whoever reads slowly waits, and nobody else."""
        said: dict[str, Any] = {"subscription": number, "events": [], "is_over": True}
        try:
            async with contextlib.aclosing(stream.bursts) as bursts:  # type: ignore[type-var]  # generators, all of them
                async for burst in bursts:
                    told = {"subscription": number, "events": burst, "is_over": False}
                    await self._write(rpc.notification("event", told))
        except MozartError as error:
            said["error"] = fault_of(error)
        await self._write(rpc.notification("event", said))

    async def _write(self, message: rpc.Answer | Sequence[rpc.Answer]) -> None:
        try:
            data = rpc.written(message)
        except (TypeError, ValueError) as error:
            text = f"the answer cannot be written as JSON ({error})"
            number = message.get("id") if isinstance(message, dict) else None
            data = rpc.written(rpc.fault(number, rpc.INTERNAL_ERROR, text))
        async with self._writing, asyncio.timeout(UNREAD_SECONDS):
            self._writer.write(data)
            await self._writer.drain()


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """Whether a process of this user, or of root, is at the other end; true where the system does not say it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    found = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(found)
    return uid in (0, os.getuid())


async def _turned_away(writer: asyncio.StreamWriter, most: int) -> None:
    text = f"the conductor takes {most} connections of its own user at once"
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(rpc.written(rpc.fault(None, RESOURCE_EXHAUSTED, text)))
        async with asyncio.timeout(1):
            await writer.drain()
    writer.close()
