"""Tables on terminals of any width: one column gives way, and no name, number or status is ever cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mozart_nb.cli.output import Output

HEADS = ["run", "status", "first try", "why"]
ROWS = [["12", "interrupted", "100 %", "E201: three of five batches failed, and two are blocked behind them"]]


def shown(width: int, *, flexible: int = -1) -> list[str]:
    output, stream = Output(), io.StringIO()
    output.__dict__["out"] = Console(file=stream, width=width, markup=False)
    output.table(HEADS, ROWS, flexible=flexible)
    return stream.getvalue().splitlines()


def test_a_narrow_terminal_cuts_the_last_column_to_what_is_left() -> None:
    head, row = shown(60)
    assert head.split() == ["run", "status", "first", "try", "why"]
    assert row.startswith("12   interrupted  100 %")
    assert len(row) <= 60
    assert row.endswith("…")


@pytest.mark.parametrize("width", [10, 20, 30])
def test_what_does_not_fit_at_all_is_longer_than_the_terminal_and_nothing_else_is_cut(width: int) -> None:
    head, row = shown(width)
    assert all(name in head for name in HEADS)
    assert "interrupted  100 %      E201: three of" in row


def test_the_column_that_may_be_cut_need_not_be_the_last() -> None:
    _, row = shown(70, flexible=1)
    assert ROWS[0][-1] in row


def test_a_wide_terminal_shows_everything() -> None:
    assert all(cell in shown(200)[1] for cell in ROWS[0])
