"""Secrets in JSON data: also those that only the name beside them gives away."""

from __future__ import annotations

from mozart_nb.looking.board.masks import masked_beside, masked_data

WORD = "hunter2secretXYZ99"


def test_a_value_is_masked_for_the_name_that_it_has() -> None:
    rows = [{"user": "ann", "password": WORD, "nested": {"api_key": WORD, "count": 3}}]
    assert WORD not in str(masked_data(rows))
    assert masked_data(rows)[0]["user"] == "ann"


def test_what_stands_beside_any_other_name_stays() -> None:
    data = {"answer": WORD, "prompt_tokens": "12", "passwords": ["none", 1, None], "note: password": "short"}
    assert masked_data(data) == data


def test_a_name_is_no_part_of_what_is_shown() -> None:
    assert masked_beside("password", "") == ""
    assert masked_beside("title", "password: rules of the house") == "password: rules of the house"
    assert masked_beside("password", 5) == 5
