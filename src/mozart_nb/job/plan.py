"""How a job is cut into batches, and which batch waits for which.

A plan of 100,000 batches costs what one of ten does: everything is worked out from `PlanShape` when asked, and each
question is answered in O(1), or O(log stages) when there is a fan-out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeVar, overload

from mozart_nb.errors import ConfigError, Problem
from mozart_nb.events import PlanShape
from mozart_nb.job.batch import count_batches
from mozart_nb.job.model import JobConfig

T = TypeVar("T")
D = TypeVar("D")
Match = Literal["all", "instance"]


@dataclass(frozen=True, slots=True)
class Edge:
    """Batches at the other end of a dependency: `first..last` of `stage`.

    `match` says which they are: `all` instances of the stage, or the one `instance` with the same number.
    """

    stage: int
    match: Match
    first: int
    last: int

    @property
    def batches(self) -> range:
        return range(self.first, self.last + 1)


class Plan:
    """Answers questions about a `PlanShape`. Immutable; batches, stages, instances and items count from 1.

    Without a fan-out every batch is its own stage, with one instance. A batch or stage that does not exist is an
    `IndexError`.
    """

    __slots__ = ("_dependents", "_firsts", "shape")

    def __init__(self, shape: PlanShape) -> None:
        self.shape = shape
        self._firsts = tuple(accumulate(shape.stages, initial=1))[:-1] if shape.stages else ()
        dependents: defaultdict[int, list[int]] = defaultdict(list)
        for stage, needs in sorted(shape.dependencies.items()):
            for need in needs:
                dependents[need].append(stage)
        self._dependents = dict(dependents)

    def __repr__(self) -> str:
        return f"Plan({self.shape!r})"

    @property
    def count(self) -> int:
        """How many batches there are."""
        return self.shape.total

    @property
    def has_fan_out(self) -> bool:
        """Whether batches and stages are numbered differently, so that maps are keyed by stage."""
        return bool(self.shape.stages)

    @property
    def total_stages(self) -> int:
        return len(self.shape.stages) or self.shape.total

    def items_of(self, n: int) -> tuple[int, int]:
        """First and last item of batch `n`, both included. With a fan-out every batch counts as one item."""
        self._check_batch(n)
        start = self.shape.start_item + (n - 1) * self.shape.size
        return start, min(start + self.shape.size - 1, self.shape.total_items)

    def rows_of(self, n: int) -> tuple[int, int]:
        """First and last row of `items` for batch `n`; with a fan-out all instances share the row of their stage."""
        if self.has_fan_out:
            stage = self.stage_of(n)
            return stage, stage
        return self.items_of(n)

    def stage_of(self, n: int) -> int:
        self._check_batch(n)
        return bisect_right(self._firsts, n) if self._firsts else n

    def instance_of(self, n: int) -> int:
        """Which copy of its stage batch `n` is."""
        return n - self.first_batch(self.stage_of(n)) + 1

    def fan_count(self, n: int) -> int:
        """How many copies the stage of batch `n` has."""
        return self._width(self.stage_of(n))

    def first_batch(self, stage: int) -> int:
        self._check_stage(stage)
        return self._firsts[stage - 1] if self._firsts else stage

    def batches_of(self, stage: int) -> range:
        first = self.first_batch(stage)
        return range(first, first + self._width(stage))

    def upstream(self, n: int) -> tuple[Edge, ...]:
        """What batch `n` waits for, by stage."""
        return self._edges(n, self.shape.dependencies.get(self.stage_of(n), ()))

    def downstream(self, n: int) -> tuple[Edge, ...]:
        """What waits for batch `n`, by stage."""
        return self._edges(n, self._dependents.get(self.stage_of(n), ()))

    def _edges(self, n: int, stages: Iterable[int]) -> tuple[Edge, ...]:
        return tuple(self._edge(n, stage) for stage in stages)

    def _edge(self, n: int, other: int) -> Edge:
        """The rules are symmetric: stages of one width above 1 match by instance, any others all to all."""
        first, width = self.first_batch(other), self._width(other)
        if width > 1 and width == self.fan_count(n):
            twin = first + self.instance_of(n) - 1
            return Edge(other, "instance", twin, twin)
        return Edge(other, "all", first, first + width - 1)

    def _width(self, stage: int) -> int:
        return self.shape.stages[stage - 1] if self.shape.stages else 1

    def _check_batch(self, n: int) -> None:
        if not 1 <= n <= self.shape.total:
            raise IndexError(f"there is no batch {n} (1 to {self.shape.total})")

    def _check_stage(self, stage: int) -> None:
        if not 1 <= stage <= self.total_stages:
            raise IndexError(f"there is no stage {stage} (1 to {self.total_stages})")


# --- from the config --------------------------------------------------------------------------------------------------


def plan_job(config: JobConfig, item_count: int | None = None) -> Plan:
    """The plan of a job. `item_count` is the number of rows of `items`, None when the job has none.

    Raises `ConfigError` when there is nothing to do, or when fan-out or dependencies name what does not exist.
    """
    total_items = _total_items(config, item_count)
    batch = config.batch
    stages = count_batches(total_items, batch.size, batch.start_item)
    if stages < 1:
        raise _invalid(
            "there are no batches",
            "batch.start_item",
            value=str(batch.start_item),
            allowed=f"1 to {total_items}" if total_items else "a job needs at least one item",
        )
    unit = "stage" if batch.fan_out else "batch"
    for key, numbers in (("fan_out", batch.fan_out), ("dependencies", _named(batch.dependencies))):
        _check_known(key, unit, numbers, stages)
    dependencies = {stage: tuple(sorted(set(needs))) for stage, needs in sorted(batch.dependencies.items()) if needs}
    if not batch.fan_out:
        return Plan(PlanShape(stages, batch.size, batch.start_item, total_items, (), dependencies))
    widths = tuple(batch.fan_out.get(stage, 1) for stage in range(1, stages + 1))
    return Plan(PlanShape(sum(widths), 1, 1, sum(widths), widths, dependencies))


def _total_items(config: JobConfig, item_count: int | None) -> int:
    wanted = config.batch.total_items
    if item_count is None:
        if wanted is None:
            raise _invalid("total_items is missing", "batch.total_items", allowed="a number, or a section `items`")
        return wanted
    if wanted is not None and wanted > item_count:
        raise _invalid(
            "total_items is more than there are items",
            "batch.total_items",
            value=str(wanted),
            allowed=f"at most {item_count}, or leave it out",
        )
    return item_count if wanted is None else wanted


def _named(dependencies: Mapping[int, Iterable[int]]) -> Iterator[int]:
    for stage, needs in dependencies.items():
        yield stage
        yield from needs


def _check_known(key: str, unit: str, numbers: Iterable[int], last: int) -> None:
    # The model checks this too, but cannot when the number of items was not known yet.
    for number in numbers:
        if not 1 <= number <= last:
            raise _invalid(f"there is no {unit} {number}", f"batch.{key}", value=str(number), allowed=f"1 to {last}")


def _invalid(message: str, path: str, *, value: str = "", allowed: str = "") -> ConfigError:
    return ConfigError([Problem(message, path=path, value=value, allowed=allowed)])


# --- maps that are keyed by stage -------------------------------------------------------------------------------------


class ByBatch(Mapping[int, T]):
    """A per-batch map of the config seen by batch: with a fan-out its keys are stages. Nothing is copied."""

    __slots__ = ("_given", "_plan")

    def __init__(self, given: Mapping[int, T], plan: Plan) -> None:
        self._given = given
        self._plan = plan

    def __getitem__(self, n: int) -> T:
        try:
            return self._given[self._plan.stage_of(n)]
        except IndexError:
            raise KeyError(n) from None

    @overload
    def get(self, key: int, /) -> T | None: ...
    @overload
    def get(self, key: int, /, default: T | D) -> T | D: ...
    def get(self, key: int, /, default: object = None) -> object:
        # Asked once per batch and map, nearly always in vain: no exception on that path.
        plan = self._plan
        return self._given.get(plan.stage_of(key), default) if 1 <= key <= plan.count else default

    def __iter__(self) -> Iterator[int]:
        for stage in sorted(self._given):
            if 1 <= stage <= self._plan.total_stages:
                yield from self._plan.batches_of(stage)

    def __len__(self) -> int:
        stages = (stage for stage in self._given if 1 <= stage <= self._plan.total_stages)
        return sum(len(self._plan.batches_of(stage)) for stage in stages)


def expand_keyed(mapping: Mapping[int, T], plan: Plan) -> ByBatch[T]:
    """`mapping` as a read-only mapping from batch number to value; keys that name nothing are left out."""
    return ByBatch(mapping, plan)


def expansion_notice(name: str, mapping: Mapping[int, object], plan: Plan) -> str:
    """A sentence for the user: what the keys of `name` stand for and which of them name nothing; "" if all is plain."""
    unit = "stage" if plan.has_fan_out else "batch"
    known = [key for key in sorted(mapping) if 1 <= key <= plan.total_stages]
    stray = [key for key in sorted(mapping) if key not in set(known)]
    said = []
    if any(plan.batches_of(key) != range(key, key + 1) for key in known):
        meanings = ", ".join(f"{key} → {_batches(plan.batches_of(key))}" for key in known[:10])
        more = f" and {len(known) - 10} more" if len(known) > 10 else ""
        said.append(f"keys are stages because there is a fan-out: {meanings}{more}")
    if stray:
        said.append(f"there is no {unit} {spans(stray)} (1 to {plan.total_stages})")
    return f"{name}: {'; '.join(said)}" if said else ""


def spans(numbers: Iterable[int]) -> str:
    """Numbers as people write them: `1-3, 7`."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _batches(numbers: Iterable[int]) -> str:
    kept = list(numbers)
    return f"batch{'es' if len(kept) > 1 else ''} {spans(kept)}"


# --- a new config for a job that has begun ----------------------------------------------------------------------------


def compatible(old: Plan, new: Plan, touched: Iterable[int]) -> list[str]:
    """Why `new` cannot take over from `old`: one sentence per kind of change to batches that were `touched`.

    Empty when it can. Batches without any attempt may change freely, and so may dependencies.
    """
    known = sorted(n for n in set(touched) if 1 <= n <= old.count)
    gone = [n for n in known if n > new.count]
    kept = [n for n in known if n <= new.count]
    moved = [n for n in kept if _place(old, n) != _place(new, n)]
    recut = [n for n in kept if old.items_of(n) != new.items_of(n)]
    messages = [f"{_batches(gone)} would not exist any more: the new config has {new.count}"] if gone else []
    for found, noun, describe in ((moved, "place in the fan-out", _place), (recut, "items", _cut)):
        if found:
            first = found[0]
            example = f"{describe(old, first)} now, {describe(new, first)} in the new config"
            messages.append(f"{_batches(found)} would change {noun} (batch {first}: {example})")
    return messages


def _cut(plan: Plan, n: int) -> str:
    first, last = plan.items_of(n)
    return f"items {first} to {last}" if last > first else f"item {first}"


def _place(plan: Plan, n: int) -> str:
    return f"stage {plan.stage_of(n)}, instance {plan.instance_of(n)} of {plan.fan_count(n)}"
