"""What numbers say about settings: with evidence, and nothing where the numbers are few or say nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mozart_nb.consumers.learning.distribution import Distribution
from mozart_nb.consumers.learning.suggestions import (
    MIN_COMPLETIONS,
    MIN_CROWD,
    MIN_GROUP,
    MIN_SESSIONS,
    at_once,
    threshold,
    time_limit,
)
from mozart_nb.consumers.learning.tally import Tally, Tried


def took(*seconds: float, limited: int = 0) -> Tally:
    times = Distribution()
    for one in seconds:
        times.add(one)
    return Tally(spans={"m": {"duration_seconds": times}}, codes={"E301": limited} if limited else {})


def crowd(**levels: tuple[int, int]) -> Tally:
    """`l5=(100, 3)`: of 100 attempts begun as the fifth at once, three were refused."""
    return Tally(crowd=tried({int(name[1:]): one for name, one in levels.items()}))


def completions(**shares: tuple[int, int]) -> Tally:
    return Tally(completions=tried({int(name[1:]): one for name, one in shares.items()}))


def tried(found: Mapping[int, tuple[int, int]]) -> dict[int, Tried]:
    return {key: Tried(*one) for key, one in found.items()}


# --- timeout_seconds --------------------------------------------------------------------------------------------------


def test_a_time_limit_gets_head_room_over_the_p99_and_over_the_longest_session() -> None:
    found = time_limit(took(*[100.0] * 990, *[300.0] * 10), present=200)
    assert found.suggested == 360  # 1.1 times the longest, rounded up to minutes
    assert "1,000 sessions ended well" in found.evidence
    assert found.missing == 0


@pytest.mark.parametrize("present", [150, 400, 600])
def test_a_limit_with_some_room_fits(present: float) -> None:
    found = time_limit(took(*[100.0] * 200), present=present)
    assert found.suggested is None
    assert "fits" in found.evidence


def test_a_limit_far_above_what_sessions_take_could_be_lower() -> None:
    found = time_limit(took(*[100.0] * 200), present=3600)
    assert found.suggested == 150
    assert "noticed sooner" in found.evidence


def test_sessions_that_ran_into_the_limit_hide_how_long_they_would_have_taken() -> None:
    found = time_limit(took(*[100.0] * 190, limited=10), present=120)
    assert found.suggested == 240
    assert "10 of 200 sessions ran into the time limit" in found.evidence


def test_no_limit_is_suggested_below_a_minute() -> None:
    assert time_limit(took(*[0.5] * 500), present=1800).suggested == 60


def test_a_setting_that_cannot_be_read_is_still_suggested() -> None:
    assert time_limit(took(*[100.0] * 200), present=None).suggested == 150


@pytest.mark.parametrize("count", [0, 1, MIN_SESSIONS - 1])
def test_few_sessions_suggest_no_limit_and_say_how_many_are_missing(count: int) -> None:
    found = time_limit(took(*[100.0] * count), present=10)
    assert (found.suggested, found.outcomes, found.missing) == (None, count, MIN_SESSIONS - count)


# --- max_concurrent ---------------------------------------------------------------------------------------------------


def test_fewer_at_once_where_attempts_are_refused_above_some_number() -> None:
    found = at_once(crowd(l1=(30, 0), l4=(200, 2), l8=(100, 30), l10=(100, 40)), present=10)
    assert found.suggested == 4
    assert "at most 4 at once 2 of 230" in found.evidence
    assert "with more 70 of 200" in found.evidence


def test_what_is_suggested_already_holds() -> None:
    assert at_once(crowd(l4=(200, 2), l8=(100, 30)), present=4).suggested is None


def test_refusals_that_do_not_depend_on_how_many_suggest_nothing() -> None:
    found = at_once(crowd(l1=(50, 10), l5=(200, 40)), present=5)
    assert found.suggested is None
    assert "however many ran at once" in found.evidence


def test_without_refusals_nothing_speaks_for_fewer_and_nothing_is_said_about_more() -> None:
    found = at_once(crowd(l1=(10, 0), l8=(400, 1)), present=8)
    assert found.suggested is None
    assert "Whether more would do is not known" in found.evidence


def test_where_fewer_were_hardly_tried_that_is_what_is_missing() -> None:
    found = at_once(crowd(l1=(1, 0), l8=(400, 100)), present=8)
    assert (found.suggested, found.missing) == (None, MIN_GROUP - 1)


def test_few_attempts_say_nothing_about_how_many() -> None:
    found = at_once(crowd(l2=(10, 9)), present=2)
    assert (found.suggested, found.outcomes, found.missing) == (None, 10, MIN_CROWD - 10)


# --- completion_threshold_percent -------------------------------------------------------------------------------------


def test_a_higher_threshold_where_completions_below_it_do_not_pay() -> None:
    found = threshold(completions(p50=(40, 2), p66=(20, 2), p75=(60, 55)), present=50)
    assert found.suggested == 75
    assert "less than 75 % of the rules passed 4 of 60" in found.evidence
    assert "with more 55 of 60" in found.evidence


def test_completions_that_hardly_ever_succeed_are_better_retried() -> None:
    found = threshold(completions(p50=(60, 3)), present=50)
    assert found.suggested == 100
    assert "3 of 60" in found.evidence


def test_completions_that_succeed_suggest_nothing_and_nothing_is_said_about_lower_ones() -> None:
    found = threshold(completions(p50=(60, 50), p66=(20, 15)), present=50)
    assert found.suggested is None
    assert "below that is not known" in found.evidence


def test_few_completions_say_nothing() -> None:
    found = threshold(completions(p50=(5, 0)), present=50)
    assert (found.suggested, found.outcomes, found.missing) == (None, 5, MIN_COMPLETIONS - 5)
