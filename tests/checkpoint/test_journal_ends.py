"""Both ends of a journal are read without what lies between."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.checkpoints import layout_in, write_history, write_job

from mozart_nb.checkpoint.ends import events_since, last_seq, planned_in
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.mark.parametrize("seed", range(4))
async def test_the_end_of_a_journal_is_what_a_whole_reading_finds_there(
    layout: Layout, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mozart_nb.checkpoint.ends._STRIDE", 900)
    rng = random.Random(seed)
    await write_history(layout, rng, 400, segment_bytes=20_000)
    everything = list(read_events(layout))
    assert planned_in(layout) == everything[0]
    assert last_seq(layout) == everything[-1].seq == 400
    for seq in (0, 1, 399, 400, 500, *rng.sample(range(400), 20)):
        assert list(events_since(layout, seq)) == everything[seq:]


def test_only_the_lines_that_are_asked_for_are_read(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mozart_nb.checkpoint.ends._STRIDE", 2_000)
    write_job(layout, 5, 300)
    content = bytearray(layout.segment(1).read_bytes())
    begin = content.index(b"\n", len(content) // 8)
    content[begin + 1 : begin + 2001] = b"x" * 2000  # a reading from the beginning would end here
    layout.segment(1).write_bytes(content)
    assert [event.seq for event in events_since(layout, 290)] == list(range(291, 301))


def test_a_torn_end_is_passed_over(layout: Layout) -> None:
    write_job(layout, 3, 60)
    path = layout.segment(1)
    path.write_bytes(path.read_bytes()[:-20])
    assert last_seq(layout) == 59
    assert [event.seq for event in events_since(layout, 50)] == list(range(51, 60))


def test_nothing_is_known_of_a_job_that_is_not_there(layout: Layout) -> None:
    assert planned_in(layout) is None
    assert last_seq(layout) == 0
