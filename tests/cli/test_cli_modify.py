"""`modify`: a new config for a job that runs, waits or is over."""

from __future__ import annotations

import signal
from pathlib import Path

from support.commands import Started, mozart, slow_job, write_job

from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.events import ConfigReloaded


def changed(folder: Path, **sections: object) -> Path:
    """Another file with the same job."""
    other = folder / "changed"
    other.mkdir(exist_ok=True)
    return write_job(
        other, **{"workspace": str(folder / "ws"), "prompt": {"template": "New {{ batch_num }}."}, **sections}
    )


def reloads(workspace: Path) -> int:
    return sum(isinstance(event, ConfigReloaded) for event in read_events(Layout(workspace, "demo")))


def test_a_running_job_is_paused_and_goes_on_here_with_the_new_config(tmp_path: Path) -> None:
    new = changed(tmp_path, batch={"size": 1, "total_items": 200}, parallel={"enabled": True, "max_concurrent": 50})
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("batch.completed")
        ended = mozart("modify", "demo", "-c", new, "--resume", "--json")
        assert host.end().exit_code == 3
    assert ended.exit_code == 0, ended
    assert ended.document["status"] == "completed"
    assert ended.document["execution"]["runs"] == 2
    assert "job.config_reloaded" in ended.stderr
    assert reloads(tmp_path / "ws") == 1
    assert "New {{ batch_num }}." in (tmp_path / "ws/.mozart/demo/plan/config.json").read_text()


def test_without_resume_the_next_run_uses_it(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path), "--limit", "2")
    new = changed(tmp_path, retry={"max_retries": 7})
    ended = mozart("modify", "demo", "-c", new, "--json")
    assert ended.exit_code == 0, ended
    assert "paused and has its new config" in ended.stderr
    assert (ended.document["status"], ended.document["progress"]["completed"]) == ("paused", 2)
    assert reloads(tmp_path / "ws") == 1
    resumed = mozart("resume", "demo", "--json")
    assert resumed.document["status"] == "completed"
    assert "job.config_reloaded" not in resumed.stderr
    assert '"max_retries": 7' in (tmp_path / "ws/.mozart/demo/plan/config.json").read_text()


def test_the_new_file_can_then_be_run_and_the_old_one_cannot(tmp_path: Path) -> None:
    old = write_job(tmp_path)
    mozart("run", old, "--limit", "2")
    new = changed(tmp_path)
    mozart("modify", "demo", "-c", new)
    assert mozart("run", old).exit_code == 2
    assert mozart("run", new).exit_code == 0


def test_a_file_with_mistakes_pauses_nothing(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("batch.completed")
        for broken in (
            changed(tmp_path, prompt={"template": "{{ nonsense }}"}),
            changed(tmp_path, retry={"max_retries": -1}),
            changed(tmp_path, name="another"),
            tmp_path / "missing.yaml",
        ):
            assert mozart("modify", "demo", "-c", broken, "-r").exit_code == 2
        assert mozart("status", "demo", "--json").document["status"] == "running"


def test_a_plan_that_does_not_fit_is_refused_with_the_batches_it_would_change(tmp_path: Path) -> None:
    new = changed(tmp_path, batch={"size": 5, "total_items": 200})
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("batch.completed")
        ended = mozart("modify", "demo", "-c", new, "-r")
        assert ended.exit_code == 2
        assert "would change items" in ended.stderr
        assert "nothing was changed" in ended.stderr
        assert "is running, with its old config" in ended.stderr
        host.signal(signal.SIGINT)
        host.end()
    assert reloads(tmp_path / "ws") == 0
    ended = mozart("modify", "demo", "-c", new)
    assert "`mozart resume demo` goes on with that" in ended.stderr


def test_the_same_config_is_no_change(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    mozart("run", file, "--limit", "2")
    ended = mozart("modify", "demo", "-c", file, "-r")
    assert ended.exit_code == 0
    assert "has this config already" in ended.stderr
    assert reloads(tmp_path / "ws") == 0


def test_a_job_that_takes_too_long_to_pause_keeps_its_config(tmp_path: Path) -> None:
    new = changed(tmp_path, batch={"size": 1, "total_items": 200})
    with Started("run", slow_job(tmp_path, latency_seconds=4), cwd=tmp_path) as host:
        host.until("session.opened")
        ended = mozart("modify", "demo", "-c", new, "-r", "--timeout", "0.6")
        assert ended.exit_code == 1, ended
        assert "is still pausing" in ended.stderr
        assert "its config was not changed" in ended.stderr
        assert host.end().exit_code == 3
    assert reloads(tmp_path / "ws") == 0


def test_ctrl_c_while_it_pauses_leaves_the_config_alone(tmp_path: Path) -> None:
    new = changed(tmp_path, batch={"size": 1, "total_items": 200})
    with Started("run", slow_job(tmp_path, latency_seconds=20), cwd=tmp_path) as host:
        host.until("session.opened")
        with Started("modify", "demo", "-c", new, "-r", cwd=tmp_path) as modifier:
            modifier.until("running batches finish first")
            modifier.signal(signal.SIGINT)
            ended = modifier.end()
        assert ended.exit_code == 3, ended
        assert "its config was not changed" in ended.stderr


def test_a_job_whose_host_died_takes_a_new_config(tmp_path: Path) -> None:
    new = changed(tmp_path, batch={"size": 1, "total_items": 200})
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("batch.completed")
        host.signal(signal.SIGKILL)
        host.end()
    ended = mozart("modify", "demo", "-c", new, "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["status"] == "paused"
    assert ended.document["progress"]["running"] == 0
    assert reloads(tmp_path / "ws") == 1


def test_a_completed_job_that_has_grown_has_work_left(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path))
    new = changed(tmp_path, prompt={"template": "Batch {{ batch_num }}"}, batch={"size": 2, "total_items": 14})
    ended = mozart("modify", "demo", "-c", new, "--json")
    assert (ended.document["status"], ended.document["progress"]["pending"]) == ("paused", 2)
    assert mozart("resume", "demo", "--json").document["progress"]["completed"] == 7


def test_a_completion_where_nothing_is_executed_leaves_the_hooks_to_resume(tmp_path: Path) -> None:
    hooks = [{"type": "run_command", "command": "touch told"}]
    writes_nothing = {"latency_seconds": 0, "script": {5: ["invalid_output"]}}
    mozart("run", write_job(tmp_path, rehearsal=writes_nothing, retry={"max_retries": 0}, on_success=hooks))
    (tmp_path / "ws" / "report-5.md").write_text("by hand")
    ended = mozart("recover", "demo", "--json")
    assert ended.document["status"] == "completed"
    assert "1 hook of `on_success` not run yet: `mozart resume demo` does" in ended.stderr
    assert not (tmp_path / "told").exists()
    mozart("resume", "demo")
    assert (tmp_path / "told").exists()
    assert mozart("status", "demo", "--json").document["hooks"][0]["status"] == "succeeded"
