from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from mozart_nb.commands import KEPT_BYTES, CommandResult, run_command


async def sh(command: str, cwd: Path, timeout_seconds: float = 20.0, **options: object) -> CommandResult:
    return await run_command(command, cwd=str(cwd), timeout_seconds=timeout_seconds, **options)  # type: ignore[arg-type]


def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def gone(pid_file: Path) -> bool:
    """Whether the process that wrote its id there ends within a moment."""
    pid = int(content(pid_file))
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(0.01)
    return False


async def written(path: Path) -> None:
    for _ in range(500):
        if content(path):
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{path} was not written")


async def test_exit_code_and_both_outputs_are_reported(tmp_path):
    assert await sh("echo out; echo err >&2; exit 3", tmp_path) == CommandResult(3, "out\nerr\n")


async def test_the_command_runs_in_its_folder_with_a_real_shell_and_no_input(tmp_path):
    result = await sh("pwd; cat; test -t 0 || echo no terminal | tr a-z A-Z", tmp_path)
    assert result.output == f"{tmp_path}\nNO TERMINAL\n"


async def test_a_signal_shows_as_a_negative_exit_code(tmp_path):
    assert (await sh("kill -9 $$", tmp_path)).exit_code == -9


async def test_a_folder_that_does_not_exist_is_a_problem_and_nothing_runs(tmp_path):
    result = await sh("echo ran", tmp_path / "nowhere")
    assert result.exit_code is None
    assert result.problem == f"cannot work in {tmp_path}/nowhere: No such file or directory"


async def test_a_command_that_no_shell_can_be_given_is_a_problem(tmp_path):
    result = await sh("echo \0", tmp_path)
    assert result.exit_code is None
    assert "could not be started" in result.problem


async def test_only_the_end_of_a_long_output_is_kept(tmp_path):
    result = await sh("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end", tmp_path)
    assert len(result.output) == KEPT_BYTES
    assert result.output.endswith("x\nend\n")


async def test_output_that_is_no_text_is_read_all_the_same(tmp_path):
    assert (await sh(r"printf 'a\377b'", tmp_path)).output == "a�b"


async def test_after_its_time_limit_the_whole_group_is_gone(tmp_path):
    began = time.monotonic()
    result = await sh("echo before; (echo $$ > shell; sleep 60) & sleep 61 & echo $! > child; wait", tmp_path, 0.3)
    assert time.monotonic() - began < 3
    assert result == CommandResult(None, "before\n", "it was ended after 0.3 seconds")
    assert await gone(tmp_path / "shell")
    assert await gone(tmp_path / "child")


async def test_what_was_left_in_the_background_is_ended_and_not_waited_for(tmp_path):
    began = time.monotonic()
    result = await sh("sleep 60 & echo $! > child; echo done", tmp_path)
    assert time.monotonic() - began < 3
    assert result == CommandResult(0, "done\n")
    assert await gone(tmp_path / "child")


async def test_a_process_that_left_the_group_and_holds_the_pipe_does_not_hold_us_up(tmp_path):
    began = time.monotonic()
    result = await sh(
        "setsid sh -c 'echo $$ > child; sleep 5' & while ! test -s child; do :; done; echo done", tmp_path
    )
    assert result == CommandResult(0, "done\n")
    assert time.monotonic() - began < 4
    os.kill(int((tmp_path / "child").read_text()), 9)


async def test_a_cancelled_command_is_gone_before_the_cancellation_leaves(tmp_path):
    task = asyncio.create_task(sh("sleep 60 & echo $! > child; wait", tmp_path))
    await written(tmp_path / "child")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(tmp_path / "child")


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancellation_while_it_starts_leaves_nothing_behind(turns, tmp_path):
    task = asyncio.create_task(sh("echo $$ > shell; sleep 60 & echo $! > child; wait", tmp_path))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.05)
    for name in ("shell", "child"):
        path = tmp_path / name
        assert not content(path) or await gone(path)


async def test_time_in_which_the_loop_was_blocked_is_no_time_out(tmp_path):
    fair_now = 0.0
    task = asyncio.create_task(sh("sleep 0.1; echo done", tmp_path, 0.2, fair=lambda: fair_now))
    await asyncio.sleep(0.05)
    time.sleep(0.4)  # noqa: ASYNC251 - the blocked loop is what is tested
    assert await task == CommandResult(0, "done\n")


async def test_a_command_that_prints_without_end_does_not_keep_the_loop_busy(tmp_path):
    task = asyncio.create_task(sh("yes", tmp_path, 0.5))
    slowest = 0.0
    while not task.done():
        before = time.perf_counter()
        await asyncio.sleep(0.01)
        slowest = max(slowest, time.perf_counter() - before)
    assert (await task).problem
    assert slowest < 0.4


async def test_commands_at_the_same_time_keep_their_outputs_apart(tmp_path):
    results = await asyncio.gather(*(sh(f"echo {n}; exit {n}", tmp_path) for n in range(12)))
    assert results == [CommandResult(n, f"{n}\n") for n in range(12)]


async def test_the_environment_can_be_given(tmp_path):
    result = await sh("echo ${A}-${HOME:-none}", tmp_path, environment={"A": "1", "PATH": os.environ["PATH"]})
    assert result.output == "1-none\n"


SAYS_GOODBYE = "trap 'echo bye > bye; exit 0' TERM; echo $$ > pid; while true; do sleep 0.01; done"
STAYS = "trap '' TERM; echo $$ > pid; while true; do sleep 0.01; done"


async def begun(command: str, cwd: Path, *, grace_seconds: float) -> asyncio.Task[CommandResult]:
    """A command that runs, and of which the loop knows that it does: what is still starting is killed at once."""
    running = asyncio.create_task(sh(command, cwd, grace_seconds=grace_seconds))
    await written(cwd / "pid")
    await asyncio.sleep(0.1)
    return running


async def test_with_a_grace_time_a_command_is_asked_to_end_first(tmp_path):
    result = await sh(SAYS_GOODBYE, tmp_path, timeout_seconds=0.2, grace_seconds=20.0)
    assert result.problem == "it was ended after 0.2 seconds"
    assert content(tmp_path / "bye") == "bye\n"


async def test_a_cancelled_command_is_asked_to_end_first_as_well(tmp_path):
    running = await begun(SAYS_GOODBYE, tmp_path, grace_seconds=20.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert content(tmp_path / "bye") == "bye\n"


async def test_a_second_cancellation_cuts_the_grace_time_short(tmp_path):
    running = await begun(STAYS, tmp_path, grace_seconds=300.0)
    running.cancel()
    await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await gone(tmp_path / "pid")
