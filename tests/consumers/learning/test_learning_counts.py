"""Outcomes are counted exactly: whatever the events come in, and however the counts are cut and added up."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lessons import WORDING, judged, life, planned

from mozart_nb import events as ev
from mozart_nb.codes import Category, Scope, lookup
from mozart_nb.consumers.learning.distribution import GROWTH, Distribution
from mozart_nb.consumers.learning.outcomes import KINDS, Outcome, Watch, outcomes_of
from mozart_nb.consumers.learning.section import Account, Counted
from mozart_nb.consumers.learning.tally import Tally, merged
from mozart_nb.consumers.learning.wilson import wilson
from mozart_nb.consumers.rows import AttemptRecord, Attempts

seeds = st.integers(0, 1 << 30)


def counted(events: Iterable[ev.Event]) -> Account:
    account = Account()
    for event in events:
        account.hear(event)
    return account


def tally_of(outcomes: Iterable[Outcome]) -> Tally:
    tally = Tally()
    for outcome in outcomes:
        tally.take(outcome)
    return tally


def same(one: Tally, other: Tally) -> bool:
    """Equal but for what adding floats in another order does to their last digits."""
    left, right = (msgspec.to_builtins(tally) for tally in (one, other))
    return bool(_flat(left) == pytest.approx(_flat(right)))


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {key: leaf for name, one in value.items() for key, leaf in _flat(one, f"{path}/{name}").items()}
    if isinstance(value, list):
        return _flat(dict(enumerate(value)), path)
    return {path: value}


# --- against what the frames of a job say -----------------------------------------------------------------------------


def ended(events: Sequence[ev.Event], *, given_back: bool = False) -> list[AttemptRecord]:
    """Attempts that were judged or lost; on request also those that ended at a question before they began."""
    attempts = Attempts()
    attempts.hear(events)
    lost = {(event.batch, event.attempt) for event in events if isinstance(event, ev.SessionAbandoned)}
    return [
        one
        for key, one in attempts.records.items()
        if one.passed is not None or (one.outcome == "abandoned" and (given_back or key in lost))
    ]


def is_about_work(attempt: AttemptRecord) -> bool:
    if attempt.passed:
        return True
    row = lookup(attempt.code)
    about_others = row.category is Category.RATE_LIMIT or row.scope is Scope.JOB or row.pauses
    return attempt.outcome != "abandoned" and not about_others


@given(seeds)
def test_counts_are_those_of_the_attempts(seed: int) -> None:
    events = life(seed)
    tally = counted(events).counted.get((WORDING.template, False), Counted()).tally
    attempts = ended(events)
    about_work = [one for one in attempts if is_about_work(one)]
    assert tally.attempts == len(attempts)
    assert tally.refused + tally.lost == len(attempts) - len(about_work)
    known = [one.cost_usd for one in attempts if one.cost_usd is not None and one.finished_at]
    assert tally.cost_usd == pytest.approx(sum(known))
    assert sum(tally.codes.values()) == sum(bool(one.code and not one.passed) for one in attempts)


@given(seeds)
def test_a_batch_has_one_first_try_however_often_it_was_refused_or_lost_before(seed: int) -> None:
    events = life(seed)
    first: dict[int, AttemptRecord] = {}
    numbers: dict[int, int] = {}
    for one in sorted(ended(events, given_back=True), key=lambda one: one.attempt):
        numbers[one.batch] = numbers.get(one.batch, 0) + 1
        # A random life cuts some attempts short without a word, which no driver does.
        if is_about_work(one) and one.attempt == numbers[one.batch]:
            first.setdefault(one.batch, one)
    outcomes = [one for one in outcomes_of(events) if one.is_first_try and one.batch in first]
    assert {one.batch: (one.attempt, one.passed) for one in outcomes} == {
        batch: (one.attempt, bool(one.passed)) for batch, one in first.items()
    }


@given(seeds)
def test_every_failure_of_a_rule_is_fixed_once_or_still_stands(seed: int) -> None:
    account = counted(life(seed))
    tally = account.counted.get((WORDING.template, False), Counted()).tally
    failures = sum(rule.failures for rule in tally.rules.values())
    fixed = sum(sum(rule.fixed.values()) for rule in tally.rules.values())
    assert failures - fixed == sum(map(len, account.watch.failing.values()))


# --- parts and the whole ----------------------------------------------------------------------------------------------


@given(seeds, st.lists(st.integers(0, 160), max_size=4))
def test_counting_goes_on_in_another_process_as_if_nothing_had_happened(seed: int, cuts: list[int]) -> None:
    events = life(seed)
    whole = counted(events)
    account = Account()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(events)], strict=True):
        thawed = Account(msgspec.json.decode(msgspec.json.encode(account.watch), type=Watch))
        text = msgspec.json.encode(account.counted.get((WORDING.template, False), Counted()))
        if account.counted:
            thawed.counted[WORDING.template, False] = msgspec.json.decode(text, type=Counted)
        account = thawed
        for event in events[start:end]:
            account.hear(event)
    assert account.counted == whole.counted
    assert account.watch == whole.watch


@given(seeds)
def test_what_is_told_twice_counts_once(seed: int) -> None:
    events = life(seed)
    account = counted(events)
    for event in events[len(events) // 2 :]:
        account.hear(event)
    assert account.counted == counted(events).counted


@given(seeds)
def test_the_kinds_that_are_asked_for_are_all_that_is_needed(seed: int) -> None:
    events = life(seed)
    assert counted(event for event in events if type(event) in KINDS).counted == counted(events).counted


@given(seeds, st.integers(1, 5))
def test_the_sum_of_the_parts_is_the_whole(seed: int, parts: int) -> None:
    outcomes = list(outcomes_of(life(seed)))
    total = Tally()
    for part in range(parts):
        total = merged(total, tally_of(outcomes[part::parts]))
    assert same(total, tally_of(outcomes))


def test_adding_changes_neither_part() -> None:
    one, other = (tally_of(outcomes_of(life(seed))) for seed in (1, 2))
    before = msgspec.json.encode([one, other])
    merged(one, other)
    assert msgspec.json.encode([one, other]) == before


# --- what fixed what --------------------------------------------------------------------------------------------------


def told(*events: ev.Event) -> Tally:
    """What counts of a job that began like any other."""
    account = counted([planned(), ev.JobStarted(run_id="r1"), *events])
    return account.counted[WORDING.template, False].tally


@pytest.mark.parametrize("mode", ["completion", "retry", "healed"])
def test_the_attempt_that_passes_next_says_what_fixed_a_rule(mode: ev.Mode) -> None:
    tally = told(
        *judged(1, "passed", "failed"),
        *judged(2, "passed", "failed", mode=mode),
        *judged(3, "passed", "passed", mode=mode),
    )
    rule = tally.rules["file_exists: b"]
    assert (rule.judged_first, rule.failed_first, rule.failures, rule.fixed) == (1, 1, 1, {mode: 1})
    assert tally.rules["file_exists: a"].failures == 0


def test_a_later_run_fixes_what_the_one_before_left() -> None:
    again = ev.JobResumed(run_id="r2")
    assert told(*judged(1, "failed"), again, *judged(2, "passed")).rules["file_exists: a"].fixed == {"later_run": 1}
    mended = told(*judged(1, "failed"), again, *judged(2, "failed"), *judged(3, "passed", mode="retry"))
    assert mended.rules["file_exists: a"].fixed == {"retry": 1}


def test_recovering_a_batch_fixes_without_an_attempt() -> None:
    tally = told(
        *judged(1, "failed", "passed"), ev.BatchFailed(batch=1, code="E201"), ev.BatchCompleted(batch=1, recovered=True)
    )
    assert tally.rules["file_exists: a"].fixed == {"recovered": 1}
    assert tally.attempts == 1


def test_a_rule_that_was_skipped_judges_nothing() -> None:
    tally = told(*judged(1, "failed", "skipped"))
    assert "file_exists: b" not in tally.rules


def test_completion_attempts_are_counted_by_the_share_that_passed_before() -> None:
    tally = told(*judged(1, "passed", "failed"), *judged(2, "passed", "passed", mode="completion"))
    assert {share: (one.count, one.hits) for share, one in tally.completions.items()} == {50: (1, 1)}


def test_rules_keep_their_names_when_a_new_config_moves_them() -> None:
    moved = ev.ConfigReloaded(
        config_digest="e", plan=ev.PlanShape(9), wording=ev.Wording("u" * 64, "n", WORDING.rules[::-1])
    )
    account = counted([planned(), *judged(1, "failed", "passed"), moved, *judged(2, "passed", "passed", mode="retry")])
    assert account.counted["t" * 64, False].tally.rules["file_exists: a"].failures == 1
    assert account.counted["u" * 64, False].tally.rules["file_exists: a"].fixed == {"retry": 1}
    assert account.watch.failing == {}


def test_how_many_ran_at_once_is_known_of_each_attempt_and_who_was_refused() -> None:
    def opened(batch: int) -> list[ev.Event]:
        return [ev.BatchStarted(batch=batch, attempt=1), ev.SessionOpened(batch=batch, attempt=1)]

    def refused(batch: int, code: str) -> list[ev.Event]:
        finished = ev.SessionFinished(batch=batch, attempt=1, outcome="error", code=code)
        return [finished, ev.ValidationFailed(batch=batch, attempt=1, code=code, message="no")]

    tally = told(*opened(1), *opened(2), *opened(3), *refused(1, "E101"), *refused(2, "E102"), *refused(3, "E103"))
    assert {level: (one.count, one.hits) for level, one in tally.crowd.items()} == {1: (1, 1), 2: (1, 0), 3: (1, 1)}
    assert tally.refused == 3
    assert tally.first_tries == 0


def test_where_nothing_is_to_be_learned_nothing_is_counted() -> None:
    assert counted([planned(ev.Wording()), *judged(1, "failed")]).counted == {}


def test_kept_answers_say_nothing_about_first_tries() -> None:
    where: dict[str, Any] = {"batch": 1, "attempt": 1}
    finished = ev.SessionFinished(**where, outcome="ok", reused=True, cost_usd=0.0)
    passed = ev.ValidationPassed(**where, results=(ev.RuleResult(1, "file_exists", "passed"),))
    tally = told(ev.BatchStarted(**where), finished, passed)
    assert (tally.attempts, tally.reused, tally.first_tries, tally.spans) == (1, 1, 0, {})
    assert tally.rules["file_exists: a"].judged_first == 0


# --- distributions and intervals --------------------------------------------------------------------------------------

values = st.floats(1e-4, 1e8)


@given(st.lists(values, min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_within_one_percent(found: list[float], percent: int) -> None:
    distribution = Distribution()
    for value in found:
        distribution.add(value)
    rank = max(1, -(-len(found) * percent // 100))
    assert distribution.percentile(percent) == pytest.approx(sorted(found)[rank - 1], rel=(GROWTH - 1) / 2 + 1e-6)
    assert distribution.mean == pytest.approx(sum(found) / len(found))


@given(st.lists(values, max_size=50), st.lists(values, max_size=50))
def test_distributions_add_up(one: list[float], other: list[float]) -> None:
    parts = [Distribution(), Distribution(), Distribution()]
    for part, found in zip(parts, (one, other, [*one, *other]), strict=True):
        for value in found:
            part.add(value)
    both = parts[0] + parts[1]
    assert (both.count, both.buckets, both.largest) == (parts[2].count, parts[2].buckets, parts[2].largest)
    assert both.total == pytest.approx(parts[2].total)


def test_nothing_and_zeros_have_percentiles_too() -> None:
    nothing = Distribution()
    assert (nothing.percentile(99), nothing.mean) == (0.0, 0.0)
    for value in (0, 0, 5.0):
        nothing.add(value)
    assert (nothing.percentile(50), nothing.percentile(99)) == (0.0, pytest.approx(5.0, rel=0.01))


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_intervals_are_those_that_wilson_gave(successes: int, count: int, low: float, high: float) -> None:
    assert wilson(successes, count) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_an_interval_holds_the_share_that_was_seen(successes: int, count: int) -> None:
    low, high = wilson(min(successes, count), count)
    assert 0 <= low <= min(successes, count) / count <= high <= 1


# --- how much is kept -------------------------------------------------------------------------------------------------


def test_what_is_kept_does_not_grow_with_the_number_of_batches() -> None:
    rng = random.Random(3)

    def kept(batches: int) -> int:
        attempts = (judged(1, "passed", "passed", batch=n, seconds=rng.lognormvariate(5, 1)) for n in range(batches))
        account = counted([planned(), *(event for attempt in attempts for event in attempt)])
        [one] = account.counted.values()
        return len(msgspec.json.encode(one)) + len(msgspec.json.encode(account.watch))

    assert kept(4_000) < kept(400) + 2_000 < 10_000


def test_batches_that_a_service_answers_hours_later_are_not_remembered_one_by_one() -> None:
    waiting = [
        event
        for batch in range(1, 501)
        for event in (
            ev.BatchStarted(batch=batch, attempt=1),
            ev.SessionOpened(batch=batch, attempt=1, parked=True),
        )
    ]
    account = counted([planned(), *waiting])
    assert len(msgspec.json.encode(account.watch)) < 1_000
    for event in judged(1, "passed", batch=7)[2:]:
        account.hear(event)
    tally = account.counted[WORDING.template, False].tally
    assert (tally.first_tries, tally.passed_first, tally.crowd) == (1, 1, {})
    assert "duration_seconds" not in tally.spans["m"]
