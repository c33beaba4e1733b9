"""How the work is cut into batches, and what the maps between batches may not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import Field, model_validator

from mozart_nb.job.section import Fault, PositiveCount, Real, Section, refuse


class SkipCommand(Section):
    """A command that decides whether a batch is skipped."""

    command: str = Field(description="Shell command, run in the workspace; exit code 0 skips the batch.")
    description: str | None = Field(None, description="What it looks for.")
    timeout_seconds: Real = Field(
        10.0, gt=0, le=60, description="Seconds it may take; the batch runs when it takes longer."
    )


class BatchConfig(Section):
    """How the work is cut into batches. Batch n covers `size` items; the last one may have fewer."""

    size: PositiveCount = Field(1, description="Items per batch. May be left out only when `items` is given.")
    total_items: PositiveCount | None = Field(
        None,
        description="Number of the last item. May be left out only when `items` is given; "
        "beside `items` it says how many of the rows are used.",
    )
    start_item: PositiveCount = Field(1, description="Number of the first item.")
    descriptions: dict[int, str] = Field(default_factory=dict, description="What a batch is about: number to text.")
    dependencies: dict[int, tuple[int, ...]] = Field(
        default_factory=dict,
        description="Which batches must be done first: number to list of numbers. With `fan_out` "
        "these are numbers of stages.",
    )
    fan_out: dict[int, PositiveCount] = Field(
        default_factory=dict,
        description="Run a stage several times at once: stage to count. Needs `size: 1` and `start_item: 1`; every "
        "item is then a stage.",
    )
    skip_when: dict[int, str] = Field(
        default_factory=dict, description="Skip a batch when an expression is true: number to expression."
    )
    skip_when_command: dict[int, SkipCommand] = Field(
        default_factory=dict, description="Skip a batch when a command succeeds: number to command."
    )
    prompt_extensions: dict[int, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Text added to the prompt of a batch: number to list of texts or .md/.txt files.",
    )

    @property
    def count(self) -> int:
        """Batches, or stages when there is a fan-out; 0 while `total_items` is not known."""
        return 0 if self.total_items is None else count_batches(self.total_items, self.size, self.start_item)

    @model_validator(mode="after")
    def _maps_fit(self) -> Self:
        refuse([*_amount(self), *_fan_out(self), *_dependencies(self)])
        return self


def count_batches(total_items: int, size: int, start_item: int = 1) -> int:
    """How many batches cover items `start_item` to `total_items`, `size` at a time."""
    return max(0, -(-(total_items - start_item + 1) // size))


def find_cycle(edges: Mapping[int, Iterable[int]]) -> list[int]:
    """One cycle of the graph, its first node repeated at the end; empty when there is none.

    Works without recursion: chains of dependencies can be as long as the job.
    """
    finished: set[int] = set()
    for root in edges:
        trail: dict[int, Iterable[int]] = {}
        current: int | None = root if root not in finished else None
        while current is not None:
            pending = trail.setdefault(current, iter(edges.get(current, ())))
            following = next((node for node in pending if node not in finished), None)
            if following in trail:
                nodes = list(trail)
                return [*nodes[nodes.index(following) :], following]
            if following is None:
                finished.add(current)
                del trail[current]
                current = next(reversed(trail), None)
            else:
                current = following
    return []


def _amount(batch: BatchConfig) -> list[Fault]:
    if batch.total_items is None or batch.count > 0:
        return []
    message = f"there are no batches: the first item ({batch.start_item}) comes after the last ({batch.total_items})"
    at = "start_item" if "start_item" in batch.model_fields_set else "total_items"
    return [Fault((at,), message, str(getattr(batch, at)), f"1 to {batch.total_items}")]


def _fan_out(batch: BatchConfig) -> list[Fault]:
    if not batch.fan_out:
        return []
    faults = [
        Fault((key,), f"`fan_out` needs `{key}: 1`", str(getattr(batch, key)), "1")
        for key in ("size", "start_item")
        if getattr(batch, key) != 1
    ]
    return faults + [_no_such("fan_out", stage, batch) for stage in batch.fan_out if not _is_known(stage, batch)]


def _dependencies(batch: BatchConfig) -> list[Fault]:
    faults = []
    for number, needed in batch.dependencies.items():
        if not _is_known(number, batch):
            faults.append(_no_such("dependencies", number, batch))
        for index, other in enumerate(needed):
            if other == number:
                message = f"batch {number} cannot depend on itself"
                faults.append(Fault(("dependencies", number, index), message, str(other)))
            elif not _is_known(other, batch):
                faults.append(_no_such("dependencies", other, batch, number, index))
    return faults or _cycles(batch)


def _cycles(batch: BatchConfig) -> list[Fault]:
    cycle = find_cycle(batch.dependencies)
    if not cycle:
        return []
    text = " → ".join(str(number) for number in cycle)
    return [Fault(("dependencies", cycle[0]), f"these batches wait for each other: {text}")]


def _is_known(number: int, batch: BatchConfig) -> bool:
    return number >= 1 and (batch.count == 0 or number <= batch.count)


def _no_such(key: str, number: int, batch: BatchConfig, *below: int) -> Fault:
    word = "stage" if batch.fan_out else "batch"
    at: tuple[str | int, ...] = (key, *below) if below else (key, number)
    allowed = f"1 to {batch.count}" if batch.count else "numbers from 1"
    return Fault(at, f"there is no {word} {number}", str(number), allowed)
