"""What the painter sends and when: a few messages per second whatever happens, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from support.virtual_time import VirtualLoop, run_virtual

from mozart_nb.jupyter.dashboard.painter import BYTES_PER_SECOND, ENVELOPE_BYTES, MEND_SECONDS, Budget, Painter, Piece


class Board:
    """Pieces whose contents a test changes; what was sent, with its time."""

    def __init__(self, names: str = "a b c", **options: Any) -> None:
        self.contents: dict[str, Any] = dict.fromkeys(names.split(), 0)
        self.sent: list[tuple[float, str, Any]] = []
        self.is_live = False
        self.errors: list[tuple[str, str]] = []
        self.pulses = 0
        loop = asyncio.get_running_loop()
        self.time: Callable[[], float] = loop.time
        self.pieces = [self._piece(name, **options) for name in self.contents]
        self.painter = Painter(
            loop,
            self.pieces,
            is_live=lambda: self.is_live,
            report=lambda piece, error: self.errors.append((piece.name, str(error))),
            pulse=self._pulse,
        )

    def _piece(self, name: str, **options: Any) -> Piece:
        def make() -> dict[str, Any] | None:
            content = self.contents[name]
            if isinstance(content, Exception):
                raise content
            return None if content is None else {"value": content}

        def put(content: Any) -> None:
            self.sent.append((self.time(), name, content["value"]))

        return Piece(name, make, put, **options)

    def _pulse(self) -> None:
        self.pulses += 1

    def change(self, name: str, content: Any, **how: bool) -> None:
        self.contents[name] = content
        self.painter.touch(name, **how)


def test_of_thousands_of_changes_four_per_second_are_sent_and_the_last_one_is_among_them() -> None:
    async def story() -> Board:
        board = Board()
        for number in range(2_000):
            for name in "abc":
                board.change(name, number)
            await asyncio.sleep(0.005)
        await asyncio.sleep(2)
        return board

    board, _ = run_virtual(story())
    times = [at for at, _, _ in board.sent]
    assert len(times) <= 4 * 10 + 4
    assert all(later - earlier >= 0.25 - 1e-9 for earlier, later in pairwise(times))
    assert {name: value for _, name, value in board.sent} == dict.fromkeys("abc", 1_999)


def test_pieces_take_turns() -> None:
    async def story() -> Board:
        board = Board()
        for number in range(100):
            for name in "abc":
                board.change(name, number)
            await asyncio.sleep(0.1)
        return board

    board, _ = run_virtual(story())
    names = [name for _, name, _ in board.sent]
    assert names[:9] == list("abcabcabc")


def test_an_eager_piece_has_every_second_turn() -> None:
    async def story() -> Board:
        board = Board("a b c d")
        board.pieces[3].is_eager = True
        for number in range(200):
            for name in "abcd":
                board.change(name, number)
            await asyncio.sleep(0.1)
        return board

    board, _ = run_virtual(story())
    names = [name for _, name, _ in board.sent][4:12]
    assert names.count("d") == 4
    assert {*names} == set("abcd")


def test_a_piece_that_does_not_fit_lets_others_go_first_but_not_for_ever() -> None:
    async def story() -> tuple[Board, float]:
        board = Board("a b", patience_seconds=2.0)
        asked = 0.0
        for number in range(100):
            board.change("b", f"{number}" + "z" * 3_000)
            if number == 20:
                board.change("a", "x" * 11_500)
                asked = board.time()
            await asyncio.sleep(0.1)
        return board, asked

    (board, asked), _ = run_virtual(story())
    [sent] = [at for at, name, _ in board.sent if name == "a"]
    assert 2.0 <= sent - asked <= 4.0
    assert [name for at, name, _ in board.sent if asked < at < sent].count("b") >= 4


def test_what_has_not_changed_is_not_sent_and_does_not_take_a_turn() -> None:
    async def story() -> Board:
        board = Board()
        board.painter.touch()
        await asyncio.sleep(2)
        board.sent.clear()
        board.contents["c"] = 1
        board.painter.touch()
        await asyncio.sleep(2)
        return board

    board, _ = run_virtual(story())
    assert [(name, value) for _, name, value in board.sent] == [("c", 1)]


def test_what_a_person_waits_for_goes_first_and_within_a_tick() -> None:
    async def story() -> tuple[Board, float]:
        board = Board("a b c d")
        await asyncio.sleep(1)
        for name in "abcd":
            board.change(name, 1)
        await asyncio.sleep(0.3)
        clicked = board.time()
        board.change("d", 2, at_once=True)
        await asyncio.sleep(2)
        return board, clicked

    (board, clicked), _ = run_virtual(story())
    at, name, value = next(sent for sent in board.sent if sent[0] >= clicked)
    assert (name, value) == ("d", 2)
    assert at - clicked <= 0.25


def test_a_piece_that_rests_is_sent_rarely_unless_its_rest_is_lifted() -> None:
    async def story() -> Board:
        board = Board("a", rest_seconds=10.0)
        for number in range(300):
            board.change("a", number)
            await asyncio.sleep(0.1)
        board.change("a", "the end", is_rested=True)
        await asyncio.sleep(0.5)
        return board

    board, _ = run_virtual(story())
    times = [at for at, _, _ in board.sent]
    assert [round(at) for at in times[:3]] == [0, 10, 20]
    assert board.sent[-1][2] == "the end"
    assert 30 <= times[-1] <= 30.5


def test_bytes_of_any_second_stay_within_the_budget_however_large_the_pieces_are() -> None:
    async def story() -> Board:
        board = Board()
        for number in range(200):
            board.change("a", f"{number:06}" * 1_000)
            board.change("b", f"{number:06}" * 1_500)
            board.change("c", number)
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        return board

    board, _ = run_virtual(story())
    weights = [(at, ENVELOPE_BYTES + len(str(value))) for at, _, value in board.sent]
    for start, _ in weights:
        assert sum(size for at, size in weights if start <= at < start + 1.0) <= BYTES_PER_SECOND
    assert {name for _, name, _ in board.sent} == set("abc")


def test_a_piece_larger_than_the_budget_is_sent_after_a_silent_second() -> None:
    budget = Budget(1_000)
    assert budget.fits(0.0, 5_000)
    budget.spend(0.0, 5_000)
    assert not budget.fits(0.9, 1)
    assert budget.fits(1.0, 5_000)


def test_without_changes_no_timer_runs_and_a_change_starts_it_again() -> None:
    async def story() -> Board:
        board = Board()
        board.painter.touch()
        await asyncio.sleep(3)
        assert board.painter.is_idle
        board.change("a", 1)
        assert not board.painter.is_idle
        await asyncio.sleep(1)
        assert board.painter.is_idle
        return board

    board, _ = run_virtual(story())
    assert board.sent[-1][1:] == ("a", 1)


def test_a_live_job_pulses_once_a_second_and_what_time_changes_is_looked_at() -> None:
    async def story() -> Board:
        board = Board("a", pulses=True)
        board.is_live = True
        board.painter.touch()
        for second in range(10):
            board.contents["a"] = second  # a duration: no event tells of it
            await asyncio.sleep(1)
        board.is_live = False
        await asyncio.sleep(2)
        assert board.painter.is_idle
        return board

    board, _ = run_virtual(story())
    assert 9 <= board.pulses <= 11
    assert 9 <= len(board.sent) <= 11


def test_a_piece_that_breaks_is_reported_and_the_others_go_on() -> None:
    async def story() -> Board:
        board = Board()
        board.change("a", RuntimeError("no such thing"))
        board.change("b", 1)
        await asyncio.sleep(1)
        assert board.errors == [("a", "no such thing")]
        board.change("a", 5)
        await asyncio.sleep(MEND_SECONDS + 1)
        return board

    board, _ = run_virtual(story())
    assert [sent[1:] for sent in board.sent] == [("b", 1), ("a", 5)]


def test_a_job_that_cannot_be_looked_at_for_a_moment_does_not_end_the_display() -> None:
    async def story() -> None:
        board = Board()
        board.is_live = True
        board.change("a", 1)
        await asyncio.sleep(2)

        def broken() -> None:
            raise OSError("the disk is away")

        board.painter._on_pulse = broken
        await asyncio.sleep(2)
        assert board.errors == [("a", "the disk is away")]
        board.painter._on_pulse = board._pulse
        pulses = board.pulses
        await asyncio.sleep(MEND_SECONDS + 3)
        assert board.pulses > pulses

    run_virtual(story())


def test_a_closed_painter_sends_nothing_more() -> None:
    async def story() -> Board:
        board = Board()
        board.painter.touch()
        board.painter.close()
        board.change("a", 1)
        await asyncio.sleep(2)
        return board

    board, _ = run_virtual(story())
    assert board.sent == []
    assert board.painter.is_idle


def test_the_last_word_is_sent_at_once_whatever_the_budget_says() -> None:
    async def story() -> Board:
        board = Board()
        board.change("a", "x" * 20_000)
        await asyncio.sleep(0.1)
        board.contents["b"] = "y" * 20_000
        board.painter.flush("b")
        board.painter.flush("b")
        return board

    board, _ = run_virtual(story())
    assert [name for _, name, _ in board.sent] == ["a", "b"]


def test_a_loop_that_was_held_up_is_noticed() -> None:
    async def story() -> Board:
        board = Board("a", pulses=True)
        board.is_live = True
        board.painter.touch()
        await asyncio.sleep(1.1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop._jumping.now += 5.0  # a cell that computes
        await asyncio.sleep(0.5)
        board.painter.close()
        return board

    board, _ = run_virtual(story())
    assert 4.0 <= board.painter.late_seconds <= 5.0
