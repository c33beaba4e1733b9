"""`--conductor` and `--detach`: a job is given away, shown, left alone and got back, and its exit code is told."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.commands import Started, mozart, slow_job, wait_for, write_job
from support.conductor import Conductor, conducted

from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.looking.finding import find

__all__ = ["conducted"]


def demo(folder: Path) -> Layout:
    return Layout(folder / "ws", "demo")


def is_over(layout: Layout) -> Callable[[], bool]:
    return lambda: layout.exists and not find(layout).is_live and find(layout).state.is_settled


# --- run --------------------------------------------------------------------------------------------------------------


def test_the_conductor_is_started_for_a_job_that_wants_it_and_the_exit_code_is_the_jobs(
    conducted: Conductor, tmp_path: Path
) -> None:
    with Started("run", write_job(tmp_path), "--conductor", "--json", cwd=tmp_path) as command:
        ended = command.end()
    assert ended.exit_code == 0, ended
    assert (ended.document["status"], ended.document["progress"]["completed"]) == ("completed", 5)
    assert "the conductor is started in the background" in ended.stderr
    assert conducted.pid, "it goes on running for whoever comes next"


def test_a_job_that_fails_there_ends_with_1(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    failing = {"latency_seconds": 0, "seed": 1, "failures": {"crash": 1.0}}
    ended = mozart("run", write_job(tmp_path, rehearsal=failing, retry={"max_retries": 0}), "--conductor")
    assert ended.exit_code == 1, ended
    assert "demo failed" in ended.stderr
    assert "mozart errors demo" in ended.stderr


def test_a_job_file_with_mistakes_is_refused_before_anybody_is_asked(conducted: Conductor, tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, prompt={"template": "{% if %}"}), "--conductor")
    assert ended.exit_code == 2
    assert not conducted.pid


def test_what_the_conductor_refuses_is_told_as_the_command_would_tell_it(
    conducted: Conductor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conducted.start()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "only-this-terminal-has-it")
    job = write_job(tmp_path, backend={"type": "anthropic_api", "model": "claude-sonnet-4-5"})
    ended = mozart("run", job, "--conductor", "--json")
    assert ended.exit_code == 2, ended
    assert "ANTHROPIC_API_KEY is not set in its environment" in ended.document["error"]["message"]
    assert "mozart restart" in ended.document["error"]["hint"]


def test_detached_the_command_returns_at_once_and_names_what_is_really_there(
    conducted: Conductor, tmp_path: Path
) -> None:
    conducted.start()
    ended = mozart("run", slow_job(tmp_path), "--detach", "--json")
    assert ended.exit_code == 0, ended
    assert ended.document == {
        "job_id": "demo",
        "workspace": str(tmp_path / "ws"),
        "decision": "run",
        "said": "",
        "notices": [],
    }
    assert "`mozart status demo --watch` shows it" in ended.stderr
    wait_for(lambda: demo(tmp_path).exists and find(demo(tmp_path)).is_live)
    glimpse = look(demo(tmp_path))
    assert glimpse.owner is not None
    assert glimpse.owner.pid == conducted.pid
    assert mozart("pause", "demo", "--wait").exit_code == 0
    assert find(demo(tmp_path)).progress.status == "paused"


def test_ctrl_c_ends_the_showing_only(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    with Started("run", slow_job(tmp_path), "--conductor", "--json", cwd=tmp_path) as command:
        command.until("batch.completed")
        command.signal(signal.SIGINT)
        ended = command.end()
    assert ended.exit_code == 3, ended
    assert "detached; job `demo` goes on with the conductor" in ended.stderr
    assert ended.document["status"] == "running"
    done = find(demo(tmp_path)).progress.completed
    wait_for(lambda: find(demo(tmp_path)).progress.completed > done)
    assert mozart("cancel", "demo").exit_code == 0


def test_an_attached_command_goes_on_watching_while_the_conductor_dies_and_comes_back(
    conducted: Conductor, tmp_path: Path
) -> None:
    conducted.start()
    job = slow_job(tmp_path, batches=20)
    with Started("run", job, "--conductor", "--json", cwd=tmp_path) as command:
        command.until("batch.completed")
        conducted.kill()
        command.until("the conductor is gone; job `demo` goes on when it is back")
        conducted.start()
        ended = command.end()
    assert ended.exit_code == 0, ended
    assert ended.document["progress"]["completed"] == 20
    assert all(batch["attempts"] <= 2 for batch in ended.document["batches"].values())


def test_whoever_begins_to_watch_a_job_that_runs_waits_for_its_conductor_as_well(
    conducted: Conductor, tmp_path: Path
) -> None:
    conducted.start()
    job = slow_job(tmp_path, batches=200)
    assert mozart("run", job, "--detach").exit_code == 0
    wait_for(lambda: demo(tmp_path).exists and find(demo(tmp_path)).is_live)
    with Started("run", job, "--conductor", "--json", cwd=tmp_path) as command:
        command.until("batch.completed")
        conducted.kill()
        command.until("the conductor is gone; job `demo` goes on when it is back")
        absent = mozart("conductor-status")
        assert (absent.exit_code, "it was carrying 1 job: demo" in absent.stderr) == (1, True), absent
        conducted.start()
        wait_for(lambda: find(demo(tmp_path)).is_live)
        assert mozart("cancel", "demo").exit_code == 0
        ended = command.end()
    assert ended.exit_code == 4, ended


def test_a_rehearsal_runs_there_too_in_a_folder_that_is_named(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    ended = mozart("run", write_job(tmp_path), "--rehearse", "--conductor", "--json")
    assert ended.exit_code == 0, ended
    assert "mozart-rehearsal-demo-" in ended.document["workspace"]
    assert not (tmp_path / "ws").exists()


def test_options_of_run_arrive_at_the_conductor(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    job = write_job(tmp_path)
    ended = mozart("run", job, "--conductor", "--limit", "2", "--set", "batch.size=1", "-w", tmp_path / "other", "-j")
    assert ended.exit_code == 3, ended  # a pilot pauses
    assert (ended.document["progress"]["completed"], ended.document["progress"]["total"]) == (2, 10)
    assert Layout(tmp_path / "other", "demo").exists
    ended = mozart("run", job, "--conductor", "--batches", "4", "--set", "batch.size=1", "-w", tmp_path / "other", "-j")
    assert sorted(n for n, b in ended.document["batches"].items() if b["status"] == "completed") == ["1", "2", "4"]


def test_a_completed_job_is_left_alone_and_a_fresh_one_starts_over(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    job = write_job(tmp_path)
    assert mozart("run", job, "--conductor").exit_code == 0
    ended = mozart("run", job, "--conductor", "--limit", "3")
    assert (ended.exit_code, "nothing to do" in ended.stderr) == (0, True), ended
    again = slow_job(tmp_path, batches=10)
    ended = mozart("run", again, "--conductor", "--fresh", "--yes")
    assert (ended.exit_code, "starting over" in ended.stderr) == (0, True), ended
    assert "batch.completed batch=10 done=10/10" in ended.stderr, "what is shown is the new run, not the old record"


def test_a_hook_that_fails_there_counts_as_it_does_here(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    hooks = [{"type": "run_command", "command": "sleep 0.1; exit 3", "description": "hand in"}]
    concert = {"enabled": True, "abort_concert_on_hook_failure": True}
    ended = mozart("run", write_job(tmp_path, on_success=hooks, concert=concert), "--conductor", "--json")
    assert ended.exit_code == 1, ended
    assert [hook["status"] for hook in ended.document["hooks"]] == ["failed"]
    assert "hook 1 (hand in)" in ended.stderr


def test_a_variable_has_every_job_run_there_unless_an_option_says_else(
    conducted: Conductor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conducted.start()
    monkeypatch.setenv("MOZART_NB_CONDUCTOR", "1")
    job = write_job(tmp_path)
    assert "conductor" not in mozart("rehearse", job).stderr
    assert "is run by the conductor" in mozart("run", job).stderr
    ended = mozart("run", job, "--fresh", "--yes", "--no-conductor")
    assert (ended.exit_code, "conductor" in ended.stderr) == (0, False), ended


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--detach", "--no-conductor"], "only the conductor"), (["--detach", "--at", "+2h"], "--at waits here")],
)
def test_options_that_contradict_each_other_are_refused(options: list[str], said: str, tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path), *options)
    assert (ended.exit_code, said in ended.stderr) == (2, True), ended


# --- resume, modify, recover ------------------------------------------------------------------------------------------


def test_resume_takes_a_new_config_along(conducted: Conductor, tmp_path: Path) -> None:
    """The earlier tool dropped every option of a resume on its way to the conductor."""
    conducted.start()
    failing = {"latency_seconds": 0, "seed": 1, "failures": {"crash": 1.0}}
    job = write_job(tmp_path, rehearsal=failing, retry={"max_retries": 0})
    assert mozart("run", job).exit_code == 1
    write_job(tmp_path)
    ended = mozart("resume", "demo", "--conductor", "--reload-config", "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["progress"]["completed"] == 5


def test_resume_leaves_failed_batches_alone_if_asked_to(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    failing = {"latency_seconds": 0, "seed": 1, "failures": {"crash": 1.0}}
    assert mozart("run", write_job(tmp_path, rehearsal=failing, retry={"max_retries": 0})).exit_code == 1
    ended = mozart("resume", "demo", "--conductor", "--keep-failed", "--json")
    assert ended.exit_code == 1, ended
    assert ended.document["batches"]["1"]["attempts"] == 1


def test_a_job_whose_terminal_was_killed_goes_on_there_and_nothing_is_done_twice(
    conducted: Conductor, tmp_path: Path
) -> None:
    conducted.start()
    with Started("run", slow_job(tmp_path, batches=20), cwd=tmp_path) as command:
        command.until("batch.completed")
        command.signal(signal.SIGKILL)
        command.end()
    done = find(demo(tmp_path)).progress.completed
    ended = mozart("resume", "demo", "--conductor", "--json")
    assert (ended.exit_code, ended.document["progress"]["completed"]) == (0, 20), ended
    again = [number for number, batch in ended.document["batches"].items() if batch["attempts"] > 1]
    assert len(again) <= 2, f"two sessions were under way when it was killed; {done} batches were done, {again} again"


def test_a_running_job_is_handed_over_and_its_terminal_says_who_has_it(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    with Started("run", slow_job(tmp_path, batches=24), cwd=tmp_path) as command:
        command.until("batch.completed")
        refused = mozart("resume", "demo", "--conductor")
        assert (refused.exit_code, "resume demo --handover" in refused.stderr) == (2, True), refused
        sent = mozart("resume", "demo", "--handover", "--detach", "--json")
        assert (sent.exit_code, sent.document["decision"]) == (0, "queued"), sent
        ended = command.end()
    assert (ended.exit_code, "conductor takes it over" in ended.stderr) == (3, True), ended
    wait_for(lambda: find(demo(tmp_path)).is_live)
    assert mozart("status", "demo", "--watch").exit_code == 0
    wait_for(is_over(demo(tmp_path)))
    found = find(demo(tmp_path))
    assert found.progress.completed == 24
    assert all(batch.attempts == 1 for batch in found.state.batches.values())


def test_modify_has_the_conductor_go_on_with_the_new_config(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start()
    assert mozart("run", slow_job(tmp_path, batches=30), "--detach").exit_code == 0
    wait_for(lambda: demo(tmp_path).exists and find(demo(tmp_path)).progress.completed > 1)
    new = yaml.safe_load((tmp_path / "job.yaml").read_text())
    new["rehearsal"]["latency_seconds"] = 0.01
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(new))
    ended = mozart("modify", "demo", "-c", tmp_path / "new.yaml", "-r", "--conductor", "--yes", "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["progress"]["completed"] == 30
    assert "goes on with" in ended.stderr


def test_recover_through_the_conductor_is_saved(conducted: Conductor, tmp_path: Path) -> None:
    """The earlier tool's conductor looked, and saved nothing."""
    conducted.start()
    rule = {"type": "file_exists", "path": "{workspace}/made-later-{batch_num}.md"}
    failing = {"writes": {}, "seed": 1, "failures": {"crash": 1.0}}
    parallel = {"enabled": True, "fail_fast": False}
    job = write_job(tmp_path, validations=[rule], rehearsal=failing, parallel=parallel, retry={"max_retries": 0})
    assert mozart("run", job).exit_code == 1
    for number in (1, 2, 3, 4):
        (tmp_path / "ws" / f"made-later-{number}.md").write_text("there")
    looked = mozart("recover", "demo", "--conductor", "--dry-run")
    assert (looked.exit_code, "batch 5  still fails" in looked.stdout) == (1, True), looked
    assert find(demo(tmp_path)).progress.completed == 0
    ended = mozart("recover", "demo", "--conductor", "--json")
    assert (ended.exit_code, ended.document["recovered"]) == (1, [1, 2, 3, 4]), ended
    assert find(demo(tmp_path)).progress.completed == 4


def test_what_the_conductor_holds_is_told_to_whoever_was_watching(conducted: Conductor, tmp_path: Path) -> None:
    conducted.start("resume: ask\n")
    with Started("run", slow_job(tmp_path), "--conductor", cwd=tmp_path) as command:
        command.until("batch.completed")
        conducted.kill()
        conducted.start()
        ended = command.end()
    assert (ended.exit_code, "the conductor holds job `demo`: " in ended.stderr) == (3, True), ended


# --- waiting for room -------------------------------------------------------------------------------------------------


def test_a_job_that_waits_for_room_says_so_and_can_be_taken_out_of_the_queue(
    conducted: Conductor, tmp_path: Path
) -> None:
    conducted.start("max_jobs: 1\n")
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert mozart("run", slow_job(first), "--detach").exit_code == 0
    job = slow_job(second, name="later", batches=3)
    assert mozart("run", job, "--limit", "1").exit_code == 3
    with Started("resume", "later", "--conductor", "--json", cwd=tmp_path) as command:
        command.until("waits for room")
        again = mozart("run", job, "--detach", "--json")
        assert (again.exit_code, again.document["decision"]) == (0, "queued"), again
        with Started("run", job, cwd=tmp_path) as other:  # nobody begins what the conductor has
            other.until("waits for room")
        ended = mozart("pause", "later")
        assert (ended.exit_code, "did not run" in ended.stderr) == (0, True), ended
        assert command.end().exit_code == 3
    assert json.loads(conducted.place.carried.read_text())["jobs"][0]["job_id"] == "demo"
    assert mozart("cancel", "demo").exit_code == 0
