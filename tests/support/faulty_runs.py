"""A small job run on disks that fail on purpose, and what must be true of it afterwards."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.faulty_files import Fault, FaultyFiles
from support.raw_journal import Glance, documents, key_of, of_kind, whole_lines

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import DiskFiles, Files
from mozart_nb.checkpoint.follow import read_answer, read_events
from mozart_nb.checkpoint.load import load_state
from mozart_nb.engine.fold import fold
from mozart_nb.errors import CheckpointUnwritableError
from mozart_nb.job.load import load_mapping
from mozart_nb.runtime import Prepared, prepare, run_job

BATCHES = 4


def a_job(folder: Path) -> Prepared:
    """A few batches, two at a time, one of which needs a retry and one a completion attempt."""
    config = {
        "name": "faults",
        "workspace": "./ws",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": BATCHES},
        "prompt": {"template": "Write about item {{ batch_num }}."},
        "parallel": {"enabled": True, "max_concurrent": 2},
        "retry": {"base_delay_seconds": 0.01, "completion_delay_seconds": 0},
        "rehearsal": {
            "latency_seconds": 0,
            "writes": {f"{{workspace}}/out/{{batch_num}}-{part}.md": "Item {{ batch_num }}.\n" for part in "ab"},
            "script": {2: ["transient"], 4: [{"partial": {"writes": 1}}]},
            "usage": {"cost_usd": 0.25},
        },
        "validations": [{"type": "file_exists", "path": f"{{workspace}}/out/{{batch_num}}-{part}.md"} for part in "ab"],
    }
    return prepare(load_mapping(config, base_dir=folder))


@dataclass
class Ran:
    """How a run ended, and what its observers were told."""

    status: str
    code: str = ""
    message: str = ""
    hint: str = ""
    told: list[ev.Event] = field(default_factory=list)

    def numbers(self, kind: type[ev.Event]) -> set[tuple[int, int]]:
        return {(e.batch, getattr(e, "attempt", 0)) for e in self.told if isinstance(e, kind)}  # type: ignore[attr-defined]

    @property
    def notices(self) -> list[str]:
        return [event.message for event in self.told if isinstance(event, ev.JobNotice)]


def run(prepared: Prepared, files: Files | None = None) -> Ran:
    ran = Ran("raised")

    async def listen(events: Sequence[ev.Event]) -> None:
        ran.told.extend(events)

    try:
        state = asyncio.run(run_job(prepared, ev.RunOptions(), observers=[listen], files=files))
    except CheckpointUnwritableError as error:
        ran.code, ran.message, ran.hint = error.code or "", error.message, error.hint
    else:
        ran.status, ran.code, ran.message = state.status, state.job.code, state.job.reason
    return ran


def output(prepared: Prepared, number: int) -> Path:
    return prepared.layout.workspace / "out" / f"{number}-b.md"


def glance(prepared: Prepared) -> Glance:
    return Glance.at(prepared.layout, lambda number: output(prepared, number))


def every_fault(folder: Path, error: int, *, lasting: bool) -> Iterator[Ran]:
    """Runs in which the first operation fails, then the second, and so on until a run needs no more of them.

    What must be true has been checked of each, and of a resume on a sound disk.
    """
    at = 0
    while True:
        at += 1
        files = FaultyFiles(Fault(at, error, lasting=lasting, short=True))
        prepared = a_job(folder / str(at))
        ran = run(prepared, files)
        if not files.failed:
            return
        check_outcome(ran, prepared)
        check_resumed(ran, prepared)
        yield ran


def lives(folder: Path, scenario: str) -> list[Path]:
    """Hosts that die at every operation (`support/die_everywhere.py`): what each left, and the one that got through."""
    program = Path(__file__).with_name("die_everywhere.py")
    command = [sys.executable, str(program), str(folder), scenario]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [folder / str(number) for number in range(1, int(done.stdout) + 1)]


def what_was_told(folder: Path) -> Ran:
    """What the observers of a host that died had been told."""
    told = folder / "told.jsonl"
    lines = told.read_bytes().splitlines() if told.exists() else []
    return Ran("killed", told=[ev.decode_event(line) for line in lines])


def operations(prepared: Prepared) -> int:
    """How many operations that can fail the run of a job makes on a sound disk."""
    files = FaultyFiles()
    assert run(prepared, files).status == "completed"
    return len(files.calls)


def check_outcome(ran: Ran, prepared: Prepared) -> None:
    """It completed, or paused with E703, or said clearly that it could not even do that."""
    assert ran.status in ("completed", "paused", "raised")
    if ran.status == "paused":
        assert ran.code == "E703"
    if ran.status == "raised":
        assert ran.code == "E703"
        assert str(prepared.layout.workspace) in ran.message
        assert ran.hint


def check_resumed(ran: Ran, prepared: Prepared) -> None:
    """A run on a sound disk finishes the job; nothing that observers were told of is lost or done again."""
    before = {n: (output(prepared, n).stat().st_ino, output(prepared, n).stat().st_mtime_ns) for n in _completed(ran)}
    again = run(prepared)
    assert (again.status, again.message) == ("completed", "")
    now = glance(prepared)
    rows = now.rows
    assert {n: now.written[n] for n in before} == before, "a completed batch was run again"
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert sorted(row["batch"] for row in of_kind(rows, "batch.completed")) == list(range(1, BATCHES + 1))
    finished = {key_of(row) for row in of_kind(rows, "session.finished")}
    assert ran.numbers(ev.SessionFinished) <= finished, "an answer that was told of is gone"
    for kind in ("session.opened", "session.finished", "batch.started"):
        keys = [key_of(row) for row in of_kind(rows, kind)]
        assert len(keys) == len(set(keys)), f"{kind} twice for one attempt"
    for row in of_kind(rows, "session.finished"):
        answer = read_answer(prepared.layout, row["answer_at"], row["answer_size"])
        assert (answer.finished.batch, answer.finished.attempt) == key_of(row)
    assert len(list(documents(whole_lines(prepared.layout.answers), "answer"))) == len(finished)
    loaded = load_state(prepared.layout, DiskFiles(), holder=False)
    folded = fold(read_events(prepared.layout))
    assert (loaded.state.job, loaded.state.batches) == (folded.job, folded.batches)
    assert not loaded.warnings
    costs = sum(row.get("cost_usd", 0) for row in of_kind(rows, "session.finished"))
    assert math.isclose(folded.job.cost_usd, costs)


def _completed(ran: Ran) -> set[int]:
    return {number for number, _ in ran.numbers(ev.BatchCompleted)}
