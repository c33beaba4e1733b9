"""Requests from other processes: one small file each in the job's `control/` folder.

Whoever can write to the job's folder may ask; the answer is the event that the request causes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from mozart_nb.checkpoint.files import DiskFiles, unwritable, write_atomically
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.ports import Request
from mozart_nb.errors import UnknownJobError

LARGEST_REQUEST_BYTES = 1 << 20
_SUFFIX = ".json"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Request).decode


def drop(layout: Layout, request: Request) -> Path:
    """Leave a request for whoever runs the job; returns its file, which is gone once the request has been taken.

    Raises `UnknownJobError` when the workspace has no such job, `CheckpointUnwritableError` when nothing can be left.
    """
    if not layout.exists:
        raise UnknownJobError(f"there is no job `{layout.job_id}` in {layout.workspace}", job_id=layout.job_id)
    # The name begins with the time, so that requests are taken in the order in which they were made.
    name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}"
    path = layout.control / f"{name}{_SUFFIX}"
    files = DiskFiles()
    try:
        files.make_folder(layout.root)
        files.make_folder(layout.control)
        write_atomically(files, path, _encode(request) + b"\n", layout.control / f".{name}.tmp")
    except OSError as error:
        raise unwritable(error, layout.control, layout.job_id) from error
    return path


class ControlFolder:
    """Implements `engine.ports.Requests`: what others have dropped, oldest first, each delivered once.

    A request is taken from the folder before it is delivered: one that was on its way when its host died is lost
    together with the run it was meant for. `run_id` is the present run; requests for another run, expired or
    unreadable ones are removed and described in `rejected`.
    """

    def __init__(self, layout: Layout, run_id: str = "", *, wall: Callable[[], float] = time.time) -> None:
        self.run_id = run_id
        self.rejected: list[str] = []
        self._folder = layout.control
        self._wall = wall
        self._taken: set[str] = set()

    async def poll(self) -> Sequence[Request]:
        """New requests since the last call."""
        return await asyncio.to_thread(self._collect)

    def _collect(self) -> list[Request]:
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(entry.name for entry in entries if _is_request(entry.name))
        except OSError:
            return []
        # Names that could not be removed stay remembered, and only those.
        self._taken &= set(names)
        return [request for name in names if (request := self._take(name)) is not None]

    def _take(self, name: str) -> Request | None:
        if name in self._taken:
            return None
        self._taken.add(name)
        path = self._folder / name
        try:
            request = _read(path)
            reason = self._objection(request)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, ValueError) as error:
            request, reason = None, f"unreadable ({error})"
        with contextlib.suppress(OSError):
            path.unlink()
        if request is None or reason:
            self.rejected.append(f"{name}: {reason}")
            return None
        return request

    def _objection(self, request: Request) -> str:
        if request.expires_at and request.expires_at < self._wall():
            return f"`{request.kind}` expired"
        if request.run_id and self.run_id and request.run_id != self.run_id:
            return f"`{request.kind}` was meant for run {request.run_id}"
        return ""


def _is_request(name: str) -> bool:
    return name.endswith(_SUFFIX) and not name.startswith(".")


def _read(path: Path) -> Request:
    """Raises `ValueError` for what is no small regular file: the folder may hold anything."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_REQUEST_BYTES:
            raise ValueError("not a request")
        return _decode(file.read())
