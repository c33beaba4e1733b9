"""News of a job for whoever listens: everything once, in order, however many listen and however slow one is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from support.board import finished, write_events
from support.checkpoints import layout_in
from support.histories import history

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import UnknownJobError
from mozart_nb.looking.board import Board, News, feed
from mozart_nb.looking.board.digest import MOST_TOLD, Digest, batches_of

SECONDS = 20.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LIVE_SECONDS", 0.02)
    monkeypatch.setattr(feed, "IDLE_SECONDS", 0.02)
    monkeypatch.setattr(feed, "GONE_SECONDS", 0.1)


@contextlib.asynccontextmanager
async def board_of(*layouts: Layout) -> AsyncIterator[Board]:
    board = Board(lambda: layouts)
    try:
        yield board
    finally:
        await board.close()


async def until_seq(news: AsyncIterator[News], seq: int) -> list[News]:
    """The news up to the one that knows event `seq`."""
    found = []
    async with asyncio.timeout(SECONDS):
        async for one in news:
            found.append(one)
            if one.seq >= seq:
                return found
    raise AssertionError("the news ended too early")


def told(found: Sequence[News]) -> list[int]:
    return [event.seq for one in found for event in one.events]


def messages(encoded: bytes) -> list[dict[str, str]]:
    """Server-sent events as a browser reads them."""
    blocks = (block.split("\n") for block in encoded.decode().split("\n\n") if block)
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


async def test_a_listener_learns_how_the_job_stands_and_then_everything_once(layout: Layout) -> None:
    events = history(3, 90)
    write_events(layout, events[:30])
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("job")) as news:
        [first] = await until_seq(news, 30)
        assert (first.kind, first.events, first.progress is not None) == ("events", (), True)
        for begin in range(30, 90, 20):
            write_events(layout, events[begin : begin + 20], mode="ab")
            await asyncio.sleep(0.01)
        assert told(await until_seq(news, 90)) == list(range(31, 91))


async def test_who_comes_back_is_told_what_was_missed(layout: Layout) -> None:
    write_events(layout, history(3, 90))
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("job", since=70)) as news:
        [first] = await until_seq(news, 90)
        assert told([first]) == list(range(71, 91))
        assert first.batches is None


async def test_many_listeners_get_the_same_bytes_from_one_reading(layout: Layout) -> None:
    events = history(3, 60)
    write_events(layout, events[:30])
    async with board_of(layout) as board, contextlib.AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(contextlib.aclosing(board.subscribe("job"))) for _ in range(20)]
        for news in heard:
            await until_seq(news, 30)
        write_events(layout, events[30:], mode="ab")
        found = [await until_seq(news, 60) for news in heard]
        assert len({b"".join(one.encoded for one in news) for news in found}) == 1
        assert len({id(news[-1]) for news in found}) == 1


async def test_a_listener_that_comes_late_misses_nothing_between_its_look_and_the_news(layout: Layout) -> None:
    events = history(5, 120)
    write_events(layout, events[:20])
    async with board_of(layout) as board:

        async def write() -> None:
            for begin in range(20, 120, 4):
                write_events(layout, events[begin : begin + 4], mode="ab")
                await asyncio.sleep(0.005)

        async def listen(delay: float) -> list[int]:
            await asyncio.sleep(delay)
            async with contextlib.aclosing(board.subscribe("job", since=20)) as news:
                return told(await until_seq(news, 120))

        heard = await asyncio.gather(write(), *(listen(0.013 * number) for number in range(10)))
        assert all(one == list(range(21, 121)) for one in heard[1:])


async def test_a_slow_listener_is_told_to_look_again_and_holds_nobody_up(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING", 2)
    events = history(5, 120)
    write_events(layout, events[:20])
    async with board_of(layout) as board, contextlib.AsyncExitStack() as stack:
        slow, quick = [await stack.enter_async_context(contextlib.aclosing(board.subscribe("job"))) for _ in range(2)]
        await until_seq(slow, 20)
        await until_seq(quick, 20)
        seen = 20
        for begin in range(20, 120, 10):
            write_events(layout, events[begin : begin + 10], mode="ab")
            seen += len(told(await until_seq(quick, begin + 10)))
        assert seen == 120
        found = await until_seq(slow, 120)
        assert "reload" in {one.kind for one in found}
        assert len(found) <= 3


async def test_a_burst_is_told_in_part_and_says_how_much_it_left_out(layout: Layout) -> None:
    events = history(5, 600, total=5000)
    write_events(layout, events[:20])
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("job")) as news:
        await until_seq(news, 20)
        write_events(layout, events[20:], mode="ab")
        found = await until_seq(news, 600)
        assert all(len(one.events) <= MOST_TOLD for one in found)
        assert len(told(found)) + sum(one.skipped for one in found) == 580
        changed = {n for event in events[20:] for n in batches_of(event) or ()}
        if all(one.batches is not None for one in found):
            assert changed <= set().union(*(one.batches or () for one in found))
        assert all(len(one.encoded) < 200_000 for one in found)


async def test_a_job_that_starts_over_resets_its_listeners(layout: Layout) -> None:
    write_events(layout, history(3, 40))
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("job")) as news:
        [first] = await until_seq(news, 40)
        shutil.rmtree(layout.journal)
        later = [replaced(event) for event in history(4, 60)]
        write_events(layout, later)
        async with asyncio.timeout(SECONDS):
            reset = await anext(news)
            while reset.kind != "reset":
                reset = await anext(news)
        assert reset.record != first.record
        assert messages(reset.encoded)[0]["event"] == "reset"
    async with (
        board_of(layout) as board,
        contextlib.aclosing(board.subscribe("job", since=30, record=first.record)) as news,
    ):
        assert (await anext(news)).kind == "reset"
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("job", since=10_000)) as news:
        assert (await anext(news)).kind == "reset"


def replaced(event: ev.Event) -> ev.Event:
    """The event of another journal, which began later."""
    return msgspec.structs.replace(event, at=event.at + 1_000_000)


async def test_who_was_away_for_long_looks_again(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_CAUGHT_UP", 10)
    write_events(layout, history(3, 90))
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("job", since=70)) as news:
        first = await anext(news)
        assert (first.kind, first.events) == ("reload", ())


async def test_the_news_end_when_the_record_is_removed(layout: Layout) -> None:
    write_events(layout, history(3, 40))
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("job")) as news:
        await anext(news)
        shutil.rmtree(layout.root)
        async with asyncio.timeout(SECONDS):
            rest = [one async for one in news]
        assert rest[-1].kind == "gone"
        assert messages(rest[-1].encoded)[0]["event"] == "gone"


async def test_closing_the_board_ends_all_news(layout: Layout) -> None:
    write_events(layout, history(3, 40))
    async with board_of(layout) as board:
        heard = board.subscribe("job")
        await anext(heard)
        closing = asyncio.ensure_future(board.close())
        async with asyncio.timeout(SECONDS):
            assert [one.kind async for one in heard] == ["gone"]
        await closing


async def test_nothing_is_read_while_nobody_listens(layout: Layout) -> None:
    write_events(layout, history(3, 40))
    async with board_of(layout) as board:
        async with contextlib.aclosing(board.subscribe("job")) as news:
            await anext(news)
            assert board._feeds
            assert board._shelf.take(layout).is_heard
        assert not board._feeds
        assert not board._shelf.take(layout).is_heard
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert not tasks


async def test_nobody_can_listen_to_a_job_that_is_not_known(layout: Layout) -> None:
    async with board_of() as board:
        with pytest.raises(UnknownJobError):
            await anext(board.subscribe("job"))


async def test_messages_are_what_browsers_expect(tmp_path: Path) -> None:
    layout = (await asyncio.to_thread(finished, tmp_path, failing="batch_num == 2")).layout
    async with board_of(layout) as board, contextlib.aclosing(board.subscribe("trial", since=2)) as news:
        first = await anext(news)
    *found, status = messages(first.encoded)
    assert [int(message["id"]) for message in found] == [event.seq for event in first.events]
    assert all("event" not in message for message in found)
    assert [json.loads(message["data"])["kind"] for message in found] == [ev.kind_of(one) for one in first.events]
    assert status["event"] == "status"
    document = json.loads(status["data"])
    assert (document["status"], document["seq"], document["record"]) == ("failed", first.seq, first.record)
    assert document["progress"]["failed"] == 1


def test_of_too_many_events_those_that_matter_are_told() -> None:
    digest = Digest()
    digest.hear(ev.BatchStarted(seq=n, at=1.0, batch=n, attempt=1) for n in range(1, 1001))
    digest.hear([ev.BatchFailed(seq=1001, at=1.0, batch=7, code="E201", message="no")])
    assert [event.seq for event in digest.told] == [1001]
    assert digest.count == 1001
    assert digest.changed == frozenset(range(1, 1001))
