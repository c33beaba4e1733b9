from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from support.claude import Recorder, start_host
from support.disks import small_disk
from support.obedient import write_obedient

from mozart_nb.backends import _marked
from mozart_nb.backends._marked import MARKER, find
from mozart_nb.backends._spawn import Files
from mozart_nb.backends.claude_cli import ClaudeCliBackend
from mozart_nb.clock import SystemClock
from mozart_nb.engine.classify import classify
from mozart_nb.engine.ports import Backend, Reattaches, SessionRequest, SessionResult

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups are those of POSIX")

MakeRequest = Callable[..., SessionRequest]


@pytest.fixture
def backend() -> ClaudeCliBackend:
    return ClaudeCliBackend(SystemClock(), {"PATH": os.environ["PATH"]})


@pytest.fixture
def ask(make_request: MakeRequest, tmp_path: Path) -> MakeRequest:
    """Requests to the obedient program."""
    program = write_obedient(tmp_path)

    def make(prompt: str, *, options: dict[str, Any] | None = None, **fields: Any) -> SessionRequest:
        return make_request(prompt, options={"cli_path": program, **(options or {})}, **fields)

    return make


async def run(backend: ClaudeCliBackend, request: SessionRequest) -> SessionResult:
    return await backend.run(request, Recorder())


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


def has_said(request: SessionRequest, words: str = "system") -> bool:
    out = Files.of(request.log).out
    return out.exists() and words in out.read_text()


def left_of(request: SessionRequest) -> list[psutil.Process]:
    """What still runs of a session, without the child that shed its environment."""
    return find(request.marker, request.session_id)


def nameless_of(request: SessionRequest) -> list[psutil.Process]:
    """The child that shed its environment, while it runs; its id is on standard error."""
    pid = int(Files.of(request.log).err.read_text())
    return (
        [process for process in [psutil.Process(pid)] if not _marked.is_gone(process)] if psutil.pid_exists(pid) else []
    )


# --- a session from start to end --------------------------------------------------------------------------------------


async def test_a_session_is_announced_then_run_and_read(backend: ClaudeCliBackend, ask: MakeRequest):
    request, report = ask("open_(); done('hello')"), Recorder()
    result = await backend.run(request, report)
    assert (result.outcome, result.text, result.exit_code, result.cost_usd) == ("ok", "hello", 0, 0.25)
    assert (result.session_id, result.stdout_tail, result.stderr_tail) == (request.session_id, "hello", "")
    assert report.opened_with == [request.session_id]
    assert report.totals[-1][:2] == (Files.of(request.log).out.stat().st_size, 2)
    assert 0 < result.duration < 10


async def test_nothing_is_spawned_before_the_announcement_is_durable(backend: ClaudeCliBackend, ask: MakeRequest):
    class Refusing(Recorder):
        async def opened(self, session_id: str) -> None:
            raise OSError("the disk is full")

    request = ask("open_(); done()")
    with pytest.raises(OSError, match="disk is full"):
        await backend.run(request, Refusing())
    assert not Files.of(request.log).prompt.exists()


async def test_files_are_for_the_user_alone_and_keep_everything(backend: ClaudeCliBackend, ask: MakeRequest):
    prompt = "open_(); print('aside', file=sys.stderr); done('é😀')"
    request = ask(prompt)
    result = await run(backend, request)
    files = Files.of(request.log)
    assert result.stderr_tail == "aside\n"
    assert (files.prompt.read_text(), files.err.read_text()) == (prompt, "aside\n")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (files.prompt, files.out, files.err)} == {0o600}
    assert stat.S_IMODE(files.out.parent.stat().st_mode) == 0o700


async def test_two_sessions_at_once_never_mix(backend: ClaudeCliBackend, ask: MakeRequest):
    prompts = [f"open_(); [say(type='x', n=i) for i in range(200)]; time.sleep(0.05); done('me {n}')" for n in range(6)]
    requests = [ask(prompt) for prompt in prompts]
    results = await asyncio.gather(*(run(backend, request) for request in requests))
    assert [result.text for result in results] == [f"me {n}" for n in range(6)]
    assert [result.session_id for result in results] == [request.session_id for request in requests]


async def test_one_attempt_number_never_overwrites_the_output_of_another(backend: ClaudeCliBackend, ask: MakeRequest):
    first = ask("open_(); done('first')")
    second = msgspec.structs.replace(ask("open_(); done('second')"), log=first.log)
    third = msgspec.structs.replace(ask("open_(); done('third')"), log=first.log)
    texts = [(await run(backend, request)).text for request in (first, second, third)]
    assert texts == ["first", "second", "third"]
    kept = sorted(Path(first.log).parent.glob("*.out*"))
    assert ["first" in kept[1].read_text(), "second" in kept[2].read_text(), "third" in kept[0].read_text()] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("output_format", "start"), [("text", "hello"), ("json", '{"type":"result"'), ("stream-json", '{"type": "system"')]
)
async def test_captured_output_has_the_form_that_was_asked_for(
    backend: ClaudeCliBackend, ask: MakeRequest, output_format: str, start: str
):
    result = await run(backend, ask("open_(); done('hello')", options={"output_format": output_format}))
    assert result.stdout_tail.startswith(start)
    assert result.text == "hello"


async def test_captured_output_is_the_end_and_not_more_than_asked_for(backend: ClaudeCliBackend, ask: MakeRequest):
    prompt = "open_(); sys.stderr.write('e' * 5000 + 'end'); done('a' * 5000 + '€end')"
    result = await run(backend, ask(prompt, capture_bytes=100))
    assert len(result.text) > 5000
    assert (result.stdout_tail[-4:], len(result.stdout_tail.encode())) == ("€end", 100)
    assert (result.stderr_tail[-4:], len(result.stderr_tail)) == ("eend", 100)


async def test_exit_code_and_stderr_of_a_failure_are_kept(backend: ClaudeCliBackend, ask: MakeRequest):
    result = await run(backend, ask("sys.exit('error: no such flag')"))
    assert (result.outcome, result.exit_code, result.error_text) == ("error", 1, "error: no such flag")


async def test_a_signal_from_outside_is_seen(backend: ClaudeCliBackend, ask: MakeRequest):
    result = await run(backend, ask("open_(); os.kill(os.getpid(), signal.SIGKILL)"))
    assert (result.outcome, result.signal, result.exit_code) == ("killed", signal.SIGKILL, -9)


async def test_hostile_output_neither_breaks_nor_bloats_the_host(backend: ClaudeCliBackend, ask: MakeRequest):
    prompt = """
        open_()
        out = sys.stdout.buffer
        for _ in range(100):
            out.write(b"\\xff\\x1b[2J" * 200_000)
        out.write(b"\\n\\n{\\n[[[\\n")
        out.flush()
        done("still here")
    """
    before = psutil.Process().memory_info().rss
    result = await run(backend, ask(textwrap.dedent(prompt)))
    assert (result.outcome, result.text) == ("ok", "still here")
    assert psutil.Process().memory_info().rss - before < 60e6


async def test_the_loop_stays_alive_while_much_is_read(backend: ClaudeCliBackend, ask: MakeRequest):
    late: list[float] = []

    async def heartbeat() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            late.append(time.monotonic() - began - 0.005)

    beating = asyncio.create_task(heartbeat())
    await run(backend, ask("open_(); [print('x' * 1000) for _ in range(50_000)]; done()"))
    beating.cancel()
    assert sorted(late)[int(len(late) * 0.95)] < 0.1


async def test_a_session_does_not_see_the_signals_of_its_host(backend: ClaudeCliBackend, ask: MakeRequest):
    result = await run(backend, ask("open_(); done(str(os.getsid(0) == os.getpid() == os.getpgid(0)))"))
    assert result.text == "True"


# --- what cannot be started -------------------------------------------------------------------------------------------


async def test_a_missing_program_is_a_result(backend: ClaudeCliBackend, ask: MakeRequest):
    result = await run(backend, ask("", options={"cli_path": "/nowhere/claude"}))
    assert (result.outcome, result.error_kind, result.cost_usd) == ("error", "program_not_found", 0.0)
    assert "/nowhere/claude" in result.error_text


async def test_without_a_path_the_program_is_looked_for_where_the_session_would(
    make_request: MakeRequest, tmp_path: Path
):
    write_obedient(tmp_path)
    found = ClaudeCliBackend(SystemClock(), {"PATH": f"{tmp_path}:/usr/bin"})
    lost = ClaudeCliBackend(SystemClock(), {"PATH": "/usr/bin/nothing"})
    assert (await run(found, make_request("open_(); done()"))).outcome == "ok"
    assert (await run(lost, make_request(""))).error_kind == "program_not_found"


async def test_a_relative_path_of_the_program_starts_at_the_working_directory(
    backend: ClaudeCliBackend, make_request: MakeRequest, tmp_path: Path
):
    write_obedient(tmp_path / "work")
    assert (await run(backend, make_request("open_(); done()", options={"cli_path": "./claude"}))).outcome == "ok"


async def test_a_program_that_cannot_be_executed_is_a_result(
    backend: ClaudeCliBackend, ask: MakeRequest, tmp_path: Path
):
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)
    result = await run(backend, ask("", options={"cli_path": str(broken)}))
    assert (result.error_kind, result.exception) == ("program_not_found", "FileNotFoundError")


@pytest.mark.parametrize("name", ["missing", "file"])
async def test_a_bad_working_directory_is_a_result(
    backend: ClaudeCliBackend, ask: MakeRequest, tmp_path: Path, name: str
):
    (tmp_path / "file").touch()
    result = await run(backend, ask("", working_directory=str(tmp_path / name)))
    assert (result.outcome, result.error_kind) == ("error", "working_directory")


async def test_an_argument_that_is_too_long_is_a_result(backend: ClaudeCliBackend, ask: MakeRequest):
    result = await run(backend, ask("", options={"append_system_prompt": "x" * 3_000_000}))
    assert (result.error_kind, result.cost_usd) == ("arguments_too_long", 0.0)


async def test_a_null_character_in_an_argument_is_a_result(backend: ClaudeCliBackend, ask: MakeRequest):
    assert (await run(backend, ask("", options={"append_system_prompt": "a\0b"}))).error_kind == "arguments"


async def test_a_log_that_cannot_be_written_is_a_result(backend: ClaudeCliBackend, ask: MakeRequest, tmp_path: Path):
    (tmp_path / "file").touch()
    assert (await run(backend, ask("", log=str(tmp_path / "file" / "0001-1")))).error_kind == "log_unwritable"


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_a_session_over_its_time_is_ended_and_keeps_what_it_printed(backend: ClaudeCliBackend, ask: MakeRequest):
    prompt = """
        def stop(*_):
            say(type="result", subtype="error_during_execution", is_error=True, terminal_reason="aborted_tools",
                total_cost_usd=0.5, num_turns=1)
            sys.exit(0)
        signal.signal(signal.SIGINT, stop)
        open_(); print("hm", file=sys.stderr, flush=True); time.sleep(60)
    """
    result = await run(backend, ask(textwrap.dedent(prompt), timeout_seconds=0.6))
    assert (result.outcome, result.signal, result.exit_code) == ("timeout", signal.SIGINT, None)
    assert (result.cost_usd, result.has_result, result.stderr_tail) == (0.5, True, "hm\n")
    assert "obedient" in result.stdout_tail
    assert 0.5 < result.duration < 5


async def test_a_session_that_ignores_the_interrupt_is_killed(backend: ClaudeCliBackend, ask: MakeRequest):
    prompt = "signal.signal(signal.SIGINT, signal.SIG_IGN); open_(); time.sleep(60)"
    request = ask(prompt, timeout_seconds=0.5, kill_grace_seconds=0.2)
    result = await run(backend, request)
    assert (result.outcome, result.signal, result.cost_usd) == ("timeout", signal.SIGKILL, None)
    assert left_of(request) == []


async def test_an_interrupt_that_was_swallowed_is_repeated(backend: ClaudeCliBackend, ask: MakeRequest):
    prompt = """
        swallowed = []
        def swallow(*_):
            swallowed.append(1)
            if len(swallowed) == 2:
                done("in the end", subtype="error_during_execution", is_error=True, terminal_reason="aborted_tools")
                sys.exit(0)
        signal.signal(signal.SIGINT, swallow)
        open_(); [time.sleep(0.1) for _ in range(600)]
    """
    result = await run(backend, ask(textwrap.dedent(prompt), timeout_seconds=0.5))
    assert (result.outcome, result.signal, result.cost_usd) == ("timeout", signal.SIGINT, 0.25)


async def test_silence_is_stale_and_output_resets_it(backend: ClaudeCliBackend, ask: MakeRequest):
    talkative = "open_(); [(time.sleep(0.1), print('.', file=sys.stderr, flush=True)) for _ in range(8)]; done()"
    silent = "open_(); time.sleep(60)"
    limits = {"idle_timeout_seconds": 0.5, "kill_grace_seconds": 0.2}
    results = await asyncio.gather(*(run(backend, ask(prompt, **limits)) for prompt in (talkative, silent)))
    assert [result.outcome for result in results] == ["ok", "stale"]


async def test_a_session_that_lingers_after_its_result_counts(backend: ClaudeCliBackend, ask: MakeRequest):
    result = await run(backend, ask("open_(); done('good'); time.sleep(60)", timeout_seconds=0.5))
    assert (result.outcome, result.text) == ("ok", "good")
    assert "did not exit" in result.warnings[0]


async def test_limits_follow_the_fair_clock(ask: MakeRequest):
    class Standing(SystemClock):
        """The loop is blocked for ever, as far as this clock is concerned."""

        def fair(self) -> float:
            return 0.0

    backend = ClaudeCliBackend(Standing(), {"PATH": os.environ["PATH"]})
    result = await run(backend, ask("open_(); time.sleep(0.3); done()", timeout_seconds=0.1, idle_timeout_seconds=0.1))
    assert result.outcome == "ok"


# --- nothing is left behind -------------------------------------------------------------------------------------------


async def test_what_a_tool_left_running_is_gone_after_a_normal_end(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask("open_(); print(child('sleep 61', start_new_session=True).pid, file=sys.stderr); done()")
    result = await run(backend, request)
    assert result.outcome == "ok"
    assert not psutil.pid_exists(int(result.stderr_tail)) or _marked.is_gone(psutil.Process(int(result.stderr_tail)))


async def test_other_sessions_and_strangers_are_spared(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask("open_(); done()")
    mention = {"NOTE": f"{MARKER}={request.marker}"}
    others = [sleeping({MARKER: "test-other", **mention}), sleeping({MARKER: f"{request.marker}0"})]
    try:
        await run(backend, request)
        assert [other.poll() for other in others] == [None, None]
    finally:
        for other in others:
            other.kill()
            other.wait()


def sleeping(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "62"], env={"PATH": os.environ["PATH"], **environment})


CHILDREN = """
open_()
deaf = "import signal, time; signal.signal(2, 1); signal.signal(15, 1); time.sleep(63)"
child("sleep 63", start_new_session=True)
subprocess.Popen([sys.executable, "-SEc", deaf], start_new_session=True)
child("sleep 63", env={"PATH": os.environ["PATH"], "CLAUDE_CODE_SESSION_ID": named("--session-id")})
nameless = child("sleep 63", env={})
print(nameless.pid, file=sys.stderr, flush=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)
say(type="system", subtype="ready")
time.sleep(63)
"""


async def cancel_when_ready(session: asyncio.Task[Any], request: SessionRequest) -> None:
    await until(lambda: has_said(request, "ready"))
    await until(lambda: len(left_of(request)) == 4)
    session.cancel()


async def test_cancelling_leaves_no_process(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask(CHILDREN, kill_grace_seconds=0.2)
    session = asyncio.create_task(run(backend, request))
    await cancel_when_ready(session, request)
    with pytest.raises(asyncio.CancelledError):
        await session
    assert left_of(request) == nameless_of(request) == []


async def test_cancelling_again_and_again_cuts_nothing_short(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask(CHILDREN, kill_grace_seconds=0.3)
    session = asyncio.create_task(run(backend, request))
    await cancel_when_ready(session, request)
    while not session.done():
        await asyncio.sleep(0.02)
        session.cancel()
    assert session.cancelled()
    assert left_of(request) == []


async def test_cancelling_while_it_starts_leaves_no_process(backend: ClaudeCliBackend, ask: MakeRequest):
    for steps in range(6):
        request = ask("open_(); time.sleep(63)", kill_grace_seconds=0.2)
        session = asyncio.create_task(run(backend, request))
        for _ in range(steps):
            await asyncio.sleep(0)
        session.cancel()
        with pytest.raises(asyncio.CancelledError):
            await session
        assert left_of(request) == []


def test_the_end_of_the_loop_leaves_no_process(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask(CHILDREN, kill_grace_seconds=0.2)

    async def host() -> None:
        session = asyncio.create_task(run(backend, request))
        await until(lambda: has_said(request, "ready"))
        assert not session.done()

    asyncio.run(host())
    assert left_of(request) == []


async def test_cancelling_during_the_clean_up_after_a_timeout_leaves_no_process(
    backend: ClaudeCliBackend, ask: MakeRequest
):
    request = ask(CHILDREN, timeout_seconds=0.8, kill_grace_seconds=0.5)
    session = asyncio.create_task(run(backend, request))
    await until(lambda: has_said(request, "ready"))
    await asyncio.sleep(1.0)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert left_of(request) == []


async def test_twenty_sessions_are_cancelled_side_by_side(backend: ClaudeCliBackend, ask: MakeRequest):
    stubborn = "signal.signal(signal.SIGINT, signal.SIG_IGN); open_(); time.sleep(63)"
    requests = [ask(stubborn, kill_grace_seconds=0.5) for _ in range(20)]
    sessions = [asyncio.create_task(run(backend, request)) for request in requests]
    for request in requests:
        await until(lambda request=request: has_said(request), 30)
    began = time.monotonic()
    for session in sessions:
        session.cancel()
    await asyncio.wait(sessions)
    assert time.monotonic() - began < 8
    assert [left_of(request) for request in requests] == [[]] * 20


# --- sessions that outlive their host ---------------------------------------------------------------------------------


async def run_and_kill_the_host(request: SessionRequest, words: str = "system") -> None:
    """Start the session in a host of its own and kill that host with SIGKILL once the session has said `words`."""
    host = start_host(request, os.environ)
    try:
        await until(lambda: has_said(request, words), 20)
    finally:
        host.kill()
        host.wait()


def picked_up(request: SessionRequest) -> SessionRequest:
    """What a new host knows of it: no prompt."""
    return msgspec.structs.replace(request, prompt="")


async def test_a_session_that_still_runs_is_adopted_and_followed_to_its_end(
    backend: ClaudeCliBackend, ask: MakeRequest, tmp_path: Path
):
    gate = tmp_path / "go"
    request = ask(f"open_()\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\ndone('adopted')")
    await run_and_kill_the_host(request)
    report = Recorder()
    session = asyncio.create_task(backend.reattach(picked_up(request), report))
    await until(lambda: report.opened_with == [request.session_id])
    gate.touch()
    result = await session
    assert result is not None
    assert (result.outcome, result.text, result.exit_code, result.duration) == ("ok", "adopted", None, 1.5)
    assert left_of(request) == []


async def test_a_session_that_has_finished_meanwhile_is_read(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask("open_(); child('sleep 64', start_new_session=True); time.sleep(0.2); done('read', total_cost_usd=2)")
    await run_and_kill_the_host(request)
    await until(lambda: has_said(request, "result"))
    await until(lambda: len(left_of(request)) == 1)
    report = Recorder()
    result = await backend.reattach(picked_up(request), report)
    assert result is not None
    assert (result.outcome, result.text, result.cost_usd, report.opened_with) == ("ok", "read", 2.0, [])
    assert left_of(request) == [], "what its tool left behind is gone too"


async def test_an_adopted_failure_is_a_failure(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask("open_(); done('API Error: 500', is_error=True, api_error_status=500); sys.exit(1)")
    await run(backend, request)
    result = await backend.reattach(picked_up(request), Recorder())
    assert result is not None
    assert (result.outcome, result.api_status, result.exit_code) == ("error", 500, None)


async def test_a_session_that_is_gone_without_a_result_is_nothing(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask("open_(); child('sleep 65', start_new_session=True); os.kill(os.getpid(), 9)")
    await run_and_kill_the_host(request)
    assert await backend.reattach(picked_up(request), Recorder()) is None
    assert left_of(request) == []
    assert await backend.reattach(picked_up(ask("")), Recorder()) is None, "it never even started"


async def test_a_session_that_was_interrupted_while_nobody_watched_is_nothing(
    backend: ClaudeCliBackend, ask: MakeRequest
):
    aborted = "say(type='result', subtype='error_during_execution', is_error=True, terminal_reason='aborted_streaming')"
    request = ask(f"open_(); {aborted}")
    await run(backend, request)
    assert await backend.reattach(picked_up(request), Recorder()) is None


async def test_an_adopted_session_dying_without_a_result_is_nothing(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask("open_(); time.sleep(66)")
    await run_and_kill_the_host(request)
    report = Recorder()
    session = asyncio.create_task(backend.reattach(picked_up(request), report))
    await until(lambda: report.opened_with)
    for process in left_of(request):
        process.kill()
    assert await session is None


async def test_limits_of_an_adopted_session_count_anew(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask("open_(); time.sleep(66)", timeout_seconds=0.5)
    await run_and_kill_the_host(msgspec.structs.replace(request, timeout_seconds=60.0))
    result = await backend.reattach(picked_up(request), Recorder())
    assert result is not None
    assert result.outcome == "timeout"
    assert left_of(request) == []


async def test_cancelling_an_adopted_session_leaves_no_process(backend: ClaudeCliBackend, ask: MakeRequest):
    request = ask(CHILDREN, kill_grace_seconds=0.2)
    await run_and_kill_the_host(request, "ready")
    report = Recorder()
    session = asyncio.create_task(backend.reattach(picked_up(request), report))
    await until(lambda: report.opened_with)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert left_of(request) == []


async def test_a_session_that_was_left_goes_on_and_is_picked_up(
    backend: ClaudeCliBackend, ask: MakeRequest, tmp_path: Path
):
    gate = tmp_path / "go"
    request = ask(f"open_()\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\ndone('went on')")
    report = Recorder()
    await leave(asyncio.create_task(backend.run(request, report)), report, lambda: has_said(request))
    assert len(left_of(request)) == 1
    report = Recorder()
    adopted = asyncio.create_task(backend.reattach(picked_up(request), report))
    await leave(adopted, report, lambda: report.opened_with)
    assert len(left_of(request)) == 1
    gate.touch()
    result = await backend.reattach(picked_up(request), Recorder())
    assert result is not None
    assert (result.outcome, result.text) == ("ok", "went on")


async def leave(session: asyncio.Task[Any], report: Recorder, when: Callable[[], Any]) -> None:
    await until(when)
    report.detaching = True
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session


async def test_a_session_of_a_workspace_that_was_moved_is_found(
    backend: ClaudeCliBackend, ask: MakeRequest, tmp_path: Path
):
    request = ask("open_(); time.sleep(0.5); done('moved')")
    await run_and_kill_the_host(request)
    (tmp_path / "logs").rename(tmp_path / "elsewhere")
    moved = msgspec.structs.replace(picked_up(request), log=request.log.replace("/logs/", "/elsewhere/"))
    result = await backend.reattach(moved, Recorder())
    assert result is not None
    assert result.text == "moved"


# --- finding processes ------------------------------------------------------------------------------------------------


def test_both_ways_of_searching_find_the_same(tmp_path: Path):
    marked = subprocess.Popen(["sleep", "67"], env={"PATH": os.environ["PATH"], MARKER: "test-both"})
    try:
        deadline = time.monotonic() + 5
        while not list(_marked._search_proc({MARKER: "test-both"})) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(_marked._search_psutil({MARKER: "test-both"})) == [marked.pid]
        assert list(_marked._search_proc({MARKER: "test-both"})) == [marked.pid]
    finally:
        marked.kill()
        marked.wait()


def test_an_empty_marker_matches_nothing_and_we_never_match_ourselves(monkeypatch: pytest.MonkeyPatch):
    assert find("") == find("", "") == []
    own = Path("/proc/self/environ")
    if own.exists():
        name, _, value = own.read_text().partition("\0")[0].partition("=")
        found = list(_marked._search_proc({name: value}))
        assert os.getpid() not in found


def test_the_backend_is_what_the_engine_asks_for():
    backend: Backend = ClaudeCliBackend(SystemClock(), {})
    assert isinstance(backend, Reattaches)
    assert (backend.name, backend.outlives_host, backend.is_free) == ("claude_cli", True, False)


async def test_a_result_that_the_full_disk_swallowed_pauses_the_job_instead_of_being_bought_again(
    backend: ClaudeCliBackend, ask: MakeRequest, tmp_path: Path
) -> None:
    script = """
open_()
try:
    done("x" * 2_000_000)
except OSError:
    os._exit(0)  # as the real program does: nothing is said, the exit code is 0
"""
    with small_disk(tmp_path / "small", size_kb=256):
        result = await run(backend, ask(script, log=str(tmp_path / "small" / "0001-1")))
    verdict = classify(result, wall=time.time())
    assert verdict.code == "E703"
    assert "disk filled up" in verdict.message
