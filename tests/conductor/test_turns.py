"""Seats for sessions: who gets the next one, in simulated time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.seats import Guest, Hall

from mozart_nb.engine.off import FreeTurns
from mozart_nb.engine.ports import Turns
from mozart_nb.hosts.conductor.seats import Restraint, TurnLimits, dues


def shares(hall: Hall) -> list[float]:
    """What part of all seat-seconds each job had."""
    whole = sum(guest.seat_seconds for guest in hall.guests)
    return [guest.seat_seconds / whole for guest in hall.guests]


def many(hall: Hall, count: int, seconds: float = 2.0) -> list[Guest]:
    return [hall.job(f"job {n}", seconds=seconds) for n in range(count)]


# --- fair shares ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seats", [1, 3, 10, 15, 20, 64])
def test_ten_equal_jobs_have_equal_shares_over_a_minute_however_many_seats_there_are(seats: int) -> None:
    hall = Hall(TurnLimits(seats))
    many(hall, 10, seconds=1.0)
    hall.run(60)

    assert max(abs(share * 10 - 1) for share in shares(hall)) <= 0.2
    assert hall.most_open == seats
    assert sum(guest.seat_seconds for guest in hall.guests) > 0.99 * 60 * seats, "no seat stays empty"


def test_jobs_with_longer_sessions_have_no_more_of_the_time() -> None:
    hall = Hall(TurnLimits(6))
    for n in range(4):
        hall.job(f"job {n}", seconds=0.5 * 2**n)
    hall.run(120)

    assert shares(hall) == pytest.approx([0.25] * 4, rel=0.1)


def test_shares_are_in_proportion_to_priorities() -> None:
    hall = Hall(TurnLimits(14))
    for priority in (50, 100, 200):
        hall.job(f"priority {priority}", priority=priority)
    hall.run(300)

    assert shares(hall) == pytest.approx([4 / 7, 2 / 7, 1 / 7], rel=0.1)


def test_the_last_in_priority_is_not_left_to_starve() -> None:
    hall = Hall(TurnLimits(1))
    hall.job("first", priority=1, seconds=2)
    last = hall.job("last", priority=1000, seconds=2)
    hall.run(3600)

    assert last.begun
    assert last.longest_wait < 300


def test_another_priority_counts_at_once() -> None:
    hall = Hall(TurnLimits(10))
    first, second = many(hall, 2)
    hall.run(60)
    before = first.seat_seconds, second.seat_seconds
    hall.seats.prioritise("job 0", 25)
    hall.run(120)

    assert before == pytest.approx((300, 300), rel=0.1)
    assert first.seat_seconds - before[0] == pytest.approx(480, rel=0.15)


def test_what_one_job_does_not_want_is_shared_by_the_others() -> None:
    hall = Hall(TurnLimits(10))
    modest = hall.job("modest", at_once=1)
    many(hall, 3)
    hall.run(120)

    assert modest.longest_wait < 1.1, "the next session that ends makes room for it"
    assert shares(hall) == pytest.approx([0.1, 0.3, 0.3, 0.3], rel=0.1)


def test_a_job_that_comes_later_has_its_share_at_once_and_no_more() -> None:
    hall = Hall(TurnLimits(10))
    hall.job("old")
    hall.job("modest", at_once=1)
    new = hall.job("new", at=600)
    hall.run(602)
    hall.run(662)

    assert new.seat_seconds == pytest.approx(4.5 * 60, rel=0.2)


def test_a_job_that_wanted_nothing_for_a_while_has_no_claim_to_it() -> None:
    hall = Hall(TurnLimits(4))
    other = hall.job("other")
    resting = hall.job("resting", left=1)
    hall.run(600)
    resting.left = 10**9
    hall.wake(resting)
    before = other.seat_seconds
    hall.run(660)

    assert other.seat_seconds - before == pytest.approx(120, rel=0.2)


def test_a_single_job_has_everything() -> None:
    hall = Hall(TurnLimits(8))
    (alone,) = many(hall, 1)
    hall.run(60)

    assert alone.seat_seconds == pytest.approx(480, rel=0.01)
    assert not hall.told, "it never waited for others"


# --- limits -----------------------------------------------------------------------------------------------------------


def test_no_job_has_more_seats_than_one_job_may() -> None:
    hall = Hall(TurnLimits(10, per_job=3))
    greedy, other = many(hall, 2)
    hall.run(60)

    assert (greedy.open, other.open) == (3, 3)
    assert hall.seats.waits("job 0") == "has 3 sessions open, as many as one job may"


def test_the_cap_of_a_single_job_goes_before() -> None:
    hall = Hall(TurnLimits(10, per_job=5))
    capped = hall.job("capped", most=2)
    hall.run(10)

    assert capped.open == 2


def test_a_seat_is_kept_for_jobs_that_have_none_when_sessions_are_long() -> None:
    hall = Hall(TurnLimits(10, reserved=1))
    long = hall.job("long", seconds=1800, light=False)
    short = hall.job("short", seconds=5, at=60, light=False)
    hall.run(120)

    assert long.open == 9
    assert short.begun[0] == pytest.approx(60, abs=0.1)
    assert "the last seat is kept" in hall.seats.waits("long")


def test_no_seat_is_kept_free_of_short_sessions() -> None:
    hall = Hall(TurnLimits(10, reserved=1))
    hall.job("short", seconds=5, light=False)
    hall.run(30)

    assert hall.most_open == 10


def test_fewer_seats_from_now_on_end_no_session() -> None:
    hall = Hall(TurnLimits(10))
    many(hall, 2, seconds=30)
    hall.run(10)
    hall.seats.configure(TurnLimits(4))
    hall.run(20)
    still = sum(guest.open for guest in hall.guests)
    hall.run(61)

    assert still == 10
    assert sum(guest.open for guest in hall.guests) == 4


def test_more_seats_from_now_on_are_taken_at_once() -> None:
    hall = Hall(TurnLimits(2))
    many(hall, 2, seconds=60)
    hall.run(10)
    hall.seats.configure(TurnLimits(8))
    hall.run(11)

    assert sorted(guest.open for guest in hall.guests) == [3, 5], "the second had nothing when there were only two"


# --- who goes away, or is stuck ---------------------------------------------------------------------------------------


def test_the_seats_of_a_run_that_is_over_are_free_whatever_became_of_its_sessions() -> None:
    hall = Hall(TurnLimits(4))
    gone, other = many(hall, 2, seconds=3600)
    hall.run(10)
    hall.leave(gone)
    hall.run(11)

    assert other.open == 4


def test_a_job_that_is_stuck_holds_up_nobody() -> None:
    hall = Hall(TurnLimits(2))
    stuck = hall.job("stuck", seconds=1)
    other = hall.job("other", seconds=1)
    hall.run(10)
    stuck.turn_seconds = 10**9
    for second in range(10, 70):
        hall.at(second, hall.seats.tick)
    hall.run(60)
    before = other.seat_seconds
    hall.run(70)

    assert other.seat_seconds - before > 9, "the stuck job's sessions count as open, the other seat is in use"


def test_a_job_that_goes_on_after_the_death_of_its_host_counts_what_it_finds_open() -> None:
    hall = Hall(TurnLimits(4))
    found = hall.job("found", left=0)
    found.open = 3
    other = hall.job("other", seconds=60)
    hall.run(10)

    assert other.open == 1


# --- what the machine allows ------------------------------------------------------------------------------------------


def test_sessions_are_spaced_when_the_machine_is_pressed() -> None:
    hall = Hall(TurnLimits(10))
    hall.seats.restrain(Restraint(spacing_seconds=5, why="80 % of its memory is in use"))
    first = hall.job("first", seconds=600, light=False)
    second = hall.job("second", seconds=600, light=False)
    hall.run(19)

    begun = sorted([*first.begun, *second.begun])
    assert [round(at) for at in begun] == [0, 5, 10, 15]
    assert (first.open, second.open) == (2, 2)
    assert hall.seats.waits("first") == "waits for the machine: 80 % of its memory is in use"


def test_sessions_without_a_process_do_not_wait_for_memory() -> None:
    hall = Hall(TurnLimits(10, reserved=0))
    hall.seats.restrain(Restraint(processes=2, spacing_seconds=60))
    heavy = hall.job("heavy", seconds=600, light=False)
    light = hall.job("light", seconds=5)
    hall.run(130)

    assert (heavy.open, light.open) == (2, 8)


def test_a_full_machine_still_carries_one_session() -> None:
    hall = Hall(TurnLimits(10))
    hall.seats.restrain(Restraint(is_full=True, processes=1))
    first, second = many(hall, 2, seconds=2)
    hall.run(60)

    assert hall.most_open == 1
    assert first.seat_seconds == pytest.approx(second.seat_seconds, abs=4)


def test_a_session_that_is_open_is_not_ended_when_the_machine_becomes_full() -> None:
    hall = Hall(TurnLimits(10))
    (job,) = many(hall, 1, seconds=100)
    hall.run(10)
    hall.seats.restrain(Restraint(is_full=True))
    hall.run(50)

    assert job.open == 10


def test_what_had_to_wait_begins_when_the_machine_has_room_again() -> None:
    hall = Hall(TurnLimits(10))
    hall.seats.restrain(Restraint(is_full=True))
    job = hall.job("job", seconds=1000)
    hall.run(10)
    hall.at(20, lambda: hall.seats.restrain(Restraint()))
    hall.run(21)

    assert job.open == 10
    assert hall.told[0].job == "job"
    assert hall.told[0].waited_seconds == pytest.approx(20, abs=0.1)


def test_only_the_job_whose_disk_is_full_waits() -> None:
    hall = Hall(TurnLimits(4))
    hall.seats.restrain(Restraint(held={"full": "12 MB are free, 200 MB must be"}))
    full, other = hall.job("full"), hall.job("other")
    hall.run(10)

    assert (full.open, other.open) == (0, 4)
    assert hall.seats.waits("full") == "waits for room on its disk: 12 MB are free, 200 MB must be"


# --- figures ----------------------------------------------------------------------------------------------------------


def test_a_job_that_waits_says_for_what() -> None:
    hall = Hall(TurnLimits(3))
    hall.job("first", seconds=100)
    hall.job("second", seconds=100, at=1)
    hall.run(10)

    assert hall.seats.waits("second") == "waits for its turn: 3 of 3 sessions open by other jobs"
    assert hall.seats.waits("nobody") == ""


def test_the_numbers_say_who_has_what_and_is_due_how_much() -> None:
    hall = Hall(TurnLimits(9, per_job=8))
    hall.job("first", priority=50)
    hall.job("second")
    hall.run(60)
    numbers = hall.seats.numbers()

    assert (numbers["sessions"], numbers["most_sessions"], numbers["most_per_job"]) == (9, 9, 8)
    assert [(job["job"], job["due"]) for job in numbers["jobs"]] == [("first", 6.0), ("second", 3.0)]
    assert sum(job["seat_seconds"] for job in numbers["jobs"]) == pytest.approx(540, rel=0.01)


def test_those_who_take_no_turns_are_never_refused() -> None:
    free: Turns = FreeTurns()
    free.begin(lambda: None)

    assert free.may_start(10**6, 1)


# --- whatever happens -------------------------------------------------------------------------------------------------

jobs = st.lists(
    st.tuples(
        st.floats(0.05, 20),  # seconds of a session
        st.integers(1, 30),  # batches
        st.integers(1, 12),  # at once
        st.floats(0, 30),  # begins at
        st.sampled_from([1, 50, 100, 300, 1000]),
        st.booleans(),  # light
        st.sampled_from([0.001, 0.1, 1.0]),  # how slow its driver is
    ),
    min_size=1,
    max_size=8,
)
limits = st.builds(
    TurnLimits, sessions=st.integers(1, 12), per_job=st.one_of(st.none(), st.integers(1, 6)), reserved=st.integers(0, 3)
)
restraints = st.builds(
    Restraint,
    spacing_seconds=st.sampled_from([0.0, 0.5, 5.0]),
    light_spacing_seconds=st.sampled_from([0.0, 1.0]),
    processes=st.one_of(st.none(), st.integers(0, 4)),
    is_full=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(jobs, limits, st.lists(st.tuples(st.floats(0, 100), restraints), max_size=5))
def test_every_batch_has_its_turn_and_no_limit_is_broken(
    wanted: list[tuple[float, int, int, float, int, bool, float]],
    seats: TurnLimits,
    changes: list[tuple[float, Restraint]],
) -> None:
    hall = Hall(seats)
    for number, (seconds, left, at_once, at, priority, light, slow) in enumerate(wanted):
        hall.job(
            f"job {number}",
            seconds=seconds,
            left=left,
            at_once=at_once,
            at=at,
            priority=priority,
            light=light,
            turn_seconds=slow,
        )
    for when, restraint in changes:
        hall.at(when, lambda restraint=restraint: hall.seats.restrain(restraint))  # type: ignore[misc]
    for second in range(0, 4_000, 5):
        hall.at(second, hall.seats.tick)
    hall.run(4_000)

    assert hall.most_open <= seats.sessions
    assert [guest.left for guest in hall.guests] == [0] * len(wanted), "somebody was forgotten"
    assert hall.seats.taken == 0
    assert all(guest.turns.granted == len(guest.begun) for guest in hall.guests)


@settings(max_examples=60, deadline=None)
@given(jobs, st.integers(1, 12))
def test_no_seat_stays_empty_while_somebody_wants_it(
    wanted: list[tuple[float, int, int, float, int, bool, float]], seats: int
) -> None:
    """The bound of list scheduling: all the work on all the seats, and the longest job after that."""
    hall = Hall(TurnLimits(seats, reserved=0))
    for number, (seconds, left, at_once, _, priority, _, _) in enumerate(wanted):
        hall.job(f"job {number}", seconds=seconds, left=left, at_once=at_once, priority=priority)
    work = sum(seconds * left for seconds, left, *_ in wanted)
    alone = max(seconds * -(-left // at_once) for seconds, left, at_once, *_ in wanted)
    turns = 0.01 * sum(left for _, left, *_ in wanted)
    hall.run(work / seats + alone + turns)

    assert [guest.left for guest in hall.guests] == [0] * len(wanted)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.2, 2.0), st.sampled_from([50, 100, 200])), min_size=2, max_size=8),
    st.integers(1, 16),
)
def test_shares_are_what_is_due_over_two_minutes(wanted: list[tuple[float, int]], seats: int) -> None:
    hall = Hall(TurnLimits(seats, reserved=0))
    guests = [hall.job(f"job {n}", seconds=s, priority=p) for n, (s, p) in enumerate(wanted)]
    hall.run(120)
    due = dues([(10**6, 100 / priority) for _, priority in wanted], seats)

    for guest, share in zip(guests, due, strict=True):
        assert guest.seat_seconds == pytest.approx(share * 120, rel=0.2, abs=2 * guest.seconds + 6)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 10)), min_size=1, max_size=12), st.integers(1, 64))
def test_dues_are_no_more_than_is_wanted_and_leave_nothing_that_is(
    wanted: list[tuple[float, float]], seats: int
) -> None:
    found = dues(wanted, seats)

    assert all(0 <= due <= most + 1e-9 for due, (most, _) in zip(found, wanted, strict=True))
    assert sum(found) == pytest.approx(min(seats, sum(most for most, _ in wanted)))
    level = max(due / weight for due, (_, weight) in zip(found, wanted, strict=True))
    content = [due >= most - 1e-6 for due, (most, _) in zip(found, wanted, strict=True)]
    for due, (_, weight), has_all in zip(found, wanted, content, strict=True):
        assert has_all or due / weight == pytest.approx(level)
