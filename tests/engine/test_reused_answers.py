"""An answer that was kept says nothing about the service: it opens no gate and closes no breaker."""

from __future__ import annotations

import itertools

import msgspec

from mozart_nb import events as ev
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState


def after(*events: ev.Event) -> JobState:
    """The state of a job of nine batches after these events."""
    state, seconds = JobState(), itertools.count(1)
    planned = ev.JobPlanned(job_id="j", name="j", plan=ev.PlanShape(total=9), seed=1, config_digest="")
    for event in (planned, ev.JobStarted(run_id="r"), *events):
        apply(state, msgspec.structs.replace(event, seq=state.job.seq + 1, at=1000.0 + next(seconds)))
    return state


def finished(*, reused: bool) -> ev.SessionFinished:
    return ev.SessionFinished(batch=1, attempt=1, outcome="ok", cost_usd=0.0, reused=reused)


STARTED = ev.BatchStarted(batch=1, attempt=1, mode="first", probe=True)
PASSED = (ev.ValidationPassed(batch=1, attempt=1), ev.BatchCompleted(batch=1))


def test_a_probe_that_took_a_kept_answer_leaves_the_probing_to_the_next() -> None:
    hit = ev.LimitHit(code="E101", until=1001.0, wait_seconds=1.0, source="retry-after", number=1)
    sent = after(hit, STARTED, finished(reused=False))
    assert sent.job.limit is not None
    assert sent.job.limit.passed
    kept = after(hit, STARTED, finished(reused=True), *PASSED)
    assert kept.job.limit is not None
    assert (kept.job.limit.passed, kept.job.limit.probe) == (False, 0)


def test_the_trial_of_a_breaker_that_took_a_kept_answer_leaves_the_trial_to_the_next() -> None:
    opened = (ev.BreakerOpened(until=1001.0, failures=5), ev.BreakerHalfOpen())
    started = msgspec.structs.replace(STARTED, probe=False)
    assert after(*opened, started, finished(reused=False)).job.breaker.verdict == "passed"
    kept = after(*opened, started, finished(reused=True), *PASSED).job.breaker
    assert (kept.status, kept.verdict, kept.trial) == ("half_open", "", 0)


def test_kept_answers_are_counted_and_cost_nothing() -> None:
    job = after(msgspec.structs.replace(STARTED, probe=False), finished(reused=True), *PASSED).job
    assert (job.reused, job.cost_usd, job.unknown_costs) == (1, 0.0, 0)
