"""Foreign text and numbers on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb import words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nnext", "plain\ttext\nnext"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0\x1b\\after", "after"),
        ("back\x08space\x07bell\x00", "backspacebell"),
        ("over\rwritten", "over\nwritten"),
        ("\u202eright to left", "right to left"),
        ("\x9b31mC1", "31mC1"),
        ("half \ud83d pair", "half \ufffd pair"),
    ],
)
def test_nothing_that_a_terminal_obeys_gets_through(text: str, shown: str) -> None:
    assert words.clean(text) == shown


@given(st.text())
def test_cleaned_text_can_be_written_and_holds_no_control_characters(text: str) -> None:
    cleaned = words.clean(text)
    cleaned.encode("utf-8")
    assert not any(ord(character) < 32 and character not in "\n\t" for character in cleaned)


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_line_of_that_width(text: str, width: int) -> None:
    line = words.one_line(text, width)
    assert len(line) <= width
    assert "\n" not in line


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (7.4, "0:07"), (754, "12:34"), (3723, "1:02:03"), (90000, "1 d 1:00:00")]
)
def test_running_times_read_like_a_clock(seconds: float, shown: str) -> None:
    assert words.clock(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.44, "0.4 s"), (12.3, "12 s"), (200, "3 min"), (3900, "1 h 5 min"), (7200, "2 h"), (97200, "1 d 3 h")],
)
def test_lengths_of_time_are_rounded_as_people_do(seconds: float, shown: str) -> None:
    assert words.roughly(seconds) == shown


@pytest.mark.parametrize(
    ("amount", "unknown", "shown"),
    [
        (0, 0, "$0.00"),
        (0.0042, 0, "$0.0042"),
        (0.04, 0, "$0.04"),
        (0.012, 0, "$0.012"),
        (0.27, 0, "$0.27"),
        (1234.5, 0, "$1,234.50"),
        (1.5, 2, "$1.50 + unknown"),
        (0, 1, "cost unknown"),
    ],
)
def test_an_unknown_cost_is_never_shown_as_zero(amount: float, unknown: int, shown: str) -> None:
    assert words.cost(amount, unknown) == shown


def test_many_numbers_are_shown_as_ranges_and_cut() -> None:
    assert words.spans([3, 1, 2, 7]) == "1-3, 7"
    assert words.spans(range(1, 100, 2), most=2) == "1, 3 and 48 more"


@pytest.mark.parametrize(("number", "shown"), [(1, "1 batch"), (2, "2 batches"), (1200, "1,200 batches")])
def test_nouns_agree_with_their_number(number: int, shown: str) -> None:
    assert words.plural(number, "batch") == shown


def test_a_number_and_its_unit_are_kept_apart() -> None:
    assert [words.amount(size) for size in (0, 950, 12_345, 72.4e9)] == ["0 B", "950 B", "12.3 kB", "72.4 GB"]
    assert [words.percent(share) for share in (0, 0.804, 1)] == ["0 %", "80 %", "100 %"]
