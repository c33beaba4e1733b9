"""What a completed job starts: hooks and chains of jobs, with real processes."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.commands import Ended, Started, mozart, slow_job, wait_for, write_job

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import MisuseError
from mozart_nb.hooks import CHAIN_VARIABLE, Chain, read_hooks, run_hooks
from mozart_nb.hooks.actions import action_of, hook_values
from mozart_nb.job.load import load_job
from mozart_nb.job.names import HOOK_MEANINGS
from mozart_nb.job.outputs import ConcertConfig
from mozart_nb.runtime import prepare, standing

AT_ONCE = {"enabled": True, "cooldown_between_jobs_seconds": 0}


def command(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "run_command", "command": text, **more}


def chained(job_path: str, **more: Any) -> dict[str, Any]:
    return {"type": "run_job", "job_path": job_path, **more}


def job_with(folder: Path, *hooks: dict[str, Any], **sections: Any) -> Path:
    return write_job(folder, on_success=list(hooks), validations=[], **sections)


def named(folder: Path, name: str, *hooks: dict[str, Any], **sections: Any) -> Path:
    """A job in a file of its own name."""
    return job_with(folder, *hooks, name=name, **sections).rename(folder / f"{name}.yaml")


def ran(folder: Path) -> list[str]:
    """The lines that hooks left."""
    file = folder / "ran"
    return file.read_text().split() if file.exists() else []


def hooks_of(job: str, workspace: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mozart("status", job, "-w", workspace, "--json").document["hooks"]
    return found


def statuses(job: str, workspace: Path) -> list[str]:
    return [hook["status"] for hook in hooks_of(job, workspace)]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- commands and programs --------------------------------------------------------------------------------------------


def test_hooks_run_in_order_once_the_job_has_completed(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("echo first >> ran"), command("sleep 0.05; echo second >> ran"))
    ended = mozart("run", file, "--json")
    assert ended.exit_code == 0, ended
    assert ran(tmp_path) == ["first", "second"]
    assert [hook["status"] for hook in ended.document["hooks"]] == ["succeeded", "succeeded"]
    assert "hook 2 of 2 succeeded" in ended.stderr


def test_a_run_that_finds_nothing_to_do_starts_no_hook_again(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("echo once >> ran"))
    for args in (("run", file), ("run", file), ("resume", "demo"), ("resume", "demo", "--reload-config")):
        assert mozart(*args).exit_code == 0
    assert ran(tmp_path) == ["once"]


def test_new_work_after_a_completion_is_a_new_completion(tmp_path: Path) -> None:
    mozart("run", job_with(tmp_path, command("echo again >> ran")))
    job_with(tmp_path, command("echo again >> ran"), batch={"size": 2, "total_items": 12})
    ended = mozart("resume", "demo", "--reload-config", "--json")
    assert ended.document["progress"]["completed"] == 6
    assert ran(tmp_path) == ["again", "again"]


@pytest.mark.parametrize("args", [("--limit", "2"), ("--rehearse",)])
def test_neither_an_unfinished_job_nor_a_rehearsal_starts_hooks(tmp_path: Path, args: tuple[str, ...]) -> None:
    ended = mozart("run", job_with(tmp_path, command("echo never >> ran")), *args)
    assert ran(tmp_path) == []
    assert ("a rehearsal starts no hooks" in ended.stderr) == ("--rehearse" in args)


def test_placeholders_are_filled_in_and_quoted(tmp_path: Path) -> None:
    text = "printf '%s\\n' {job_id} {sheet_count} {{ batch_count }} '{workspace}' {greeting} > ran"
    file = job_with(
        tmp_path, command(text), workspace="./a b", prompt={"template": "x", "variables": {"greeting": "hi; echo no"}}
    )
    mozart("run", file)
    lines = (tmp_path / "ran").read_text().splitlines()
    assert lines == ["demo", "5", "5", str(tmp_path / "a b"), "hi; echo no"]


def test_placeholders_that_hooks_do_not_know_are_found_beforehand(tmp_path: Path) -> None:
    file = job_with(
        tmp_path, command("echo {batch_num} {jobid}"), chained("{{ fan }}/b.yaml"), command("awk '{print}'")
    )
    said = mozart("validate", file).stdout
    assert "`batch_num` belongs to a batch" in said
    assert "did you mean `job_id`?" in said
    assert "there is no placeholder `fan`" in said
    assert "print" not in said
    assert set(hook_values(prepare(load_job(file)))) == set(HOOK_MEANINGS)


def test_a_script_is_started_without_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "note.sh"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > ran\n')
    script.chmod(0o755)
    file = job_with(tmp_path, {"type": "run_script", "command": "./note.sh 'two words' {workspace} $HOME ;"})
    mozart("run", file)
    assert (tmp_path / "ran").read_text().splitlines() == ["two words", str(tmp_path / "ws"), "$HOME", ";"]


def test_a_hook_works_in_the_folder_it_names(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    mozart("run", job_with(tmp_path, command("pwd > ran", working_directory="there")))
    assert (tmp_path / "there" / "ran").read_text().strip() == str(tmp_path / "there")


def test_a_failed_hook_is_told_and_the_job_stays_completed(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("echo out of paper >&2; exit 3"), command("echo next >> ran"))
    ended = mozart("run", file, "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["status"] == "completed"
    assert "hook 1 of 2 failed" in ended.stderr
    assert "exit code 3 (out of paper)" in ended.stderr
    assert [(hook["status"], hook["exit_code"]) for hook in ended.document["hooks"]] == [
        ("failed", 3),
        ("succeeded", 0),
    ]
    assert "hook 1 (echo out of paper" in mozart("run", file, "--fresh", "--quiet").stderr


def test_after_a_failed_hook_that_aborts_the_others_do_not_run(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("false", on_failure="abort"), command("echo no >> ran"))
    assert mozart("run", file).exit_code == 0
    assert mozart("run", file).exit_code == 0
    assert ran(tmp_path) == []
    assert statuses("demo", tmp_path / "ws") == ["failed", "skipped"]
    assert "`on_failure` is `abort`" in hooks_of("demo", tmp_path / "ws")[1]["message"]


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (chained("missing.yaml"), "there is no job file"),
        (command("true", working_directory="missing"), "cannot work in"),
        (command("true", working_directory="missing", detached=True), "could not be started"),
        ({"type": "run_script", "command": "'half"}, "cannot be split"),
        (command("echo {batch_num}"), "batch_num"),
    ],
)
def test_what_cannot_be_started_is_a_failed_hook(tmp_path: Path, hook: dict[str, Any], message: str) -> None:
    assert mozart("run", job_with(tmp_path, hook, command("echo next >> ran"))).exit_code == 0
    [failed, _] = hooks_of("demo", tmp_path / "ws")
    assert failed["status"] == "failed"
    assert message in failed["message"]
    assert ran(tmp_path) == ["next"]


def test_a_hook_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    deep = "sh -c 'sleep 300 & echo $! > pid; wait' & wait"
    mozart("run", job_with(tmp_path, command(deep, timeout_seconds=0.3)))
    [hook] = hooks_of("demo", tmp_path / "ws")
    assert (hook["status"], hook["message"]) == ("failed", "it was ended after 0.3 seconds")
    wait_for(lambda: not is_alive(int((tmp_path / "pid").read_text())))


def test_a_detached_hook_is_not_waited_for_and_writes_to_a_log(tmp_path: Path) -> None:
    wait = "while [ ! -e go ]; do sleep 0.02; done; echo late; touch done"
    ended = mozart("run", job_with(tmp_path, command(wait, detached=True)), "--json")
    [hook] = ended.document["hooks"]
    assert hook["status"] == "detached"
    assert is_alive(hook["pid"])
    (tmp_path / "go").touch()
    wait_for((tmp_path / "done").exists)
    assert (tmp_path / "ws" / hook["log"]).read_text() == "late\n"


def test_secrets_in_what_hooks_print_are_masked(tmp_path: Path) -> None:
    secret = "sk-ant-" + "a1" * 20
    mozart("run", job_with(tmp_path, command(f"echo {secret}; false")))
    kept = Layout(tmp_path / "ws", "demo").root / "hooks.jsonl"
    assert secret not in kept.read_text()
    assert "[masked]" in hooks_of("demo", tmp_path / "ws")[0]["output_tail"]


def test_status_shows_the_hooks(tmp_path: Path) -> None:
    mozart("run", job_with(tmp_path, command("true", description="tell everybody")))
    assert "hook 1 (run_command) tell everybody: succeeded" in mozart("status", "demo").stdout


# --- chains -----------------------------------------------------------------------------------------------------------


def test_a_chain_ends_at_its_depth(tmp_path: Path) -> None:
    concert = {**AT_ONCE, "max_chain_depth": 2, "concert_log_path": "{workspace}/logs/chain.jsonl"}
    for name, after in ("ab", "bc", "cd", "de"):
        named(tmp_path, name, command(f"echo {name} >> ran"), chained(f"{after}.yaml"), concert=concert)
    assert mozart("run", tmp_path / "a.yaml").exit_code == 0
    assert ran(tmp_path) == ["a", "b", "c"]
    [_, refused] = hooks_of("c", tmp_path / "ws")
    assert refused["status"] == "skipped"
    assert refused["message"] == "the chain a → b → c ends here: `concert.max_chain_depth` is 2"
    log = [json.loads(line) for line in (tmp_path / "ws/logs/chain.jsonl").read_text().splitlines()]
    assert {entry["job_id"] for entry in log} == {"a", "b", "c"}
    assert next(entry["chain"] for entry in log if entry["job_id"] == "c") == ["a", "b"]


def test_a_job_that_starts_itself_over_stops_at_the_limit(tmp_path: Path) -> None:
    concert = {**AT_ONCE, "max_chain_depth": 2}
    file = job_with(tmp_path, command("echo round >> ran"), chained("job.yaml", fresh=True), concert=concert)
    assert mozart("run", file).exit_code == 0
    assert ran(tmp_path) == ["round"] * 3
    assert "ends here" in hooks_of("demo", tmp_path / "ws")[1]["message"]
    archived = list((tmp_path / "ws").glob(".mozart/archive/*/.mozart/demo/hooks.jsonl"))
    assert [json.loads(file.read_text().splitlines()[-1])["status"] for file in archived] == ["succeeded"] * 2


def test_a_job_that_starts_itself_without_starting_over_has_nothing_to_do(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("echo round >> ran"), chained("job.yaml"), concert=AT_ONCE)
    assert mozart("run", file).exit_code == 0
    assert ran(tmp_path) == ["round"]
    assert statuses("demo", tmp_path / "ws") == ["succeeded", "succeeded"]


def test_without_a_concert_one_job_follows_and_no_more(tmp_path: Path) -> None:
    for name, after in ("ab", "bc", "cd"):
        named(tmp_path, name, command(f"echo {name} >> ran"), chained(f"{after}.yaml"), workspace=f"./{name}")
    mozart("run", tmp_path / "a.yaml")
    assert ran(tmp_path) == ["a", "b"]
    assert "`concert.enabled: true` allows longer ones" in hooks_of("b", tmp_path / "b")[1]["message"]


def test_the_strictest_limit_on_the_way_holds() -> None:
    strict, generous = ConcertConfig(enabled=True, max_chain_depth=1), ConcertConfig(enabled=True, max_chain_depth=9)
    after_a = Chain().through("a", strict)
    assert not after_a.is_too_long
    assert after_a.through("b", generous).is_too_long
    assert not Chain().through("a", generous).through("b", ConcertConfig()).is_too_long
    assert Chain.of(after_a.environ({})) == after_a


def test_a_chain_that_cannot_be_read_is_not_taken_for_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MisuseError, match=CHAIN_VARIABLE):
        Chain.of({CHAIN_VARIABLE: "2"})
    monkeypatch.setenv(CHAIN_VARIABLE, "{")
    assert mozart("run", job_with(tmp_path, chained("job.yaml", fresh=True))).exit_code == 0
    assert statuses("demo", tmp_path / "ws") == ["failed"]


def test_the_workspace_is_inherited_or_named(tmp_path: Path) -> None:
    named(tmp_path, "b", workspace="./own")
    hooks = [chained("b.yaml"), chained("b.yaml", job_workspace="{workspace}/named")]
    mozart("run", named(tmp_path, "a", *hooks, concert=AT_ONCE))
    mozart("run", named(tmp_path, "c", chained("b.yaml"), concert={**AT_ONCE, "inherit_workspace": False}))
    assert [(tmp_path / place / "b.json").exists() for place in ("ws", "ws/named", "own")] == [True] * 3


def test_a_job_has_no_time_limit_unless_one_is_given(tmp_path: Path) -> None:
    named(tmp_path, "b")
    prepared = prepare(
        load_job(job_with(tmp_path, chained("b.yaml"), chained("b.yaml", timeout_seconds=7), command("x")))
    )
    limits = [action_of(hook, prepared).timeout_seconds for hook in prepared.loaded.config.on_success]
    assert limits == [math.inf, 7, 300]


def test_a_failed_job_is_a_failed_hook(tmp_path: Path) -> None:
    named(tmp_path, "b", rehearsal={"latency_seconds": 0, "script": {1: ["auth"]}})
    ended = mozart("run", named(tmp_path, "a", chained("b.yaml")))
    assert ended.exit_code == 0
    assert "hook 1 of 1 failed" in ended.stderr
    assert "the job failed (exit code 1)" in ended.stderr


def test_a_failed_hook_ends_the_whole_chain_where_that_is_asked_for(tmp_path: Path) -> None:
    concert = {**AT_ONCE, "abort_concert_on_hook_failure": True}
    named(tmp_path, "b", command("false"), chained("c.yaml"), concert=concert)
    named(tmp_path, "c")
    ended = mozart("run", named(tmp_path, "a", chained("b.yaml"), chained("c.yaml"), concert=concert), "--json")
    assert ended.exit_code == 1, ended
    assert ended.document["status"] == "completed"
    assert [hook["status"] for hook in ended.document["hooks"]] == ["failed", "skipped"]
    assert statuses("b", tmp_path / "ws") == ["failed", "skipped"]
    assert not (tmp_path / "ws" / "c.json").exists()


# --- hosts that die, and stops ----------------------------------------------------------------------------------------

DIES_AT_COMPLETION = """
import os, signal, sys
from mozart_nb.events import RunOptions
from mozart_nb.hosts.headless import run_headless
from mozart_nb.hooks.actions import action_of, hook_values
from mozart_nb.job.load import load_job
from mozart_nb.runtime import prepare

assert run_headless(prepare(load_job(sys.argv[1])), RunOptions()).status == "completed"
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("again", ["run", "resume"])
def test_a_host_that_dies_before_the_hooks_leaves_them_to_the_next(tmp_path: Path, again: str) -> None:
    file = job_with(tmp_path, command("echo late >> ran"))
    died = subprocess.run([sys.executable, "-c", DIES_AT_COMPLETION, str(file)], cwd=tmp_path, timeout=30, check=False)
    assert died.returncode == -signal.SIGKILL
    assert statuses("demo", tmp_path / "ws") == ["pending"]
    for _ in range(2):
        assert mozart(*(("run", file) if again == "run" else ("resume", "demo"))).exit_code == 0
    assert ran(tmp_path) == ["late"]


def killed_in_a_hook(folder: Path, file: Path) -> None:
    """Run the job, and kill its host once `begun` is there."""
    with Started("run", file, cwd=folder) as host:
        wait_for((folder / "begun").exists)
        host.signal(signal.SIGKILL)
        assert host.end().exit_code == -signal.SIGKILL


def test_a_hook_whose_end_is_unknown_is_reported_and_not_repeated(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("echo $$ > begun; exec sleep 300"), command("echo next >> ran"))
    killed_in_a_hook(tmp_path, file)
    os.kill(int((tmp_path / "begun").read_text()), signal.SIGKILL)
    assert statuses("demo", tmp_path / "ws") == ["unknown", "pending"]
    ended = mozart("run", file)
    assert ended.exit_code == 0, ended
    assert "hook 1 of 2 unknown: it had started when its host died" in ended.stderr
    assert ran(tmp_path) == ["next"]
    assert statuses("demo", tmp_path / "ws") == ["unknown", "succeeded"]
    assert "hook" not in mozart("run", file).stderr


def test_a_job_that_a_hook_had_started_is_gone_on_with(tmp_path: Path) -> None:
    slow_job(tmp_path, batches=20, latency_seconds=0.05, name="b", workspace="./own").rename(tmp_path / "b.yaml")
    file = named(tmp_path, "a", chained("b.yaml"))
    with Started("run", file, cwd=tmp_path) as host:
        wait_for((tmp_path / "own/.mozart/b/journal/000001.jsonl").exists)
        host.signal(signal.SIGKILL)
        host.end()
    assert mozart("run", file).exit_code == 0
    assert statuses("a", tmp_path / "ws") == ["succeeded"]
    document = mozart("status", "b", "--json").document
    assert document["status"] == "completed"
    assert document["execution"]["runs"] == 1


def test_hooks_that_another_process_runs_are_left_to_it(tmp_path: Path) -> None:
    wait = "touch begun; while [ ! -e go ]; do sleep 0.02; done; echo once >> ran"
    file = job_with(tmp_path, command(wait))
    with Started("run", file, cwd=tmp_path) as host:
        wait_for((tmp_path / "begun").exists)
        assert "are being run by another process" in mozart("run", file).stderr
        assert statuses("demo", tmp_path / "ws") == ["running"]
        (tmp_path / "go").touch()
        assert host.end().exit_code == 0
    assert ran(tmp_path) == ["once"]


def interrupted(folder: Path, file: Path, when: str) -> Ended:
    with Started("run", file, "--json", cwd=folder) as host:
        host.until(when)
        host.signal(signal.SIGINT)
        return host.end()


def test_ctrl_c_ends_the_running_hook_and_the_rest_can_be_run_later(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("echo $$ > pid; sleep 300"), command("echo next >> ran"))
    with Started("run", file, "--json", cwd=tmp_path) as host:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        host.signal(signal.SIGINT)
        ended = host.end()
    assert ended.exit_code == 3, ended
    assert "the hooks are ended" in ended.stderr
    assert not is_alive(int((tmp_path / "pid").read_text()))
    document = json.loads(ended.stdout)
    assert (document["status"], document["hooks"][0]["status"]) == ("completed", "interrupted")
    assert statuses("demo", tmp_path / "ws") == ["interrupted", "pending"]
    assert mozart("resume", "demo").exit_code == 0
    assert ran(tmp_path) == ["next"]


def test_ctrl_c_ends_the_wait_between_two_jobs(tmp_path: Path) -> None:
    concert = {"enabled": True, "cooldown_between_jobs_seconds": 300}
    ended = interrupted(tmp_path, job_with(tmp_path, chained("job.yaml", fresh=True), concert=concert), "starts in 300")
    assert ended.exit_code == 3, ended
    assert statuses("demo", tmp_path / "ws") == ["pending"]


def test_ctrl_c_pauses_the_job_that_a_hook_has_started(tmp_path: Path) -> None:
    slow_job(tmp_path, name="b").rename(tmp_path / "b.yaml")
    file = named(tmp_path, "a", chained("b.yaml"), workspace="./own")
    with Started("run", file, cwd=tmp_path) as host:
        wait_for((tmp_path / "ws/.mozart/b/journal/000001.jsonl").exists)
        host.signal(signal.SIGINT)
        assert host.end().exit_code == 3
    document = mozart("status", "b", "--json").document
    assert document["status"] == "paused"
    assert document["progress"]["running"] == 0


def test_a_line_that_a_full_disk_cut_off_hides_no_other(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("true"), command("echo next >> ran"))
    mozart("run", file)
    record = Layout(tmp_path / "ws", "demo").root / "hooks.jsonl"
    whole = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(whole[:2]) + whole[2][:20])
    mozart("run", file)
    assert ran(tmp_path) == ["next", "next"]
    assert [hook.status for hook in read_hooks(Layout(tmp_path / "ws", "demo"))] == ["succeeded", "succeeded"]


async def test_hosts_with_a_loop_of_their_own_run_hooks_and_can_cancel_them(tmp_path: Path) -> None:
    file = job_with(tmp_path, command("true"), command("touch begun; sleep 300"))
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", DIES_AT_COMPLETION, str(file)], cwd=tmp_path, timeout=30, check=False
    )
    prepared = prepare(load_job(file))
    state = standing(prepared).state
    assert state is not None
    said: list[str] = []
    work = asyncio.create_task(run_hooks(prepared, state, say=said.append))
    await asyncio.to_thread(wait_for, (tmp_path / "begun").exists)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert [hook.status for hook in read_hooks(prepared.layout)] == ["succeeded", "interrupted"]
    assert said[-1].startswith("hook 2 of 2 interrupted")
    assert await run_hooks(prepared, state, say=said.append) == []
