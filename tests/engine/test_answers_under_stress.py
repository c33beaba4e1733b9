"""Answers that are refused, kept over a crash, counted once, or come while the job is being put away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.engine import OK, World, failed
from support.remote import RemoteWorld
from support.virtual_time import VirtualClock

from mozart_nb import events as ev
from mozart_nb.engine.confirm import AnsweredFromAfar, WithoutAsking
from mozart_nb.engine.desk import Parts
from mozart_nb.engine.fold import fold
from mozart_nb.engine.policy import questions
from mozart_nb.engine.ports import Ending, Question, Reply, Request
from mozart_nb.job.plan import plan_job

ASKS_2 = {"enabled": True, "triggers": [{"name": "check", "batch_nums": [2], "message": "Sure?"}]}
KEY = "sk-ant-" + "a1" * 12


def answer(action: str, text: str = "", batch: int = 2) -> Request:
    return Request(kind="answer", batches=(batch,), action=action, text=text, by="page")  # type: ignore[arg-type]


def told_in(world: World) -> list[str]:
    told: list[str] = []

    async def listens(events: object) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))  # type: ignore[attr-defined]

    world.observers.append(listens)
    return told


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [f"Use {KEY}.", "Use sk-ant…[masked]."])
@pytest.mark.parametrize(("kind", "action"), [("confirmation", "add"), ("escalation", "retry")])
def test_a_text_that_the_journal_would_mask_is_refused_and_no_session_is_paid_for_it(
    kind: str, action: str, text: str
) -> None:
    requests = [(20.0, answer(action, text)), (40.0, answer(action, "Use your own key."))]
    checkpoints = ASKS_2 if kind == "confirmation" else {"escalation": True}
    outcomes = {} if kind == "confirmation" else {2: [failed(), OK]}
    world = World(2, outcomes, requests=requests, checkpoints=checkpoints, retry={"max_retries": 0})
    world.person = AnsweredFromAfar()
    told = told_in(world)
    assert world.run().status == "completed"
    assert any("looks like a secret" in message for message in told)
    [said] = world.all(ev.BatchAnswered)
    assert said.text == "Use your own key."
    assert KEY not in repr(world.store.durable) + repr(told)


def test_why_a_batch_is_skipped_may_hold_a_secret_which_is_masked() -> None:
    world = World(2, requests=[(20.0, answer("skip", f"it names {KEY}"))], checkpoints=ASKS_2)
    world.person = AnsweredFromAfar()
    assert world.run().status == "completed"
    assert KEY not in repr(world.store.durable)
    assert world.state.status_of(2) == "skipped"


class Says:
    """Gives these answers, the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = replies
        self.questions: list[Question] = []

    async def ask(self, question: Question) -> Reply:
        self.questions.append(question)
        return self.replies[min(len(self.questions), len(self.replies)) - 1]


def test_whoever_gives_an_answer_that_is_none_is_told_why_and_asked_again() -> None:
    world = World(2, checkpoints=ASKS_2)
    world.person = says = Says(Reply(action="add", text=KEY), Reply(action="add", text="Be brief."))
    assert world.run().status == "completed"
    first, second = says.questions
    assert first.message == "Sure?"
    assert second.message.startswith("Sure?\n(the text holds what looks like a secret")
    assert [said.text for said in world.all(ev.BatchAnswered)] == ["Be brief."]


def test_who_never_gives_an_answer_is_not_asked_for_ever() -> None:
    world = World(2, checkpoints=ASKS_2)
    world.person = says = Says(Reply(action="add", text=KEY))
    assert world.run().status == "paused"
    assert len(says.questions) == 3
    assert "looks like a secret" in world.state.job.reason


# --- over a crash and in a pilot --------------------------------------------------------------------------------------


def answered_and_cut_off(action: str, text: str = "") -> World:
    """The host died right after the answer was durable, in the middle of batch 3 of 6."""
    world = World(6, requests=[(20.0, answer(action, text))], seconds=15, checkpoints=ASKS_2)
    world.person = AnsweredFromAfar()
    world.run()
    return world.crash(next(event.seq for event in world.all(ev.BatchAnswered)))


def test_what_a_person_added_is_sent_although_nobody_is_asked_any_more_after_a_crash() -> None:
    other = answered_and_cut_off("add", "Be brief.")
    other.person = WithoutAsking()
    assert other.run().status == "completed"
    notes = [finding.message for event in other.all(ev.BatchPreflight) for finding in event.findings]
    assert "a person added to the prompt: Be brief." in notes


def test_an_attempt_that_goes_on_in_a_pilot_is_one_of_its_batches() -> None:
    other = answered_and_cut_off("proceed")
    other.person = AnsweredFromAfar()
    cut = len(other.store.durable)
    state = other.run(limit=1)
    opened = [event.batch for event in other.store.durable[cut:] if isinstance(event, ev.SessionOpened)]
    assert (opened, state.job.run_batches) == ([2], 1)


def test_retries_of_an_earlier_run_are_not_paid_for_beyond_the_batches_of_a_pilot() -> None:
    retry = {"max_retries": 2, "base_delay_seconds": 60, "jitter": False}
    world = World(4, {n: [failed(), OK] for n in range(1, 5)}, requests=[(10.0, Request(kind="pause"))], retry=retry)
    assert world.run().status == "paused"
    assert len(world.backend.sent) == 4
    state = world.run(limit=2)
    assert (state.status, state.count("completed"), len(world.backend.sent)) == ("paused", 2, 6)
    assert world.run().status == "completed"


# --- by the thousand --------------------------------------------------------------------------------------------------


def test_of_failures_that_come_by_the_thousand_no_more_are_asked_about_than_somebody_may_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(questions, "MOST_ESCALATIONS", 20)
    total = 25
    world = RemoteWorld(
        total,
        {n: [failed()] for n in range(1, total + 1)},
        checkpoints={"escalation": True},
        retry={"max_retries": 0},
        requests=[(2_000.0, Request(kind="pause"))],
        parallel={"enabled": True, "fail_fast": False},
    )
    world.person = AnsweredFromAfar()
    state = world.run()
    assert (state.status, len(world.all(ev.BatchAsked)), state.count("failed")) == ("paused", 20, 5)


# --- while a worktree is put away -------------------------------------------------------------------------------------


class TakesItsTime:
    """A worktree that is being removed for half a minute."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._working: asyncio.Task[None] | None = None

    def wind_up(self, ending: Ending, note: Callable[[ev.Event], None]) -> None:
        if self._working is None:
            self._working = asyncio.create_task(self._remove(note))

    async def _remove(self, note: Callable[[ev.Event], None]) -> None:
        await self._clock.sleep(30)
        note(ev.WorktreeRemoved(worktree="/w", branch="mozart/job"))

    async def close(self) -> None:
        return None


class Isolated(World):
    def parts(self) -> Parts:
        return replace(super().parts(), isolation=TakesItsTime(self.clock))

    def begin(self) -> None:
        shape = plan_job(self.config, None).shape
        planned = ev.JobPlanned(job_id="job", name="job", plan=shape, seed=7, config_digest="d", seq=1, at=1.0)
        isolated = ev.JobIsolated(worktree="/w", branch="mozart/job", seq=2, at=1.0)
        self.store.durable = [planned, isolated]
        self.state = fold(self.store.durable)


@pytest.mark.parametrize("kind", ["retry", "pause", "cancel", "resume"])
def test_nothing_begins_in_a_worktree_that_is_being_removed(kind: str) -> None:
    asked = Request(kind=kind)  # type: ignore[arg-type]
    world = Isolated(2, {2: [failed(), OK]}, requests=[(15.0, asked)], retry={"max_retries": 0})
    world.begin()
    told = told_in(world)
    state = world.run()
    assert (state.status, state.job.isolation.status) == ("failed", "removed")
    assert world.kinds[-2:] == ["job.worktree_removed", "job.failed"]
    assert [number for number, _, _ in world.backend.sent] == [1, 2]
    assert f"`{kind}` comes too late: the job is about to settle as failed" in told


def test_a_host_that_must_go_does_not_wait_for_a_worktree() -> None:
    world = Isolated(1, requests=[(10.0, Request(kind="detach"))])
    world.begin()
    state = world.run()
    assert state.status == "paused"
    assert world.elapsed < 15
    assert state.job.isolation.status == "worktree"
