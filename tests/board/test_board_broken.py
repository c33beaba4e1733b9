"""Jobs whose files are not what they should be: they say so themselves, and hide no other job."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.board import finished, write_events
from support.checkpoints import layout_in
from support.histories import history

from mozart_nb.engine.fold import fold
from mozart_nb.errors import CheckpointCorruptError, OutOfReachError
from mozart_nb.jupyter.server.pages.past import Past
from mozart_nb.jupyter.server.problems import status_of
from mozart_nb.looking.board import Board, feed
from mozart_nb.looking.board.feed import Feed
from mozart_nb.looking.board.watched import Watched

NO_PLANS = {
    "another shape": ("config.json", b"[]"),
    "no end": ("config.json", b"[" * 100_000),
    "half": ("config.json", b'{"config": [1,'),
    "no text": ("config.json", b"\xff\xfe"),
    "no names of texts": ("texts.json", b'"x"'),
}


@pytest.fixture
def board() -> Iterator[Board]:
    found = Board()
    yield found
    asyncio.run(found.close())


@pytest.mark.parametrize("what", NO_PLANS)
def test_a_plan_that_is_none_leaves_the_rest_of_the_job_and_every_other_job(
    tmp_path: Path, board: Board, what: str
) -> None:
    finished(tmp_path / "sound", "sound")
    layout = finished(tmp_path / "broken", "broken").layout
    name, content = NO_PLANS[what]
    (layout.plan / name).write_bytes(content)
    assert {job.key: job.status for job in board.jobs().jobs} == {"sound": "completed", "broken": "completed"}
    assert board.look("broken").progress.completed == 4
    assert len(board.batches("broken").batches) == 4
    with pytest.raises(CheckpointCorruptError):
        board.plan("broken")


def test_a_record_that_the_disk_does_not_give_says_so(tmp_path: Path, board: Board) -> None:
    layout = finished(tmp_path).layout
    segment = layout.segment(1)
    segment.unlink()
    segment.mkdir()
    [job] = board.jobs().jobs
    assert job.status == "unreadable"
    assert str(segment) in job.message
    for look in (board.look, board.version, board.batches, board.questions, board.events):
        with pytest.raises(OutOfReachError, match=r"directory.*000001") as caught:
            look(job.key)
        assert status_of(caught.value) == 503


def test_the_list_counts_open_questions_of_jobs_that_it_knows_from_the_history(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    lives = ((history(seed, count), count) for seed in range(40) for count in range(20, 60))
    events = next(events for events, _ in lives if fold(events).job.questions)
    write_events(layout, events)
    board = Board(lambda: [layout])
    try:
        [job] = board.jobs().jobs
        assert job.questions == len(fold(events).job.questions)
    finally:
        asyncio.run(board.close())


async def test_who_comes_while_the_last_listener_leaves_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "IDLE_SECONDS", 0.02)
    layout = layout_in(tmp_path)
    events = history(3, 40)
    write_events(layout, events[:30])
    with ThreadPoolExecutor(2) as pool:
        news = Feed(Watched(layout), pool, interval=0.02)
        first, second = news.listen(None, ""), news.listen(None, "")
        await anext(first)
        leaving = asyncio.ensure_future(first.aclose())
        coming = asyncio.ensure_future(anext(second))
        await asyncio.gather(leaving, coming)
        write_events(layout, events[30:], mode="ab")
        async with contextlib.aclosing(second), asyncio.timeout(20):
            assert (await anext(second)).kind == "events"


def test_a_job_that_is_started_over_has_a_past_of_its_own(tmp_path: Path, board: Board) -> None:
    past = Past()
    try:
        before = finished(tmp_path).layout
        look = board.look("trial")
        first = past.of(board, "trial", look.record, look.job.seq)
        shutil.rmtree(before.root)
        before.snapshot.unlink(missing_ok=True)
        finished(tmp_path)
        other = Board()
        look = other.look("trial")
        second = past.of(other, "trial", look.record, look.job.seq)
        assert first.is_whole
        assert second.is_whole
        assert second.moments.first_at > first.moments.last_at
        asyncio.run(other.close())
    finally:
        past.close()
