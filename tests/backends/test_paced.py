"""A backend whose sessions wait for their turn before they are opened."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from support.engine import OK, ScriptedBackend
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb.backends._paced import FIRST_OUTPUT_TOKENS, Expectation, PacedBackend, limited_tokens
from mozart_nb.engine.ports import Backend, SessionRequest, SessionResult
from mozart_nb.events import Usage
from mozart_nb.pace import MinutePace, NoPace


def request(batch: int = 1, **values: Any) -> SessionRequest:
    facts = {"job_id": "job", "attempt": 1, "mode": "first", "prompt": "x", "session_id": f"s{batch}", "marker": "m"}
    places = {"log": "l", "working_directory": "/", "workspace": "/", "timeout_seconds": 60.0}
    return msgspec.convert({**facts, **places, "batch": batch, **values}, SessionRequest)


class Told:
    """A report that remembers when sessions were opened."""

    detaching = False

    def __init__(self) -> None:
        self.opened_at: list[float] = []

    async def opened(self, session_id: str) -> None:
        self.opened_at.append(asyncio.get_running_loop().time())

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None: ...


class Ledger(NoPace):
    """Admits everything and keeps what it was told."""

    def __init__(self) -> None:
        self.admitted: list[int] = []
        self.uses: list[tuple[int, int]] = []

    async def admit(self, tokens: int) -> None:
        self.admitted.append(tokens)

    def used(self, expected: int, actual: int) -> None:
        self.uses.append((expected, actual))


def test_sessions_are_opened_at_the_pace_of_the_job() -> None:
    async def run() -> list[float]:
        told, backend = Told(), PacedBackend(ScriptedBackend({}, VirtualClock()), MinutePace(60))
        await asyncio.gather(*(backend.run(request(n), told) for n in range(1, 11)))
        return told.opened_at

    opened, _ = run_virtual(run())

    assert len(opened) == 10
    assert opened[-1] - opened[0] == pytest.approx(9 * 60 / 57, abs=2)


def test_what_a_session_used_is_told_and_the_next_expectation_follows_it() -> None:
    answers = msgspec.structs.replace(OK, usage=Usage(100, 30, cache_read_tokens=1000, cache_write_tokens=7))
    ledger = Ledger()

    async def run() -> None:
        backend = PacedBackend(ScriptedBackend({1: [answers]}, VirtualClock()), ledger)
        for _ in range(2):
            await backend.run(request(prompt_tokens=90), Told())

    run_virtual(run())

    assert ledger.admitted == [90 + FIRST_OUTPUT_TOKENS, 90 + 30]
    assert ledger.uses == [(90 + FIRST_OUTPUT_TOKENS, 137), (120, 137)]


def test_a_session_that_is_cancelled_after_its_turn_has_used_nothing() -> None:
    ledger = Ledger()

    async def run() -> None:
        task = asyncio.create_task(PacedBackend(ScriptedBackend({}, VirtualClock()), ledger).run(request(), Told()))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_virtual(run())

    assert ledger.uses == [(FIRST_OUTPUT_TOKENS, 0)]


def test_a_session_that_is_cancelled_before_its_turn_was_never_opened() -> None:
    async def run() -> tuple[Told, ScriptedBackend]:
        inner, told = ScriptedBackend({}, VirtualClock()), Told()
        backend = PacedBackend(inner, MinutePace(1))
        await backend.run(request(1), told)
        task = asyncio.create_task(backend.run(request(2), told))
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.wait([task])
        return told, inner

    (told, inner), _ = run_virtual(run())

    assert len(told.opened_at) == 1
    assert [batch for batch, _, _ in inner.sent] == [1]


def test_everything_else_is_the_backends_own() -> None:
    inner = ScriptedBackend({}, VirtualClock(), name="inner", outlives_host=True, is_free=False, family="anthropic")
    backend: Backend = PacedBackend(inner, NoPace())

    assert (backend.name, backend.outlives_host, backend.is_free, backend.family) == ("inner", True, False, "anthropic")
    assert backend.sent is inner.sent  # type: ignore[attr-defined]  # not part of the port
    assert run_virtual(backend.check())[0].ok


def test_sessions_that_outlived_their_host_are_picked_up_without_waiting() -> None:
    class Lasting(ScriptedBackend):
        async def reattach(self, request: SessionRequest, report: Any) -> SessionResult | None:
            return OK

    async def run() -> tuple[SessionResult | None, SessionResult | None]:
        pace = MinutePace(1)
        await pace.admit(1)
        lasting = PacedBackend(Lasting({}, VirtualClock()), pace)
        fleeting = PacedBackend(ScriptedBackend({}, VirtualClock()), pace)
        return await lasting.reattach(request(), Told()), await fleeting.reattach(request(), Told())

    found, elapsed = run_virtual(run())

    assert found == (OK, None)
    assert elapsed == 0


def test_the_first_answer_is_not_expected_to_be_longer_than_it_may_be() -> None:
    expectation = Expectation()

    assert expectation.tokens(request(prompt_tokens=10, options={"max_tokens": 100})) == 110
    assert expectation.tokens(request(prompt_tokens=10, options={"max_tokens": 64_000})) == 10 + FIRST_OUTPUT_TOKENS


def test_what_a_prompt_cache_held_does_not_count() -> None:
    assert limited_tokens(Usage(1, 2, cache_read_tokens=1000, cache_write_tokens=4)) == 7
