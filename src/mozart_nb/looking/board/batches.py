"""Pages of a job's batches: what suits a wish, in the order that is wanted, of any number of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Final

from mozart_nb.consumers.rows import BATCH_STATUSES, BatchView, batch_view
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.looking.board.shapes import BatchPage, BatchSort, BatchWish
from mozart_nb.selection import numbers_in, parse_batches

STATUS_LETTERS: Final[Mapping[str, str]] = {
    "pending": "p",
    "running": "r",
    "waiting": "w",
    "completed": "c",
    "failed": "f",
    "blocked": "b",
    "skipped": "s",
    "cancelled": "x",
}
"""Status → the letter that stands for it in a map of all batches."""

_ORDER: Final = {status: place for place, status in enumerate(BATCH_STATUSES)}
_UNTOUCHED: Final = BatchState(0)

_KEYS: Final[Mapping[BatchSort, Callable[[BatchState], Any]]] = {
    "attempts": lambda one: one.attempts,
    "duration": lambda one: one.duration,
    "cost": lambda one: one.cost_usd,
    "tokens": lambda one: one.usage.total,
    "started": lambda one: one.started_at,
    "finished": lambda one: one.finished_at,
    "code": lambda one: one.code,
}


def chosen(state: JobState, wish: BatchWish) -> Sequence[int]:
    """Numbers of all batches that suit `wish`, in its order. Raises `MisuseError`."""
    numbers: Iterable[int] = range(1, state.total + 1)
    if wish.numbers:
        numbers = numbers_in(parse_batches(wish.numbers, state.total))
    if wish.statuses or wish.codes or wish.text:
        numbers = list(_suiting(state, numbers, wish))
    return _sorted(state, numbers if isinstance(numbers, range | list) else list(numbers), wish)


def page(state: JobState, numbers: Sequence[int], wish: BatchWish, version: str) -> BatchPage:
    """The part of `numbers` that is asked for. The records in it are copies."""
    end = wish.offset + wish.limit if wish.limit else None
    views = tuple(_view(state, number) for number in numbers[wish.offset : end])
    counts = {status: count for status in BATCH_STATUSES if (count := state.count(status))}
    return BatchPage(views, len(numbers), state.total, counts, version)


def letters(state: JobState) -> bytes:
    """One of `STATUS_LETTERS` per batch, from batch 1 on."""
    found = bytearray(b"p" * state.total)
    for low, high in state.job.skipped:
        found[low - 1 : high] = b"s" * (high - low + 1)
    codes = {status: ord(letter) for status, letter in STATUS_LETTERS.items()}
    for number, record in state.batches.items():
        found[number - 1] = codes[record.status]
    return bytes(found)


def _view(state: JobState, number: int) -> BatchView:
    view = batch_view(state, number)
    return BatchView(view.number, view.status, copy(view.record), view.first_item, view.last_item)


def _suiting(state: JobState, numbers: Iterable[int], wish: BatchWish) -> Iterator[int]:
    statuses, codes, text = set(wish.statuses), set(wish.codes), wish.text.casefold()
    for number in numbers:
        record = state.batches.get(number, _UNTOUCHED)
        if (
            (not statuses or state.status_of(number) in statuses)
            and (not codes or record.code in codes)
            and (not text or text in f"{record.code} {record.message}\n{record.reason}".casefold())
        ):
            yield number


def _sorted(state: JobState, numbers: Sequence[int], wish: BatchWish) -> Sequence[int]:
    """Batches of which nothing is known come last in either direction."""
    if wish.sort == "batch":
        return numbers[::-1] if wish.descending else numbers
    if wish.sort == "status":
        return sorted(numbers, key=lambda number: _ORDER[state.status_of(number)], reverse=wish.descending)
    key = _KEYS[wish.sort]
    values = [(key(state.batches.get(number, _UNTOUCHED)), number) for number in numbers]
    known = sorted((pair for pair in values if pair[0]), key=lambda pair: pair[0], reverse=wish.descending)
    return [number for _, number in known] + [number for value, number in values if not value]
