"""Secrets in JSON data: also those that only the name beside them gives away."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
from support.board import write_events
from support.checkpoints import layout_in
from support.histories import history

from mozart_nb import events as ev
from mozart_nb.looking.board import Board
from mozart_nb.looking.board.masks import masked_beside, masked_data

WORD = "hunter2secretXYZ99"
SECRET = "sk-ant-api03-" + "a1B2" * 20


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


async def test_news_hold_no_secret_that_a_journal_was_written_with(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    [planned] = history(3, 1)
    assert isinstance(planned, ev.JobPlanned)
    failed = ev.JobFailed(seq=2, at=planned.at + 1, code="E999", reason=f"refused {SECRET}")
    write_events(layout, [msgspec.structs.replace(planned, name=f"job {SECRET}"), failed])
    board = Board(lambda: [layout])
    try:
        async with contextlib.aclosing(board.subscribe("job", since=0)) as news:
            encoded = (await anext(news)).encoded
    finally:
        await board.close()
    assert b"refused sk-ant" in encoded
    assert SECRET.encode() not in encoded
