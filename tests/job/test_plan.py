"""Cutting a job into batches, and who waits for whom."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import ConfigError
from mozart_nb.events import PlanShape
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import Plan, compatible, expand_keyed, expansion_notice, plan_job, spans


def job(**batch: Any) -> JobConfig:
    config: dict[str, Any] = {"name": "sample", "batch": batch, "prompt": {"template": "go"}}
    if "total_items" not in batch:
        config["items"] = {"glob": "*"}
    return JobConfig.model_validate(config)


def plan(**batch: Any) -> Plan:
    return plan_job(job(**batch))


# --- items ------------------------------------------------------------------------------------------------------------


def test_552_items_by_ten_make_56_batches_with_a_short_last_one() -> None:
    commits = plan(size=10, total_items=552)
    assert commits.count == 56
    assert commits.items_of(1) == (1, 10)
    assert commits.items_of(56) == (551, 552)


def test_a_later_start_item_shifts_every_batch() -> None:
    tail = plan(size=10, total_items=30, start_item=15)
    assert [tail.items_of(n) for n in (1, 2)] == [(15, 24), (25, 30)]
    assert tail.count == 2


@given(size=st.integers(1, 50), total_items=st.integers(1, 300), start=st.integers(1, 300))
def test_every_item_is_in_exactly_one_batch_in_order(size: int, total_items: int, start: int) -> None:
    if start > total_items:
        with pytest.raises(ValueError, match="no batches"):
            plan(size=size, total_items=total_items, start_item=start)
        return
    cut = plan(size=size, total_items=total_items, start_item=start)
    ranges = [cut.items_of(n) for n in range(1, cut.count + 1)]
    covered = [item for first, last in ranges for item in range(first, last + 1)]
    assert covered == list(range(start, total_items + 1))
    assert all(last - first + 1 == size for first, last in ranges[:-1])


def test_the_number_of_rows_gives_total_items_when_the_file_does_not() -> None:
    assert plan_job(job(size=10), item_count=25).shape == PlanShape(3, 10, 1, 25)


def test_total_items_takes_the_first_rows_only() -> None:
    assert plan_job(job(size=10, total_items=15), item_count=25).items_of(2) == (11, 15)


def test_more_total_items_than_rows_is_an_error_that_names_both() -> None:
    with pytest.raises(ConfigError, match=r"more than there are items \(got 30\); allowed: at most 25"):
        plan_job(job(size=10, total_items=30), item_count=25)


def test_neither_total_items_nor_rows_is_an_error() -> None:
    with pytest.raises(ConfigError, match="total_items is missing") as caught:
        plan_job(job(size=10))
    assert caught.value.problems[0].path == "batch.total_items"


@pytest.mark.parametrize(("rows", "start"), [(0, 1), (5, 6)])
def test_zero_batches_is_an_error(rows: int, start: int) -> None:
    with pytest.raises(ConfigError, match="there are no batches"):
        plan_job(job(size=2, start_item=start), item_count=rows)


@pytest.mark.parametrize("n", [0, -1, 57])
def test_a_batch_that_does_not_exist_is_an_index_error(n: int) -> None:
    commits = plan(size=10, total_items=552)
    with pytest.raises(IndexError, match="1 to 56"):
        commits.items_of(n)
    with pytest.raises(IndexError):
        commits.stage_of(n)


def test_a_plan_survives_the_journal() -> None:
    shape = plan(size=1, total_items=3, fan_out={2: 3}, dependencies={2: [1], 3: [2]}).shape
    assert msgspec.json.decode(msgspec.json.encode(shape), type=PlanShape) == shape


# --- fan-out ----------------------------------------------------------------------------------------------------------


def test_fan_out_numbers_batches_stage_by_stage() -> None:
    research = plan(size=1, total_items=3, fan_out={2: 3})
    assert research.count == 5
    assert research.total_stages == 3
    assert [research.stage_of(n) for n in range(1, 6)] == [1, 2, 2, 2, 3]
    assert [research.instance_of(n) for n in range(1, 6)] == [1, 1, 2, 3, 1]
    assert [research.fan_count(n) for n in range(1, 6)] == [1, 3, 3, 3, 1]
    assert [list(research.batches_of(stage)) for stage in (1, 2, 3)] == [[1], [2, 3, 4], [5]]
    assert [research.first_batch(stage) for stage in (1, 2, 3)] == [1, 2, 5]


def test_with_a_fan_out_every_batch_counts_as_one_item_and_instances_share_a_row() -> None:
    research = plan_job(job(size=1, fan_out={2: 3}), item_count=3)
    assert [research.items_of(n) for n in (1, 4, 5)] == [(1, 1), (4, 4), (5, 5)]
    assert [research.rows_of(n) for n in range(1, 6)] == [(1, 1), (2, 2), (2, 2), (2, 2), (3, 3)]


def test_without_a_fan_out_each_batch_is_its_own_stage() -> None:
    flat = plan(size=10, total_items=100)
    assert (flat.stage_of(7), flat.instance_of(7), flat.fan_count(7), flat.total_stages) == (7, 1, 1, 10)
    assert flat.rows_of(7) == flat.items_of(7) == (61, 70)
    with pytest.raises(IndexError, match="no stage 11"):
        flat.first_batch(11)


def test_a_fan_out_of_a_stage_beyond_the_rows_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"there is no stage 4 \(got 4\); allowed: 1 to 3"):
        plan_job(job(size=1, fan_out={4: 2}), item_count=3)


def test_a_dependency_beyond_the_rows_is_an_error() -> None:
    with pytest.raises(ConfigError, match="there is no batch 9"):
        plan_job(job(size=10, dependencies={2: [9]}), item_count=30)


# --- dependencies -----------------------------------------------------------------------------------------------------


def waits(of: Plan, n: int) -> list[tuple[int, str, list[int]]]:
    return [(edge.stage, edge.match, list(edge.batches)) for edge in of.upstream(n)]


def test_one_to_one_and_one_to_many_wait_for_the_single_batch() -> None:
    fan = plan(size=1, total_items=3, fan_out={3: 2}, dependencies={2: [1], 3: [2]})
    assert waits(fan, 2) == [(1, "all", [1])]
    assert waits(fan, 3) == waits(fan, 4) == [(2, "all", [2])]


def test_many_to_one_waits_for_all() -> None:
    join = plan(size=1, total_items=2, fan_out={1: 3}, dependencies={2: [1]})
    assert waits(join, 4) == [(1, "all", [1, 2, 3])]


def test_equal_widths_match_instance_to_instance() -> None:
    lanes = plan(size=1, total_items=2, fan_out={1: 3, 2: 3}, dependencies={2: [1]})
    assert [waits(lanes, n) for n in (4, 5, 6)] == [[(1, "instance", [k])] for k in (1, 2, 3)]


def test_different_widths_match_all_to_all() -> None:
    mixed = plan(size=1, total_items=2, fan_out={1: 2, 2: 3}, dependencies={2: [1]})
    assert all(waits(mixed, n) == [(1, "all", [1, 2])] for n in (3, 4, 5))


def test_a_dependency_named_twice_is_one() -> None:
    assert plan(size=1, total_items=3, dependencies={3: [2, 1, 2]}).shape.dependencies == {3: (1, 2)}


def brute_force(widths: list[int], dependencies: dict[int, list[int]]) -> set[tuple[int, int]]:
    """Pairs (waiting batch, batch waited for), by the rules as they are written down."""
    numbers: dict[int, list[int]] = {}
    for stage, width in enumerate(widths, start=1):
        taken = sum(widths[: stage - 1])
        numbers[stage] = list(range(taken + 1, taken + width + 1))
    pairs: set[tuple[int, int]] = set()
    for stage, needs in dependencies.items():
        for need in needs:
            sources, targets = numbers[need], numbers[stage]
            if len(sources) == len(targets) > 1:
                pairs |= set(zip(targets, sources, strict=True))
            else:
                pairs |= {(target, source) for target in targets for source in sources}
    return pairs


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], dict[int, list[int]]]:
    widths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=7))
    stages = len(widths)
    edges = {
        stage: draw(st.lists(st.integers(1, stage - 1), unique=True, max_size=3)) for stage in range(2, stages + 1)
    }
    return widths, {stage: needs for stage, needs in edges.items() if needs}


@given(graphs())
def test_edges_agree_with_a_brute_force_expansion_in_both_directions(graph: tuple[list[int], Any]) -> None:
    widths, dependencies = graph
    fan_out = {stage: width for stage, width in enumerate(widths, start=1) if width > 1}
    fan = plan(size=1, total_items=len(widths), fan_out=fan_out, dependencies=dependencies)
    expected = brute_force(widths, dependencies)
    batches = range(1, fan.count + 1)
    assert {(n, source) for n in batches for edge in fan.upstream(n) for source in edge.batches} == expected
    assert {(target, n) for n in batches for edge in fan.downstream(n) for target in edge.batches} == expected


def test_a_plan_of_a_hundred_million_batches_is_as_cheap_as_one_of_ten() -> None:
    began = time.perf_counter()
    huge = plan(size=10, total_items=10**9)
    assert huge.items_of(10**8) == (10**9 - 9, 10**9)
    assert huge.upstream(10**8) == ()
    assert expand_keyed({5: "x"}, huge).get(10**8) is None
    assert compatible(huge, plan(size=10, total_items=2 * 10**9), [1, 10**8]) == []
    assert time.perf_counter() - began < 1


def test_wide_stages_are_never_multiplied_out() -> None:
    wide = plan(size=1, total_items=2, fan_out={1: 50_000, 2: 40_000}, dependencies={2: [1]})
    (edge,) = wide.upstream(90_000)
    assert edge.batches == range(1, 50_001)


# --- maps keyed by stage ----------------------------------------------------------------------------------------------


def test_a_map_keyed_by_stage_reaches_every_instance() -> None:
    research = plan(size=1, total_items=3, fan_out={2: 3})
    timeouts = expand_keyed({2: 60.0, 3: 90.0}, research)
    assert dict(timeouts) == {2: 60.0, 3: 60.0, 4: 60.0, 5: 90.0}
    assert len(timeouts) == 4
    assert timeouts.get(1) is None
    assert timeouts.get(1, 0.0) == 0.0
    with pytest.raises(KeyError):
        timeouts[1]


def test_keys_and_batches_that_do_not_exist_are_left_out() -> None:
    research = plan(size=1, total_items=3, fan_out={2: 3})
    stray = expand_keyed({4: "x", 0: "y"}, research)
    assert dict(stray) == {}
    assert len(stray) == 0
    assert stray.get(99) is None
    with pytest.raises(KeyError):
        stray[99]


def test_without_a_fan_out_a_map_stays_as_it_is() -> None:
    flat = plan(size=10, total_items=100)
    assert dict(expand_keyed({2: "a", 7: "b"}, flat)) == {2: "a", 7: "b"}
    assert expansion_notice("descriptions", {2: "a"}, flat) == ""


def test_the_notice_says_what_the_keys_stand_for() -> None:
    research = plan(size=1, total_items=3, fan_out={2: 3})
    assert expansion_notice("skip_when", {2: "x", 3: "y"}, research) == (
        "skip_when: keys are stages because there is a fan-out: 2 → batches 2-4, 3 → batch 5"
    )
    assert expansion_notice("skip_when", {1: "x"}, research) == ""


def test_the_notice_names_keys_that_stand_for_nothing() -> None:
    research = plan(size=1, total_items=3, fan_out={2: 3})
    assert (
        expansion_notice("timeout_overrides", {5: 1.0}, research) == "timeout_overrides: there is no stage 5 (1 to 3)"
    )
    flat = plan(size=10, total_items=30)
    assert expansion_notice("descriptions", {4: "a", 5: "b"}, flat) == "descriptions: there is no batch 4-5 (1 to 3)"


def test_the_notice_stays_short_for_many_stages() -> None:
    many = plan(size=1, total_items=40, fan_out=dict.fromkeys(range(1, 41), 2))
    notice = expansion_notice("descriptions", dict.fromkeys(range(1, 41), "x"), many)
    assert notice.endswith("10 → batches 19-20 and 30 more")


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([3, 1, 2, 7, 7], "1-3, 7"), ([1, 2, 4, 5], "1-2, 4-5")]
)
def test_spans_reads_as_people_write_numbers(numbers: list[int], text: str) -> None:
    assert spans(numbers) == text


# --- a new config for a job that has begun ----------------------------------------------------------------------------


def test_more_items_are_compatible_while_the_short_last_batch_is_untouched() -> None:
    old, new = plan(size=10, total_items=95), plan(size=10, total_items=120)
    assert compatible(old, new, range(1, 10)) == []
    assert compatible(old, new, [10]) == [
        "batch 10 would change items (batch 10: items 91 to 95 now, items 91 to 100 in the new config)"
    ]


def test_another_size_changes_every_batch_that_was_touched_and_no_other() -> None:
    old, new = plan(size=10, total_items=100), plan(size=20, total_items=100)
    assert compatible(old, new, set()) == []
    (message,) = compatible(old, new, {1, 2, 3})
    assert message == "batches 1-3 would change items (batch 1: items 1 to 10 now, items 1 to 20 in the new config)"


def test_a_touched_batch_that_would_vanish_is_named() -> None:
    old, new = plan(size=10, total_items=100), plan(size=10, total_items=50)
    assert compatible(old, new, {1, 7, 8, 10}) == [
        "batches 7-8, 10 would not exist any more: the new config has 5",
    ]


def test_another_fan_out_moves_batches() -> None:
    old = plan(size=1, total_items=3, fan_out={2: 3})
    new = plan(size=1, total_items=3, fan_out={2: 4})
    assert compatible(old, new, {1, 2}) == [
        "batch 2 would change place in the fan-out (batch 2: stage 2, instance 1 of 3 now, "
        "stage 2, instance 1 of 4 in the new config)"
    ]


def test_other_dependencies_are_compatible() -> None:
    old = plan(size=1, total_items=3)
    assert compatible(old, plan(size=1, total_items=3, dependencies={2: [1]}), {1, 2, 3}) == []


@given(old=st.tuples(st.integers(1, 9), st.integers(1, 40)), new=st.tuples(st.integers(1, 9), st.integers(1, 40)))
def test_compatible_means_every_touched_batch_covers_the_same_items(old: Any, new: Any) -> None:
    before, after = (plan(size=size, total_items=total) for size, total in (old, new))
    touched = range(1, before.count + 1)
    same = all(n <= after.count and before.items_of(n) == after.items_of(n) for n in touched)
    assert (compatible(before, after, touched) == []) is same
