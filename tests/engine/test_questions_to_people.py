"""Questions stand in the journal: answered from anywhere, by whoever comes first, and asked again where need be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine import OK, Rules, World, failed, refused
from support.remote import RemoteWorld

from mozart_nb import events as ev
from mozart_nb.consumers.rows import Attempts
from mozart_nb.engine.asked import LONGEST_TEXT
from mozart_nb.engine.confirm import AnsweredFromAfar, NobodyToAsk, WithoutAsking
from mozart_nb.engine.fold import fold
from mozart_nb.engine.policy.questions import MOST_QUESTIONS
from mozart_nb.engine.ports import Question, Reply, Request
from mozart_nb.engine.state import JobState

ASKS_2 = {"enabled": True, "triggers": [{"name": "check", "batch_nums": [2], "message": "Sure?"}]}
ASKS_ALL = {"enabled": True, "triggers": [{"name": "check", "prompt_contains": ["batch"]}]}
ESCALATES = {"escalation": True}


def answer(batch: int = 2, action: Any = "proceed", text: str = "", by: str = "page", attempt: int = 0) -> Request:
    return Request(kind="answer", batches=(batch,), action=action, text=text, by=by, attempt=attempt)


def afar(
    *requests: tuple[float, Request], checkpoints: dict[str, Any] = ASKS_2, batches: int = 3, **more: Any
) -> World:
    world = World(batches, requests=requests, checkpoints=checkpoints, **more)
    world.person = AnsweredFromAfar()
    return world


def exhausted(*requests: tuple[float, Request], outcomes: Sequence[Any] = (), **more: Any) -> World:
    """A job whose batch 2 fails until its budgets are used up, unless `outcomes` say what comes then."""
    script = {2: [failed(), failed(), *(outcomes or [failed()])]}
    retry = {"max_retries": 1, "base_delay_seconds": 1, "jitter": False}
    return afar(*requests, checkpoints=ESCALATES, outcomes=script, retry=retry, **more)


def notices(world: World) -> list[str]:
    told: list[str] = []

    async def listens(events: Sequence[ev.Event]) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))

    world.observers.append(listens)
    return told


class Asked:
    """Remembers what it was asked and says nothing."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.withdrawn = 0

    async def ask(self, question: Question) -> Reply:
        self.questions.append(question)
        try:
            return await AnsweredFromAfar().ask(question)
        except asyncio.CancelledError:
            self.withdrawn += 1
            raise


# --- from afar --------------------------------------------------------------------------------------------------------


def test_a_question_waits_for_a_request_from_anywhere_and_holds_up_no_other_batch() -> None:
    world = afar((200, answer()))
    state = world.run()
    assert state.status == "completed"
    assert world.elapsed > 200
    began = {batch: at for at, batch in world.backend.started_at}
    assert began[3] < began[1] + 5
    assert began[2] > began[1] + 190
    [asked], [said] = world.all(ev.BatchAsked), world.all(ev.BatchAnswered)
    assert (asked.about, asked.triggers, asked.message, asked.prompt) == (
        "confirmation",
        ("check",),
        "Sure?",
        "batch 2, first",
    )
    assert (said.batch, said.attempt, said.action, said.by) == (2, 1, "proceed", "page")
    assert state.batches[2].attempts == 1
    assert [event.attempt for event in world.all(ev.BatchContinued)] == [1]


def test_while_it_waits_the_state_says_what_is_asked_and_the_batch_waits() -> None:
    world = afar((100, answer()))
    world.run()
    until = next(event.seq for event in world.all(ev.BatchAnswered))
    before = fold(world.store.durable[: until - 1])
    assert before.job.questions == [2]
    batch = before.batches[2]
    assert (batch.status, batch.phase) == ("waiting", "asked")
    assert batch.question is not None
    assert batch.question.text == "trigger `check`: Sure?"
    assert batch.question.choices == ("proceed", "skip", "abort", "add")
    assert not before.is_settled
    after = fold(world.store.durable)
    assert (after.job.questions, after.batches[2].question) == ([], None)


def test_an_answered_attempt_waits_for_room_like_any_other() -> None:
    requests = [(50.0, Request(kind="answer", batches=tuple(range(1, 7)), action="proceed"))]
    world = afar(*requests, checkpoints=ASKS_ALL, batches=6, parallel={"enabled": True, "max_concurrent": 2})
    assert world.run().status == "completed"
    assert world.backend.most_at_once == 2


def test_an_answered_attempt_waits_for_the_end_of_a_limit() -> None:
    world = afar((20, answer()), outcomes={1: [OK], 3: [refused(retry_after=90), OK]})
    assert world.run().status == "completed"
    began = {batch: at for at, batch in world.backend.started_at}
    assert began[2] - began[1] > 80


def test_what_a_person_was_shown_is_what_is_sent_although_it_would_read_otherwise_now() -> None:
    world = afar((50, answer()))
    compose, texts, sent = world.composer.compose, iter("abcdef"), {}

    async def changing(batch: Any, *, continues: bool) -> Any:
        composed = await compose(batch, continues=continues)
        return composed.with_addition(next(texts))

    def remember(batch: Any, composed: Any, session: ev.SessionOpened) -> Any:
        sent[batch.number] = composed.prompt
        return request(batch, composed, session)

    request = world.composer.request
    world.composer.compose = changing  # type: ignore[method-assign]
    world.composer.request = remember  # type: ignore[method-assign]
    world.run()
    [asked] = world.all(ev.BatchAsked)
    assert sent[2] == asked.prompt


# --- answers that do not count ----------------------------------------------------------------------------------------


def test_of_two_answers_at_once_the_first_counts_and_the_other_is_told() -> None:
    world = afar((50, answer(action="skip", by="terminal")), (50, answer(by="notebook")))
    told = notices(world)
    assert world.run().status_of(2) == "skipped"
    [said] = world.all(ev.BatchAnswered)
    assert (said.action, said.by) == ("skip", "terminal")
    assert told == ["the answer `proceed` by notebook for batch 2 changes nothing: nothing is asked about it"]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (answer(3), "nothing is asked about it"),
        (answer(99), "nothing is asked about it"),
        (answer(2, "retry"), "`retry` is no answer to a confirmation; one of proceed, skip, abort, add is"),
        (answer(2, ""), "`` is no answer to a confirmation"),
        (answer(2, attempt=7), "what was asked about attempt 7 is answered already"),
        (answer(2, "add", text="x" * (LONGEST_TEXT + 1)), "the text has 200,001 characters"),
    ],
)
def test_an_answer_that_fits_no_open_question_changes_nothing_and_says_why(request_: Request, why: str) -> None:
    world = afar((50, request_), (100, answer()))
    told = notices(world)
    assert world.run().status == "completed"
    assert len(world.all(ev.BatchAnswered)) == 1
    [said] = told
    assert why in said


def test_an_answer_for_an_attempt_counts_for_that_question_only() -> None:
    """The answer to the first question must not answer the second one, which is about something else."""
    world = afar(
        (50, answer(attempt=1)),
        (50, answer(action="skip", attempt=1)),
        (80, answer(attempt=2)),
        outcomes={2: [failed(), OK]},
        retry={"base_delay_seconds": 1},
    )
    state = world.run()
    assert state.status_of(2) == "completed"
    assert [(event.attempt, event.action) for event in world.all(ev.BatchAnswered)] == [(1, "proceed"), (2, "proceed")]


def test_whoever_is_asked_here_is_let_go_when_somebody_else_has_answered() -> None:
    world = afar((50, answer(action="skip")))
    world.person = person = Asked()
    assert world.run().status_of(2) == "skipped"
    assert (len(person.questions), person.withdrawn) == (1, 1)


# --- the answers ------------------------------------------------------------------------------------------------------


def test_abort_from_afar_pauses_the_job_with_its_reason() -> None:
    world = afar((50, answer(action="abort", text="not today", by="page")))
    state = world.run()
    assert state.status == "paused"
    assert "batch 2 is not confirmed (trigger `check`: Sure?): not today" in state.job.reason
    assert (state.batches[2].status, state.batches[2].abandoned) == ("pending", 1)
    assert [event.by for event in world.all(ev.JobPausing)] == ["page"]


def test_an_addition_without_text_is_a_yes() -> None:
    world = afar((50, answer(action="add", text="  ")))
    assert world.run().status == "completed"
    assert [event.action for event in world.all(ev.BatchAnswered)] == ["proceed"]


def test_who_says_yes_beforehand_is_not_asked_and_nothing_is_journaled() -> None:
    world = afar(checkpoints=ASKS_ALL)
    world.person = WithoutAsking()
    assert world.run().status == "completed"
    assert world.all(ev.BatchAsked) == []


# --- while a question is open -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "status"), [("pause", "paused"), ("cancel", "cancelled"), ("detach", "paused")])
def test_a_job_that_stops_withdraws_its_questions_and_asks_again_when_it_goes_on(kind: Any, status: str) -> None:
    world = afar((20, Request(kind=kind)), (60, answer()))
    assert world.run().status == status
    [withdrawn] = world.all(ev.BatchQuestionWithdrawn)
    assert (withdrawn.batch, withdrawn.attempt) == (2, 1)
    assert world.state.job.questions == []
    world.requests._due = [(60, answer())]
    assert world.run().status == "completed"
    assert [event.attempt for event in world.all(ev.BatchAsked)] == [1, 2]


def test_a_pause_that_is_withdrawn_asks_again() -> None:
    world = afar(
        (20, Request(kind="pause")),
        (21, Request(kind="resume")),
        (90, answer()),
        batches=4,
        seconds=60,
        parallel={"enabled": True, "max_concurrent": 2},
    )
    state = world.run()
    assert state.status == "completed"
    assert len(world.all(ev.BatchAsked)) == 2


@pytest.mark.parametrize("answered", [False, True])
def test_a_host_that_dies_while_a_question_is_open_loses_nothing(answered: bool) -> None:
    world = afar((50, answer(action="add", text="and more")))
    world.run()
    kind = ev.BatchAnswered if answered else ev.BatchAsked
    keep = next(event.seq for event in world.all(kind))
    other = world.crash(keep)
    other.person = AnsweredFromAfar()
    other.requests._due = [(70, answer(action="add", text="and more"))]
    assert other.run().status == "completed"
    assert len(other.all(ev.BatchAnswered)) == 1
    assert "a person added to the prompt: and more" in str(other.all(ev.BatchPreflight)[-1].findings)


def test_what_was_agreed_to_before_a_crash_is_asked_again_when_the_prompt_reads_otherwise_now() -> None:
    world = afar((50, answer()))
    world.run()
    other = world.crash(next(event.seq for event in world.all(ev.BatchAnswered)))
    other.person, other.requests._due = AnsweredFromAfar(), [(70, answer())]
    compose = other.composer.compose

    async def changed(batch: Any, *, continues: bool) -> Any:
        return (await compose(batch, continues=continues)).with_addition("changed")

    other.composer.compose = changed  # type: ignore[method-assign]
    assert other.run().status == "completed"
    assert len(other.all(ev.BatchAsked)) == 2


def test_so_many_open_questions_let_nothing_begin_that_might_ask_one_more() -> None:
    world = afar(checkpoints=ASKS_ALL, batches=MOST_QUESTIONS + 50, seconds=0.01)
    world.requests._due = [(60, Request(kind="pause"))]
    state = world.run()
    assert state.status == "paused"
    assert len(world.all(ev.BatchAsked)) == MOST_QUESTIONS


# --- a batch whose budgets are used up --------------------------------------------------------------------------------


def test_a_batch_is_asked_about_before_it_fails_and_retry_gives_it_fresh_budgets() -> None:
    world = exhausted((90, answer(action="retry")), outcomes=[failed(), OK])
    world.person = person = Asked()
    state = world.run()
    assert state.status == "completed"
    [asked] = world.all(ev.BatchAsked)
    assert (asked.about, asked.attempt, asked.code) == ("escalation", 2, "E003")
    [question] = person.questions
    assert (question.kind, question.prompt, question.message) == ("escalation", "batch 2, first", asked.message)
    batch = state.batches[2]
    assert (batch.attempts, batch.escalations) == (4, 1)
    assert world.all(ev.BatchFailed) == []


def test_retry_may_bring_another_prompt_which_holds_for_the_tries_that_follow() -> None:
    world = exhausted((90, answer(action="retry", text="Try it this way.")), outcomes=[failed(), OK])
    sent = []
    request = world.composer.request

    def remember(batch: Any, composed: Any, session: ev.SessionOpened) -> Any:
        sent.append((batch.number, composed.prompt))
        return request(batch, composed, session)

    world.composer.request = remember  # type: ignore[method-assign]
    assert world.run().status == "completed"
    assert [prompt for number, prompt in sent if number == 2] == [
        "batch 2, first",
        "batch 2, retry",
        "Try it this way.",
        "Try it this way.",
    ]


def test_skip_instead_of_failing_lets_its_dependents_run() -> None:
    world = exhausted((90, answer(action="skip", text="not needed")), batch={"dependencies": {3: [2]}})
    state = world.run()
    assert state.status == "completed"
    assert [state.status_of(n) for n in (1, 2, 3)] == ["completed", "skipped", "completed"]
    assert state.batches[2].reason.startswith("skipped instead of failing: its budgets are used up: E003")
    assert state.batches[2].reason.endswith("(not needed)")


def test_abort_lets_the_batch_fail_as_it_would_have() -> None:
    world = exhausted((90, answer(action="abort")))
    state = world.run()
    assert (state.status, state.status_of(2), state.batches[2].code) == ("failed", "failed", "E003")
    assert state.status_of(3) == "completed"
    assert len(world.all(ev.BatchAsked)) == 1


@pytest.mark.parametrize("person", [None, NobodyToAsk(), WithoutAsking()])
def test_where_nobody_is_there_it_fails_as_without_escalation(person: Any) -> None:
    world = exhausted()
    world.person = person
    state = world.run()
    assert (state.status, state.status_of(2)) == ("failed", "failed")
    assert world.elapsed < 20
    assert [event.by for event in world.all(ev.BatchAnswered)] == ["nobody"]


def test_the_options_of_a_run_may_ask_for_it() -> None:
    world = exhausted((90, answer(action="retry")), outcomes=[OK])
    world.config = world.config.model_copy(update={"checkpoints": type(world.config.checkpoints)()})
    assert world.run(escalation=True).status == "completed"
    assert len(world.all(ev.BatchAsked)) == 1


def test_a_pause_leaves_the_batch_to_be_asked_about_and_gives_it_no_budgets() -> None:
    world = exhausted((60, Request(kind="pause")))
    assert world.run().status == "paused"
    batch = world.state.batches[2]
    assert (batch.status, batch.retries, batch.attempts) == ("pending", 1, 2)
    world.requests._due = [(90, answer(action="skip"))]
    assert world.run().status == "completed"
    assert world.state.batches[2].attempts == 2
    assert len(world.all(ev.BatchAsked)) == 2


def test_a_pause_that_is_withdrawn_asks_about_the_batch_again() -> None:
    world = exhausted(
        (30, Request(kind="pause")), (31, Request(kind="resume")), (120, answer(action="skip")), seconds=20
    )
    assert world.run().status == "completed"
    assert world.state.batches[2].attempts == 2


def test_a_host_that_dies_while_it_is_asked_about_asks_again() -> None:
    world = exhausted((90, answer(action="abort")))
    world.run()
    other = world.crash(next(event.seq for event in world.all(ev.BatchAsked)))
    other.person = AnsweredFromAfar()
    other.requests._due = [(90, answer(action="skip"))]
    assert other.run().status == "completed"
    assert other.state.batches[2].attempts == 2


def test_without_the_wish_to_be_asked_a_resume_lets_it_fail() -> None:
    world = exhausted((60, Request(kind="pause")))
    world.run()
    world.config = world.config.model_copy(update={"checkpoints": type(world.config.checkpoints)()})
    state = world.run()
    assert (state.status, state.status_of(2)) == ("failed", "failed")


@pytest.mark.parametrize("status", [401, 404])
def test_what_no_further_try_can_mend_is_not_asked_about(status: int) -> None:
    world = afar(checkpoints=ESCALATES, outcomes={2: [failed(status)]})
    assert world.run().status == "failed"
    assert world.all(ev.BatchAsked) == []


def test_a_job_that_stops_anyway_lets_the_batch_fail_unasked() -> None:
    world = exhausted((3, Request(kind="pause")), seconds=2)
    world.run()
    assert world.all(ev.BatchAsked) == []


# --- answers that come hours later ------------------------------------------------------------------------------------


def test_batches_of_a_remote_service_are_confirmed_and_escalated_as_well() -> None:
    world = RemoteWorld(
        4,
        {3: [failed(), OK]},
        checkpoints={**ASKS_2, "escalation": True},
        retry={"max_retries": 0},
        requests=[(50, answer(2)), (700, answer(3, "retry"))],
    )
    world.person = AnsweredFromAfar()
    state = world.run()
    assert state.status == "completed"
    assert [event.batch for event in world.all(ev.BatchAsked)] == [2, 3]
    assert world.service.sent_twice == []


# --- taking a job over ------------------------------------------------------------------------------------------------


def test_a_handover_leaves_sessions_that_go_on_by_themselves_and_says_who_took_it() -> None:
    world = World(3, requests=[(20, Request(kind="handover", by="conductor"))], seconds=300)
    world.backend.outlives_host = True
    state = world.run()
    assert (state.status, state.batches[1].status) == ("paused", "running")
    assert state.job.reason == ("handed over to conductor; 1 running sessions go on and are picked up on resume")
    assert world.elapsed < 25


def test_a_handover_waits_for_sessions_that_would_die_with_their_host() -> None:
    world = World(3, requests=[(20, Request(kind="handover", by="conductor"))], seconds=300)
    state = world.run()
    assert (state.status, state.batches[1].status) == ("paused", "completed")
    assert state.job.reason == "handed over to conductor"
    assert state.status_of(2) == "pending"


# --- any answers at all -----------------------------------------------------------------------------------------------

actions = st.sampled_from(["proceed", "skip", "abort", "add", "retry", ""])
outcomes = st.sampled_from([OK, failed(), refused(), (OK, Rules(passed=2, failed=1))])
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def asking_worlds(draw: st.DrawFn) -> World:
    requests: list[tuple[float, Request]] = []
    for _ in range(draw(st.integers(0, 12))):
        at = draw(st.floats(0, 100))
        kind = draw(st.sampled_from(["answer"] * 6 + ["pause", "resume", "handover", "cancel"]))
        batches = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
        text, attempt = draw(st.sampled_from(["", "text"])), draw(st.sampled_from([0, 0, 1, 2]))
        action = draw(actions)
        requests.append((at, Request(kind=kind, batches=batches, action=action, text=text, attempt=attempt)))
    # However the rest went, somebody stops what waits in the end.
    requests.append((200, Request(kind="pause")))
    scripts = {n: [*draw(st.lists(outcomes, max_size=4)), OK] for n in range(1, 5)}
    triggers = draw(st.sampled_from([ASKS_2, ASKS_ALL, {}]))
    return afar(
        *requests,
        checkpoints={**triggers, "escalation": draw(st.booleans())},
        batches=4,
        outcomes=scripts,
        batch={"dependencies": {3: [1]}},
        retry={"max_retries": draw(st.integers(0, 1)), "max_completion_attempts": 1, "base_delay_seconds": 1},
        parallel={"enabled": draw(st.booleans()), "max_concurrent": 2, "fail_fast": draw(st.booleans())},
    )


@relaxed
@given(asking_worlds())
def test_any_answers_settle_within_the_budgets_that_people_gave(world: World) -> None:
    state = world.run()  # budgets, counters and the fold are checked inside
    assert state.is_settled
    assert state.job.questions == []
    assert all(batch.question is None for batch in state.batches.values())
    open_now: set[int] = set()
    for event in world.store.durable:
        if isinstance(event, ev.BatchAsked):
            assert event.batch not in open_now, "asked twice at once"
            open_now.add(event.batch)
        elif isinstance(event, ev.BatchAnswered | ev.BatchQuestionWithdrawn):
            open_now.remove(event.batch)
        elif isinstance(event, ev.SessionOpened):
            assert event.batch not in open_now, "a session began while its question was open"
    assert not open_now


@relaxed
@given(asking_worlds(), st.data())
def test_a_crash_at_any_moment_around_questions_goes_on_consistently(world: World, data: st.DataObject) -> None:
    world.run()
    keep = data.draw(st.integers(1, len(world.store.durable) - 1))
    half = fold(world.store.durable[:keep])
    assert JobState(half.job, half.batches) == half, "a load derives the same agenda"
    other = world.crash(keep)
    other.person = WithoutAsking()
    other.composer = world.composer
    assert other.run().status in ("completed", "failed", "cancelled", "paused")
    again = {event.batch for event in other.store.durable[keep:] if isinstance(event, ev.BatchStarted)}
    kept = {event.batch for event in world.store.durable[:keep] if isinstance(event, ev.BatchCompleted)}
    assert not kept & again


# --- what is told of it afterwards ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([(20, Request(kind="pause"))], "stopped before it was sent"),
        ([(20, answer(action="abort"))], "not confirmed"),
        ([(20, answer(action="skip"))], "skipped by a person"),
    ],
)
def test_an_attempt_that_never_began_its_session_is_listed_as_given_back_and_free(requests: Any, said: str) -> None:
    world = afar(*requests)
    world.run()
    attempts = Attempts()
    attempts.hear(world.store.durable)
    record = attempts.records[2, 1]
    assert (record.outcome, record.message, record.cost_usd) == ("abandoned", said, 0.0)
    assert record.finished_at > record.started_at


def test_a_crash_at_a_question_leaves_no_attempt_that_seems_to_run() -> None:
    world = afar((50, answer()))
    world.run()
    other = world.crash(next(event.seq for event in world.all(ev.BatchAsked)))
    other.person, other.requests._due = AnsweredFromAfar(), [(70, answer())]
    other.run()
    attempts = Attempts()
    attempts.hear(other.store.durable)
    assert [attempts.records[2, number].outcome for number in (1, 2)] == ["abandoned", "ok"]


def test_an_escalated_attempt_keeps_its_own_end() -> None:
    world = exhausted((40, Request(kind="pause")))
    world.run()
    attempts = Attempts()
    attempts.hear(world.store.durable)
    assert attempts.records[2, 2].outcome == "error"
