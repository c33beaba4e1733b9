"""A person is asked before chosen attempts: when, what the answers do, and what happens while nobody answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.engine import OK, Rules, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.engine.confirm import NobodyToAsk, Triggers, WithoutAsking, asked_text, matches, question_about
from mozart_nb.engine.ports import Question, Reply, Request
from mozart_nb.engine.state import BatchState
from mozart_nb.job.outputs import CheckpointsConfig, CheckpointTrigger

PROCEED, SKIP, ABORT = Reply(), Reply(action="skip"), Reply(action="abort")


class Person:
    """Answers in order, each after `seconds`; repeats the last one. `withdrawn`: questions nobody wanted any more."""

    def __init__(self, *replies: Reply, seconds: float = 0.0) -> None:
        self.replies = replies or (PROCEED,)
        self.seconds = seconds
        self.asked: list[Question] = []
        self.withdrawn = 0
        self.at_once = self.most_at_once = 0

    async def ask(self, question: Question) -> Reply:
        reply = self.replies[min(len(self.asked), len(self.replies) - 1)]
        self.asked.append(question)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.withdrawn += 1
            raise
        finally:
            self.at_once -= 1
        return reply


def trigger(name: str = "check", **conditions: Any) -> dict[str, Any]:
    default = {} if conditions.keys() & {"prompt_contains", "min_retry_count"} else {"batch_nums": [2]}
    return {"name": name, **default, **conditions}


def asking(person: Any, *triggers: dict[str, Any], batches: int = 3, **world: Any) -> World:
    made = World(batches, checkpoints={"enabled": True, "triggers": list(triggers or (trigger(),))}, **world)
    made.person = person
    return made


def notices(world: World) -> list[str]:
    """Collects what people are told; fills up while the world runs."""
    told: list[str] = []

    async def listens(events: Sequence[ev.Event]) -> None:
        told.extend(event.message for event in events if isinstance(event, ev.JobNotice))

    world.observers.append(listens)
    return told


# --- which attempts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "does"),
    [
        ({"batch_nums": [1, 3]}, True),
        ({"batch_nums": [2]}, False),
        ({"sheet_nums": [3]}, True),
        ({"prompt_contains": ["DELETE", "drop table"]}, True),
        ({"prompt_contains": ["Straße"]}, True),
        ({"prompt_contains": ["insert"]}, False),
        ({"min_retry_count": 1}, True),
        ({"min_retry_count": 2}, False),
        ({"min_retry_count": 0}, True),
        ({"batch_nums": [3], "prompt_contains": ["delete"], "min_retry_count": 1}, True),
        ({"batch_nums": [3], "prompt_contains": ["insert"], "min_retry_count": 1}, False),
        ({"batch_nums": [3], "prompt_contains": ["delete"], "min_retry_count": 2}, False),
        ({"batch_nums": [1], "prompt_contains": ["delete"]}, False),
    ],
)
def test_all_conditions_must_hold_and_of_the_words_one(conditions: dict[str, Any], does: bool) -> None:
    keys = {"sheet_nums": "batch_nums"}
    one = CheckpointTrigger(name="x", **{keys.get(key, key): value for key, value in conditions.items()})
    prompt = "Then delete the rows of the STRASSE."
    assert matches(one, batch=3, prompt=prompt, retries=1) is does


def test_triggers_that_match_together_ask_one_question() -> None:
    config = CheckpointsConfig.model_validate(
        {
            "enabled": True,
            "triggers": [
                {"name": "a", "batch_nums": [1], "message": "First?"},
                {"name": "b", "batch_nums": [1], "message": "Second?"},
                {"name": "c", "batch_nums": [1]},
                {"name": "told", "batch_nums": [1], "requires_confirmation": False, "message": "By the way."},
                {"name": "other", "batch_nums": [2]},
            ],
        }
    )
    told, question = Triggers(config, job_id="j").look(BatchState(1, attempts=1), "prompt")
    assert told == ["batch 1, attempt 1: trigger `told`: By the way."]
    assert question is not None
    assert (question.triggers, question.message, question.prompt) == (("a", "b", "c"), "First?\nSecond?", "prompt")
    assert asked_text(question) == "triggers `a`, `b`, `c`: First? Second?"


def test_no_trigger_asks_no_question() -> None:
    assert question_about((), BatchState(1), "") is None
    assert Triggers().look(BatchState(1), "") == ([], None)
    off = CheckpointsConfig(enabled=False, triggers=(CheckpointTrigger(name="x", batch_nums=(1,)),))
    assert Triggers(off).look(BatchState(1), "") == ([], None)


# --- the answers ------------------------------------------------------------------------------------------------------


def test_the_person_sees_what_will_be_sent_and_the_session_waits_for_the_answer() -> None:
    person = Person(seconds=100)
    world = asking(person, trigger("deploy", batch_nums=[2], message="Now?"))
    assert world.run().status == "completed"
    [question] = person.asked
    assert (question.batch, question.attempt, question.mode, question.triggers) == (2, 1, "first", ("deploy",))
    assert (question.message, question.prompt) == ("Now?", "batch 2, first")
    started = dict(reversed(pair) for pair in world.backend.started_at)
    assert started[2] - started[1] > 100
    assert world.elapsed > 100


def test_a_question_is_journaled_before_it_is_asked_so_that_others_see_what_a_batch_waits_for() -> None:
    world = asking(Person(seconds=10), trigger(message="Sure?"))
    world.run()
    [noticed] = world.all(ev.BatchPreflight)
    [finding] = noticed.findings
    assert finding.message == "needs a person's confirmation: trigger `check`: Sure?"
    opened = next(event for event in world.all(ev.SessionOpened) if event.batch == 2)
    assert noticed.seq < opened.seq
    assert noticed.at <= opened.at - 10


def test_skip_skips_the_batch_with_the_reason_and_satisfies_its_dependents() -> None:
    person = Person(Reply(action="skip", text="no window today"))
    world = asking(person, trigger("deploy", batch_nums=[2], message="Now?"), batch={"dependencies": {3: [2]}})
    state = world.run()
    assert state.status == "completed"
    assert [state.status_of(n) for n in (1, 2, 3)] == ["completed", "skipped", "completed"]
    assert state.batches[2].reason == "skipped at trigger `deploy`: Now? (no window today)"
    assert [n for n, _, _ in world.backend.sent] == [1, 3]


def test_abort_pauses_the_job_with_a_reason_and_uses_no_budget() -> None:
    world = asking(Person(ABORT, PROCEED), trigger("deploy", batch_nums=[2], message="Now?"))
    state = world.run()
    assert state.status == "paused"
    assert state.job.reason == (
        "batch 2 is not confirmed (trigger `deploy`: Now?): whoever was asked said stop; "
        "`mozart resume job -y` goes on without asking"
    )
    batch = state.batches[2]
    assert (batch.status, batch.abandoned, batch.retries, batch.cost_known) == ("pending", 1, 0, True)
    assert 2 not in [n for n, _, _ in world.backend.sent]
    assert world.run().status == "completed"
    assert (2, 2, "first") in world.backend.sent
    assert len(world.backend.sent) == 3


def test_an_addition_goes_to_the_end_of_the_prompt_and_into_the_record() -> None:
    world = asking(Person(Reply(action="add", text="Leave the tests alone.")))
    prompts: dict[int, str] = {}
    compose_request = world.composer.request

    def remember(batch: BatchState, composed: Any, session: ev.SessionOpened) -> Any:
        prompts[batch.number] = composed.prompt
        return compose_request(batch, composed, session)

    world.composer.request = remember  # type: ignore[method-assign]
    assert world.run().status == "completed"
    assert prompts[2] == "batch 2, first\n\nLeave the tests alone."
    last = world.all(ev.BatchPreflight)[-1]
    assert last.findings[-1].message == "a person added to the prompt: Leave the tests alone."
    opened = {event.batch: event for event in world.all(ev.SessionOpened)}
    assert opened[2].prompt_hash != opened[1].prompt_hash
    assert opened[2].prompt_tokens > opened[1].prompt_tokens


def test_what_needs_no_confirmation_is_only_told() -> None:
    person = Person()
    world = asking(person, trigger("note", batch_nums=[2], requires_confirmation=False, message="Watch the quota."))
    told = notices(world)
    assert world.run().status == "completed"
    assert person.asked == []
    assert told == ["batch 2, attempt 1: trigger `note`: Watch the quota."]
    assert world.all(ev.BatchPreflight) == []


# --- nobody there -----------------------------------------------------------------------------------------------------


def test_where_nobody_is_there_the_job_pauses_and_says_how_it_goes_on() -> None:
    world = asking(None, trigger("deploy", batch_nums=[2], message="Now?"))
    state = world.run()
    assert state.status == "paused"
    for part in ("batch 2", "trigger `deploy`", "Now?", "nobody is there to ask", "`mozart resume job -y`"):
        assert part in state.job.reason
    world.person = NobodyToAsk()
    assert world.run().status == "paused"
    world.person = WithoutAsking()
    state = world.run()
    assert state.status == "completed"
    assert (state.batches[2].abandoned, state.batches[2].attempts) == (2, 3)


def test_a_question_that_cannot_be_asked_pauses_the_job_and_fails_nothing() -> None:
    class Broken:
        async def ask(self, question: Question) -> Reply:
            raise OSError("the terminal has gone")

    state = asking(Broken()).run()
    assert state.status == "paused"
    assert "the terminal has gone" in state.job.reason
    assert state.count("failed") == 0


# --- while a question is open -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"), [("pause", "paused"), ("cancel", "cancelled"), ("detach", "paused")], ids=str
)
def test_whoever_stops_the_job_need_not_wait_for_an_answer(kind: Any, status: str) -> None:
    person = Person(seconds=1e6)
    world = asking(person, requests=[(20, Request(kind=kind, by="test"))])
    state = world.run()
    assert state.status == status
    assert world.elapsed < 22
    assert person.withdrawn == 1
    batch = state.batches[2]
    assert (batch.abandoned, batch.retries, batch.cost_known) == (1, 0, True)
    assert batch.reason == "stopped before it was sent"
    person.seconds = 0
    assert world.run().status == "completed"


def test_batches_beside_an_open_question_go_on_and_finish_before_a_pause() -> None:
    person = Person(seconds=1e6)
    world = asking(
        person,
        trigger(batch_nums=[1]),
        batches=6,
        seconds=10,
        parallel={"enabled": True, "max_concurrent": 2},
        requests=[(25, Request(kind="pause"))],
    )
    state = world.run()
    assert state.status == "paused"
    assert [n for n, _, _ in world.backend.sent] == [2, 3, 4, 5, 6]
    assert state.count("completed") == 5
    assert world.backend.most_at_once == 2
    assert state.batches[1].status == "pending"


def test_questions_of_parallel_batches_may_be_open_at_once_and_one_stop_withdraws_the_others() -> None:
    class Slow(Person):
        async def ask(self, question: Question) -> Reply:
            self.seconds = 10.0 * question.batch
            return await super().ask(question)

    person = Slow(ABORT)
    world = asking(
        person, trigger(prompt_contains=["batch"]), batches=5, parallel={"enabled": True, "max_concurrent": 3}
    )
    state = world.run()
    assert state.status == "paused"
    assert (person.most_at_once, person.withdrawn, len(person.asked)) == (5, 4, 5)
    assert "batch 1 is not confirmed" in state.job.reason
    assert world.elapsed < 12
    assert world.backend.sent == []


def test_a_stop_that_came_before_the_question_leaves_it_unasked() -> None:
    person = Person()
    world = asking(person, trigger(batch_nums=[1]))
    compose = world.composer.compose

    async def slowly(batch: BatchState, *, continues: bool) -> Any:
        world.driver.request(Request(kind="pause"))  # type: ignore[union-attr]
        await asyncio.sleep(5)
        return await compose(batch, continues=continues)

    world.composer.compose = slowly  # type: ignore[method-assign]
    assert world.run().status == "paused"
    assert person.asked == []
    assert world.state.batches[1].abandoned == 1


def test_a_failure_that_ends_the_job_withdraws_the_questions_beside_it() -> None:
    person = Person(seconds=1e6)
    world = asking(
        person,
        trigger(batch_nums=[1]),
        outcomes={2: [failed()]},
        retry={"max_retries": 0},
        parallel={"enabled": True, "max_concurrent": 2, "fail_fast": True},
    )
    state = world.run()
    assert (state.status, person.withdrawn) == ("failed", 1)
    assert state.status_of(1) == "pending"


def test_a_fatal_code_beside_an_open_question_ends_the_job_without_an_answer() -> None:
    person = Person(seconds=1e6)
    parallel = {"enabled": True, "max_concurrent": 2, "fail_fast": False}
    world = asking(person, trigger(batch_nums=[1]), outcomes={2: [failed(401)]}, parallel=parallel)
    state = world.run()
    assert (state.status, state.job.code) == ("failed", "E501")


# --- again ------------------------------------------------------------------------------------------------------------


def test_every_new_try_is_asked_about_with_what_it_will_send() -> None:
    person = Person()
    world = asking(
        person, outcomes={2: [failed(), (OK, Rules(passed=2, failed=1)), OK]}, retry={"base_delay_seconds": 1}
    )
    assert world.run().status == "completed"
    assert [(q.attempt, q.mode) for q in person.asked] == [(1, "first"), (2, "retry"), (3, "completion")]


def test_an_attempt_that_a_rate_limit_sent_back_is_not_asked_about_again() -> None:
    person = Person(Reply(action="add", text="more"))
    world = asking(person, outcomes={2: [refused(retry_after=60), refused(retry_after=60), OK]})
    assert world.run().status == "completed"
    assert len(person.asked) == 1
    assert world.state.batches[2].waits == 2
    hashes = {event.prompt_hash for event in world.all(ev.SessionOpened) if event.batch == 2}
    assert len(hashes) == 1


def test_retries_can_be_the_condition() -> None:
    person = Person(ABORT)
    world = asking(
        person,
        trigger("again", min_retry_count=2),
        batches=1,
        outcomes={1: [failed()]},
        retry={"base_delay_seconds": 1, "max_retries": 3},
    )
    state = world.run()
    assert state.status == "paused"
    assert (state.batches[1].retries, state.batches[1].attempts) == (2, 3)
    assert len(world.backend.sent) == 2
    world.backend.outcomes = {1: [OK]}
    world.person = WithoutAsking()
    assert world.run().status == "completed"
    assert world.backend.sent[-1] == (1, 4, "retry")


def test_a_crash_while_a_question_is_open_asks_again_and_uses_no_budget() -> None:
    world = asking(Person(seconds=50))
    world.run()
    asked_at = next(n for n, event in enumerate(world.store.durable) if isinstance(event, ev.BatchPreflight))
    other = world.crash(asked_at + 1)
    other.person = person = Person()
    state = other.run()
    assert state.status == "completed"
    assert [question.attempt for question in person.asked] == [2]
    assert (state.batches[2].abandoned, state.batches[2].retries) == (1, 0)


# --- any answers at all -----------------------------------------------------------------------------------------------

replies = st.sampled_from([PROCEED, PROCEED, SKIP, ABORT, Reply(action="add", text="and then")])
outcomes = st.sampled_from([OK, failed(), refused(), (OK, Rules(passed=2, failed=1))])


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(replies, max_size=8),
    st.lists(st.lists(outcomes, max_size=3), min_size=4, max_size=4),
    st.booleans(),
    st.floats(0, 30),
    st.one_of(st.none(), st.floats(0, 60)),
)
def test_any_answers_and_any_stop_settle_within_budget_and_end_after_enough_resumes(
    answers: list[Reply], scripts: list[list[Any]], parallel: bool, seconds: float, stop_at: float | None
) -> None:
    world = asking(
        Person(*answers, PROCEED, seconds=seconds),
        trigger(prompt_contains=["batch"]),
        batches=4,
        outcomes={n: [*script, OK] for n, script in enumerate(scripts, 1)},
        batch={"dependencies": {3: [1]}},
        retry={"max_retries": 3, "base_delay_seconds": 1},
        parallel={"enabled": parallel, "max_concurrent": 2},
        circuit_breaker={"failure_threshold": 3, "recovery_timeout_seconds": 20},
        requests=[] if stop_at is None else [(stop_at, Request(kind="pause"))],
    )
    for run in itertools.count():
        state = world.run()  # budgets and journal are checked inside
        if state.status == "completed":
            break
        assert state.status in ("paused", "failed")
        assert run < 20
    finished = {event.batch for event in world.all(ev.SessionFinished)}
    assert all(state.status_of(n) == "skipped" or n in finished for n in range(1, 5))
