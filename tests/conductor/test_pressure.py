"""What the machine can take: levels, and what may begin at each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.hosts.conductor.pressure import LEVELS, MB, MachineLimits, Pressure, Sample, Verdict

GB = 1024 * MB


def used(percent: float, at: float = 0.0, **more: object) -> Sample:
    """A machine of 32 GB with so much of it in use."""
    return Sample(at=at, memory_total=32 * GB, memory_available=int(32 * GB * (1 - percent / 100)), **more)  # type: ignore[arg-type]


class Watched:
    """A machine that is looked at every five seconds."""

    def __init__(self, limits: MachineLimits | None = None) -> None:
        self.pressure = Pressure(limits or MachineLimits())
        self._times: Iterator[int] = count(0, 5)

    def see(self, percent: float = 20.0, times: int = 1, open_processes: int = 0, **more: object) -> Verdict:
        for _ in range(times):
            verdict = self.pressure.judge(used(percent, next(self._times), **more), open_processes)
        return verdict


@pytest.mark.parametrize(
    ("percent", "level"), [(20, "none"), (69, "none"), (72, "low"), (82, "medium"), (90, "high"), (96, "critical")]
)
def test_memory_in_use_is_pressure(percent: float, level: str) -> None:
    verdict = Watched().see(percent, times=2)

    assert verdict.level == level
    assert (f"{percent} % of its memory is in use" in verdict.why) == (level != "none")


def test_every_level_below_the_last_can_be_reached_and_does_more_than_the_one_before() -> None:
    levels = [Watched().see(percent, times=2) for percent in (20, 72, 82, 90, 96)]

    assert [verdict.level for verdict in levels] == list(LEVELS)
    spacings = [verdict.restraint.spacing_seconds for verdict in levels]
    assert spacings == sorted(spacings)
    assert [verdict.restraint.is_full for verdict in levels] == [False] * 4 + [True]


def test_the_highest_level_is_where_the_settings_say() -> None:
    watched = Watched(MachineLimits(memory_percent=50))

    assert watched.see(51, times=2).level == "critical"


def test_one_bad_sample_changes_nothing() -> None:
    watched = Watched()
    watched.see(20)
    watched.see(97)

    assert watched.see(20).level == "none"


def test_a_level_falls_only_after_it_was_clearly_better_for_a_while() -> None:
    watched = Watched()
    watched.see(90, times=2)
    slightly = watched.see(87, times=20)
    clearly = watched.see(50, times=6)
    later = watched.see(50, times=1)

    assert (slightly.level, clearly.level, later.level) == ("high", "high", "none")


def test_figures_that_go_up_and_down_around_a_threshold_make_no_waves() -> None:
    watched = Watched()
    levels = [watched.see(percent).level for percent in [89, 89, *[87, 89] * 20]]

    assert sum(a != b for a, b in pairwise(levels)) == 1


def test_busy_processors_slow_but_never_stop() -> None:
    watched = Watched()

    assert watched.see(20, times=40, cpu_percent=100.0).level == "medium"
    assert watched.see(20, times=20, cpu_percent=0.0).level == "none"


def test_too_many_processes_of_sessions_stop_new_ones() -> None:
    assert Watched(MachineLimits(processes=100)).see(20, times=2, processes=101).level == "critical"


def test_sessions_with_a_process_are_as_many_as_there_is_memory_for() -> None:
    limits = MachineLimits(session_bytes=300 * MB, reserve_bytes=512 * MB)
    sample = Sample(at=0, memory_total=8 * GB, memory_available=512 * MB + 3 * 300 * MB + 10)

    assert Pressure(limits).judge(sample, 0).restraint.processes == 3


def test_a_session_that_has_just_begun_counts_with_what_it_is_going_to_take() -> None:
    limits = MachineLimits(session_bytes=300 * MB, reserve_bytes=0)
    sample = Sample(at=0, memory_total=8 * GB, memory_available=900 * MB, sessions={"a": 100 * MB})

    assert Pressure(limits).judge(sample, 2).restraint.processes == 2 + (900 - 200 - 300) // 300


def test_without_any_memory_left_one_session_may_still_run() -> None:
    sample = Sample(at=0, memory_total=8 * GB, memory_available=0)

    assert Pressure(MachineLimits()).judge(sample, 0).restraint.processes == 1


def test_what_sessions_really_take_counts_once_it_is_known() -> None:
    watched = Watched()
    sizes: Mapping[str, int] = {"a": 500 * MB, "b": 700 * MB, "c": 600 * MB}
    before = watched.see(sessions=sizes)
    after = watched.see(sessions=sizes, times=5)
    gone = watched.see(times=10)

    assert before.session_bytes == 300 * MB
    assert after.session_bytes == gone.session_bytes == 600 * MB


def test_sessions_that_ended_at_once_say_nothing_about_what_sessions_take() -> None:
    watched = Watched()
    for name in "abcdef":
        watched.see(sessions={name: MB})
    assert watched.see().session_bytes == 300 * MB


def test_only_jobs_on_a_disk_that_is_nearly_full_are_held() -> None:
    verdict = Watched().see(free={"full": 12 * MB, "roomy": 5 * GB})

    assert dict(verdict.restraint.held) == {"full": "12 MB are free, 200 MB must be"}


def test_a_machine_whose_figures_cannot_be_read_is_not_taken_for_a_full_one() -> None:
    pressure = Pressure(MachineLimits())
    verdicts = [pressure.judge(Sample(at=at, fault="PermissionError: /proc"), 3) for at in range(20)]

    assert {verdict.level for verdict in verdicts} == {"none"}
    assert {verdict.restraint.processes for verdict in verdicts} == {None}


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.integers(0, 2000), st.integers(0, 20))))
def test_whatever_the_figures_something_may_run(samples: list[tuple[float, float, int, int]]) -> None:
    pressure = Pressure(MachineLimits())
    for number, (percent, cpu, processes, open_processes) in enumerate(samples):
        verdict = pressure.judge(used(percent, number * 5.0, cpu_percent=cpu, processes=processes), open_processes)
        assert verdict.restraint.processes is None or verdict.restraint.processes >= 1
        assert verdict.restraint.spacing_seconds <= 30
