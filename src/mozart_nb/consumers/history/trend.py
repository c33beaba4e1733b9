"""How the runs of a job compare: what has changed from the first to the last of them. Imports no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.words import dollars, percent, roughly


@dataclass(frozen=True, slots=True)
class Change:
    """One measure, in the first run that has it and in the last, as people read it."""

    what: str
    first: str
    last: str


def worked(runs: Sequence[RunRow]) -> list[RunRow]:
    """The runs whose sessions settled at least one batch, the first one first: no other says anything about a trend.

    `recover` settles batches without any session, which says nothing about what the job costs and how well it does.
    """
    found = [run for run in runs if (run.tally.completed or run.tally.failed) and _has_asked(run)]
    return sorted(found, key=lambda run: (run.tally.started_at, run.tally.number))


def _has_asked(run: RunRow) -> bool:
    return bool(run.tally.attempts or run.tally.session_seconds)


def changes(runs: Sequence[RunRow]) -> Iterator[Change]:
    """What has changed from the first to the last run that settled a batch; nothing with fewer than two of them."""
    found = worked(runs)
    if len(found) < 2:
        return
    first, last = found[0], found[-1]
    for what, shown in _MEASURES.items():
        before, after = shown(first), shown(last)
        if before and after and before != after:
            yield Change(what, before, after)


def per_batch(run: RunRow, amount: float) -> float:
    """`amount` for each batch that the run settled."""
    return amount / max(1, run.tally.completed + run.tally.failed)


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)


_MEASURES: dict[str, Callable[[RunRow], str]] = {
    "success": lambda run: _percent(run.success_rate),
    "first try": lambda run: _percent(run.first_try_rate),
    "cost per batch": lambda run: dollars(per_batch(run, run.tally.cost_usd)),
    "session time per batch": lambda run: roughly(per_batch(run, run.tally.session_seconds)),
    "retries": lambda run: f"{run.tally.retries:,}",
}
