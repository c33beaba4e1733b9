"""Real jobs on one loop that share its seats. For longer, in a conductor of its own: benchmarks/conductor.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.limited_server import LimitedServer, Limits

from mozart_nb import events as ev
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState
from mozart_nb.hosts.conductor.pressure import MB, MachineLimits, PressureChanged, Sample
from mozart_nb.hosts.conductor.resources import Resources
from mozart_nb.hosts.conductor.seats import Granted, TurnLimits
from mozart_nb.hosts.conductor.sharing import Sharing, as_document
from mozart_nb.job.load import load_mapping
from mozart_nb.runtime import Prepared, prepare, run_job


class Machine(Resources):
    """A machine whose memory in use the test decides."""

    percent = 10.0

    def look(self, at: float, workspaces: Mapping[str, Path]) -> Sample:
        return Sample(at=at, memory_total=1000 * MB, memory_available=int(1000 * MB * (1 - self.percent / 100)))


def job(folder: Path, name: str, batches: int = 10, at_once: int = 50, seconds: float = 0.05, **more: Any) -> Prepared:
    config = {
        "name": name,
        "workspace": str(folder / name),
        "backend": {"type": "rehearsal"},
        "rehearsal": {"latency_seconds": seconds, "answer": "an answer"},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": f"{name}: describe item {{{{ batch_num }}}}."},
        "parallel": {"enabled": True, "max_concurrent": at_once},
        **more,
    }
    return prepare(load_mapping(config, base_dir=folder))


@dataclass
class Watched:
    """A run on shared seats: how many sessions it has open, and its seat-seconds."""

    prepared: Prepared
    open: int = 0
    most: int = 0
    seat_seconds: float = 0.0
    ended: int = 0
    at: float = 0.0
    driver: Any = None
    state: JobState | None = None

    async def observe(self, events: Sequence[ev.Event]) -> None:
        for event in events:
            if isinstance(event, ev.BatchStarted):
                self._count(1)
            elif isinstance(event, ev.SessionFinished | ev.SessionAbandoned):
                self._count(-1)
                self.ended += 1

    def _count(self, more: int) -> None:
        now = asyncio.get_running_loop().time()
        self.seat_seconds += self.open * (now - self.at)
        self.open, self.at = self.open + more, now
        self.most = max(self.most, self.open)

    async def run(self, sharing: Sharing) -> JobState:
        def keep(driver: Any) -> None:
            self.driver = driver

        self.state = await run_job(
            self.prepared,
            ev.RunOptions(),
            observers=[self.observe],
            on_start=keep,
            **sharing.supplies(self.prepared),
        )
        return self.state


@dataclass
class Told:
    """What the host was told."""

    things: list[Granted | PressureChanged] = field(default_factory=list)

    def __call__(self, thing: Granted | PressureChanged) -> None:
        self.things.append(thing)


@pytest.fixture
def told() -> Told:
    return Told()


def due_of(sharing: Sharing) -> dict[str, float]:
    return {one["job_id"]: one["due"] for one in sharing.numbers()["seats"]["jobs"]}


async def until(is_so: Callable[[], object]) -> None:
    """Wait for that."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)


def sharing_of(sessions: int, told: Told, resources: Resources | None = None, **limits: Any) -> Sharing:
    turns = TurnLimits(sessions, **limits)
    return Sharing(turns, MachineLimits(), tell=told, every_seconds=0.05, resources=resources or Machine())


async def test_jobs_at_once_have_equal_shares_of_the_seats(tmp_path: Path, told: Told) -> None:
    async with sharing_of(5, told) as sharing:
        runs = [Watched(job(tmp_path, f"job-{n}", 80, seconds=0.03 + 0.01 * (n % 3))) for n in range(6)]
        tasks = [asyncio.create_task(run.run(sharing)) for run in runs]
        await until(lambda: all(run.ended for run in runs))
        for run in runs:
            run.seat_seconds = 0.0  # what the first ones had until the others came is theirs
        await until(lambda: max(run.ended for run in runs) >= 55)
        shares = [run.seat_seconds / sum(other.seat_seconds for other in runs) for run in runs]
        states = await asyncio.gather(*tasks)

    assert shares == pytest.approx([1 / 6] * 6, rel=0.6), "within seconds; over a minute it is even"
    assert {state.status for state in states} == {"completed"}
    assert any(isinstance(thing, Granted) for thing in told.things)


async def test_a_paused_job_leaves_its_seats_to_the_others_and_gets_them_back(tmp_path: Path, told: Told) -> None:
    async with sharing_of(4, told) as sharing:
        first, second = (Watched(job(tmp_path, name, 60)) for name in ("first", "second"))
        tasks = [asyncio.create_task(run.run(sharing)) for run in (first, second)]
        await until(lambda: first.ended >= 10)
        first.driver.request(Request(kind="pause", by="test"))
        await tasks[0]
        before = second.most
        await tasks[1]
        again = await Watched(first.prepared).run(sharing)
        left = sharing.numbers()["seats"]

    assert before <= 4
    assert second.most == 4
    assert again.status == "completed"
    assert (left["sessions"], left["jobs"]) == (0, [])


async def test_sessions_wait_while_the_machine_is_full_and_none_is_ended(tmp_path: Path, told: Told) -> None:
    machine = Machine()
    async with sharing_of(4, told, machine) as sharing:
        run = Watched(job(tmp_path, "job", 40, seconds=0.1))
        task = asyncio.create_task(run.run(sharing))
        await until(lambda: run.ended >= 4)
        machine.percent = 97
        await sharing.look()
        await sharing.look()
        full = sharing.level
        await asyncio.sleep(0.15)
        during, words = run.open, sharing.waits(run.prepared.layout)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert full == "critical"
    assert during <= 1
    assert words == "waits for the machine: 97 % of its memory is in use"
    (change,) = (thing for thing in told.things if isinstance(thing, PressureChanged))
    assert (as_document(change)["type"], as_document(change)["pressure"]) == ("pressure", change.level)
    assert (change.before, change.level, change.memory_percent) == ("none", "critical", 97.0)


async def test_a_job_that_waits_for_its_turn_says_so(tmp_path: Path, told: Told) -> None:
    async with sharing_of(2, told) as sharing:
        first, second = Watched(job(tmp_path, "first", seconds=1)), Watched(job(tmp_path, "second", 1))
        tasks = [asyncio.create_task(first.run(sharing))]
        await until(lambda: first.open == 2)
        tasks.append(asyncio.create_task(second.run(sharing)))
        await until(lambda: sharing.waits(second.prepared.layout))
        words = sharing.waits(second.prepared.layout)
        (waiting,) = (one for one in sharing.numbers()["seats"]["jobs"] if one["job_id"] == "second")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert words == "waits for its turn: 2 of 2 sessions open by other jobs"
    assert (waiting["waits"], waiting["open"], waiting["due"]) == (words, 0, 1.0)


async def test_a_job_of_a_sooner_priority_has_more_also_when_that_changes_on_the_way(
    tmp_path: Path, told: Told
) -> None:
    async with sharing_of(6, told) as sharing:
        first, second = (Watched(job(tmp_path, name, 120)) for name in ("first", "second"))
        sharing.prioritise(first.prepared.layout, 50)
        tasks = [asyncio.create_task(run.run(sharing)) for run in (first, second)]
        await until(lambda: first.ended >= 60)
        before = first.seat_seconds / second.seat_seconds
        dues = due_of(sharing)
        sharing.prioritise(first.prepared.layout, 200)
        after = due_of(sharing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert before > 1.3
    assert dues == {"first": 4.0, "second": 2.0}
    assert after == {"first": 2.0, "second": 4.0}


async def test_requests_of_many_jobs_stay_below_the_limit_of_their_account(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    rate = 1200
    limits = Limits(requests=rate / 20, tokens=1e9, minute=3.0)
    server = LimitedServer(limits, with_headers=False)
    api = {"type": "anthropic_api", "base_url": server.url, "max_tokens": 100}

    async with server.serving(), sharing_of(12, told) as sharing:
        api["base_url"] = server.url
        runs = [
            Watched(job(tmp_path, f"api-{n}", 20, backend=api, rate_limit={"requests_per_minute": rate}))
            for n in range(5)
        ]
        states = await asyncio.gather(*(run.run(sharing) for run in runs))

    assert {state.status for state in states} == {"completed"}
    assert limits.statuses[429] == 0
    assert limits.first_at is not None
    assert limits.statuses[200] / (limits.last_at - limits.first_at) >= 0.85 * rate / 60
    assert limits.statuses[200] == 100


async def test_a_limit_that_one_job_runs_into_holds_all_of_them_and_one_probes(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "made-up")
    limits = Limits(requests=15, tokens=1e9, minute=2.0)
    server = LimitedServer(limits, with_headers=False)

    async with server.serving(), sharing_of(4, told) as sharing:
        api = {"type": "anthropic_api", "base_url": server.url, "max_tokens": 100}
        runs = [Watched(job(tmp_path, f"api-{n}", 10, backend=api)) for n in range(4)]
        states = await asyncio.gather(*(run.run(sharing) for run in runs))

    assert {state.status for state in states} == {"completed"}
    assert 0 < limits.statuses[429] <= 20
    assert sum(run.most for run in runs) <= 16


async def test_a_job_whose_disk_is_full_waits_until_there_is_room(tmp_path: Path, told: Told) -> None:
    limits = MachineLimits(min_free_disk_bytes=1 << 60)
    async with Sharing(TurnLimits(4), limits, tell=told, every_seconds=0.05) as sharing:
        run = Watched(job(tmp_path, "job", 4))
        earlier = sharing.turns(run.prepared)
        await sharing.look()
        task = asyncio.create_task(run.run(sharing))
        await until(lambda: sharing.waits(run.prepared.layout))
        words, begun = sharing.waits(run.prepared.layout), run.most
        sharing.configure(TurnLimits(4), MachineLimits(min_free_disk_bytes=0), every_seconds=0.05)
        state = await task

    assert words.startswith("waits for room on its disk: ")
    assert (begun, earlier.open) == (0, 0)
    assert state.status == "completed"
