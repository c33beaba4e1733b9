"""A keeper at work: random lives of a job that go through it, and what the databases hold afterwards."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select
from support.histories import History, ListSink

from mozart_nb import events as ev
from mozart_nb.consumers.history import HistoryKeeper, JobIdentity, Section
from mozart_nb.consumers.history.database import opened
from mozart_nb.consumers.history.identity import journal_of
from mozart_nb.consumers.history.mirror import read_mirror
from mozart_nb.consumers.history.tables import BATCHES, JOB_RUNS, JOBS
from mozart_nb.consumers.history.tally import Ledger
from mozart_nb.engine.state import JobState


class Kept:
    """A job whose life is written to a history and a mirror in `folder`."""

    def __init__(
        self, folder: Path, seed: int = 1, *, sections: Sequence[Section] = (), name: str = "job", place: str = ""
    ) -> None:
        """`place` is where the job's state is said to be, by default in `folder`."""
        self.folder = folder
        self.rng = random.Random(seed)
        self.pauses = random.Random(seed)
        self.sink = ListSink()
        self.life = History(self.rng, self.sink)
        self.told: list[str] = []
        self.reads: list[int] = []
        self.sections = sections
        self.identity = JobIdentity(job_id=name, state_workspace=place or str(folder), workspace=str(folder))

    @property
    def state(self) -> JobState:
        return self.life.state

    @property
    def history(self) -> Path:
        return self.folder / "history.db"

    @property
    def mirror(self) -> Path:
        return self.folder / "job.sqlite"

    def read_since(self, seq: int) -> Iterator[ev.Event]:
        self.reads.append(seq)
        return iter([event for event in self.sink.events if event.seq > seq])

    def keeper(self, *, flush_seconds: float = 0.0, **given: Any) -> HistoryKeeper:
        places: dict[str, Any] = {"database": self.history, "mirror": self.mirror, "tell": self.told.append, **given}
        return HistoryKeeper(
            state=self.state,
            identity=self.identity,
            read_since=self.read_since,
            sections=self.sections,
            flush_seconds=flush_seconds,
            **places,
        )

    async def live(self, count: int, keeper: HistoryKeeper, *, pause: float = 0.1) -> None:
        """So many events; now and then the keeper gets time to write."""
        for _ in range(count):
            await keeper.observe([self.life.emit(self.life.next_event())])
            if self.pauses.random() < pause:
                await asyncio.sleep(0.001)

    def lived(self, count: int, **given: Any) -> Kept:
        """The same from beginning to end, closed."""

        async def live() -> None:
            keeper = self.keeper(**given)
            await self.live(count, keeper)
            await keeper.close()

        asyncio.run(live())
        return self

    def unheard(self, count: int) -> None:
        """So many events that nobody writes down but the journal."""
        for _ in self.life.play(count):
            continue

    # --- what it should be --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """The databases say what the journal says."""
        self.check_mirror()
        self.check_history()

    def check_mirror(self) -> None:
        assert read_mirror(self.mirror) == self.state

    def check_history(self) -> None:
        runs, batches = rows_of(self.history, JOB_RUNS), rows_of(self.history, BATCHES)
        assert {row["number"]: row["status"] for row in batches} == {n: b.status for n, b in self.state.batches.items()}
        assert sum(row["attempts"] for row in batches) == sum(b.attempts for b in self.state.batches.values())
        [job] = rows_of(self.history, JOBS)
        assert (job["status"], job["updated_at"]) == (self.state.status, self.state.job.at)
        ledger = Ledger(journal_of(self.state.job))
        ledger.hear(self.sink.events)
        present = [row for row in runs if row["journal"] == ledger.journal]
        assert [row["number"] for row in present] == list(ledger.changed)
        for row in present:
            counted = ledger.changed[row["number"]]
            assert {name: row[name] for name in counted.__struct_fields__} == {
                name: getattr(counted, name) for name in counted.__struct_fields__
            }

    def copied(self, to: Path) -> Kept:
        """The same job with copies of the files, to be written elsewhere."""
        shutil.copytree(self.folder, to, dirs_exist_ok=True)
        other = Kept.__new__(Kept)
        other.__dict__.update(self.__dict__)
        other.folder, other.told, other.reads = to, [], []
        return other


def rows_of(path: Path, table: Table) -> list[dict[str, Any]]:
    """Every row of a table of a history."""
    with opened(path) as database, database.reading() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def kept_after(folder: Path, *steps: Callable[[Kept, HistoryKeeper], Any], seed: int = 1, **given: Any) -> Kept:
    """A job that lived through these steps (coroutine functions), its keeper closed at the end."""
    kept = Kept(folder, seed)

    async def live() -> None:
        keeper = kept.keeper(**given)
        for step in steps:
            await step(kept, keeper)
        await keeper.close()

    asyncio.run(live())
    return kept
