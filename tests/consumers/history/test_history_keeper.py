"""The history is in step with every life of a job, however it is cut into writes, and never hurts the run."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select
from support.histories import History, ListSink
from support.kept_history import Kept, rows_of

from mozart_nb import events as ev
from mozart_nb.consumers.history import Delivery, News
from mozart_nb.consumers.history import keeper as keeping
from mozart_nb.consumers.history.database import opened
from mozart_nb.consumers.history.tables import BATCHES, CURSORS, JOB_RUNS, JOBS, NOTIFICATIONS


@pytest.mark.parametrize("seed", range(8))
def test_databases_say_what_the_journal_says_however_writes_fall(seed: int, tmp_path: Path) -> None:
    kept = Kept(tmp_path, seed).lived(300)
    kept.check()
    assert kept.told == []
    assert kept.reads == []  # nothing was missed, so no journal was read


@pytest.mark.parametrize("seed", range(4))
def test_what_a_killed_host_left_unwritten_is_caught_up_with_by_the_next_run(seed: int, tmp_path: Path) -> None:
    kept = Kept(tmp_path, seed)
    for _ in range(3):
        kept.lived(60)
        kept.unheard(40)
    kept.lived(60)
    kept.check()
    assert kept.reads


def test_a_run_whose_first_events_were_never_seen_is_read_from_its_beginning(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 5)
    kept.unheard(150)
    kept.lived(50)
    kept.check()


def test_runs_add_up_to_what_the_job_says(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 7).lived(500)
    runs, job = rows_of(kept.history, JOB_RUNS), kept.state.job
    assert len(runs) == job.runs
    assert sum(run["cost_usd"] for run in runs) == pytest.approx(job.cost_usd)
    for column, total in (
        ("retries", job.retries),
        ("unknown_costs", job.unknown_costs),
        ("limit_waits", job.limit_waits),
    ):
        assert sum(run[column] for run in runs) == total
    assert sum(run["input_tokens"] for run in runs) == job.usage.input_tokens
    assert sum(run["session_seconds"] for run in runs) == pytest.approx(job.duration)


def test_a_job_that_is_started_over_keeps_its_runs_and_shows_its_present_batches(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 3).lived(200)
    before = rows_of(kept.history, JOB_RUNS)
    kept.sink = ListSink()
    kept.life = History(kept.rng, kept.sink)
    kept.lived(100)
    kept.check()
    runs = rows_of(kept.history, JOB_RUNS)
    assert [run for run in runs if run["journal"] == before[0]["journal"]] == before
    assert len(rows_of(kept.history, JOBS)) == 1


def test_a_workspace_that_was_moved_stays_one_job(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    kept = Kept(here, 3).lived(80)
    here.rename(there)
    moved = Kept(there, 3)
    moved.life, moved.sink = kept.life, kept.sink
    moved.lived(40)
    [job] = rows_of(moved.history, JOBS)
    assert job["state_workspace"] == str(there)
    moved.check()


def test_a_journal_that_was_put_back_to_an_earlier_state_is_counted_anew(tmp_path: Path) -> None:
    Kept(tmp_path, 9).lived(120)
    earlier = Kept(tmp_path, 9)
    earlier.unheard(40)
    earlier.lived(30)
    earlier.check()


# --- what must not hurt a run -----------------------------------------------------------------------------------------


def test_observing_hands_over_at_once_whatever_the_database_does(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    held = sqlite3.connect(kept.history, isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")

    async def live() -> float:
        keeper = kept.keeper()
        slowest = 0.0
        for _ in range(200):
            event = kept.life.emit(kept.life.next_event())
            began = time.perf_counter()
            await keeper.observe([event])
            slowest = max(slowest, time.perf_counter() - began)
            await asyncio.sleep(0)
        began = time.perf_counter()
        await keeper.close()
        assert time.perf_counter() - began < 1.5
        return slowest

    assert asyncio.run(live()) < 0.05
    held.close()
    [told] = kept.told
    assert "caught up next time" in told
    kept.lived(20)
    kept.check()


def test_two_jobs_write_one_history_at_the_same_time(tmp_path: Path) -> None:
    jobs = [Kept(tmp_path / str(number), number, name=f"job-{number}") for number in range(3)]
    for job in jobs:
        job.folder.mkdir()

    async def live() -> None:
        keepers = [job.keeper(database=tmp_path / "history.db") for job in jobs]
        await asyncio.gather(*(job.live(150, keeper) for job, keeper in zip(jobs, keepers, strict=True)))
        await asyncio.gather(*(keeper.close() for keeper in keepers))

    asyncio.run(live())
    assert [job.told for job in jobs] == [[], [], []]
    found = {row["job_id"]: row["updated_at"] for row in rows_of(tmp_path / "history.db", JOBS)}
    assert found == {f"job-{number}": job.state.job.at for number, job in enumerate(jobs)}
    for job in jobs:
        job.check_mirror()


def test_a_folder_that_cannot_be_written_is_told_once_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder must be")
    kept = Kept(tmp_path).lived(100, database=tmp_path / "home" / "history.db", mirror=None)
    [told] = kept.told
    assert "is not written in this run" in told


def test_a_history_of_a_newer_version_is_left_alone_and_said_so(tmp_path: Path) -> None:
    kept = Kept(tmp_path).lived(30)
    with opened(kept.history) as database, database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO migrations VALUES ('something of next year', 9e9)")
    before = kept.history.read_bytes()
    kept.lived(30)
    assert kept.history.read_bytes() == before
    assert "newer version" in kept.told[0]
    kept.check_mirror()  # the one does not hold up the other


@pytest.mark.parametrize("rubbish", [b"not a database at all " * 300, b"SQLite format 3\x00" + bytes(5000)])
def test_a_damaged_database_is_moved_aside_and_made_anew_from_the_journal(rubbish: bytes, tmp_path: Path) -> None:
    kept = Kept(tmp_path, 2).lived(120)
    kept.history.write_bytes(rubbish)
    kept.mirror.write_bytes(rubbish)
    kept.lived(30)
    kept.check()
    assert [text.split()[1] for text in kept.told] == ["history", "mirror"]
    aside = sorted(path.name.partition(".damaged-")[0] for path in tmp_path.glob("*.damaged-*"))
    assert aside == ["history.db", "job.sqlite"]


def test_a_section_that_fails_takes_its_transaction_back_and_is_told_once(tmp_path: Path) -> None:
    class Failing:
        kinds: frozenset[type[ev.Event]] = frozenset({ev.BatchStarted})

        def write(self, connection: Connection, news: News) -> None:
            raise RuntimeError("no use")

        def forget(self, connection: Connection, job: int, journal: str) -> None:
            raise RuntimeError("no use")

    kept = Kept(tmp_path, sections=[Failing()]).lived(100)
    assert "RuntimeError: no use" in kept.told[0]
    assert len(kept.told) == 1
    kept.sections = ()
    kept.lived(20)
    kept.check()


def test_sections_hear_every_event_of_their_kinds_once(tmp_path: Path) -> None:
    class Listening:
        kinds: frozenset[type[ev.Event]] = frozenset({ev.BatchStarted, ev.SessionFinished})

        def __init__(self) -> None:
            self.heard: list[int] = []

        def write(self, connection: Connection, news: News) -> None:
            assert connection.execute(select(JOBS.c.id).where(JOBS.c.id == news.job)).one()
            self.heard += [event.seq for event in news.events]

        def forget(self, connection: Connection, job: int, journal: str) -> None:
            raise AssertionError("nothing is read anew here")

    section = Listening()
    kept = Kept(tmp_path, 4, sections=[section])
    for _ in range(3):
        kept.lived(60)
        kept.unheard(20)
    kept.lived(20)
    wanted = [e.seq for e in kept.sink.events if isinstance(e, ev.BatchStarted | ev.SessionFinished)]
    assert section.heard == wanted


def test_events_that_pile_up_are_dropped_and_read_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_EVENTS", 50)
    monkeypatch.setattr(keeping, "COPIED_AT_ONCE", 3)
    kept = Kept(tmp_path, 6)

    async def live() -> None:
        keeper = kept.keeper(flush_seconds=60.0)
        await kept.live(230, keeper, pause=0)
        await keeper.close()

    asyncio.run(live())
    kept.check()
    assert kept.reads


def test_what_became_of_notifications_is_written_when_the_run_is_over(tmp_path: Path) -> None:
    def deliveries() -> Iterator[Delivery]:
        yield Delivery(
            id="n1", channel="1 slack", event="job_complete", status="delivered", delivered_at=5.0, attempts=2
        )

    kept = Kept(tmp_path).lived(20, deliveries=deliveries)
    [row] = rows_of(kept.history, NOTIFICATIONS)
    assert (row["id"], row["status"], row["attempts"]) == ("n1", "delivered", 2)


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_are_for_the_user_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    kept = Kept(tmp_path).lived(30, database=home / "history.db")
    for path in (home / "history.db", kept.mirror):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_every_row_hangs_on_its_job(tmp_path: Path) -> None:
    kept = Kept(tmp_path).lived(50)
    with opened(kept.history) as database, database.writing() as connection:
        connection.execute(JOBS.delete())
    assert [rows_of(kept.history, table) for table in (CURSORS, JOB_RUNS, BATCHES)] == [[], [], []]


def test_nothing_heavy_is_imported_before_something_is_written() -> None:
    code = (
        "import sys, mozart_nb.onlookers, mozart_nb.cli.commands, mozart_nb.looking.history;"
        "print([name for name in ('sqlalchemy', 'structlog', 'pandas') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert ended.stdout.strip() == "[]"
