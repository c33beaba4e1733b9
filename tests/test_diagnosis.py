"""Why a job is where it is: failures, waits, crashes, what blocks what, and what to do next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import layout_in
from support.histories import BEGINNING, history

from mozart_nb import events as ev
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.codes import CODES
from mozart_nb.errors import UnknownJobError
from mozart_nb.job.given import Given
from mozart_nb.job.load import load_job, load_text
from mozart_nb.looking.diagnosis import BlockedChain, Diagnosis, Remedy, diagnose
from mozart_nb.looking.timeline.catching_up import InterruptedReadError
from mozart_nb.plans.prepared import Prepared, prepare
from mozart_nb.runtime import run_job

PLANNED = ev.JobPlanned(job_id="job", name="A job", plan=ev.PlanShape(6, 1, 1, 6), seed=1, config_digest="d")
STARTED = ev.JobStarted(run_id="one")


def write(layout: Layout, events: Sequence[ev.Event], *, segment: int = 1, mode: str = "wb") -> None:
    layout.journal.mkdir(parents=True, exist_ok=True)
    with layout.segment(segment).open(mode) as file:
        file.writelines(EVENTS.wrap(ev.encode_event(event)) for event in events)


def lived(tmp_path: Path, *events: ev.Event, seconds: float = 10) -> Layout:
    """A job on disk that was planned and started, and to which this happened, `seconds` apart."""
    layout = layout_in(tmp_path)
    life = [PLANNED, STARTED, *events]
    write(layout, [msgspec.structs.replace(one, seq=n, at=BEGINNING + n * seconds) for n, one in enumerate(life, 1)])
    return layout


def diagnosed(tmp_path: Path, *events: ev.Event, **more: Any) -> Diagnosis:
    return diagnose(lived(tmp_path, *events, **more), now=BEGINNING + 3600)


def failing(batch: int, code: str, message: str = "no report", attempt: int = 1, **more: Any) -> list[ev.Event]:
    """An attempt that was not good enough, and the batch given up."""
    where = {"batch": batch, "attempt": attempt}
    return [
        ev.BatchStarted(**where),
        ev.SessionOpened(**where),
        ev.SessionFinished(**where, outcome="ok", cost_usd=0.5),
        ev.ValidationFailed(**where, code=code, message=message, **more),
        ev.BatchFailed(batch=batch, code=code, message=message),
    ]


def job(folder: Path, **sections: Any) -> Prepared:
    config = {
        "name": "diagnosed",
        "backend": {"type": "rehearsal"},
        "rehearsal": {"latency_seconds": 0, **sections.pop("rehearsal", {})},
        "prompt": {"template": "work"},
        "retry": {"max_retries": 0},
        **sections,
    }
    (folder / "job.yaml").write_text(yaml.safe_dump(config))
    return prepare(load_job(folder / "job.yaml"))


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failed_job_is_explained_from_its_failures_to_the_next_command(tmp_path: Path) -> None:
    prepared = job(
        tmp_path,
        batch={"size": 1, "total_items": 4, "dependencies": {3: [2], 4: [3]}},
        rehearsal={"answer": "answer of {{ batch_num }}"},
        validations=[{"type": "answer_matches", "pattern": "of [134]", "description": "a good number"}],
    )
    asyncio.run(run_job(prepared, ev.RunOptions()))
    found = diagnose(prepared.layout)
    assert (found.status, found.code, found.done, found.total) == ("failed", "E201", 1, 4)
    assert found.counts == (("completed", 1), ("failed", 1), ("blocked", 2))
    (group,) = found.groups
    assert (group.code, group.count, group.unresolved_batches) == ("E201", 1, (2,))
    assert group.example is not None
    assert (group.example.batch, group.example.attempt, group.example.stdout_tail) == (2, 1, "answer of 2")
    assert group.example.rules[0].actual == "11 characters, beginning: answer of 2"
    assert found.blocked == (BlockedChain(2, "E201", group.example.message, (3, 4)),)
    assert [step.magic for step in found.next_steps] == [
        "%mozart errors diagnosed",
        "%mozart logs diagnosed --batch 2",
        "%mozart recover diagnosed",
        "%mozart resume diagnosed --reload-config",
        "%mozart resume diagnosed",
    ]
    assert found.next_steps[3].why == "after you have mended the prompt or the rule"
    assert not found.is_healthy
    text = str(found)
    for said in (
        "diagnosed failed: 1 of 4 batches done, 1 failed, 2 blocked",
        "E201 output validation failed: 1 time, batch 2",
        "answer_matches a good number: failed",
        "expected a match of: of [134]",
        "saw 11 characters, beginning: answer of 2",
        "Batches 3-4 wait for batch 2, which failed first: E201",
        "or job.resume()",
    ):
        assert said in text


def test_a_job_of_a_notebook_is_gone_on_with_where_its_cell_and_its_functions_are(tmp_path: Path) -> None:
    cell = {
        "name": "celled",
        "backend": {"type": "rehearsal"},
        "rehearsal": {"latency_seconds": 0, "answer": "no"},
        "batch": {"size": 1, "total_items": 1},
        "prompt": {"template": "work"},
        "retry": {"max_retries": 0},
        "validations": [{"type": "answer_matches", "pattern": "yes"}],
    }

    def steps(folder: Path, **rules: Any) -> tuple[str, list[str]]:
        given = Given(namespace={"agrees": lambda answer: f"{answer} is no yes"})
        prepared = prepare(load_text(yaml.safe_dump({**cell, **rules}), base_dir=folder, given=given))
        asyncio.run(run_job(prepared, ev.RunOptions()))
        found = diagnose(prepared.layout)
        return found.first, [step.command for step in found.next_steps[2:]]

    first, commands = steps(tmp_path / "rule")
    assert first.endswith("mend the prompt or the rule, then run the changed cell with `%%mozart --reload-config`")
    assert commands == ["mozart recover celled", "%%mozart --reload-config", "mozart resume celled"]
    first, commands = steps(tmp_path / "function", validations=[{"type": "python", "function": "agrees"}])
    assert first.startswith("if the work is there after all, `%mozart recover celled`")
    assert commands == ["%mozart recover celled", "%%mozart --reload-config", "%mozart resume celled"]


def test_requests_that_are_with_the_service_are_told_and_fetched_instead_of_sent_again(tmp_path: Path) -> None:
    wheres = [{"batch": 1, "attempt": 1}, {"batch": 2, "attempt": 1}]
    parked = [one for where in wheres for one in (ev.BatchStarted(**where), ev.SessionOpened(**where, parked=True))]
    sent = ev.RemoteSubmitting(submission=1, entries=((1, 2, 1),), requests=2)
    taken = ev.RemoteSubmitted(submission=1, remote_id="msgbatch_1")
    found = diagnosed(tmp_path, *parked, sent, taken, ev.JobPaused(reason="by hand"))
    assert found.headline == "job paused: 0 of 6 batches done, 2 with the service. By hand"
    assert found.first.startswith("`mozart resume job`: it fetches 2 answers from the service")


def test_a_limit_of_a_job_that_nobody_runs_does_not_pass_without_a_resume(tmp_path: Path) -> None:
    where = {"batch": 1, "attempt": 1}
    refused = ev.ValidationFailed(**where, code="E101", message="429")
    hit = ev.LimitHit(code="E101", until=BEGINNING + 60, wait_seconds=10, source="header", number=1, message="429")
    waits = ev.BatchWaiting(batch=1, code="E101")
    life = [ev.BatchStarted(**where), ev.SessionOpened(**where), refused, hit, waits, ev.JobPaused(reason="by hand")]
    assert diagnosed(tmp_path, *life).groups[0].advice == "a resume tries it again"


def test_what_stopped_the_job_comes_before_what_happened_more_often(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        *failing(1, "E301"),
        *failing(2, "E301"),
        *failing(3, "E999"),
        *failing(4, "E501", "401"),
        ev.JobFailed(reason="401", code="E501"),
    )
    assert [group.code for group in found.groups] == ["E501", "E301", "E999"]
    assert (found.meaning, found.advice) == (CODES["E501"].meaning, CODES["E501"].advice)
    assert found.next_steps[-1].why.startswith("after this: log in or fix the key; ask batches 1-4 again")


def test_the_example_is_of_a_batch_that_failed_rather_than_of_one_that_is_tried_again(tmp_path: Path) -> None:
    *tried, _ = failing(1, "E201")
    found = diagnosed(tmp_path, *tried, *failing(2, "E201"), ev.JobFailed(code="E201", reason="1 batch failed"))
    assert found.groups[0].example is not None
    assert found.groups[0].example.batch == 2
    assert "%mozart logs job --batch 2" in [step.magic for step in found.next_steps]


def test_failures_that_later_attempts_mended_come_last_and_are_only_counted(tmp_path: Path) -> None:
    where = {"batch": 1, "attempt": 2}
    found = diagnosed(
        tmp_path,
        *failing(1, "E002", attempt=1)[:-1],
        ev.BatchRetrying(batch=1, due=BEGINNING, delay=1, number=1, code="E002"),
        ev.BatchStarted(**where, mode="retry"),
        ev.SessionOpened(**where),
        ev.SessionFinished(**where, outcome="ok"),
        ev.ValidationPassed(**where),
        ev.BatchCompleted(batch=1),
        *failing(2, "E201"),
        ev.JobFailed(reason="1 batch failed"),
    )
    assert [(group.code, group.unresolved) for group in found.groups] == [("E201", 1), ("E002", 0)]
    assert "Mended by later attempts: E002 1 time" in str(found)


def test_a_batch_that_failed_before_any_session_is_told_too(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        ev.BatchStarted(batch=1, attempt=1),
        ev.BatchFailed(batch=1, code="E502", message="`nam` is undefined"),
        ev.JobFailed(reason="`nam` is undefined", code="E502"),
    )
    assert found.groups[0].example is not None
    assert found.groups[0].example.message == "`nam` is undefined"
    assert found.next_steps[-2].magic == "%mozart resume job --reload-config"
    assert found.next_steps[-1].magic == "%mozart resume job --self-healing"


def test_what_sessions_printed_is_cleaned_and_cut(tmp_path: Path) -> None:
    hostile = "\x1b[31mred\x1b[0m \u202eevil\x00" + "x" * 100_000 + "\nsk-ant-" + "a" * 40 + "\nlast line"
    layout = lived(tmp_path, *failing(1, "E999", hostile, stdout_tail=hostile), ev.JobFailed(reason=hostile))
    found = diagnose(layout)
    text = str(found)
    assert len(text) < 6000
    assert "last line" in text
    assert not {"\x1b", "\u202e", "\x00"} & set(text + found.reason)
    assert "a" * 40 not in text


# --- what happened on the way -----------------------------------------------------------------------------------------


def test_waits_are_summed_from_the_first_refusal_to_the_end_of_each(tmp_path: Path) -> None:
    def hit(number: int, code: str = "E101") -> ev.LimitHit:
        return ev.LimitHit(code=code, until=BEGINNING, wait_seconds=9, source="retry-after", number=number)

    found = diagnosed(
        tmp_path,
        hit(1),
        hit(1),
        ev.LimitCleared(),
        hit(2, "E102"),
        hit(3, "E102"),
        hit(3, "E102"),
        ev.LimitCleared(),
        ev.BreakerOpened(until=1, failures=5),
        hit(4),
        ev.JobPaused(reason="asked to"),
    )
    waits = found.waits
    assert (waits.hits, waits.seconds, waits.longest_seconds) == (4, 60.0, 30.0)
    assert waits.by_code == (("E101", 2, 30.0), ("E102", 2, 30.0))
    assert (waits.breaker_opened, waits.until) == (1, 0.0)
    assert "Rate limits: 60 s of waiting (E101 2 times, 30 s, E102 2 times, 30 s, 30 s at the longest)" in str(found)


def test_crashes_and_lost_sessions_are_counted_with_the_one_that_was_not_yet_noticed(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        ev.BatchStarted(batch=1, attempt=1),
        ev.JobResumed(run_id="two", crashed=True),
        ev.SessionAbandoned(batch=1, attempt=1, reason="gone"),
        ev.BatchStarted(batch=1, attempt=2),
    )
    assert found.status == "interrupted"
    assert (found.crashes.runs, found.crashes.in_a_row, found.crashes.lost_sessions) == (2, 2, 1)
    assert found.crashes.last_at == BEGINNING + 60
    assert [step.magic for step in found.next_steps] == ["%mozart resume job"]
    assert "Nobody runs it any more" in found.headline
    assert "Crashes: 2 runs ended without settling, 1 session lost with their hosts" in str(found)


def test_remedies_are_told_once_with_all_their_batches(tmp_path: Path) -> None:
    def healed(batch: int) -> list[ev.Event]:
        return [
            *failing(batch, "E601")[:-1],
            ev.BatchHealing(batch=batch, number=1),
            ev.BatchHealed(batch=batch, attempt=1, guidance="create the folder"),
            ev.BatchFailed(batch=batch, code="E601", message="no folder"),
        ]

    found = diagnosed(
        tmp_path, *healed(2), *healed(3), ev.BatchHealed(batch=0, guidance="log in"), ev.JobFailed(reason="x")
    )
    assert found.remedies == (Remedy("log in"), Remedy("create the folder", (2, 3)))
    assert "Self-healing: batches 2-3: create the folder" in str(found)


def test_a_budget_that_is_used_up_leads_to_a_new_job_file(tmp_path: Path) -> None:
    prepared = job(
        tmp_path,
        batch={"size": 1, "total_items": 9},
        rehearsal={"usage": {"cost_usd": 0.4}},
        cost_limits={"enabled": True, "max_cost_per_job": 1.0},
    )
    asyncio.run(run_job(prepared, ev.RunOptions()))
    found = diagnose(prepared.layout)
    assert (found.status, found.code) == ("paused", "E506")
    assert (found.budget.limit_usd, found.budget.is_exhausted) == (1.0, True)
    (step,) = found.next_steps
    assert step.magic == "%mozart resume diagnosed --reload-config"
    assert step.why == "after this: raise cost_limits.max_cost_per_job"
    assert "of $1.00, used up" in str(found)


# --- every status -----------------------------------------------------------------------------------------------------


def test_a_completed_job_is_healthy_and_needs_nothing(tmp_path: Path) -> None:
    prepared = job(tmp_path, batch={"size": 1, "total_items": 2})
    asyncio.run(run_job(prepared, ev.RunOptions()))
    found = diagnose(prepared.layout)
    assert found.is_healthy
    assert (found.next_steps, found.groups) == ((), ())
    assert str(found).splitlines()[:2] == ["diagnosed completed: 2 of 2 batches done", ""]


def test_a_paused_job_is_gone_on_with(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, ev.JobPausing(reason="asked to"), ev.JobPaused(reason="asked to"))
    (step,) = found.next_steps
    assert (step.magic, step.python) == ("%mozart resume job", "job.resume()")
    assert "go on where it stopped" in step.why
    assert "Asked to" in found.headline


def test_every_code_leads_to_a_next_step(tmp_path: Path) -> None:
    for code in CODES:
        layout = lived(tmp_path, *failing(1, code), ev.JobFailed(reason="x", code=code))
        found = diagnose(layout)
        assert found.groups[0].code == code
        assert any(step.magic.startswith("%mozart resume job") for step in found.next_steps)
        advice = CODES[code].advice
        assert advice in str(found) or advice.startswith("nothing")  # nobody runs it: nothing goes on by itself


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 5000), count=st.integers(1, 120))
def test_any_life_can_be_diagnosed_and_put_into_words(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    layout = layout_in(tmp_path_factory.mktemp("life"))
    write(layout, history(seed, count))
    found = diagnose(layout)
    assert sum(number for _, number in found.counts) == found.total
    assert str(found).startswith(found.headline)
    assert [group.unresolved > 0 for group in found.groups] == sorted(
        (g.unresolved > 0 for g in found.groups), reverse=True
    )


def test_a_job_that_does_not_exist_is_an_error_and_a_reader_may_give_up(tmp_path: Path) -> None:
    with pytest.raises(UnknownJobError):
        diagnose(layout_in(tmp_path))
    layout = layout_in(tmp_path)
    write(layout, history(9, 2000, total=60))
    with pytest.raises(InterruptedReadError):
        diagnose(layout, goes_on=lambda: False)
