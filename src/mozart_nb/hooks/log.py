"""The log of a chain: one JSON line per step, of all its jobs, in a file of the user's choice."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mozart_nb.errors import MozartError
from mozart_nb.hooks.actions import hook_values
from mozart_nb.hooks.chain import Chain
from mozart_nb.hooks.record import HookResult
from mozart_nb.job.placeholders import expand
from mozart_nb.plans.prepared import Prepared


class ConcertLog:
    """Appends to `concert.concert_log_path`, when the concert is enabled and has one. A broken log stops nothing."""

    def __init__(
        self, prepared: Prepared, completion: str, environ: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        self._job_id = prepared.job_id
        self._completion = completion
        self._say = say
        self._path: Path | None = None
        concert = prepared.loaded.config.concert
        if not concert.enabled or concert.concert_log_path is None:
            return
        try:
            self._chain = Chain.of(environ).jobs
            self._path = prepared.loaded.resolve(expand(concert.concert_log_path, hook_values(prepared), "path"))
        except MozartError as error:
            say(f"no log of the chain is written: {error.message}")

    def add(self, result: HookResult) -> None:
        """Append a step. The whole line at once, so that the lines of several jobs never mix."""
        if self._path is None:
            return
        line = msgspec.json.encode(
            {
                "at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
                "job_id": self._job_id,
                "chain": self._chain,
                "run_id": self._completion,
                "hook": result.hook,
                "type": result.type,
                "status": result.status,
                "what": result.what,
                "exit_code": result.exit_code,
                "seconds": result.seconds,
                "message": result.message,
            }
        )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line + b"\n")
            finally:
                os.close(handle)
        except OSError as error:
            self._say(f"the log of the chain cannot be written: {error}")
            self._path = None
