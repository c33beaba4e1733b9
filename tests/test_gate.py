from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mozart_nb.engine.ports import Gate, GateReading
from mozart_nb.gate import FileGate, GateBook, NullGate, account_key

T = TypeVar("T")
NOON = 1_700_000_000.0


class Wall:
    """A wall clock that people set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def gate(tmp_path: Path, wall: Wall) -> FileGate:
    return FileGate(tmp_path / "limits" / "claude.json", account="claude", wall=wall)


def limit(until: float, **facts: str) -> GateReading:
    return GateReading(until=until, hit_at=NOON, code="E102", source="retry-after", **facts)


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())


def settle(path: Path) -> None:
    """Make the file old enough for its content to be kept in memory."""
    os.utime(path, (NOON, NOON))


@pytest.mark.parametrize("make", [lambda path: FileGate(path), lambda _: NullGate()])
def test_a_gate_nobody_closed_is_open_and_lets_everybody_probe(make, tmp_path):
    gate: Gate = make(tmp_path / "gate.json")

    async def use() -> tuple[bool, bool, bool]:
        reading = await gate.read()
        return reading.closed, await gate.try_probe("a", 60), await gate.try_probe("b", 60)

    assert run(use) == (False, True, True)
    assert list(tmp_path.iterdir()) == []


def test_a_hit_closes_the_gate_for_every_process_that_looks(gate, tmp_path, wall):
    other = FileGate(tmp_path / "limits" / "claude.json", wall=wall)

    async def use() -> tuple[GateReading, GateReading]:
        before = await other.read()
        await gate.hit(limit(NOON + 600, by="job a", message="You've hit your limit"))
        return before, await other.read()

    before, after = run(use)
    assert not before.closed
    assert after.closed
    assert (after.until, after.code, after.by, after.message) == (NOON + 600, "E102", "job a", "You've hit your limit")


@pytest.mark.parametrize("order", [(600, 60), (60, 600)])
def test_of_two_hits_the_later_time_wins(gate, order):
    async def use() -> GateReading:
        for seconds in order:
            await gate.hit(limit(NOON + seconds))
        return await gate.read()

    assert run(use).until == NOON + 600


def test_nobody_probes_before_the_time_and_one_owner_after_it(gate, wall):
    async def use() -> list[bool]:
        await gate.hit(limit(NOON + 60))
        early = await gate.try_probe("a", 30)
        wall.now = NOON + 61
        return [early, await gate.try_probe("a", 30), await gate.try_probe("b", 30), await gate.try_probe("a", 30)]

    assert run(use) == [False, True, False, True]


def test_a_probe_whose_owner_died_is_free_again_after_its_lease(gate, wall):
    async def use() -> list[bool]:
        await gate.hit(limit(NOON + 60))
        wall.now = NOON + 61
        first = await gate.try_probe("a", 30)
        wall.now += 31
        return [first, await gate.try_probe("b", 30)]

    assert run(use) == [True, True]


def test_a_refused_probe_closes_the_gate_anew_and_frees_the_next_probe(gate, wall):
    async def use() -> list[bool]:
        await gate.hit(limit(NOON + 60))
        wall.now = NOON + 61
        first = await gate.try_probe("a", 3600)
        await gate.hit(limit(NOON + 120))
        early = await gate.try_probe("b", 3600)
        wall.now = NOON + 121
        return [first, early, await gate.try_probe("b", 3600)]

    assert run(use) == [True, False, True]


def test_clearing_opens_the_gate_and_a_later_hit_closes_it_again(gate, wall):
    async def use() -> list[bool]:
        await gate.hit(limit(NOON + 600))
        await gate.clear("a")
        cleared = (await gate.read()).closed
        wall.now += 1
        await gate.hit(limit(NOON + 900))
        return [cleared, (await gate.read()).closed]

    assert run(use) == [False, True]


def test_a_hit_right_after_clearing_closes_even_when_the_clock_was_set_back(gate, wall):
    async def use() -> bool:
        await gate.hit(limit(NOON + 600))
        await gate.clear("a")
        wall.now -= 3600
        await gate.hit(limit(wall.now + 600))
        return (await gate.read()).closed

    assert run(use)


def test_a_clock_set_back_holds_work_up_for_the_wait_asked_for_and_no_longer(gate, wall):
    async def use() -> tuple[float, bool, bool]:
        await gate.hit(limit(NOON + 600))
        wall.now = NOON - 7200
        reading = await gate.read()
        early = await gate.try_probe("a", 60)
        wall.now = NOON - 7200 + 601
        return reading.until - (NOON - 7200), early, await gate.try_probe("a", 60)

    assert run(use) == (600, False, True)


def test_a_clock_set_back_does_not_hold_a_probe_for_longer_than_its_lease(gate, wall):
    async def use() -> bool:
        await gate.hit(limit(NOON + 1))
        wall.now = NOON + 2
        await gate.try_probe("a", 30)
        wall.now = NOON - 7200
        await gate.read()
        wall.now += 40
        return await gate.try_probe("b", 30)

    assert run(use)


def test_a_clock_set_forward_only_makes_the_probe_earlier(gate, wall):
    async def use() -> bool:
        await gate.hit(limit(NOON + 600))
        wall.now += 7200
        return await gate.try_probe("a", 60)

    assert run(use)


@pytest.mark.parametrize(
    "content", [b"", b'{"kind":"mozart-gate-1","reading":{"unt', b"[1, 2]", b'{"until": 9e18}', b"\xff\xfe"]
)
def test_a_torn_or_foreign_file_counts_as_open_and_is_said_once(content, tmp_path, wall, caplog):
    path = tmp_path / "gate.json"
    path.write_bytes(content)
    gate = FileGate(path, wall=wall)

    async def use() -> list[bool]:
        before = [(await gate.read()).closed for _ in range(3)]
        await gate.hit(limit(NOON + 60))
        return [*before, (await gate.read()).closed]

    with caplog.at_level(logging.WARNING):
        assert run(use) == [False, False, False, True]
    assert sum("not a readable gate" in line for line in caplog.messages) == 1


def test_where_nothing_can_be_written_the_process_waits_on_its_own(tmp_path, wall, caplog):
    in_the_way = tmp_path / "limits"
    in_the_way.write_text("a file where the folder should be")
    gate = FileGate(in_the_way / "gate.json", wall=wall)

    async def use() -> list[bool]:
        await gate.hit(limit(NOON + 60))
        closed = (await gate.read()).closed
        in_the_way.unlink()
        await gate.clear("a")
        return [closed, (await gate.read()).closed]

    with caplog.at_level(logging.WARNING):
        assert run(use) == [True, False]
    assert sum("waits on its own" in line for line in caplog.messages) == 1


def test_file_and_folder_are_for_the_user_alone_and_no_scraps_remain(gate, tmp_path):
    run(lambda: gate.hit(limit(NOON + 60)))
    folder = tmp_path / "limits"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} == {"claude.json", "claude.json.lock"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_file_another_process_replaced_is_seen_at_once(gate, tmp_path, wall):
    path = tmp_path / "limits" / "claude.json"
    other = FileGate(path, wall=wall)

    async def use() -> list[float]:
        seen = []
        for seconds in (60, 61, 62, 63):
            await other.hit(limit(NOON + seconds))
            seen.append((await gate.read()).until - NOON)
        return seen

    assert run(use) == [60, 61, 62, 63]


def test_reading_an_unchanged_gate_reads_no_file(gate, tmp_path):
    path = tmp_path / "limits" / "claude.json"

    async def use() -> GateReading:
        await gate.hit(limit(NOON + 60))
        settle(path)
        await gate.read()
        path.write_bytes(b"x" * path.stat().st_size)
        settle(path)
        return await gate.read()

    assert run(use).closed


def test_the_key_of_an_account_hides_the_credential_and_tells_accounts_apart():
    key = account_key("anthropic_api", "https://api.anthropic.com/", "sk-secret")
    assert "secret" not in key
    assert key == account_key("anthropic_api", "https://API.anthropic.com", "sk-secret")
    others = {
        account_key("anthropic_api", "https://api.anthropic.com", "sk-other"),
        account_key("claude_cli", "https://api.anthropic.com", "sk-secret"),
        account_key("anthropic_api", "https://proxy.example", "sk-secret"),
    }
    assert len(others | {key}) == 4


def test_the_book_lists_every_gate_and_clears_the_closed_ones(tmp_path, wall):
    book = GateBook(tmp_path, wall=wall)
    first = FileGate(book.path("a-1"), account="account a", wall=wall)
    second = FileGate(book.path("b-2"), account="account b", wall=wall)

    async def hit_both() -> None:
        await first.hit(limit(NOON + 60))
        await second.hit(limit(NOON + 600))

    run(hit_both)
    assert [(e.key, e.account, e.reading.until - NOON) for e in book.entries()] == [
        ("a-1", "account a", 60),
        ("b-2", "account b", 600),
    ]
    assert [entry.key for entry in book.clear("b-2")] == ["b-2"]
    assert [entry.reading.closed for entry in book.entries()] == [True, False]
    assert [entry.key for entry in book.clear(by="me")] == ["a-1"]
    assert not run(first.read).closed
    assert run(first.read).by == "me"


def test_a_book_without_a_folder_is_empty(tmp_path):
    assert GateBook(tmp_path / "nowhere").entries() == []


RACER = """
import asyncio, json, sys, time
from pathlib import Path
from mozart_nb.gate import FileGate

folder, name, start, rounds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])

async def main():
    won = []
    for number in range(rounds):
        gate = FileGate(folder / f"{number}.json")
        while time.time() < start + number * 0.02:
            pass
        won.append(await gate.try_probe(name, 60))
    print(json.dumps(won))

asyncio.run(main())
"""


def test_of_racing_processes_exactly_one_gets_the_probe(tmp_path):
    rounds = 20

    async def close_all() -> None:
        for number in range(rounds):
            await FileGate(tmp_path / f"{number}.json").hit(GateReading(until=time.time() - 1, hit_at=time.time()))

    asyncio.run(close_all())
    start = str(time.time() + 1.5)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), name, start, str(rounds)], stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "three")
    ]
    won = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    assert [sum(winners) for winners in zip(*won, strict=True)] == [1] * rounds
