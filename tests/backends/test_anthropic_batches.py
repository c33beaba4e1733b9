"""The Message Batches API as a backend, against a server that behaves as the real one does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from support.batches_server import CUT_AFTER_ACCEPTING, CUT_BEFORE_ACCEPTING, BatchesServer, Fate, Trouble, refusal

from mozart_nb.backends.anthropic_batches import AnthropicBatchesBackend
from mozart_nb.clock import SystemClock
from mozart_nb.engine.classify import classify
from mozart_nb.engine.ports import Backend, Remote, RemoteError, RemoteResult, SessionRequest, SessionResult
from mozart_nb.events import Usage
from mozart_nb.job.prices import PriceTable

KEY = "sk-ant-loopback-0123456789"
MODEL = "claude-sonnet-5"


@pytest.fixture
def server() -> Iterator[BatchesServer]:
    with BatchesServer(processing_seconds=0).in_thread() as server:
        yield server


@asynccontextmanager
async def backend_of(url: str, key: str = KEY, **options: Any) -> AsyncIterator[AnthropicBatchesBackend]:
    async with SystemClock() as clock:
        backend = AnthropicBatchesBackend(
            clock,
            environ={"ANTHROPIC_API_KEY": key},
            options={"model": MODEL, "max_tokens": 100, "base_url": url, **options},
            price=PriceTable().charge,
        )
        try:
            yield backend
        finally:
            await backend.close()


def request(number: int = 1, **fields: Any) -> SessionRequest:
    return SessionRequest(
        job_id="job",
        batch=number,
        attempt=1,
        mode="first",
        prompt=f"Row {number}.",
        session_id="ours",
        marker="m",
        log="/nowhere/1",
        working_directory="/",
        workspace="/",
        timeout_seconds=60,
        **{"options": {"model": MODEL, "max_tokens": 100}, **fields},
    )


@dataclass
class Told:
    """What a session reported."""

    opened_with: str = ""
    detaching: bool = False

    async def opened(self, session_id: str) -> None:
        self.opened_with = session_id

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None:
        raise AssertionError("a remote batch prints nothing")


async def documents(backend: AnthropicBatchesBackend, count: int) -> list[bytes]:
    found = [await backend.encode(f"mz-7-{number}-1", request(number)) for number in range(1, count + 1)]
    assert all(isinstance(document, bytes) for document in found)
    return found  # type: ignore[return-value]  # see the line above


async def all_results(backend: AnthropicBatchesBackend, remote_id: str) -> list[RemoteResult]:
    async with aclosing(backend.results(remote_id)) as parts:
        return [one async for part in parts for one in part]


async def failure_of(call: Any) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        await call
    return caught.value


# --- the usual course -------------------------------------------------------------------------------------------------


async def test_it_is_a_backend_that_takes_requests_by_the_thousand(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        as_backend: Backend = backend
        assert isinstance(backend, Remote)
        assert (as_backend.name, as_backend.family, as_backend.is_free) == ("anthropic_batches", "anthropic", False)


async def test_requests_go_in_and_results_come_out_by_their_custom_ids(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        made = await backend.create(await documents(backend, 450))
        assert (made.requests, made.is_over) == (450, True)
        found = {one.custom_id: one.result for one in await all_results(backend, made.id)}
    assert len(found) == 450
    assert found["mz-7-17-1"].text == "answer to: Row 17."
    assert found["mz-7-17-1"].outcome == "ok"
    assert server.submitted.total() == 450


async def test_results_are_charged_at_half_the_price(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        made = await backend.create(await documents(backend, 1))
        [one] = await all_results(backend, made.id)
    assert one.result.usage == Usage(100, 20)
    full = PriceTable().charge(MODEL, one.result.usage)
    assert full is not None
    assert one.result.cost_usd == pytest.approx(full.cost_usd / 2)


async def test_what_is_sent_is_one_message_per_request_and_no_stream(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        [document] = await documents(backend, 1)
    entry = json.loads(document)
    assert entry["custom_id"] == "mz-7-1-1"
    assert entry["params"]["messages"] == [{"role": "user", "content": "Row 1."}]
    assert "stream" not in entry["params"]


async def test_a_temperature_is_sent_in_the_version_of_the_api_that_knows_it(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        plain = await documents(backend, 1)
        warm = await backend.encode("mz-7-2-1", request(2, options={"model": MODEL, "temperature": 0.5}))
        assert isinstance(warm, bytes)
        await backend.create([*plain, warm])
        await backend.create(plain)
    assert server.versions[0] == "2023-06-01"
    assert server.versions[1] != server.versions[0]


@pytest.mark.parametrize(("fate", "code"), [("errored", "E003"), ("expired", "E001"), ("canceled", "E001")])
async def test_a_request_without_an_answer_is_worth_another_try_and_costs_nothing(fate: Fate, code: str) -> None:
    with BatchesServer(processing_seconds=0, fate=lambda *_: fate).in_thread() as server:
        async with backend_of(server.url) as backend:
            made = await backend.create(await documents(backend, 1))
            [one] = await all_results(backend, made.id)
    assert classify(one.result, wall=0).code == code
    assert one.result.cost_usd == 0
    assert one.is_cancelled == (fate == "canceled")


async def test_the_list_is_read_page_by_page_newest_first(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        for _ in range(230):
            server._accept([("somebody-else", "hello")])
        names = [one.id async for one in backend.newest()]
    assert names == sorted(names, reverse=True)
    assert len(names) == 230
    assert server.calls["list"] == 3


async def test_a_cancelled_batch_ends_soon_and_tells_who_was_not_processed() -> None:
    with BatchesServer(processing_seconds=60, cancel_seconds=0).in_thread() as server:
        async with backend_of(server.url) as backend:
            made = await backend.create(await documents(backend, 40))
            assert not (await backend.look(made.id)).is_over
            await backend.cancel(made.id)
            assert (await backend.look(made.id)).is_over
            found = await all_results(backend, made.id)
    cancelled = [one for one in found if one.is_cancelled]
    assert 0 < len(cancelled) < len(found) == 40


async def test_a_request_on_its_own_is_answered_too(server: BatchesServer) -> None:
    told = Told()
    async with backend_of(server.url) as backend:
        result = await backend.run(request(), told)
    assert (result.outcome, result.text, told.opened_with) == ("ok", "answer to: Row 1.", "ours")


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "is_refusal"),
    [
        (refusal(429, "rate_limit_error", retry_after="7"), True),
        (refusal(400, "invalid_request_error"), True),
        (refusal(401, "authentication_error"), True),
        (refusal(413, "request_too_large"), True),
        (Trouble(500, "api_error"), False),
        (Trouble(529, "overloaded_error"), False),
        (Trouble(408, "timeout_error"), False),
        (CUT_BEFORE_ACCEPTING, False),
        (CUT_AFTER_ACCEPTING, False),
        (Trouble(500, "api_error", accept=True), False),
    ],
    ids=lambda value: f"{value.status}{'-cut' if value.cut else ''}" if isinstance(value, Trouble) else "",
)
async def test_only_a_clear_no_counts_as_a_refusal(server: BatchesServer, trouble: Trouble, is_refusal: bool) -> None:
    server.trouble.append(trouble)
    async with backend_of(server.url) as backend:
        error = await failure_of(backend.create(await documents(backend, 2)))
    assert error.is_refusal is is_refusal
    assert server.calls["create"] == 1, "it was tried again behind our back"
    assert len(server.batches) == trouble.accept


async def test_a_refusal_says_how_long_to_wait(server: BatchesServer) -> None:
    server.trouble.append(refusal(429, "rate_limit_error", retry_after="7"))
    async with backend_of(server.url) as backend:
        error = await failure_of(backend.create(await documents(backend, 1)))
    verdict = classify(error.result, wall=0)
    assert (verdict.code, verdict.retry_after) == ("E101", 7)


async def test_nothing_was_sent_where_nobody_listens() -> None:
    async with backend_of("http://127.0.0.1:9") as backend:
        error = await failure_of(backend.create(await documents(backend, 1)))
    assert error.is_refusal
    assert classify(error.result, wall=0).code == "E002"


async def test_a_batch_that_does_not_exist_is_gone_and_a_wrong_address_is_not(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        assert (await failure_of(backend.look("msgbatch_999"))).is_gone
    async with backend_of(f"{server.url}/elsewhere") as backend:
        assert not (await failure_of(backend.look("msgbatch_999"))).is_gone


async def test_a_batch_whose_results_were_archived_is_gone(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        made = await backend.create(await documents(backend, 1))
        server.archived_after_seconds = -1.0
        error = await failure_of(backend.look(made.id))
    assert error.is_gone
    assert "archived" in str(error)


async def test_results_that_break_off_are_an_error(server: BatchesServer) -> None:
    server.results_cut = 1
    async with backend_of(server.url) as backend:
        made = await backend.create(await documents(backend, 500))
        error = await failure_of(all_results(backend, made.id))
        assert not error.is_refusal
        assert len(await all_results(backend, made.id)) == 500


async def test_an_attachment_that_is_not_there_ends_the_one_session(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        result = await backend.encode("mz-7-1-1", request(attachments=("/no/such/file.png",)))
    assert isinstance(result, SessionResult)
    assert "/no/such/file.png" in result.error_text
    assert result.cost_usd == 0


async def test_the_key_never_shows(server: BatchesServer) -> None:
    server.trouble.append(Trouble(401, "authentication_error", headers={"x-echo": KEY}))
    async with backend_of(server.url) as backend:
        error = await failure_of(backend.create(await documents(backend, 1)))
    assert KEY not in error.result.error_text
    assert KEY not in str(error)


# --- health -----------------------------------------------------------------------------------------------------------


async def test_its_health_is_found_out_free_of_charge(server: BatchesServer) -> None:
    async with backend_of(server.url) as backend:
        health = await backend.check()
    assert health.ok
    assert server.calls["create"] == 0


async def test_without_a_key_it_says_which_variable_is_missing(server: BatchesServer) -> None:
    async with backend_of(server.url, key="") as backend:
        health = await backend.check()
        assert (health.ok, health.code) == (False, "E501")
        assert "ANTHROPIC_API_KEY" in health.message
        assert isinstance(await backend.encode("mz-7-1-1", request()), SessionResult)
