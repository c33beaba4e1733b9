"""Kills a job's host again and again, and finds out whether anything was lost, repeated or left behind.

    series = Series(job, environ, rng, moments=…)
    series.run(kills=8)
    assert series.tally.problems == []

What happened is read from the disk by `support.raw_journal`, not by the product.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from support.host_process import Host, processes_with
from support.raw_journal import Glance, Row, completed, documents, key_of, of_kind, segments, whole_lines

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.follow import read_answer, read_events
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import load_state
from mozart_nb.engine.fold import fold

TOKEN = "MOZART_KILL9"
"""A variable that hosts and, through `backend.env`, all sessions of a series carry."""

LONGEST_WATCH_SECONDS = 10.0
"""How long to wait for an event after which a host is to die."""


@dataclass
class Tally:
    """What was done, and what went wrong (one line each)."""

    series: int = 0
    hosts: int = 0
    kills: int = 0
    with_sessions: int = 0
    batches: int = 0
    events: int = 0
    sessions: int = 0
    open_at_kill: int = 0
    followed: int = 0
    read: int = 0
    abandoned: int = 0
    paused: int = 0
    requests: int = 0
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    journal_errors: list[str] = field(default_factory=list)
    left_running: list[str] = field(default_factory=list)
    paid_twice: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        return [*self.lost, *self.repeated, *self.journal_errors, *self.left_running, *self.paid_twice]

    def __iadd__(self, other: Tally) -> Tally:
        for name in (entry.name for entry in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


# --- a series ---------------------------------------------------------------------------------------------------------


@dataclass
class Job:
    """A job file in a folder of its own. Every batch writes the file that `output` names."""

    folder: Path
    config: dict[str, Any]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.setdefault("workspace", "./ws")
        self.config["backend"].setdefault("env", {})[TOKEN] = self.token
        self.write()

    def write(self) -> None:
        """Write the job file (anew)."""
        self.file.write_text(yaml.safe_dump(self.config))

    @property
    def file(self) -> Path:
        return self.folder / "job.yaml"

    @property
    def layout(self) -> Layout:
        return Layout((self.folder / self.config["workspace"]).resolve(), self.config["name"])

    @property
    def total(self) -> int:
        return int(self.config["batch"]["total_items"])

    def output(self, number: int) -> Path:
        return self.layout.workspace / "out" / f"{number}.md"


MANY_RULES = 18
"""So many that snapshots are taken on the way: each is in every event about a batch's validation."""


def rehearsed_job(folder: Path, batches: int, seed: int, *, latency: float = 0.02, **rehearsal: Any) -> Job:
    """A job for the rehearsal backend, eight sessions at a time, some of which fail and are tried again.

    Whatever a session writes it writes anew, so that a batch that ran twice shows on its file.
    """
    config: dict[str, Any] = {
        "name": "kill9",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": "Write {{ workspace }}/out/{{ batch_num }}.md about item {{ batch_num }}."},
        "parallel": {"enabled": True, "max_concurrent": 8},
        "retry": {"max_retries": 6, "base_delay_seconds": 0.02, "completion_delay_seconds": 0},
        "circuit_breaker": {"enabled": False},
        "rehearsal": {
            "latency_seconds": latency,
            "seed": seed,
            "writes": {"{workspace}/out/{batch_num}.md": "Item {{ batch_num }}.\n"},
            "failures": {"transient": 0.03, "crash": 0, "invalid_output": 0.04, "timeout": 0.02},
            "usage": {"cost_usd": 0.01},
            **rehearsal,
        },
        "validations": [
            {"type": "file_exists", "path": "{workspace}/out/{batch_num}.md"},
            *[
                {"type": "content_contains", "path": "{workspace}/out/{batch_num}.md", "pattern": "Item {batch_num}."}
                for _ in range(MANY_RULES)
            ],
        ],
    }
    return Job(folder, config)


@dataclass(frozen=True)
class Moment:
    """When a host dies: `seconds` after it began, or after it wrote its next event of the kind `after`."""

    seconds: float
    after: str = ""


class Series:
    """One job whose host is killed until it has had enough; then it is left to finish, and everything is counted.

    `moments` draws when a host dies, `pauses` how long nobody runs the job after a kill (seconds).
    """

    def __init__(
        self,
        job: Job,
        environ: Mapping[str, str],
        rng: random.Random,
        *,
        moments: Callable[[random.Random], Moment],
        pauses: Callable[[random.Random], float] = lambda _: 0.0,
    ) -> None:
        self.job = job
        self.tally = Tally(series=1, batches=job.total)
        self._environ = {**environ, TOKEN: job.token}
        self._rng = rng
        self._moments = moments
        self._pauses = pauses
        self._before = Glance({}, b"", (), {})

    @property
    def rows(self) -> tuple[Row, ...]:
        """The journal as it was last looked at."""
        return self._before.rows

    def run(self, kills: int) -> Tally:
        """Kill up to `kills` hosts, then let one finish."""
        while True:
            code = self._one_host(to_be_killed=self.tally.kills < kills)
            self._look(killed=code is None)
            if code == 0:
                break
            if code is None:
                time.sleep(self._pauses(self._rng))
        self._verify()
        return self.tally

    def _one_host(self, *, to_be_killed: bool) -> int | None:
        """Exit code, or None when it was killed."""
        host = Host(self.job.file, self._environ)
        self.tally.hosts += 1
        host.wait_until_running()
        if not to_be_killed:
            code: int | None = host.wait()
        else:
            moment = self._moments(self._rng)
            if moment.after:
                self._await_event(host, moment.after)
            code = host.kill_after(moment.seconds)
        if code == 3:
            self.tally.paused += 1  # five deaths in a row without a completed batch: that is what it is for
        elif code not in (0, None):
            raise AssertionError(f"the host gave up with exit code {code}:\n{host.output}")
        self.tally.kills += code is None
        return code

    def _await_event(self, host: Host, kind: str) -> None:
        """Watch the journal closely, so that the host dies in the middle of what follows that event."""
        wanted, before = f'"kind":"{kind}"'.encode(), len(of_kind(self.rows, kind))
        deadline = time.monotonic() + LONGEST_WATCH_SECONDS
        while host.is_alive and time.monotonic() < deadline:
            if sum(path.read_bytes().count(wanted) for path in segments(self.job.layout)) > before:
                return
            time.sleep(0.0005)

    # --- after every host ---------------------------------------------------------------------------------------------

    def _look(self, *, killed: bool) -> None:
        """Compare what is there with what was there before: nothing that had been written may have changed."""
        tally, before = self.tally, self._before
        try:
            now = Glance.at(self.job.layout, self.job.output)
        except (ValueError, OSError) as error:
            tally.journal_errors.append(f"after kill {tally.kills}: {error}")
            return
        for name, lines in before.journal.items():
            if not now.journal.get(name, b"").startswith(lines):
                tally.journal_errors.append(f"after kill {tally.kills}: {name} no longer begins as it did")
        if not now.answers.startswith(before.answers):
            tally.journal_errors.append(f"after kill {tally.kills}: the answers no longer begin as they did")
        tally.lost += [f"batch {n}" for n in sorted(set(completed(before.rows)) - set(completed(now.rows)))]
        for number, signature in before.written.items():
            if now.written.get(number, signature) != signature:
                tally.repeated.append(f"batch {number}: its file was written again after it had completed")
        if killed:
            tally.open_at_kill += len(now.open_sessions)
            tally.with_sessions += bool(now.open_sessions)
        self._before = now

    # --- at the end ---------------------------------------------------------------------------------------------------

    def _verify(self) -> None:
        rows, tally = self.rows, self.tally
        tally.events = len(rows)
        tally.sessions = len(of_kind(rows, "session.opened"))
        adopted = [row["how"] for row in of_kind(rows, "session.adopted")]
        tally.followed, tally.read = adopted.count("running"), adopted.count("finished")
        tally.abandoned = len(of_kind(rows, "session.abandoned"))
        self._verify_journal(rows)
        self._verify_answers(rows)
        self._verify_batches(rows)
        self._verify_processes(rows)

    def _verify_journal(self, rows: tuple[Row, ...]) -> None:
        errors = self.tally.journal_errors
        if [row["seq"] for row in rows] != list(range(1, len(rows) + 1)):
            errors.append("the numbers of the events have gaps")
        times = [row["at"] for row in rows]
        if times != sorted(times):
            errors.append("the times of the events run backwards")
        loaded = load_state(self.job.layout, DiskFiles(), holder=False)
        folded = fold(read_events(self.job.layout))
        if (folded.job, folded.batches) != (loaded.state.job, loaded.state.batches):
            errors.append("snapshot and tail say something else than the journal")
        if loaded.warnings or loaded.orphans:
            errors.append(f"the finished job is not clean: {loaded.warnings} {loaded.orphans}")
        costs = [row.get("cost_usd") or 0.0 for row in rows if row["kind"] in ("session.finished", "session.abandoned")]
        if abs(sum(costs) - folded.job.cost_usd) > 1e-6:
            errors.append(f"the job says it cost {folded.job.cost_usd}, its sessions {sum(costs)}")

    def _verify_answers(self, rows: tuple[Row, ...]) -> None:
        """Every session that ended has its answer where the journal says, and there is no answer more."""
        layout = self.job.layout
        finished = of_kind(rows, "session.finished")
        for row in finished:
            answer = read_answer(layout, row.get("answer_at", -1), row.get("answer_size", 0))
            if (answer.finished.batch, answer.finished.attempt) != key_of(row):
                self.tally.journal_errors.append(f"the answer of batch {row['batch']} is another one's")
        kept = sum(1 for _ in documents(whole_lines(layout.answers), "answer"))
        if kept != len(finished):
            self.tally.journal_errors.append(f"{kept} answers for {len(finished)} sessions")

    def _verify_batches(self, rows: tuple[Row, ...]) -> None:
        tally = self.tally
        times = Counter(completed(rows))
        tally.lost += [f"batch {n} never completed" for n in range(1, self.job.total + 1) if not times[n]]
        tally.repeated += [f"batch {n} completed {count} times" for n, count in times.items() if count > 1]
        for kind in ("session.opened", "session.finished", "batch.started"):
            count = Counter(key_of(row) for row in of_kind(rows, kind))
            tally.repeated += [f"{kind} {key}: {n} times" for key, n in count.items() if n > 1]
        done: set[int] = set()
        for row in rows:
            if row["kind"] == "batch.completed":
                done.add(row["batch"])
            elif row["kind"] in ("batch.started", "session.opened") and row["batch"] in done:
                tally.repeated.append(f"batch {row['batch']}: {row['kind']} after it had completed")

    def _verify_processes(self, rows: tuple[Row, ...]) -> None:
        """None of the sessions' processes is left; what a dying host may have had in its hands ends within seconds."""
        markers = {row["marker"] for row in of_kind(rows, "session.opened")}
        self.tally.left_running += processes_with("MOZART_NB_MARKER", markers)
        deadline = time.monotonic() + 10
        while (left := processes_with(TOKEN, {self.job.token})) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.tally.left_running += left
