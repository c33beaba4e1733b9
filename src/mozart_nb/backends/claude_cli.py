"""The `claude` program as a backend: one process per session, driven through `stream-json`.

What is relied on was recorded with version 2.1.197 against a server on loopback: the flags, the meaning of the result
line, the prompt on standard input (a file is read as well as a pipe in text input mode), the variables set here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mozart_nb.backends._claude_environment import RECORDED_VERSION, access, environment_of, login_state
from mozart_nb.backends._claude_schema import schema_argument
from mozart_nb.backends._marked import MARKER, find, reap
from mozart_nb.backends._offload import in_thread, outlast
from mozart_nb.backends._outcome import Ended, session_result, whole_tree
from mozart_nb.backends._process import accompany, part, read_files, run_process
from mozart_nb.backends._spawn import Files, Launch, SpawnFailure, adopt
from mozart_nb.backends._stream import StreamReader, as_int, is_aborted
from mozart_nb.backends._text import clip, last_bytes, printable, read_tail
from mozart_nb.engine.ports import Clock, Continuation, Health, Report, SessionRequest, SessionResult

_VERSION_SECONDS = 10.0
_REAP_SECONDS = 3.0
_ERROR_BYTES = 4000
_NO_ROOM_BYTES = 64 * 1024


def build_argv(request: SessionRequest) -> list[str]:
    """The command line for `request`; the prompt is not in it, it goes to standard input.

    A session that is continued gets every flag again: the program keeps its history and model, nothing else.
    """
    options = request.options
    argv = [options.get("cli_path") or "claude", "-p", "--output-format", "stream-json", "--verbose"]
    if mode := options.get("permission_mode"):
        argv += ["--permission-mode", mode]
    elif options.get("skip_permissions", True):
        argv.append("--dangerously-skip-permissions")
    if options.get("disable_mcp", True):
        argv.append("--strict-mcp-config")
    if options.get("bare", False):
        argv.append("--bare")
    argv += _valued(options)
    argv += _schema(request)
    argv += ["--resume" if request.continues else "--session-id", request.session_id]
    return [*argv, *options.get("cli_extra_args", ())]


def _valued(options: Mapping[str, Any]) -> list[str]:
    flags: list[str] = []
    for name, flag in _VALUED.items():
        if (value := options.get(name)) is not None:
            flags += [flag, _joined(value)]
    if allowed := options.get("allowed_tools"):
        flags += ["--allowedTools", _joined(allowed)]
    return flags


def _schema(request: SessionRequest) -> list[str]:
    """The form of the answer, unless the job file itself gives one as an argument. The prompt says it in any case."""
    if request.answer_schema is None or _has_own_schema(request.options):
        return []
    text = schema_argument(request.answer_schema)
    return ["--json-schema", text] if text is not None else []


def _has_own_schema(options: Mapping[str, Any]) -> bool:
    return any(arg.startswith("--json-schema") for arg in options.get("cli_extra_args", ()))


_VALUED = {
    "setting_sources": "--setting-sources",  # an empty list reads no settings at all
    "cli_model": "--model",
    "fallback_model": "--fallback-model",
    "tools": "--tools",  # an empty list leaves no tools
    "max_turns": "--max-turns",
    "max_budget_usd": "--max-budget-usd",
    "system_prompt_file": "--system-prompt-file",
    "append_system_prompt": "--append-system-prompt",
}


def _joined(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def build_environment(request: SessionRequest, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the session's processes: an allow-list of `environ`, our settings, `backend.env`, the marker.

    `backend.env` wins over all but the marker. `CLAUDECODE` is never inherited: it makes the program believe that it
    runs inside itself.
    """
    return {**environment_of(request.options, environ), MARKER: request.marker}


def build_prompt(prompt: str) -> bytes:
    """What goes to standard input. A prompt that begins with a slash would be taken for a command and never be sent."""
    return f"\n{prompt}".encode(errors="replace") if prompt.startswith("/") else prompt.encode(errors="replace")


class ClaudeCliBackend:
    """Runs sessions as processes of the `claude` program. They outlive their host and can be picked up again.

    `environ` is what sessions inherit from (by default this process's environment); `options`, the job's `backend`
    section, is only for `check`: every request carries its own.
    """

    name = "claude_cli"
    family = ""
    continues_by: Continuation = "session"
    outlives_host = True
    is_free = False

    def __init__(
        self, clock: Clock, environ: Mapping[str, str] | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        self._clock = clock
        self._environ = dict(os.environ if environ is None else environ)
        self._options = options or {}

    async def run(self, request: SessionRequest, report: Report) -> SessionResult:
        """Run one session to its end; a failed one is a result, never an exception.

        When cancelled, the session and whatever its tools started are gone before `CancelledError` leaves (grace time
        plus a few seconds at most), unless `report.detaching` is set: then it goes on without us.
        """
        await report.opened(request.session_id)
        environment = build_environment(request, self._environ)
        program = _locate(request.options, environment, request.working_directory)
        if program is None:
            return _not_started(SpawnFailure("program_not_found", _missing(request.options), "FileNotFoundError"))
        launch = _launch(request, [program, *build_argv(request)[1:]], environment)
        reader = StreamReader()
        ended = await run_process(launch, self._clock, _ear(reader, report), lambda: report.detaching)
        if isinstance(ended, SpawnFailure):
            return _not_started(ended)
        return _conclude(request, reader, ended, environment)

    async def reattach(self, request: SessionRequest, report: Report) -> SessionResult | None:
        """Follow a session that outlived its host, or read what it left; None when it is gone without a result.

        `report.opened` is called when it still runs; limits count from then. A session that somebody interrupted
        counts as gone, whatever it printed about that.
        """
        launch = _launch(request, (), {})
        process, cancelled = await outlast(in_thread(adopt, launch))
        if cancelled is not None:
            if process is not None:
                await part(process, launch, report.detaching)
            raise cancelled
        reader = StreamReader()
        if process is None:
            ended = await _read_what_is_left(launch, _ear(reader, report))
        else:
            ended = await accompany(
                process,
                launch,
                self._clock,
                _ear(reader, report),
                lambda: report.detaching,
                lambda: report.opened(request.session_id),
            )
        reader.close()
        if ended.cause == "adopted" and (reader.result is None or is_aborted(reader.result)):
            return None
        return _conclude(request, reader, ended, build_environment(request, self._environ))

    async def check(self) -> Health:
        """Whether the program is there and runs, and what is known about its login. Nothing is contacted or paid."""
        return await asyncio.shield(in_thread(installed, self._options, self._environ))

    async def close(self) -> None:
        """Nothing is held: sessions are processes of their own."""


def still_runs(marker: str) -> bool:
    """Whether any process of the session with this marker is alive. Blocks for some milliseconds."""
    return bool(find(marker))


def _launch(request: SessionRequest, argv: Sequence[str], environment: Mapping[str, str]) -> Launch:
    return Launch(
        argv=argv,
        environment=environment,
        working_directory=request.working_directory,
        files=Files.of(request.log),
        prompt=build_prompt(request.prompt),
        marker=request.marker,
        session_id=request.session_id,
        timeout_seconds=request.timeout_seconds,
        idle_timeout_seconds=request.idle_timeout_seconds,
        grace_seconds=request.kill_grace_seconds,
    )


def _locate(options: Mapping[str, Any], environment: Mapping[str, str], working_directory: str) -> str | None:
    """The program's absolute path, looked for as the session itself would; None if there is none."""
    program = options.get("cli_path") or "claude"
    if Path(program).name != program:
        program = str(Path(working_directory) / Path(program).expanduser())
    found = shutil.which(program, path=environment.get("PATH", os.defpath))
    return str(Path(found).absolute()) if found else None


def _missing(options: Mapping[str, Any]) -> str:
    if path := options.get("cli_path"):
        return f"backend.cli_path: there is no program {path}"
    return "the program `claude` is not on PATH; install it or set backend.cli_path"


def installed(options: Mapping[str, Any], environ: Mapping[str, str], *, seconds: float = _VERSION_SECONDS) -> Health:
    """As `ClaudeCliBackend.check`, for a thread; blocks for up to `seconds`."""
    environment = environment_of(options, environ)
    program = _locate(options, environment, tempfile.gettempdir())
    if program is None:
        return Health(False, "E503", _missing(options))
    version = _ask_version(program, environment, seconds)
    facts = {"program": program, "recorded": RECORDED_VERSION, "login": login_state(environment)}
    if not version:
        return Health(False, "E503", f"`{program} --version` does not answer", facts)
    differs = "" if version == RECORDED_VERSION else f"{version}, while {RECORDED_VERSION} is what was recorded"
    return Health(True, "", differs, {**facts, "version": version})


def _ask_version(program: str, environment: Mapping[str, str], seconds: float) -> str:
    try:
        answer = subprocess.run(
            [program, "--version"],
            env=dict(environment),
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            start_new_session=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    words = printable(answer.stdout.decode("utf-8", "replace")).split()
    return clip(words[0], 40) if words else ""


def _ear(reader: StreamReader, report: Report) -> Callable[[bytes], None]:
    def hear(chunk: bytes) -> None:
        reader.feed(chunk)
        report.progress(reader.bytes_received, reader.lines_received, reader.note)

    return hear


async def _read_what_is_left(launch: Launch, hear: Callable[[bytes], None]) -> Ended:
    _, cancelled = await outlast(in_thread(reap, launch.marker, launch.session_id, _REAP_SECONDS))
    if cancelled is not None:
        raise cancelled
    with contextlib.suppress(FileNotFoundError):  # then it never got as far as being started
        await read_files(launch.files, hear)
    return Ended("adopted")


def _not_started(failure: SpawnFailure) -> SessionResult:
    return SessionResult(
        outcome="error",
        error_kind=failure.kind,
        error_text=failure.text,
        exception=failure.exception,
        cost_usd=0.0,
        stderr_tail=failure.text,
    )


def _conclude(
    request: SessionRequest, reader: StreamReader, ended: Ended, environment: Mapping[str, str]
) -> SessionResult:
    reader.close()
    files = Files.of(request.log)
    stderr = read_tail(files.err, max(request.capture_bytes, _ERROR_BYTES))
    # An answer that came as text after all is not refused here: whoever checks answers can say what is wrong with it.
    expects_data = _has_own_schema(request.options)
    result = session_result(reader, ended, stderr=stderr, expects_data=expects_data)
    if result.error_kind == "no_result" and shutil.disk_usage(files.out.parent).free < _NO_ROOM_BYTES:
        # The program does not notice that its last line could not be written: it ends with 0 and without a result.
        said = "the disk filled up before the session could say how it ended"
        result = msgspec.structs.replace(result, error_kind="log_unwritable", error_text=said)
    captured = _captured(request, reader, files, result)
    if result.outcome in ("timeout", "stale"):
        result = msgspec.structs.replace(result, error_text=_over_limit(request, result))
    address, credential = access(request.options, environment) if result.outcome != "ok" else ("", "")
    return msgspec.structs.replace(
        result,
        address=address,
        credential=credential,
        lost_session=result.lost_session and request.continues,
        session_id=result.session_id or request.session_id,
        duration=_duration(reader) if ended.cause == "adopted" else result.duration,
        stdout_tail=captured,
        stderr_tail=last_bytes(printable(stderr), request.capture_bytes),
    )


def _over_limit(request: SessionRequest, result: SessionResult) -> str:
    """Which limit ended a session, and what is known of why it took so long."""
    if result.outcome == "stale":
        said = f"nothing came for {request.idle_timeout_seconds:g} seconds (stale_detection.idle_timeout_seconds)"
    else:
        said = f"it was not done after {request.timeout_seconds:g} seconds (backend.timeout_seconds)"
    reasons = [text for text in (*result.warnings, result.error_text) if text]
    return "; ".join([said, *reasons])


def _duration(reader: StreamReader) -> float:
    milliseconds = as_int((reader.result or {}).get("duration_ms"))
    return (milliseconds or 0) / 1000


def _captured(request: SessionRequest, reader: StreamReader, files: Files, result: SessionResult) -> str:
    """What is kept as standard output: the answer, the result record or the lines as they came."""
    kept = ""
    match request.options.get("output_format", "text"):
        case "json" if reader.result is not None:
            kept = msgspec.json.encode(whole_tree(reader.result)).decode()
        case "text":
            kept = result.text or (result.error_text if result.has_result else "")
    kept = kept or read_tail(files.out, request.capture_bytes)
    return last_bytes(printable(kept), request.capture_bytes)
