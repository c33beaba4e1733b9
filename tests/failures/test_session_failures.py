"""Failures of the session's program: it is not there, refuses to start, is killed, hangs, may not use its tools."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest
from support.anthropic_server import HANG, Call, Reply, text, use
from support.commands import Started, mozart, wait_for
from support.scenes import ONE, Scene

from mozart_nb.backends._memory import memory_kills

CGROUPS: Final = Path("/sys/fs/cgroup")


@pytest.mark.real_claude
def test_a_session_that_hangs(real_scene: Scene) -> None:
    real_scene.answers(HANG)
    watch = {"enabled": True, "idle_timeout_seconds": 1.5}
    assert real_scene.run(backend=real_scene.real(), batch=ONE, stale_detection=watch).exit_code == 1
    top = real_scene.top().says("E303", "nothing came for 1.5 seconds (stale_detection.idle_timeout_seconds)")
    top.says("see where it hung (`mozart logs failing --raw --batch 1`)", "raise stale_detection.idle_timeout_seconds")
    assert top.command == ["resume", "failing", "--reload-config"]


def test_a_session_that_hangs_while_nobody_watches_for_that(scene: Scene) -> None:
    """Ten minutes of silence, as its log tells them; the session itself is alive all the time."""
    waiting = "open_(); print('thinking', file=sys.stderr, flush=True); time.sleep(60)\n# that is all"
    scene.write(backend=scene.obedient(), batch=ONE, prompt={"template": waiting})
    with Started("run", scene.file, cwd=scene.folder) as host:
        logs = scene.layout.logs / "0000"
        wait_for(lambda: (logs / "0001-1.err").exists() and (logs / "0001-1.err").stat().st_size)
        for path in logs.iterdir():
            os.utime(path, (time.time() - 600, time.time() - 600))
        top = scene.top().says(
            "1 session has printed nothing for up to 10 min (batch 1)", "it hangs, or works for long"
        )
        top.says("`mozart logs failing --raw --batch 1` shows what it printed", "stale_detection")
        assert mozart("cancel", "failing", "-w", scene.workspace).exit_code in (0, 4)
        host.end()


@pytest.mark.real_claude
def test_a_program_that_somebody_kills(real_scene: Scene) -> None:
    def kill(call: Call) -> Reply:
        for process in psutil.process_iter(["cmdline"]):
            if call.session_id in (process.info["cmdline"] or []):
                process.kill()
        return HANG

    real_scene.served.handler = kill
    real_scene.write(backend=real_scene.real(), batch=ONE)
    for _ in range(5):
        before = memory_kills()
        assert mozart("run", real_scene.file, "--fresh").exit_code == 1
        if memory_kills() == before:  # else something was killed for lack of memory at the same time
            break
    top = real_scene.top().says("E401", "something other than mozart ended the session with SIGKILL")
    top.says("find who ended it (a person, a scheduler", "then `mozart resume failing`")
    real_scene.answers(text("done"))
    assert top.followed().exit_code == 0


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """The file that takes the pid of a process which shall have 60 MB; skips the test where there is none."""
    is_old = (CGROUPS / "memory").is_dir()
    group = (CGROUPS / "memory" if is_old else CGROUPS) / f"mozart-nb-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        limit = group / ("memory.limit_in_bytes" if is_old else "memory.max")
        if not limit.exists() or memory_kills() is None:
            pytest.skip("control groups do not limit memory here")
        limit.write_text("60M")
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def test_a_program_that_the_kernel_kills_for_lack_of_memory(scene: Scene, little_memory: Path) -> None:
    greedy = f"open({str(little_memory)!r}, 'w').write(str(os.getpid())); open_(); b'x' * (1 << 28)\n# that is all"
    parallel = {"enabled": True, "max_concurrent": 8}
    assert scene.run(backend=scene.obedient(), batch=ONE, prompt={"template": greedy}, parallel=parallel).exit_code == 1
    top = scene.top().says("E403", "ended with SIGKILL while the kernel killed processes because it was out of memory")
    top.says("lower parallel.max_concurrent or make more memory available, then `mozart resume failing")


def test_a_program_that_gets_no_more_memory_and_says_so(scene: Scene) -> None:
    """The words and the signal of `claude` 2.1.197 below a limit on its address space: what is had everywhere."""
    said = (
        'print("ASSERTION FAILED: MemoryExhaustion: Crash intentionally because memory is exhausted.", file=sys.stderr)'
    )
    no_core = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
    dying = f"open_(); {said}; sys.stderr.flush(); {no_core}; os.abort()\n# that is all"
    assert scene.run(backend=scene.obedient(), batch=ONE, prompt={"template": dying}).exit_code == 1
    top = scene.top().says("E403", "out of memory", "memory is exhausted")
    top.says("make more memory available to it, then `mozart resume failing`")


@pytest.mark.real_claude
def test_tools_that_are_not_permitted(real_scene: Scene) -> None:
    report = real_scene.workspace / "report.md"

    def insist(call: Call) -> Reply:
        return text("So be it.") if call.tool_results else use("Write", file_path=str(report), content="x")

    real_scene.served.handler = insist
    sections = {"batch": ONE, "validations": [{"type": "file_exists", "path": "{workspace}/report.md"}]}
    assert real_scene.run(backend=real_scene.real(skip_permissions=False), **sections).exit_code == 1
    top = real_scene.top().says("E201", "report.md", f"Write was not permitted: {report}")
    top.says("allow the tool (backend.skip_permissions: true, or backend.allowed_tools)")
    real_scene.write(backend=real_scene.real(), **sections)
    assert top.command == ["resume", "failing", "--reload-config"]
    assert top.followed().exit_code == 0


def test_a_tool_that_is_not_permitted_to_a_batch_that_completes_all_the_same(scene: Scene) -> None:
    denials = [{"tool_name": "Bash", "tool_use_id": "toolu_1", "tool_input": {"command": "make report"}}]
    prompt = f"open_(); done(permission_denials={denials!r})\n# that is all"
    assert scene.run(backend=scene.obedient(), prompt={"template": prompt}).exit_code == 0
    top = scene.top().says("failing completed", "a tool was not permitted in 2 completed batches (1-2)")
    top.says("Bash was not permitted: make report", "backend.skip_permissions: true, or backend.allowed_tools")


def test_a_program_that_is_not_installed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = scene.folder / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    ended = scene.run(backend={"type": "claude_cli"})
    assert ended.exit_code == 1
    assert "`claude` is not on PATH" in ended.stderr
    top = scene.top().says("E503", "the program `claude` is not on PATH")
    top.says("install Claude Code so that `claude` is on PATH, or set backend.cli_path")


def test_a_program_that_is_not_where_the_job_file_says(scene: Scene) -> None:
    assert scene.run(backend={"type": "claude_cli", "cli_path": "./nowhere/claude"}).exit_code == 1
    top = scene.top().says("E503", f"there is no program {scene.folder}/nowhere/claude")
    top.says("put the program there, or correct backend.cli_path")
    done = "open_(); done()\n# that is all"
    scene.write(backend=scene.obedient(), prompt={"template": done})
    assert top.followed().exit_code == 0


def test_an_option_that_the_program_does_not_know(scene: Scene) -> None:
    """In the words of `claude` 2.1.197."""
    refusing = "sys.exit(\"error: unknown option '--no-such-flag'\")\n# that is all"
    backend = scene.obedient(cli_extra_args=["--no-such-flag"])
    assert scene.run(backend=backend, prompt={"template": refusing}).exit_code == 1
    top = scene.top().says("E502", "unknown option '--no-such-flag'")
    top.says("correct backend.cli_extra_args, then `mozart resume failing --reload-config`")


def test_a_program_that_is_removed_meanwhile(scene: Scene) -> None:
    backend = scene.obedient()
    program = Path(backend["cli_path"])
    prompt = f"open_(); done(); os.unlink({str(program)!r})\n# that is all"
    assert scene.run(backend=backend, prompt={"template": prompt}).exit_code == 1
    scene.top().says("1 of 2 batches done", "E503", f"there is no program {program}", "put the program there")


@pytest.mark.real_claude
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root is refused")
def test_root_without_a_word_about_a_sandbox(real_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IS_SANDBOX")
    ended = real_scene.run(backend=real_scene.real(), batch=ONE)
    assert ended.exit_code == 1
    assert "V117" in ended.stderr, "it is said before anything starts"
    top = real_scene.top().says("E502", "cannot be used with root/sudo privileges")
    top.says("in a sandbox set backend.env: {IS_SANDBOX: '1'}, else run it as another user")
    real_scene.write(backend=real_scene.real(env={"IS_SANDBOX": "1"}), batch=ONE)
    assert top.followed().exit_code == 0
