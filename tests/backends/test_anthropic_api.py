"""The Messages API as a backend: the real SDK against a server on loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.anthropic_server import HANG, AnthropicServer, Call, Reply, refuse, text

from mozart_nb.backends.anthropic_api import AnthropicApiBackend
from mozart_nb.clock import SystemClock
from mozart_nb.engine.classify import Verdict, classify
from mozart_nb.engine.ports import Allowance, Backend, SessionRequest, SessionResult, Turn
from mozart_nb.job.prices import PriceTable

KEY = "a-secret-of-no-known-shape-0123456789"
LONG = "Read this carefully. " * 300
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


class FreePace:
    """Lets everybody through and remembers what it was told."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.used_up: list[tuple[int, int]] = []
        self.told: list[Allowance] = []

    async def admit(self, tokens: int) -> None:
        self.asked.append(tokens)

    def used(self, expected: int, actual: int) -> None:
        self.used_up.append((expected, actual))

    def heard(self, allowances: Sequence[Allowance]) -> None:
        self.told += allowances


class ClosedPace(FreePace):
    """Lets nobody through until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def admit(self, tokens: int) -> None:
        await super().admit(tokens)
        await self.open.wait()


class Recorder:
    """A report that remembers."""

    detaching = False

    def __init__(self) -> None:
        self.opened_as: list[str] = []
        self.heard: list[tuple[int, int, str]] = []

    async def opened(self, session_id: str) -> None:
        self.opened_as.append(session_id)

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None:
        self.heard.append((bytes_received, lines_received, note))


class SetClock(SystemClock):
    """Real time, but for a wall clock that a test moves."""

    now = 1_795_176_000.0

    def wall(self) -> float:
        return self.now


Make = Callable[..., AnthropicApiBackend]


@asynccontextmanager
async def served(
    handler: Callable[[Call], Any] | None = None, **changes: Any
) -> AsyncIterator[tuple[AnthropicServer, AnthropicApiBackend]]:
    server = AnthropicServer(handler)
    async with server.serving():
        backend = make(server.url, **changes)
        try:
            yield server, backend
        finally:
            await backend.close()


def make(url: str, **changes: Any) -> AnthropicApiBackend:
    options = {"base_url": url, "model": "claude-sonnet-5", **changes.pop("options", {})}
    facts: dict[str, Any] = {"environ": {"ANTHROPIC_API_KEY": KEY}, "pace": FreePace(), "price": PriceTable().charge}
    clock = changes.pop("clock", None) or SystemClock()
    return AnthropicApiBackend(clock, options=options, **(facts | changes))


def request(prompt: str = "Do it.", **changes: Any) -> SessionRequest:
    options = {"model": "claude-sonnet-5", **changes.pop("options", {})}
    facts: dict[str, Any] = {
        "job_id": "demo",
        "batch": 1,
        "attempt": 1,
        "mode": "first",
        "prompt": prompt,
        "session_id": "s-1",
        "marker": "m-1",
        "log": "",
        "working_directory": "",
        "workspace": "",
        "timeout_seconds": 30.0,
        "options": options,
    }
    return SessionRequest(**(facts | changes))


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


def scripted(*replies: Reply) -> Callable[[Call], Reply]:
    left = iter(replies)
    return lambda call: next(left)


def keeping(bodies: list[dict[str, Any]], reply: Reply | None = None) -> Callable[[Call], Reply]:
    def handler(call: Call) -> Reply:
        bodies.append(call.body)
        return reply or text("ok")

    return handler


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_open() -> Iterator[None]:
    """A connection or client that nobody closed says so when it is collected, which is an error here."""
    yield
    gc.collect()


async def ask(reply: Reply, **changes: Any) -> tuple[SessionResult, Verdict]:
    async with served(lambda call: reply) as (_, backend):
        result = await backend.run(request(**changes), Recorder())
    return result, classify(result, wall=backend._clock.wall())


# --- a session that goes well -----------------------------------------------------------------------------------------


async def test_a_session_answers_and_says_what_it_used_and_cost():
    async with served(lambda call: text("forty-two")) as (server, backend):
        report = Recorder()
        result = await backend.run(request("How many?"), report)
    assert (result.outcome, result.text, result.stop_reason, result.model) == (
        "ok",
        "forty-two",
        "end_turn",
        "claude-sonnet-5",
    )
    assert (result.usage.input_tokens, result.usage.output_tokens) == (1200, 25)
    assert result.cost_usd == pytest.approx(0.00296)
    assert result.session_id.startswith("msg_")
    assert result.duration > 0
    assert [call.prompt for call in server.calls] == ["How many?"]
    assert report.opened_as == ["s-1"]
    assert report.heard == [(9, 0, "")]


async def test_the_key_goes_to_the_server_and_nothing_else_of_the_environment(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-leak: 1")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    seen: list[dict[str, str]] = []

    def handler(call: Call) -> Reply:
        seen.append(call.headers)
        return text("ok")

    async with served(handler) as (_, backend):
        assert (await backend.run(request(), Recorder())).outcome == "ok"
    assert seen[0]["x-api-key"] == KEY
    assert "another" not in str(seen[0])
    assert "x-leak" not in seen[0]


async def test_a_token_stands_in_for_a_key_and_the_address_may_come_from_the_environment():
    seen: list[dict[str, str]] = []

    def handler(call: Call) -> Reply:
        seen.append(call.headers)
        return text("ok")

    async with AnthropicServer(handler).serving() as server:
        environ = {"ANTHROPIC_AUTH_TOKEN": "token-1", "ANTHROPIC_BASE_URL": server.url}
        backend = make("", environ=environ, options={"base_url": None})
        assert (await backend.run(request(), Recorder())).outcome == "ok"
        await backend.close()
    assert seen[0]["authorization"] == "Bearer token-1"
    assert "x-api-key" not in seen[0]


async def test_another_variable_may_hold_the_key():
    async with served(environ={"TEAM_KEY": KEY}, options={"api_key_env": "TEAM_KEY"}) as (_, backend):
        assert (await backend.run(request(), Recorder())).outcome == "ok"


async def test_a_proxy_of_the_environment_is_used_and_can_be_bypassed():
    async with served(environ={"ANTHROPIC_API_KEY": KEY, "HTTP_PROXY": "http://127.0.0.1:9"}) as (_, backend):
        assert (await backend.run(request(), Recorder())).exception == "ConnectionError"
    environ = {"ANTHROPIC_API_KEY": KEY, "HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    async with served(environ=environ) as (_, backend):
        assert (await backend.run(request(), Recorder())).outcome == "ok"


async def test_a_conversation_is_sent_again_with_what_is_missing():
    bodies: list[dict[str, Any]] = []
    async with served(keeping(bodies)) as (_, backend):
        earlier = (Turn("user", "First."), Turn("assistant", "Half."))
        await backend.run(request("The rest.", mode="completion", earlier=earlier), Recorder())
    assert [(m["role"], m["content"]) for m in bodies[0]["messages"]] == [
        ("user", "First."),
        ("assistant", "Half."),
        ("user", "The rest."),
    ]
    assert bodies[0]["stream"] is True


async def test_parameters_of_the_job_are_sent_and_unset_ones_are_not():
    bodies: list[dict[str, Any]] = []
    async with served(keeping(bodies)) as (_, backend):
        await backend.run(request(options={"temperature": 0.5, "max_tokens": 64000, "system": "Be brief."}), Recorder())
        await backend.run(request(), Recorder())
    assert (bodies[0]["temperature"], bodies[0]["max_tokens"], bodies[0]["system"]) == (0.5, 64000, "Be brief.")
    assert set(bodies[1]) == {"model", "max_tokens", "messages", "stream"}


async def test_a_temperature_is_sent_in_the_version_of_the_api_that_knows_it():
    versions: list[str] = []

    def handler(call: Call) -> Reply:
        versions.append(call.headers["anthropic-version"])
        return text("ok")

    async with served(handler) as (_, backend):
        await backend.run(request(options={"temperature": 0.0}), Recorder())
        await backend.run(request(), Recorder())
    assert versions[0] == "2023-06-01"
    assert versions[1] >= versions[0]


async def test_progress_is_told_as_the_answer_arrives_and_not_too_often():
    reply = text("line\n" * 20, pieces=20, pause=0.025)
    async with served(lambda call: reply) as (_, backend):
        report = Recorder()
        result = await backend.run(request(), report)
    assert result.text == "line\n" * 20
    assert 2 <= len(report.heard) <= 6
    assert report.heard == sorted(report.heard)


async def test_thinking_is_not_part_of_the_answer():
    reply = Reply(({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}))
    result, _ = await ask(reply)
    assert (result.outcome, result.text) == ("ok", "yes")


async def test_a_service_that_does_not_stream_is_understood():
    message = {"id": "m", "type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
    result, _ = await ask(Reply(raw=json.dumps(message)))
    assert (result.outcome, result.text) == ("ok", "hi")


async def test_an_answer_with_every_kind_of_character_comes_through():
    words = "naïve ✓ 𝔘 \u2028 \x00 " + "日本語" * 2000
    result, _ = await ask(text(words, pieces=50))
    assert result.text == words


async def test_two_hundred_sessions_at_once_never_mix():
    async with served(lambda call: text(f"answer to {call.prompt}", pieces=3, pause=0.001)) as (server, backend):
        asked = [request(f"question {n}") for n in range(200)]
        results = await asyncio.gather(*(backend.run(one, Recorder()) for one in asked))
    assert [result.text for result in results] == [f"answer to question {n}" for n in range(200)]
    assert len({result.session_id for result in results}) == 200
    assert server.most_in_flight > 20


def test_it_is_a_backend_of_the_anthropic_family_that_dies_with_its_host():
    backend: Backend = make("http://127.0.0.1:9")
    assert (backend.name, backend.family, backend.continues_by) == ("anthropic_api", "anthropic", "messages")
    assert (backend.outlives_host, backend.is_free) == (False, False)


def test_making_a_backend_imports_no_sdk():
    code = (
        "import sys; from mozart_nb.backends.anthropic_api import AnthropicApiBackend as B\n"
        "B(None, environ={}, options={}, pace=None, price=None)\n"
        "assert not {'anthropic', 'httpx2', 'aiohttp'} & set(sys.modules), 'imported'"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)


async def test_the_sdk_is_imported_off_the_loop_and_once_for_all_that_wait(monkeypatch):
    from mozart_nb.backends import _anthropic_client

    made, make_client = [], _anthropic_client._make_client

    def counted(*args: Any) -> Any:
        made.append(1)
        return make_client(*args)

    monkeypatch.setattr(_anthropic_client, "_make_client", counted)
    async with served() as (_, backend):
        first = asyncio.create_task(backend.run(request(), Recorder()))
        others = [asyncio.create_task(backend.run(request(), Recorder())) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()  # whoever waits with it must not lose the client
        results = await asyncio.gather(*others)
    assert [result.outcome for result in results] == ["ok"] * 5
    assert made == [1]


async def test_a_backend_that_was_never_used_closes_and_a_closed_one_can_be_used_again():
    async with served() as (_, backend):
        await backend.close()
        await backend.close()
        assert (await backend.run(request(), Recorder())).outcome == "ok"


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refuse(401, "invalid x-api-key"), "E501"),
        (refuse(403, "not allowed"), "E501"),
        (refuse(404, "model: claude-none"), "E504"),
        (refuse(400, "prompt is too long: 250000 tokens > 200000 maximum"), "E505"),
        (refuse(413, "too large"), "E505"),
        (refuse(400, "Your credit balance is too low"), "E506"),
        (refuse(402, "pay"), "E506"),
        (refuse(429, "slow down"), "E101"),
        (refuse(429, "You have reached your specified API usage limits."), "E102"),
        (refuse(529, "Overloaded"), "E003"),
        (refuse(529, "Overloaded", retry_after="120"), "E103"),
        (refuse(500, "Internal server error"), "E003"),
        (refuse(400, "messages: at least one message is required"), "E999"),
        (Reply(status=502, raw="<html><title>Bad Gateway</title></html>", content_type="text/html"), "E003"),
        (Reply(status=503, raw="", content_type="text/plain"), "E003"),
        (Reply(status=404, raw="<html>nothing here</html>", content_type="text/html"), "E502"),
        (Reply(status=403, raw="<html>blocked</html>", content_type="text/html"), "E501"),
        (Reply(raw="<html>Sign in to the hotel's network</html>", content_type="text/html"), "E002"),
        (Reply(raw='{"type": "err'), "E002"),
        (Reply(raw="", content_type="text/event-stream"), "E002"),
        (Reply(raw="no events at all", content_type="text/event-stream"), "E002"),
        (Reply(raw='{"type":"error","error":{"type":"api_error","message":"m"}}'), "E003"),
        (text("half", ending="cut"), "E002"),
        (text("half", ending="reset"), "E002"),
        (text("half", ending="malformed"), "E002"),
        (text("half", ending="error", kind="overloaded_error", message="Overloaded"), "E003"),
        (text("half", ending="error", kind="rate_limit_error", message="slow down"), "E101"),
        (text("half", ending="error", kind="api_error", message="Internal server error"), "E003"),
        (text("half", stop_reason="max_tokens"), "E999"),
        (text("half", stop_reason="refusal"), "E999"),
        (text("half", stop_reason="model_context_window_exceeded"), "E505"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status}-{value.ending or value.stop_reason}",
)
async def test_every_failure_is_a_result_with_its_code(reply, code):
    result, verdict = await ask(reply)
    assert (result.outcome, verdict.code) == ("error", code)
    assert verdict.message
    assert result.session_id


async def test_a_connection_that_is_refused_is_retriable_and_cost_nothing():
    backend = make("http://127.0.0.1:9")
    result = await backend.run(request(), Recorder())
    await backend.close()
    assert classify(result, wall=0).code == "E002"
    assert result.cost_usd == 0.0
    assert "http://127.0.0.1:9 cannot be reached" in result.error_text


async def test_a_connection_that_breaks_before_the_answer_leaves_the_cost_unknown():
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        backend = make(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        result = await backend.run(request(), Recorder())
        await backend.close()
    assert classify(result, wall=0).code == "E002"
    assert result.cost_usd is None


async def test_what_arrived_of_a_broken_answer_is_kept_and_its_cost_is_unknown():
    result, _ = await ask(text("the first half", ending="cut"))
    assert (result.text, result.stdout_tail) == ("the first half", "the first half")
    assert result.usage.input_tokens == 1200
    assert result.cost_usd is None


async def test_a_refusal_by_the_server_costs_nothing():
    assert (await ask(refuse(529)))[0].cost_usd == 0.0


async def test_an_answer_cut_off_at_its_limit_keeps_text_and_cost():
    result, verdict = await ask(text("half", stop_reason="max_tokens"), options={"max_tokens": 5})
    assert (result.text, result.cost_usd) == ("half", pytest.approx(0.00296))
    assert "backend.max_tokens" in verdict.message


async def test_the_wait_a_server_asks_for_is_told():
    result, verdict = await ask(refuse(429, "slow down", retry_after="7"))
    assert (result.retry_after, verdict.retry_after, verdict.source) == (7.0, 7.0, "retry-after")
    result, _ = await ask(refuse(429, "slow down", retry_after_ms="1500"))
    assert result.retry_after == 1.5


async def test_silence_ends_a_session_and_so_does_its_time_limit():
    began = asyncio.get_running_loop().time()
    result, verdict = await ask(text("half", ending="silent"), idle_timeout_seconds=0.15)
    assert (result.outcome, verdict.code, result.text) == ("stale", "E303", "half")
    result, verdict = await ask(HANG, idle_timeout_seconds=0.15)
    assert (result.outcome, verdict.code) == ("stale", "E303")
    result, verdict = await ask(text("half", ending="silent"), timeout_seconds=0.15)
    assert (result.outcome, verdict.code, result.cost_usd) == ("timeout", "E301", None)
    assert asyncio.get_running_loop().time() - began < 3


async def test_an_answer_that_keeps_coming_is_not_silent():
    result, _ = await ask(text("abcdef", pieces=6, pause=0.06), idle_timeout_seconds=0.2)
    assert (result.outcome, result.text) == ("ok", "abcdef")


async def test_a_complete_answer_counts_although_the_connection_stays_open():
    stream = (
        'data: {"type":"message_start","message":{"id":"m","model":"claude-sonnet-5","usage":{"input_tokens":1}}}\n\n'
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"all"}}\n\n'
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}\n\n'
        'data: {"type":"message_stop"}\n\n'
    )
    reply = Reply(raw=stream, content_type="text/event-stream", headers={"content-length": str(len(stream) + 10)})
    result, _ = await ask(reply)
    assert (result.outcome, result.text) == ("ok", "all")


@pytest.mark.parametrize(
    ("environ", "options", "code", "words"),
    [
        ({}, {}, "E501", "ANTHROPIC_API_KEY is not set"),
        ({"ANTHROPIC_API_KEY": KEY}, {"api_key_env": "TEAM_KEY"}, "E501", "TEAM_KEY is not set"),
        ({"ANTHROPIC_API_KEY": "key\nwith a line"}, {}, "E501", "ANTHROPIC_API_KEY holds characters"),
        ({"ANTHROPIC_API_KEY": KEY}, {"base_url": "api.example.org"}, "E502", "api.example.org is no http(s) address"),
    ],
)
async def test_what_is_missing_is_said_before_anything_is_sent(environ, options, code, words):
    backend = make("http://127.0.0.1:9", environ=environ, options=options)
    report = Recorder()
    result = await backend.run(request(), report)
    health = await backend.check()
    await backend.close()
    assert classify(result, wall=0).code == code == health.code
    assert words in result.error_text
    assert words in health.message
    assert report.opened_as == []
    assert result.cost_usd == 0.0


@pytest.mark.parametrize("reply", [refuse(401, f"no such key: {KEY}"), Reply(status=500, raw=f"<p>{KEY}</p>")])
async def test_the_key_is_never_told_even_if_the_server_repeats_it(reply):
    async with served(lambda call: reply) as (server, backend):
        server.describe = lambda name: reply
        result = await backend.run(request(), Recorder())
        health = await backend.check()
    assert KEY not in repr(result)
    assert KEY not in repr(health)


async def test_a_password_in_the_address_is_never_told():
    backend = make("http://user:pass-word@127.0.0.1:9")
    result, health = await backend.run(request(), Recorder()), await backend.check()
    await backend.close()
    assert "pass-word" not in repr((result, health))
    assert health.facts["base_url"] == "http://127.0.0.1:9"


async def test_an_engine_that_cannot_record_the_session_is_heard_and_nothing_is_sent():
    class Broken(Recorder):
        async def opened(self, session_id: str) -> None:
            raise OSError("the disk is full")

    async with served() as (server, backend):
        with pytest.raises(OSError, match="the disk is full"):
            await backend.run(request(), Broken())
    assert server.calls == []


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [HANG, text("half", ending="silent")], ids=["before the answer", "amid the answer"])
async def test_a_cancelled_session_is_closed_before_the_cancellation_leaves(reply):
    async with served(lambda call: reply) as (server, backend):
        task = asyncio.create_task(backend.run(request(), Recorder()))
        await until(lambda: server.in_flight == 1)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.in_flight == 0)
        pace = backend._pace
    assert isinstance(pace, FreePace)
    assert len(pace.used_up) == 1


async def test_a_session_that_waits_for_the_pace_can_be_cancelled_and_sends_nothing():
    pace = ClosedPace()
    async with served(pace=pace) as (server, backend):
        report = Recorder()
        task = asyncio.create_task(backend.run(request(), report))
        await until(lambda: bool(pace.asked))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (server.calls, report.opened_as, pace.used_up) == ([], [], [])


# --- pace -------------------------------------------------------------------------------------------------------------


async def test_the_pace_hears_of_every_request_and_reply():
    headers = {"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49"}
    pace = FreePace()
    async with served(scripted(text("ok", headers=headers), refuse(429, "no", **headers)), pace=pace) as (_, backend):
        await backend.run(request(prompt_tokens=1000), Recorder())
        await backend.run(request(prompt_tokens=1000), Recorder())
    assert pace.told == [Allowance("requests", 50, 49)] * 2
    assert pace.asked[0] == 1500  # before anything was answered, answers are taken to have 500 tokens
    assert pace.asked[1] < pace.asked[0]
    assert [used for _, used in pace.used_up] == [1325, 0]  # what is read from the cache does not count


async def test_a_limit_that_others_meet_meanwhile_is_ones_own_and_nothing_is_sent():
    pace = ClosedPace()
    async with served(lambda call: refuse(429, "slow down", retry_after="9"), pace=pace) as (server, backend):
        reports = [Recorder() for _ in range(4)]
        tasks = [asyncio.create_task(backend.run(request(), report)) for report in reports]
        await until(lambda: len(pace.asked) == 4)
        pace.open.set()
        results = await asyncio.gather(*tasks)
        later = await backend.run(request(), Recorder())
    # Those that were on their way already arrive; a fifth that begins afterwards is sent.
    assert {classify(result, wall=0).code for result in [*results, later]} == {"E101"}
    assert not later.error_text.startswith("not sent")
    assert len(server.calls) == 1 + sum(len(report.opened_as) for report in reports)


async def test_sessions_behind_a_refused_one_are_not_sent():
    async with served(lambda call: refuse(429, "slow down", retry_after="9", delay=0.05)) as (server, backend):
        asked = [request(f"{LONG}Item {n}", shared_prefix=len(LONG)) for n in range(5)]
        results = await asyncio.gather(*(backend.run(one, Recorder()) for one in asked))
    assert len(server.calls) == 1
    assert {classify(result, wall=0).code for result in results} == {"E101"}
    assert all(8 < result.retry_after <= 9 for result in results)
    assert sum(result.error_text.startswith("not sent: slow down") for result in results) == 4
    assert {result.cost_usd for result in results} == {0.0}


async def test_an_overload_that_asks_for_a_long_wait_holds_the_others_back_as_well():
    async with served(lambda call: refuse(529, "Overloaded", retry_after="90", delay=0.03)) as (server, backend):
        results = await asyncio.gather(*(backend.run(shared(n), Recorder()) for n in range(3)))
    assert len(server.calls) == 1
    assert [classify(result, wall=0).code for result in results] == ["E103"] * 3


# --- prompt cache -----------------------------------------------------------------------------------------------------


def shared(n: int, **changes: Any) -> SessionRequest:
    return request(f"{LONG}Item {n}", shared_prefix=len(LONG), **changes)


async def test_one_request_warms_the_cache_before_the_others_are_sent():
    async with served(lambda call: text("ok", delay=0.05)) as (server, backend):
        reports = [Recorder() for _ in range(6)]
        tasks = [asyncio.create_task(backend.run(shared(n), reports[n])) for n in range(6)]
        await until(lambda: bool(server.calls))
        await asyncio.sleep(0.02)
        assert len(server.calls) == 1
        assert sum(len(report.opened_as) for report in reports) == 1
        await asyncio.gather(*tasks)
        await asyncio.gather(*(backend.run(shared(n), Recorder()) for n in range(5)))
    assert len(server.calls) == 11
    assert server.most_in_flight == 5


async def test_the_others_follow_as_soon_as_the_first_answer_begins():
    replies = scripted(text("long", ending="silent"), *[text("ok")] * 3)
    async with served(replies) as (_, backend):
        first = asyncio.create_task(backend.run(shared(0), Recorder()))
        await asyncio.sleep(0)
        others = await asyncio.gather(*(backend.run(shared(n), Recorder()) for n in range(1, 4)))
        first.cancel()
        await asyncio.wait([first])
    assert [other.outcome for other in others] == ["ok"] * 3


@pytest.mark.parametrize("failure", [refuse(500, delay=0.02), Reply(status=500, raw="", delay=0.02)])
async def test_when_the_first_fails_the_next_one_warms(failure):
    in_flight: list[int] = []
    replies = iter([failure, failure, *[text("ok", delay=0.03)] * 4])

    def handler(call: Call) -> Reply:
        in_flight.append(server.in_flight)
        return next(replies)

    async with served(handler) as (server, backend):
        results = await asyncio.gather(*(backend.run(shared(n), Recorder()) for n in range(6)))
    assert [result.outcome for result in results].count("ok") == 4
    assert in_flight[:3] == [1, 1, 1]


async def test_when_the_first_is_cancelled_the_next_one_warms():
    async with served(scripted(HANG, text("ok"), text("ok"))) as (server, backend):
        first = asyncio.create_task(backend.run(shared(0), Recorder()))
        await until(lambda: bool(server.calls))
        others = [asyncio.create_task(backend.run(shared(n), Recorder())) for n in (1, 2)]
        await asyncio.sleep(0.02)
        others[0].cancel()  # one that waits goes as well
        first.cancel()
        assert (await others[1]).outcome == "ok"
        await asyncio.wait([first, others[0]])


async def test_the_cache_is_warmed_again_after_four_minutes_without_use():
    clock = SetClock()
    async with served(lambda call: text("ok", delay=0.03), clock=clock) as (server, backend):
        await backend.run(shared(0), Recorder())
        clock.now += 239
        await asyncio.gather(*(backend.run(shared(n), Recorder()) for n in range(3)))
        assert server.most_in_flight == 3
        clock.now += 241
        server.most_in_flight = 0
        tasks = [asyncio.create_task(backend.run(shared(n), Recorder())) for n in range(3)]
        await asyncio.sleep(0.02)
        assert server.in_flight == 1
        await asyncio.gather(*tasks)


async def test_requests_that_share_nothing_do_not_wait_for_each_other():
    async with served(lambda call: text("ok", delay=0.05)) as (server, backend):
        await asyncio.gather(*(backend.run(request(f"Item {n}"), Recorder()) for n in range(5)))
    assert server.most_in_flight == 5


# --- structured output ------------------------------------------------------------------------------------------------


async def test_a_schema_is_sent_and_its_answer_read():
    bodies: list[dict[str, Any]] = []
    async with served(keeping(bodies, text('{"n": 3}'))) as (_, backend):
        result = await backend.run(request(answer_schema=SCHEMA), Recorder())
    assert bodies[0]["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert result.data == {"n": 3}
    assert result.warnings == ()


async def test_a_service_that_refuses_the_schema_is_asked_without_it_from_then_on():
    bodies: list[dict[str, Any]] = []

    def handler(call: Call) -> Reply:
        bodies.append(call.body)
        if "output_config" in call.body:
            return refuse(400, "output_config.format.schema: too many optional properties")
        return text('{"n": 3}')

    async with served(handler) as (_, backend):
        first = await backend.run(request(answer_schema=SCHEMA), Recorder())
        second = await backend.run(request(answer_schema=SCHEMA), Recorder())
    assert (first.outcome, second.outcome, first.data) == ("ok", "ok", None)
    assert ["output_config" in body for body in bodies] == [True, False, False]
    assert len(first.warnings) == 1
    assert "schema" in first.warnings[0]
    assert second.warnings == ()


async def test_another_bad_request_is_not_taken_for_a_refused_schema():
    async with served(lambda call: refuse(400, "messages: roles must alternate")) as (server, backend):
        result = await backend.run(request(answer_schema=SCHEMA), Recorder())
    assert (result.outcome, len(server.calls)) == ("error", 1)


async def test_a_model_that_says_it_takes_no_schema_gets_none():
    bodies: list[dict[str, Any]] = []
    described = {"id": "claude-sonnet-5", "capabilities": {"structured_outputs": {"supported": False}}}
    async with served(keeping(bodies)) as (server, backend):
        server.describe = lambda name: Reply(raw=json.dumps(described))
        assert (await backend.check()).ok
        await backend.run(request(answer_schema=SCHEMA), Recorder())
    assert "output_config" not in bodies[0]


# --- attachments ------------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


async def test_attachments_become_content_by_what_they_are(tmp_path):
    files = {
        "photo.jpg": PNG,  # what is inside decides, not the name
        "scan.jpeg": b"\xff\xd8\xff\xe0..",
        "move.gif": b"GIF89a..",
        "pic.webp": b"RIFF\0\0\0\0WEBP..",
        "paper.pdf": b"%PDF-1.7 ...",
        "notes.md": "größer".encode(),
        "export.csv": "a,b\n1,2".encode("utf-16"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    bodies: list[dict[str, Any]] = []
    async with served(keeping(bodies)) as (_, backend):
        await backend.run(request(attachments=[str(tmp_path / name) for name in files]), Recorder())
    blocks = bodies[0]["messages"][0]["content"]
    sources = [block["source"] for block in blocks if "source" in block]
    assert [source["media_type"] for source in sources] == [
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "application/pdf",
        "text/plain",
        "text/plain",
    ]
    assert [block["title"] for block in blocks if "title" in block] == ["paper.pdf", "notes.md", "export.csv"]
    assert sources[-2]["data"] == "größer"
    assert sources[-1]["data"] == "a,b\n1,2"
    assert blocks[0] == {"type": "text", "text": "photo.jpg:"}
    assert blocks[-1] == {"type": "text", "text": "Do it."}


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (None, "E601", "cannot be read: No such file or directory"),
        (b"", "E601", "is empty"),
        (b"PK\x03\x04\0\0\0", "E601", "is not a PNG"),
        (b"caf\xe9", "E601", "is not a PNG"),
        (b"x" * (26 * 1024 * 1024), "E505", "bytes"),
    ],
    ids=["missing", "empty", "binary", "another encoding", "too large"],
)
async def test_an_attachment_that_cannot_go_along_fails_its_batch_alone(tmp_path, data, code, words):
    path = tmp_path / "input.bin"
    if data is not None:
        path.write_bytes(data)
    async with served() as (server, backend):
        result = await backend.run(request(attachments=[str(path)]), Recorder())
    assert classify(result, wall=0).code == code
    assert words in result.error_text
    assert (server.calls, result.cost_usd) == ([], 0.0)


# --- health -----------------------------------------------------------------------------------------------------------


async def test_a_healthy_service_is_asked_for_free_and_the_key_is_not_shown():
    async with served() as (server, backend):
        health = await backend.check()
    assert (health.ok, health.message) == (True, "")
    assert server.calls == []
    assert server.asked[0]["x-api-key"] == KEY
    assert health.facts["base_url"] == server.url
    assert (health.facts["model"], health.facts["key"]) == ("claude-sonnet-5", "ANTHROPIC_API_KEY")
    assert health.facts["sdk"]
    assert KEY not in repr(health)


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (refuse(401, "invalid x-api-key"), "E501", "ANTHROPIC_API_KEY was refused"),
        (refuse(403, "no"), "E501", "ANTHROPIC_API_KEY was refused"),
        (refuse(404, "model: claude-sonnet-5"), "E504", "there is no model claude-sonnet-5"),
        (refuse(429, "slow down", retry_after="7"), "E101", "slow down"),
        (refuse(402, "pay"), "E506", "pay"),
        (refuse(529, "Overloaded"), "E003", "Overloaded"),
        (Reply(raw='{"lifecycle": "retired", "retires_at": "2026-06-15"}'), "E504", "retired since 2026-06-15"),
    ],
)
async def test_what_a_service_says_about_itself_is_a_verdict(reply, code, words):
    async with served() as (server, backend):
        server.describe = lambda name: reply
        health = await backend.check()
    assert (health.ok, health.code) == (False, code)
    assert words in health.message
    assert health.facts.get("retry_after", "7") == "7"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=404, raw="<html>no such page</html>", content_type="text/html"),
        Reply(status=405, raw="{}"),
        Reply(raw="welcome", content_type="text/plain"),
        Reply(raw='{"lifecycle": "deprecated", "retires_at": "2027-01-01T00:00:00Z"}'),
    ],
)
async def test_a_gateway_that_describes_no_models_counts_as_well(reply):
    async with served() as (server, backend):
        server.describe = lambda name: reply
        assert (await backend.check()).ok


async def test_a_service_that_is_not_there_is_a_matter_of_the_network():
    backend = make("http://127.0.0.1:9")
    health = await backend.check()
    await backend.close()
    assert (health.ok, health.code) == (False, "E002")
