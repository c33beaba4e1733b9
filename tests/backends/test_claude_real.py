"""The real `claude` program against a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from support.anthropic_server import HANG, AnthropicServer, Call, Reply, refuse, text, tool, use, uses
from support.claude import Recorder, start_host

from mozart_nb.backends._marked import find
from mozart_nb.backends.claude_cli import ClaudeCliBackend
from mozart_nb.clock import SystemClock
from mozart_nb.engine.classify import classify
from mozart_nb.engine.ports import SessionRequest, SessionResult

pytestmark = pytest.mark.real_claude

MakeRequest = Callable[..., SessionRequest]


@pytest.fixture
def backend(claude_env: dict[str, str]) -> ClaudeCliBackend:
    return ClaudeCliBackend(SystemClock(), claude_env)


@pytest.fixture
def ask(make_request: MakeRequest, claude_path: str) -> MakeRequest:
    """Requests to the real program. It does not retry by itself unless a test wants that."""

    def make(prompt: str = "hello", *, options: dict[str, Any] | None = None, **fields: Any) -> SessionRequest:
        settings = {"cli_path": claude_path, "env": {"CLAUDE_CODE_MAX_RETRIES": "0"}, **(options or {})}
        return make_request(prompt, options=settings, **fields)

    return make


async def run(backend: ClaudeCliBackend, request: SessionRequest) -> SessionResult:
    return await backend.run(request, Recorder())


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


def code(result: SessionResult) -> str:
    return classify(result, wall=time.time()).code


# --- what a session brings back ---------------------------------------------------------------------------------------


async def test_an_answer(backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer):
    request = ask("What is the answer?")
    result = await run(backend, request)
    assert (result.outcome, result.text, code(result)) == ("ok", "answer to: What is the answer?", "")
    assert (result.exit_code, result.turns, result.session_id) == (0, 1, request.session_id)
    assert (result.usage.input_tokens, result.usage.output_tokens, result.usage.cache_read_tokens) == (1200, 25, 300)
    assert result.cost_usd is not None
    assert result.cost_usd > 0
    assert api.sessions == {request.session_id: 1}


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "when": {"type": "string", "format": "date"},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        "key": {"type": "string", "pattern": r"^\p{L}+\-[0-9]{2,}$", "x-note": "ours"},
    },
    "required": ["n"],
}


def fill_in(call: Call, **answer: Any) -> Reply:
    """What a model does with a schema: it calls the program's tool for it, once."""
    if call.tool_results and not call.tool_results[-1].get("is_error"):
        return text("done")
    offered = [one["name"] for one in call.body.get("tools", [])]
    return use("StructuredOutput", **answer) if "StructuredOutput" in offered else text("no schema arrived")


async def test_a_schema_reaches_the_model_and_its_answer_comes_back_as_data(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer
):
    api.handler = lambda call: fill_in(call, n=3)
    result = await run(backend, ask("How many?", answer_schema=SCHEMA))
    assert (result.outcome, result.data, code(result)) == ("ok", {"n": 3}, "")
    assert msgspec.json.decode(result.text) == {"n": 3}


async def test_the_program_lets_the_model_mend_what_the_schema_forbids(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer
):
    api.handler = lambda call: fill_in(call, n=0 if call.turn == 1 else 7)
    result = await run(backend, ask("How many?", answer_schema=SCHEMA))
    assert (result.outcome, result.data) == ("ok", {"n": 7})


async def test_an_answer_in_words_where_data_was_asked_for_is_handed_on(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer
):
    api.handler = lambda call: text('{"n": 4}')
    result = await run(backend, ask("How many?", answer_schema=SCHEMA))
    assert (result.outcome, result.data, result.text, code(result)) == ("ok", None, '{"n": 4}', "")


async def test_a_schema_too_long_for_a_command_line_is_left_to_the_prompt(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer
):
    many = {"type": "object", "properties": {f"key{n}": {"description": "x" * 200} for n in range(2000)}}
    result = await run(backend, ask("hello", answer_schema=many))
    assert (result.outcome, result.text) == ("ok", "answer to: hello")


@pytest.mark.parametrize("prompt", ["/clear", "/nosuchcommand do it", "-p --help", "@/etc/hostname", "x" * 300_000])
async def test_any_prompt_arrives_as_it_is(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, prompt: str
):
    bodies: list[str] = []

    def handler(call: Call) -> Reply:
        bodies.append(str(call.body["messages"]))
        return text("got it")

    api.handler = handler
    assert (await run(backend, ask(prompt))).text == "got it"
    assert api.calls[0].prompt.strip() == prompt
    assert socket.gethostname() not in bodies[0], "no file is attached by its name"


async def test_files_are_written_through_the_programs_own_tool(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, tmp_path: Path
):
    paths = [tmp_path / "work" / name for name in ("a.md", "b.md")]

    def handler(call: Call) -> Reply:
        if call.tool_results:
            return text("written")
        return uses(*(tool("Write", file_path=str(path), content=path.name) for path in paths), words="I write.")

    api.handler = handler
    result = await run(backend, ask())
    assert (result.outcome, result.text, result.warnings) == ("ok", "written", ())
    assert [path.read_text() for path in paths] == ["a.md", "b.md"]


async def test_a_tool_that_is_not_permitted_is_a_warning(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, tmp_path: Path
):
    path = tmp_path / "work" / "a.md"
    api.handler = lambda call: text("so be it") if call.tool_results else use("Write", file_path=str(path), content="x")
    result = await run(backend, ask(options={"skip_permissions": False}))
    assert (result.outcome, result.text) == ("ok", "so be it")
    assert result.warnings == (f"Write was not permitted: {path}",)
    assert not path.exists()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (refuse(429, "This would exceed your rate limit", retry_after="3600"), "E101"),
        (refuse(429, "You've hit your limit · resets 2pm (America/Toronto)"), "E102"),
        (refuse(529, "Overloaded"), "E003"),
        (refuse(500, "Internal server error"), "E003"),
        (refuse(401, "invalid x-api-key"), "E501"),
        (refuse(404, "model: nope"), "E504"),
        (refuse(400, "prompt is too long: 214514 tokens > 200000 maximum"), "E505"),
        (refuse(400, "Your credit balance is too low to access the Anthropic API."), "E506"),
    ],
)
async def test_an_error_of_the_api(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, reply: Reply, expected: str
):
    api.handler = lambda call: reply
    result = await run(backend, ask())
    assert (result.outcome, result.exit_code, result.text, code(result)) == ("error", 1, "", expected), result


async def test_a_service_that_is_not_there(ask: MakeRequest, claude_env: dict[str, str]):
    backend = ClaudeCliBackend(SystemClock(), {**claude_env, "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"})
    assert code(await run(backend, ask())) == "E002"


async def test_nobody_logged_in(ask: MakeRequest, claude_env: dict[str, str], api: AnthropicServer):
    backend = ClaudeCliBackend(SystemClock(), {k: v for k, v in claude_env.items() if k != "ANTHROPIC_API_KEY"})
    assert code(await run(backend, ask())) == "E501"
    assert api.calls == []


async def test_a_flag_that_does_not_exist(backend: ClaudeCliBackend, ask: MakeRequest):
    result = await run(backend, ask(options={"cli_extra_args": ["--no-such-flag"]}))
    assert (code(result), result.cost_usd) == ("E502", 0.0)
    assert "--no-such-flag" in result.error_text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root is refused")
async def test_root_outside_a_sandbox(ask: MakeRequest, claude_env: dict[str, str]):
    backend = ClaudeCliBackend(SystemClock(), {k: v for k, v in claude_env.items() if k != "IS_SANDBOX"})
    verdict = classify(await run(backend, ask()), wall=0.0)
    assert verdict.code == "E502"
    assert "IS_SANDBOX" in verdict.message


async def test_a_session_that_used_up_its_turns(backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer):
    api.handler = lambda call: use("Bash", command="true", description="nothing")
    result = await run(backend, ask(options={"max_turns": 2}))
    assert (result.subtype, code(result)) == ("error_max_turns", "E001")


async def test_two_sessions_at_once_never_mix(backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer):
    together = asyncio.Barrier(3)

    async def handler(call: Call) -> Reply:
        await together.wait()
        return text(f"for {call.prompt}")

    api.handler = handler
    requests = [ask(f"number {n}") for n in range(3)]
    results = await asyncio.gather(*(run(backend, request) for request in requests))
    assert [result.text for result in results] == [f"for number {n}" for n in range(3)]


# --- going on with a session ------------------------------------------------------------------------------------------


async def test_a_continued_session_remembers(backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer):
    api.handler = lambda call: text(" + ".join(prompt.strip() for prompt in call.prompts))
    first = ask("one")
    await run(backend, first)
    second = ask("two", session_id=first.session_id, continues=True)
    result = await run(backend, second)
    assert (result.outcome, result.text, result.session_id) == ("ok", "one + two", first.session_id)
    assert api.sessions == {first.session_id: 2}


async def test_a_session_that_is_lost_is_told_from_a_failure(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer
):
    result = await run(backend, ask(continues=True))
    assert (result.outcome, result.lost_session, result.cost_usd, code(result)) == ("error", True, 0.0, "E001")
    assert api.calls == []


# --- limits and ends --------------------------------------------------------------------------------------------------


def sleeper(command: str) -> Callable[[Call], Reply]:
    return lambda call: HANG if call.tool_results else use("Bash", command=command, description="wait")


async def test_a_session_over_its_time(backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer):
    api.handler = sleeper("sleep 71")
    request = ask(timeout_seconds=2.5)
    result = await run(backend, request)
    assert (result.outcome, result.signal, code(result)) == ("timeout", 2, "E301")
    assert find(request.marker, request.session_id) == []


async def test_a_service_that_never_answers(backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer):
    api.handler = lambda call: HANG
    result = await run(backend, ask(idle_timeout_seconds=1.5))
    assert (result.outcome, code(result)) == ("stale", "E303")


@pytest.mark.parametrize(
    "command",
    [
        "sleep 72",
        "nohup setsid sleep 72 >/dev/null 2>&1 & echo started",
        'python3 -c "import signal, time; signal.signal(2, 1); signal.signal(15, 1); time.sleep(72)"',
    ],
)
async def test_cancelling_leaves_no_process(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, command: str
):
    api.handler = sleeper(command)
    request = ask()
    session = asyncio.create_task(run(backend, request))
    await until(lambda: {"sleep", "python3"} & {Path(line[0]).name for line in command_lines(request)})
    session.cancel()
    await asyncio.sleep(0.01)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert find(request.marker, request.session_id) == []


def command_lines(request: SessionRequest) -> list[list[str]]:
    lines = []
    for process in find(request.marker):
        with contextlib.suppress(psutil.Error):
            lines.append(process.cmdline() or [""])
    return lines


async def test_what_a_tool_left_in_the_background_is_gone_after_a_good_end(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer
):
    command = "nohup setsid sleep 73 >/dev/null 2>&1 & echo started"
    api.handler = lambda call: text("done") if call.tool_results else use("Bash", command=command, description="x")
    request = ask()
    assert (await run(backend, request)).outcome == "ok"
    assert find(request.marker, request.session_id) == []


# --- the death of the host --------------------------------------------------------------------------------------------


async def die_during(request: SessionRequest, environ: dict[str, str], moment: Callable[[], Any]) -> SessionRequest:
    """Run `request` in a host that is killed at `moment`; returns what the next host knows of it."""
    host = start_host(request, environ)
    try:
        await until(moment)
    finally:
        host.kill()
        host.wait()
    return msgspec.structs.replace(request, prompt="")


async def test_a_session_goes_on_when_its_host_dies_and_is_adopted(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, claude_env: dict[str, str], tmp_path: Path
):
    path, go = tmp_path / "work" / "report.md", asyncio.Event()
    loop = asyncio.get_running_loop()

    async def handler(call: Call) -> Reply:
        if call.tool_results:
            return text("all written")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go.wait(), loop))
        return use("Write", file_path=str(path), content="kept")

    api.handler = handler
    request = ask()
    later = await die_during(request, claude_env, lambda: api.calls)
    report = Recorder()
    session = asyncio.create_task(backend.reattach(later, report))
    await until(lambda: report.opened_with)
    go.set()
    result = await session
    assert result is not None
    assert (result.outcome, result.text, result.exit_code, path.read_text()) == ("ok", "all written", None, "kept")
    assert api.sessions == {request.session_id: 2}, "asked once, nothing paid twice"


async def test_a_session_that_ended_after_its_host_died_is_read(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, claude_env: dict[str, str]
):
    api.handler = lambda call: text("finished alone", delay=0.3)
    request = ask()
    later = await die_during(request, claude_env, lambda: api.calls)
    await until(lambda: not find(request.marker))
    report = Recorder()
    result = await backend.reattach(later, report)
    assert result is not None
    assert (result.outcome, result.text, report.opened_with) == ("ok", "finished alone", [])
    assert result.cost_usd is not None
    assert result.cost_usd > 0
    assert len(api.calls) == 1


async def test_an_adopted_session_can_be_cancelled(
    backend: ClaudeCliBackend, ask: MakeRequest, api: AnthropicServer, claude_env: dict[str, str]
):
    api.handler = sleeper("sleep 74")
    request = ask()
    later = await die_during(request, claude_env, lambda: ["sleep", "74"] in command_lines(request))
    report = Recorder()
    session = asyncio.create_task(backend.reattach(later, report))
    await until(lambda: report.opened_with)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert find(request.marker, request.session_id) == []
