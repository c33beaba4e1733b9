"""Runs a job again and again, each time dying at the next operation on the disk: at the first, the second, and so on.

    python tests/support/die_everywhere.py FOLDER SCENARIO

Every life is a child of this process, forked when everything is imported and killed by itself with SIGKILL right before
an operation, a write half-way through. Operations of plan, lock, archive and index count like those of the journal.
The folders `FOLDER/1`, `FOLDER/2` … stay as the dead left them; `told.jsonl` there holds what observers had been told.
Prints the number of lives. Scenarios: `new` starts a job, `resume` takes one up whose host died, `fresh` starts a
completed one over.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.faulty_runs import a_job  # after the path is set

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.runtime import run_job

for late in ("mozart_nb.consumers.history.recorder", "mozart_nb.consumers.learning.tables", "structlog"):
    importlib.import_module(late)  # else every life would import them again

OPERATIONS = (
    *("open_append", "open_fresh", "write", "sync", "close", "truncate", "allocate"),
    *("replace", "sync_folder", "make_folder", "remove"),
)
IN_THE_MIDDLE = 70
"""An operation about half-way through a new job."""


def live(folder: Path, *, die_at: int = 0, fresh: bool = False) -> bool:
    """One life in a child process; whether it died before its job was done."""
    child = os.fork()
    if child == 0:
        _run(folder, die_at, fresh)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        sys.exit(f"{folder}: a life ended with status {status}")
    return False


def _run(folder: Path, die_at: int, fresh: bool) -> None:
    try:
        prepared = a_job(folder)
        told = os.open(folder / "told.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _arm(die_at)

        async def tell(events: Sequence[ev.Event]) -> None:
            os.write(told, b"".join(ev.encode_event(event) + b"\n" for event in events))

        asyncio.run(run_job(prepared, ev.RunOptions(), observers=[tell], fresh=fresh))
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def _arm(die_at: int) -> None:
    count = 0

    def deadly(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: DiskFiles, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == die_at:
                if name == "write":
                    handle, data = args
                    operation(self, handle, memoryview(data)[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(self, *args, **kwargs)

        return call

    for name in OPERATIONS:
        setattr(DiskFiles, name, deadly(name, getattr(DiskFiles, name)))


def main(root: Path, scenario: str) -> int:
    """How many lives it took until one reached the end."""
    origin = root / "origin"
    origin.mkdir(parents=True)
    if scenario == "resume" and not live(origin, die_at=IN_THE_MIDDLE):
        sys.exit(f"a new job has fewer than {IN_THE_MIDDLE} operations")
    if scenario == "fresh":
        live(origin)
    (origin / "told.jsonl").unlink(missing_ok=True)
    lives = 1
    while True:
        folder = root / str(lives)
        shutil.copytree(origin, folder)
        if not live(folder, die_at=lives, fresh=scenario == "fresh"):
            return lives
        lives += 1


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))
