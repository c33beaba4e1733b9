"""How everybody else talks to the conductor: one question, one answer; or a stream of events.

with ConductorClient.connect() as conductor:
    conductor.call("submit", file="/home/me/review.yaml")["job_id"]

Blocking, but for `async_call`. What the conductor raises is raised here as the error that it was there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from mozart_nb.errors import ConductorAbsentError, ConductorError
from mozart_nb.hosts.conductor.faults import error_of
from mozart_nb.hosts.conductor.place import Place, place

LONGEST_ANSWER_BYTES: Final = 64 << 20
ANSWER_SECONDS: Final = 300.0
"""How long an answer may take: reading the record of a job of 100,000 batches takes seconds, a busy disk more."""

_CHUNK: Final = 1 << 16
_encode = msgspec.json.Encoder().encode


class ConductorClient:
    """A connection to the conductor. Calls may come from several threads; they are answered one after the other."""

    def __init__(self, connection: socket.socket, where: Place) -> None:
        """Not for users: `connect` and `ensure_running` make clients."""
        self._connection = connection
        self._place = where
        self._numbers = itertools.count(1)
        self._rest = b""
        self._lock = threading.Lock()

    @classmethod
    def connect(
        cls, timeout_seconds: float = 5.0, *, where: Place | None = None, answer_seconds: float = ANSWER_SECONDS
    ) -> ConductorClient:
        """A connection to the conductor of this user, which may take `answer_seconds` for each answer.

        Raises `ConductorAbsentError` when none runs or none takes connections.
        """
        found = where or place()
        connection = _connected(found, timeout_seconds)
        connection.settimeout(answer_seconds)
        return cls(connection, found)

    def call(self, method: str, /, **params: Any) -> Any:
        """What the conductor answers. Raises the `MozartError` that it raised, or `ConductorError`."""
        with self._lock:
            number = next(self._numbers)
            self._send(number, method, params)
            while True:
                message = self._receive()
                if message.get("id") in (number, None) and "method" not in message:
                    return _result(message)

    def watch(self, job_id: str = "", since_seq: int = 0, **params: Any) -> Iterator[dict[str, Any]]:
        """Events after `since_seq` as they happen, each as a dict with its `kind`, until the job has settled.

        Without a job what the conductor itself does, until it stops. On a connection of its own, which ends with the
        iterator.
        """
        with ConductorClient.connect(where=self._place) as other:
            other.call("watch", job_id=job_id, since_seq=since_seq, **params)
            other._connection.settimeout(None)
            while True:
                message = other._receive()
                told = message.get("params") or {}
                yield from told.get("events", ())
                if isinstance(fault := told.get("error"), dict):
                    raise error_of(fault)
                if told.get("is_over"):
                    return

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, number: int, method: str, params: dict[str, Any]) -> None:
        try:
            self._connection.sendall(_request(number, method, params))
        except OSError as error:
            raise _lost(error) from error

    def _receive(self) -> dict[str, Any]:
        parts = [self._rest]
        size = len(self._rest)
        while b"\n" not in parts[-1]:
            try:
                chunk = self._connection.recv(_CHUNK)
            except OSError as error:
                raise _lost(error) from error
            size += len(chunk)
            if not chunk or size > LONGEST_ANSWER_BYTES:
                raise _lost(None)
            parts.append(chunk)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return _message(line)


async def async_call(method: str, /, *, where: Place | None = None, **params: Any) -> Any:
    """The same as `ConductorClient.call`, on a connection of its own, without blocking the loop."""
    found = where or place()
    path = await asyncio.to_thread(_socket_of, found)
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER_BYTES)
    except OSError as error:
        raise _absent(found, error) from error
    try:
        writer.write(_request(1, method, params))
        async with asyncio.timeout(ANSWER_SECONDS):
            await writer.drain()
            line = await reader.readline()
    except (OSError, ValueError) as error:  # the answer is longer than any that it gives
        raise _lost(error) from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if not line.endswith(b"\n"):
        raise _lost(None)
    return _result(_message(line))


def is_running(where: Place | None = None) -> bool:
    """Whether the conductor of this user runs and takes connections."""
    with contextlib.suppress(ConductorAbsentError):
        _connected(where or place(), 5.0).close()
        return True
    return False


def ensure_running(say: Callable[[str], None] = lambda text: None) -> ConductorClient:
    """A connection to the conductor, which is started in the background if it does not run; `say` is told that.

    Raises `ConductorAbsentError` with what it said when it does not come up.
    """
    from mozart_nb.hosts.conductor.starting import start

    try:
        return ConductorClient.connect()
    except ConductorAbsentError:
        say("the conductor is started in the background; `mozart conductor-status` shows it, `mozart stop` ends it")
        return start()


# --- the wire ---------------------------------------------------------------------------------------------------------


def _connected(where: Place, timeout_seconds: float) -> socket.socket:
    """Tries again while the conductor is just starting. Raises `ConductorAbsentError`."""
    if not hasattr(socket, "AF_UNIX"):
        raise ConductorAbsentError("there is no conductor: this system has no Unix sockets", hint="run jobs in place")
    end = time.monotonic() + timeout_seconds
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_seconds)
            connection.connect(_socket_of(where))
        except OSError as error:
            connection.close()
            if not where.is_held() or time.monotonic() >= end:
                raise _absent(where, error) from error
            time.sleep(0.05)
        else:
            return connection


def _socket_of(where: Place) -> str:
    """Where the conductor says that it listens; by default where it would."""
    identity = where.identity()
    return identity.socket if identity is not None else str(where.socket)


def _request(number: int, method: str, params: dict[str, Any]) -> bytes:
    return _encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + b"\n"


def _message(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ConductorError(f"the conductor answered with something that is no JSON ({error})") from error


def _result(message: dict[str, Any]) -> Any:
    if isinstance(fault := message.get("error"), dict):
        raise error_of(fault)
    return message.get("result")


def _absent(where: Place, error: OSError) -> ConductorAbsentError:
    identity = where.identity()
    if identity is None:
        return ConductorAbsentError("the conductor is not running", hint="`mozart start` starts it")
    if not identity.is_here:
        text = f"the conductor runs on another machine, {identity.host}, which shares this home"
        return ConductorAbsentError(
            text, hint="`mozart stop` there first, or set MOZART_NB_HOME to a folder of this one"
        )
    text = f"the conductor (pid {identity.pid}) does not answer at {identity.socket} ({error.strerror or error})"
    return ConductorAbsentError(text, hint="`mozart conductor-status` looks at it, `mozart stop --force` ends it")


def _lost(error: Exception | None) -> ConductorError:
    if isinstance(error, TimeoutError):
        hint = "it may have much to do; `mozart conductor-status` looks at it, `mozart stop --force` ends it"
        return ConductorError("the conductor runs, and has not answered in time", hint=hint)
    why = f" ({error})" if error is not None and str(error) else ""
    return ConductorError(
        f"the conductor was gone before it answered{why}",
        hint="what it carries is on disk and goes on with it; `mozart conductor-status` shows whether it runs",
    )
