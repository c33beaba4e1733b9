"""A window into the table of batches: at most fifty rows, so that its size does not grow with the job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.jupyter.looks.text import duration, escaped_line
from mozart_nb.jupyter.looks.theme import framed, mark
from mozart_nb.words import cost, count

MOST_ROWS: Final = 50
MESSAGE_LENGTH: Final = 60
"""Characters of a message that fit into a row; all of it is among the details of the batch."""

_COLUMNS: Final = ("batch", "items", "status", "attempts", "time", "cost", "tokens", "code", "message")


@dataclass(frozen=True, slots=True)
class BatchRow:
    """What the table shows of one batch. Seconds, US dollars, tokens; `cost_known` False: there is more to pay."""

    number: int
    first_item: int
    last_item: int
    status: str = "pending"
    attempts: int = 0
    duration: float = 0.0
    cost_usd: float = 0.0
    cost_known: bool = True
    tokens: int = 0
    code: str = ""
    message: str = ""

    @classmethod
    def of(cls, state: JobState, number: int) -> BatchRow:
        """The row of any batch of the plan, touched or not."""
        record = state.batches.get(number) or BatchState(number)
        first, last = state.plan.items_of(number)
        return cls(
            number=number,
            first_item=first,
            last_item=last,
            status=state.status_of(number),
            attempts=record.attempts,
            duration=record.duration,
            cost_usd=record.cost_usd,
            cost_known=record.cost_known,
            tokens=record.usage.total,
            code=record.code,
            message=record.reason or record.message,
        )


def window_caption(first: int, shown: int, total: int, what: str = "") -> str:
    """`26–50 of 1,234 failed`: rows `first` to `first + shown - 1` of `total`; `what` names them. Plain text."""
    of = f"{total:,} {what or ('batch' if total == 1 else 'batches')}"
    if not shown:
        return f"none of {of}" if total else f"no {what + ' ' if what else ''}batches"
    if shown == total:
        return of
    return f"{first:,}–{first + shown - 1:,} of {of}" if shown > 1 else f"{first:,} of {of}"


def table(
    rows: Iterable[BatchRow],
    caption: str = "",
    *,
    on_row: Callable[[int], str] | None = None,
    selected: int = 0,
    sorted_by: str = "",
) -> str:
    """The rows as HTML, at most fifty. `caption` is plain text.

    `on_row(number)` returns attributes (HTML, trusted) that the row of that batch gets besides `data-batch`;
    `selected` is the batch whose details are shown; `sorted_by` the column the rows follow, `-` before it for
    descending.
    """
    body = "".join(_row(row, on_row, row.number == selected) for row in list(rows)[:MOST_ROWS])
    if not body:
        body = f'<tr><td colspan="{len(_COLUMNS)}">nothing to show</td></tr>'
    title = f"<caption>{escaped_line(caption)}</caption>" if caption else ""
    inside = f"{title}<thead><tr>{_heads(sorted_by)}</thead><tbody>{body}</tbody>"
    return framed(f'<table class="mozart-table">{inside}</table>', "rows")


def _heads(sorted_by: str) -> str:
    name, order = sorted_by.removeprefix("-"), "descending" if sorted_by.startswith("-") else "ascending"
    return "".join(
        f"<th scope=col{f' aria-sort={order}' if column == name else ''}>{column}</th>" for column in _COLUMNS
    )


def _row(row: BatchRow, on_row: Callable[[int], str] | None, is_selected: bool) -> str:
    """Quotes and end tags that HTML (Living Standard, 13.1.2) does not ask for are left out, which saves a third."""
    more = f" {on_row(row.number)}" if on_row is not None else ""
    chosen = " aria-selected=true" if is_selected else ""
    cells = "".join(f"<td>{cell}" for cell in _cells(row))
    return f"<tr data-batch={row.number}{chosen}{more}><th scope=row>{row.number}{cells}"


def _cells(row: BatchRow) -> Sequence[str]:
    items = f"{row.first_item}" if row.first_item == row.last_item else f"{row.first_item}–{row.last_item}"
    if not row.attempts:
        tried = ("", "", "", "")
    else:
        money = cost(row.cost_usd, 0 if row.cost_known else 1)
        tried = (f"{row.attempts}", duration(row.duration), money, count(row.tokens))
    message = escaped_line(row.message, MESSAGE_LENGTH) if row.message else ""
    return (
        items,
        f"{mark(row.status)}&nbsp;{escaped_line(row.status, 20)}",
        *tried,
        escaped_line(row.code, 10),
        message,
    )
