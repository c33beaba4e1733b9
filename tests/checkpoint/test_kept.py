"""Accepted answers are found again by what was asked: through restarts, archives, crashes and damage of the index."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from mozart_nb import events as ev
from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.kept import Occurrences, WorkspaceAnswers, open_kept
from mozart_nb.checkpoint.kept_index import AnswerIndex, Contents, Row, Source
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import load_state
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.checkpoint.plan import archive
from mozart_nb.checkpoint.store import JobStore
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState


def content(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass
class Host:
    """A host that runs every batch once: asks for the kept answer, else "sends", and journals as the driver does.

    `sent` are the batches for which something was sent; `texts` what every batch answered.
    """

    layout: Layout
    sent: list[int] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def run(
        self,
        prompts: Mapping[int, str],
        *,
        asks_anew: bool = False,
        answer: str = "",
        code: str = "",
        refuses: bool = False,
        deaf: bool = False,
        backend: str = "anthropic_api",
    ) -> Host:
        """`code`: sessions fail; `refuses`: the rules do; `deaf`: the host dies before the index hears of anything."""
        self.sent, self.texts, self.hashes = [], {}, {}
        asyncio.run(self._run(prompts, asks_anew, answer, code, refuses, deaf, backend))
        return self

    async def _run(
        self, prompts: Mapping[int, str], asks_anew: bool, answer: str, code: str, refuses: bool, deaf: bool, kind: str
    ) -> None:
        with JobLock(self.layout):
            loaded = load_state(self.layout, DiskFiles(), holder=True)
            store, state = JobStore(self.layout, loaded), loaded.state
            kept = open_kept(self.layout, state, asks_anew=asks_anew)
            if not state.job.seq:
                seed = int.from_bytes(os.urandom(4))
                shape = ev.PlanShape(total=100)
                plan = ev.JobPlanned(
                    job_id=self.layout.job_id, name="j", plan=shape, seed=seed, config_digest="", backend=kind
                )
                await self._tell(store, state, kept, [plan, ev.JobStarted(run_id="r")], deaf)
            for batch, prompt in prompts.items():
                await self._batch(store, state, kept, batch, prompt, answer, code, refuses, deaf)
            await self._tell(store, state, kept, [ev.JobPaused()], deaf)
            if deaf:
                kept._rows.clear()
            kept.close()
            await store.close()
            self.warnings = kept.warnings

    async def _batch(
        self,
        store: JobStore,
        state: JobState,
        kept: WorkspaceAnswers,
        batch: int,
        prompt: str,
        answer: str,
        code: str,
        refuses: bool,
        deaf: bool,
    ) -> None:
        await self._tell(store, state, kept, [ev.BatchStarted(batch=batch, attempt=1, mode="first")], deaf)
        claim = await kept.claim(batch, content(prompt))
        self.hashes[batch] = claim.request_hash
        if claim.answer is None:
            self.sent.append(batch)
        text = claim.answer.text if claim.answer is not None else answer or f"{self.layout.job_id} {batch} {prompt}"
        self.texts[batch] = text
        finished = ev.SessionFinished(
            batch=batch, attempt=1, outcome="error" if code else "ok", code=code, request_hash=claim.request_hash
        )
        at, size = store.add_answer(ev.Answer(finished=finished, text=text))
        finished = msgspec.structs.replace(finished, answer_at=at, answer_size=size)
        bad = code or ("E201" if refuses else "")
        judged: list[ev.Event] = [
            ev.ValidationFailed(batch=batch, attempt=1, code=bad, message="no")
            if bad
            else ev.ValidationPassed(batch=batch, attempt=1)
        ]
        judged.append(ev.BatchFailed(batch=batch, code=bad) if bad else ev.BatchCompleted(batch=batch))
        await self._tell(store, state, kept, [finished, *judged], deaf)

    async def _tell(
        self, store: JobStore, state: JobState, kept: WorkspaceAnswers, events: list[ev.Event], deaf: bool
    ) -> None:
        burst = []
        for event in events:
            stamped = msgspec.structs.replace(event, seq=state.job.seq + 1, at=1e9 + next(_SECONDS))
            store.append(stamped, state)
            apply(state, stamped)
            burst.append(stamped)
        await store.commit(state)
        if not deaf:
            await kept.observe(burst)


_SECONDS = iter(range(10**9))

PROMPTS = {1: "a", 2: "b", 3: "c"}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "ws"


def host(workspace: Path, job_id: str = "one") -> Host:
    return Host(Layout(workspace, job_id))


def start_over(workspace: Path, job_id: str = "one") -> Path:
    layout = Layout(workspace, job_id)
    with JobLock(layout):
        place = archive(layout)
    assert place is not None
    return place


def index_of(workspace: Path) -> Path:
    return workspace / ".mozart" / "answers.db"


# --- what is found ----------------------------------------------------------------------------------------------------


def test_a_second_job_of_the_workspace_gets_the_answers_of_the_first(workspace: Path) -> None:
    first = host(workspace).run(PROMPTS)
    assert first.sent == [1, 2, 3]
    second = host(workspace, "two").run({1: "c", 2: "new", 3: "a"})
    assert second.sent == [2]
    assert (second.texts[1], second.texts[3]) == (first.texts[3], first.texts[1])
    assert second.hashes[1] == first.hashes[3] == f"{content('c')}-0"


def test_answers_are_found_where_the_job_was_archived(workspace: Path) -> None:
    first = host(workspace).run(PROMPTS)
    start_over(workspace)
    again = host(workspace).run({**PROMPTS, 2: "changed"})
    assert again.sent == [2]
    assert again.texts[3] == first.texts[3]
    start_over(workspace)
    assert host(workspace).run(PROMPTS).sent == [], "the answer that the second run did not use is still in the archive"


def test_reused_answers_outlive_the_archive_they_came_from(workspace: Path) -> None:
    host(workspace).run(PROMPTS)
    place = start_over(workspace)
    host(workspace).run({1: "a", 2: "b"})
    for path in sorted(place.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    place.rmdir()
    start_over(workspace)
    assert host(workspace).run(PROMPTS).sent == [3]


def test_a_moved_workspace_takes_its_answers_along(workspace: Path) -> None:
    host(workspace).run(PROMPTS)
    moved = workspace.with_name("elsewhere")
    workspace.rename(moved)
    assert host(moved, "two").run(PROMPTS).sent == []


@pytest.mark.parametrize("how", [{"code": "E001"}, {"refuses": True}])
def test_only_accepted_answers_count(workspace: Path, how: dict[str, object]) -> None:
    host(workspace).run(PROMPTS, **how)  # type: ignore[arg-type]
    assert host(workspace, "two").run(PROMPTS).sent == [1, 2, 3]


def test_an_answer_that_is_accepted_in_a_later_run_is_kept_then(workspace: Path) -> None:
    job = host(workspace).run({1: "a"}, refuses=True)
    with JobLock(job.layout):
        loaded = load_state(job.layout, DiskFiles(), holder=True)
        kept = open_kept(job.layout, loaded.state)
        asyncio.run(kept.observe([ev.BatchCompleted(seq=loaded.state.job.seq + 1, at=2e9, batch=1, recovered=True)]))
        kept.close()
    second = host(workspace, "two").run({1: "a"})
    assert (second.sent, second.texts) == ([], job.texts)


def test_asking_anew_takes_nothing_and_replaces_what_is_kept(workspace: Path) -> None:
    host(workspace).run(PROMPTS, answer="old")
    fresh = host(workspace, "two").run(PROMPTS, asks_anew=True, answer="new")
    assert fresh.sent == [1, 2, 3]
    assert host(workspace, "three").run(PROMPTS).texts == {1: "new", 2: "new", 3: "new"}


# --- equal requests ---------------------------------------------------------------------------------------------------


def test_equal_requests_of_one_job_have_answers_of_their_own_also_when_they_are_asked_again(workspace: Path) -> None:
    same = {1: "same", 2: "same", 3: "same"}
    first = host(workspace).run(same)
    assert first.sent == [1, 2, 3]
    assert list(first.hashes.values()) == [f"{content('same')}-{n}" for n in range(3)]
    start_over(workspace)
    again = host(workspace).run({**same, 4: "same"})
    assert again.sent == [4]
    assert [again.texts[n] for n in (1, 2, 3)] == [first.texts[n] for n in (1, 2, 3)]


def test_a_resumed_job_does_not_give_one_answer_to_two_batches(workspace: Path) -> None:
    host(workspace).run({1: "same", 2: "same"})
    resumed = host(workspace).run({3: "same"})
    assert (resumed.sent, resumed.hashes[3]) == ([3], f"{content('same')}-2")


def test_a_batch_keeps_its_claim_until_it_asks_for_something_else() -> None:
    found = Occurrences()
    x, y = content("x"), content("y")
    assert [found.of(batch, x) for batch in (1, 2, 3)] == [0, 1, 2]
    assert [found.of(batch, x) for batch in (3, 2, 1)] == [2, 1, 0]
    assert found.of(2, y) == 0
    assert found.of(4, x) == 1, "what batch 2 no longer wants"
    found.settle(1)
    assert found.of(5, x) == 3, "what a settled batch has stays its own"


# --- the index is only an index ---------------------------------------------------------------------------------------


def _remove(path: Path) -> None:
    for found in path.parent.glob("answers.db*"):
        found.unlink()


def _scribble(path: Path) -> None:
    _remove(path)
    path.write_bytes(b"this is no database" * 500)


def _damage_pages(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def _from_another_version(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE answers")
        db.execute("CREATE TABLE answers (something TEXT)")
        db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize("harm", [_remove, _scribble, _damage_pages, _from_another_version])
def test_an_index_that_is_gone_damaged_or_of_another_version_is_made_again(workspace: Path, harm: object) -> None:
    host(workspace).run(PROMPTS, answer="older")
    start_over(workspace)
    host(workspace).run({1: "a"}, asks_anew=True, answer="newer")
    assert callable(harm)
    harm(index_of(workspace))
    second = host(workspace, "two").run(PROMPTS)
    assert (second.sent, second.warnings) == ([], [])
    assert second.texts == {1: "newer", 2: "older", 3: "older"}


def test_what_a_host_could_not_write_before_it_died_is_caught_up_with(workspace: Path) -> None:
    host(workspace).run({1: "a"})
    host(workspace).run({2: "b", 3: "c"}, deaf=True)
    assert host(workspace, "two").run(PROMPTS).sent == [], "by another job of the workspace"
    host(workspace, "two").run({4: "d"}, deaf=True)
    start_over(workspace, "two")
    assert host(workspace, "two").run({**PROMPTS, 4: "d"}).sent == [], "and by the job itself, once it is archived"


def test_rehearsed_answers_never_enter(workspace: Path) -> None:
    host(workspace).run(PROMPTS, backend="rehearsal", deaf=True)
    assert host(workspace, "two").run(PROMPTS).sent == [1, 2, 3]


def test_a_line_that_is_not_what_the_index_says_is_not_kept(workspace: Path) -> None:
    job = host(workspace).run({1: "aaaa", 2: "bbbb"})
    with sqlite3.connect(index_of(workspace)) as db:  # both lines are of one length
        [(place,)] = db.execute("SELECT place FROM answers WHERE batch = 2").fetchall()
        db.execute("UPDATE answers SET place = ? WHERE batch = 1", (place,))
    db.close()
    assert host(workspace, "two").run({1: "aaaa", 2: "bbbb"}).sent == [1]
    job.layout.answers.write_bytes(b"")
    assert host(workspace, "three").run({1: "bbbb"}).sent == [], "two's own line"


def test_the_record_of_another_job_that_cannot_be_read_is_no_reason_to_fail(workspace: Path) -> None:
    broken = host(workspace, "broken").run(PROMPTS, deaf=True)
    lines = broken.layout.segment(1).read_bytes().splitlines(keepends=True)
    broken.layout.segment(1).write_bytes(b"".join([*lines[:3], b"rubbish\n", *lines[4:]]))
    broken.layout.snapshot.unlink(missing_ok=True)
    for _ in range(2):
        assert host(workspace, "two").run({1: "a"}).warnings == []


# --- an index that cannot be used -------------------------------------------------------------------------------------


@contextmanager
def held_by_another(path: Path) -> Iterator[None]:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


def test_a_locked_index_is_one_warning_and_nothing_is_kept(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mozart_nb.checkpoint.kept_index.BUSY_SECONDS", 0.01)
    host(workspace).run(PROMPTS)
    with held_by_another(index_of(workspace)):
        second = host(workspace, "two").run(PROMPTS)
    assert second.sent == [1, 2, 3]
    [warning] = second.warnings
    assert "answers are not kept in this run" in warning
    assert "locked" in warning
    assert host(workspace, "three").run(PROMPTS).texts == second.texts, "what it could not write is caught up with"


def test_a_path_that_is_no_file_is_one_warning(workspace: Path) -> None:
    index_of(workspace).mkdir(parents=True)
    found = host(workspace).run(PROMPTS)
    assert (found.sent, len(found.warnings)) == ([1, 2, 3], 1)


async def test_a_failure_while_the_job_runs_is_told_once_and_the_claims_go_on(workspace: Path) -> None:
    layout = Layout(workspace, "one")
    with JobLock(layout):
        kept = open_kept(layout, JobState())
        told: list[str] = []
        kept.tell = told.append
        with sqlite3.connect(index_of(workspace)) as db:
            db.execute("DROP TABLE answers")
        db.close()
        for seq in (2, 3):
            finished = ev.SessionFinished(
                seq=seq,
                batch=seq,
                attempt=1,
                outcome="ok",
                request_hash=f"{content('x')}-0",
                answer_at=0,
                answer_size=1,
            )
            planned = ev.JobPlanned(seq=1, job_id="one", name="", plan=ev.PlanShape(total=9), seed=1, config_digest="")
            await kept.observe([planned, finished, ev.BatchCompleted(seq=seq, batch=seq), ev.JobPaused(seq=seq)])
        assert (await kept.claim(7, content("x"))).answer is None
        kept.close()
    assert len(told) == 1
    assert "no such table" in told[0]


def test_the_index_is_for_the_user_alone(workspace: Path) -> None:
    before = os.umask(0)
    try:
        host(workspace).run(PROMPTS)
        kept = WorkspaceAnswers(Layout(workspace, "two"), JobState())
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in index_of(workspace).parent.glob("answers*")}
        kept.close()
    finally:
        os.umask(before)
    assert "answers.db" in found
    assert set(found.values()) == {0o600}


# --- size -------------------------------------------------------------------------------------------------------------


def test_what_is_certainly_not_kept_is_known_without_a_look_at_the_disk() -> None:
    hashes = sorted(content(str(n)) for n in range(1000))
    found = Contents(int(text[:16], 16) for text in hashes)
    assert all(found.may_hold(text) for text in hashes)
    assert not any(found.may_hold(content(f"other {n}")) for n in range(1000))


def test_a_hundred_thousand_kept_answers_fit_into_thirty_megabytes(workspace: Path) -> None:
    import tracemalloc

    path = index_of(workspace)
    path.parent.mkdir(parents=True)
    index = AnswerIndex(path)
    hashes = [content(str(n)) for n in range(100_000)]
    index.put(Source("j", "one", 1), (Row(text, 0, n, n * 100, 100, 1.0) for n, text in enumerate(hashes)))
    index.close()
    tracemalloc.start()
    index = AnswerIndex(path)
    held, occurrences = index.contents(), Occurrences()
    for number, text in enumerate(hashes):
        occurrences.of(number, text)
        occurrences.settle(number)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    index.close()
    assert held.may_hold(hashes[-1])
    assert size < 30e6
