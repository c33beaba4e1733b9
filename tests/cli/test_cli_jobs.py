"""Jobs that run elsewhere or ran before: signals, `pause`, `cancel`, `resume`, `recover`, `status`, `list`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from support.commands import Started, mozart, slow_job, wait_for, write_job


def statuses(workspace: Path) -> dict[str, str]:
    document = mozart("status", "demo", "-w", workspace, "--json").document
    return {number: batch["status"] for number, batch in document["batches"].items()}


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_pauses_after_the_running_batches(tmp_path: Path, number: int) -> None:
    with Started("run", slow_job(tmp_path), "--json", cwd=tmp_path) as host:
        host.until("batch.completed")
        host.signal(number)
        ended = host.end()
    assert ended.exit_code == 3, ended
    assert json.loads(ended.stdout)["status"] == "paused"
    assert "job.pausing" in ended.stderr
    assert "running" not in statuses(tmp_path / "ws").values()
    assert "mozart resume demo" in ended.stderr


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path, latency_seconds=20), cwd=tmp_path) as host:
        host.until("session.opened")
        began = time.monotonic()
        host.signal(signal.SIGINT)
        host.until("job.pausing")
        host.signal(signal.SIGINT)
        ended = host.end()
    assert ended.exit_code == 3, ended
    assert time.monotonic() - began < 15
    document = mozart("status", "demo", "--json").document
    assert document["status"] == "paused"
    assert document["progress"]["running"] == 0


# --- watching from elsewhere ------------------------------------------------------------------------------------------


def test_run_on_a_running_job_shows_it_and_ends_as_it_does(tmp_path: Path) -> None:
    file = slow_job(tmp_path)
    with Started("run", file, cwd=tmp_path) as host:
        host.until("batch.completed")
        with Started("run", file, "--json", cwd=tmp_path) as viewer:
            viewer.until("batch.completed")
            assert mozart("cancel", "demo").exit_code == 0
            watched = viewer.end()
        assert host.end().exit_code == 4
    assert watched.exit_code == 4, watched
    assert "is already running" in watched.stderr
    assert watched.document["status"] == "cancelled"


def test_ctrl_c_ends_the_showing_and_not_the_job(tmp_path: Path) -> None:
    file = slow_job(tmp_path)
    with Started("run", file, cwd=tmp_path) as host:
        host.until("batch.completed")
        with Started("run", file, cwd=tmp_path) as viewer:
            viewer.until("batch.completed")
            viewer.signal(signal.SIGINT)
            left = viewer.end()
        assert left.exit_code == 3
        assert "detached; job `demo` goes on" in left.stderr
        assert host.process.poll() is None
        assert mozart("status", "demo", "--json").document["status"] == "running"


def test_a_job_whose_host_was_killed_is_interrupted_and_can_be_resumed(tmp_path: Path) -> None:
    file = slow_job(tmp_path)
    with Started("run", file, cwd=tmp_path) as host:
        host.until("batch.completed")
        with Started("status", "demo", "--watch", cwd=tmp_path) as viewer:
            viewer.until("batch.")
            host.signal(signal.SIGKILL)
            host.end()
            watched = viewer.end()
    assert watched.exit_code == 3, watched
    document = mozart("status", "demo", "--json").document
    assert document["status"] == "interrupted"
    assert document["owner"] is None
    assert document["progress"]["eta_seconds"] is None
    completed = document["progress"]["completed"]
    ended = mozart("run", file, "--limit", "4", "--json")
    assert ended.exit_code == 3, ended
    # A pilot counts the batches it begins; of the two at a time that were cut off, some may only have to be judged.
    assert completed + 4 <= ended.document["progress"]["completed"] <= completed + 4 + 2


def test_watching_with_json_is_one_document_per_line(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("batch.completed")
        with Started("status", "demo", "--watch", "--json", cwd=tmp_path) as viewer:
            wait_for(lambda: viewer.out)
            host.signal(signal.SIGINT)
            watched = viewer.end()
        host.end()
    documents = [json.loads(line) for line in watched.stdout.splitlines()]
    assert documents[0]["status"] == "running"
    assert documents[-1]["status"] == "paused"
    assert watched.exit_code == 3


# --- pause and cancel -------------------------------------------------------------------------------------------------


def test_pause_waits_until_the_job_has_settled(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("batch.completed")
        ended = mozart("pause", "demo", "--wait", "--json")
        assert ended.exit_code == 0, ended
        assert ended.document["status"] == "paused"
        assert host.end().exit_code == 3
    again = mozart("pause", "demo")
    assert again.exit_code == 0
    assert "paused already" in again.stderr


def test_pause_says_that_running_batches_finish_first(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path, latency_seconds=20), cwd=tmp_path) as host:
        host.until("session.opened")
        asked = mozart("pause", "demo")
        assert (asked.exit_code, asked.stdout) == (0, "")
        assert "is pausing: 2 running batches finish first" in asked.stderr
        late = mozart("pause", "demo", "--wait", "-t", "0.1")
        assert late.exit_code == 1
        assert "still pausing" in late.stderr
        host.signal(signal.SIGINT)
        time.sleep(0.2)  # two signals at once are one
        host.signal(signal.SIGINT)
        host.end()


def test_cancel_ends_sessions_at_once_and_the_host_exits_with_4(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path, latency_seconds=20), cwd=tmp_path) as host:
        host.until("session.opened")
        began = time.monotonic()
        ended = mozart("cancel", "demo", "--json")
        assert ended.exit_code == 0, ended
        assert ended.document["status"] == "cancelled"
        assert host.end().exit_code == 4
    assert time.monotonic() - began < 15


def test_a_paused_job_can_be_cancelled_too_and_then_resumed(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path), "--limit", "1")
    assert mozart("cancel", "demo", "--json").document["status"] == "cancelled"
    assert mozart("cancel", "demo").exit_code == 2
    assert mozart("resume", "demo").exit_code == 0


@pytest.mark.parametrize("command", ["pause", "cancel"])
def test_what_is_over_can_be_neither_paused_nor_cancelled(tmp_path: Path, command: str) -> None:
    mozart("run", write_job(tmp_path))
    ended = mozart(command, "demo")
    assert ended.exit_code == 2
    assert "completed" in ended.stderr


# --- resume -----------------------------------------------------------------------------------------------------------

FAILS_ONCE = {"latency_seconds": 0, "seed": 1, "script": {2: ["invalid_output"]}}
ALL_THE_SAME = {"parallel": {"enabled": True, "fail_fast": False}, "retry": {"max_retries": 0}}


def test_resume_gives_failed_batches_fresh_budgets(tmp_path: Path) -> None:
    assert mozart("run", write_job(tmp_path, rehearsal=FAILS_ONCE, **ALL_THE_SAME)).exit_code == 1
    ended = mozart("resume", "demo", "--json")
    assert ended.exit_code == 0, ended
    assert "1 failed (they are tried again)" in ended.stderr
    assert ended.document["batches"]["2"]["attempts"] == 2
    assert ended.document["batches"]["1"]["attempts"] == 1


def test_keep_failed_leaves_them(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path, rehearsal=FAILS_ONCE, **ALL_THE_SAME))
    ended = mozart("resume", "demo", "--keep-failed", "--json")
    assert ended.exit_code == 1, ended
    assert ended.document["batches"]["2"]["attempts"] == 1


def test_the_last_words_tell_what_a_run_did_from_what_all_did(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    assert "demo paused: 2 of 5 batches done in " in mozart("run", file, "--limit", "2").stderr
    words = mozart("resume", "demo").stderr
    assert re.search(r"demo completed: 3 batches in [\d.]+ m?s; 5 of 5 done, \$[\d.]+, [\d.k]+ tokens in all", words)


def test_resume_of_a_running_job_is_refused(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("job.started")
        ended = mozart("resume", "demo")
        assert ended.exit_code == 2
        assert f"pid {host.process.pid}" in ended.stderr
        assert mozart("run", tmp_path / "job.yaml", "--fresh").exit_code == 2


def test_a_changed_file_takes_over_when_asked(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path), "--limit", "2")
    write_job(tmp_path, prompt={"template": "Changed {{ batch_num }}."}, retry={"max_retries": 7})
    ended = mozart("resume", "demo", "--reload-config", "--json")
    assert ended.exit_code == 0, ended
    assert "job.config_reloaded" in ended.stderr
    assert "2 completed batches of job `demo` were made with the old config" in ended.stderr
    assert ended.document["progress"]["completed"] == 5


def test_a_file_that_would_change_finished_batches_is_refused(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path), "--limit", "2")
    other = tmp_path / "other"
    other.mkdir()
    file = write_job(other, batch={"size": 5, "total_items": 10})
    ended = mozart("resume", "demo", "-c", file)
    assert ended.exit_code == 2, ended
    assert "batches 1-2 would change items" in ended.stderr
    renamed = write_job(other, name="another")
    assert "describes job `another`" in mozart("resume", "demo", "-c", renamed).stderr


def test_a_lost_record_is_inferred_from_the_results(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    mozart("run", file, "--limit", "3")
    shutil.rmtree(tmp_path / "ws" / ".mozart")
    (tmp_path / "ws" / "demo.json").unlink()
    assert mozart("resume", "demo", "--infer").exit_code == 2
    ended = mozart("resume", "demo", "--infer", "-c", file, "--json")
    assert ended.exit_code == 0, ended
    assert [batch["attempts"] for batch in ended.document["batches"].values()] == [0, 0, 0, 1, 1]


def test_a_job_file_is_no_job_id_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_job(tmp_path)
    ended = mozart("resume", "job.yaml")
    assert ended.exit_code == 2
    assert "mozart run job.yaml" in ended.stderr


# --- recover ----------------------------------------------------------------------------------------------------------


def test_recover_checks_rules_again_and_executes_nothing(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path, rehearsal=FAILS_ONCE, **ALL_THE_SAME))
    still = mozart("recover", "demo", "--json")
    assert still.exit_code == 1, still
    assert still.document["batches"][0]["failed_rules"][0]["type"] == "file_exists"
    (tmp_path / "ws" / "report-2.md").write_text("by hand")
    dry = mozart("recover", "demo", "-n", "--json")
    assert (dry.exit_code, dry.document["recovered"], dry.document["status"]) == (0, [2], "failed")
    ended = mozart("recover", "demo", "--json")
    assert (ended.exit_code, ended.document["recovered"], ended.document["status"]) == (0, [2], "completed")
    assert mozart("status", "demo", "-j").document["batches"]["2"]["attempts"] == 1
    assert mozart("recover", "demo").stderr.strip() == "no batch has failed"


# --- status and list --------------------------------------------------------------------------------------------------


def test_status_lists_the_batches_that_are_asked_for(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path, rehearsal=FAILS_ONCE, **ALL_THE_SAME))
    shown = mozart("status", "demo", "--batches", "failed")
    assert shown.exit_code == 0
    (row,) = [line for line in shown.stdout.splitlines() if line.startswith("2 ")]
    assert "failed" in row
    assert "E201" in row
    for wish, expected in (("failed", ["2"]), ("4-5", ["4", "5"]), ("all", ["1", "2", "3", "4", "5"])):
        document = mozart("status", "demo", "--batches", wish, "--json").document
        assert list(document["batches"]) == expected
    assert mozart("status", "demo", "--batches", "nonsense").exit_code == 2


def test_one_id_in_two_workspaces_is_an_error_that_lists_both(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    for name in ("one", "two"):
        mozart("run", file, "-w", tmp_path / name)
    ended = mozart("status", "demo", "--json")
    assert ended.exit_code == 2
    assert str(tmp_path / "one") in ended.stderr
    assert str(tmp_path / "two") in ended.stderr
    assert "--workspace" in ended.document["error"]["hint"]
    assert mozart("status", "demo", "-w", tmp_path / "one").exit_code == 0


def test_an_unknown_id_names_the_nearest(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path))
    ended = mozart("status", "dmeo")
    assert ended.exit_code == 2
    assert "`demo`" in ended.stderr


def test_list_shows_the_latest_job_first_and_filters(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        folder = tmp_path / name
        folder.mkdir()
        mozart("run", write_job(folder, name=name), *(["--limit", "1"] if name == "second" else []))
        os.utime(next((folder / "ws" / ".mozart" / name / "journal").iterdir()))
        time.sleep(0.02)
    jobs = mozart("list", "--json").document["jobs"]
    assert [job["job_id"] for job in jobs] == ["third", "second", "first"]
    paused = mozart("list", "--status", "paused", "--json").document["jobs"]
    assert [job["job_id"] for job in paused] == ["second"]
    assert len(mozart("list", "--limit", "2", "--json").document["jobs"]) == 2
    assert mozart("status").stdout == mozart("list").stdout


def test_a_job_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        folder = tmp_path / name
        folder.mkdir()
        mozart("run", write_job(folder, name=name))
    segment = next((tmp_path / "bad" / "ws" / ".mozart" / "bad" / "journal").iterdir())
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:2], b"rubbish\n", *lines[3:]]))
    (tmp_path / "bad" / "ws" / "bad.json").unlink()
    jobs = {job["job_id"]: job for job in mozart("list", "--json").document["jobs"]}
    assert jobs["good"]["status"] == "completed"
    assert jobs["bad"]["status"] == "unreadable"
    ended = mozart("status", "bad")
    assert ended.exit_code == 1
    assert "E701" in ended.stderr


def test_a_workspace_that_was_moved_is_found_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mozart("run", write_job(tmp_path), "--limit", "2")
    (tmp_path / "ws").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert mozart("status", "demo", "--json").document["progress"]["completed"] == 2
    assert mozart("resume", "demo").exit_code == 0


def test_a_workspace_that_cannot_be_written_to_is_one_message_and_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / ".mozart").write_text("a file where a folder must be")
    ended = mozart("run", write_job(tmp_path))
    assert ended.exit_code == 3
    assert "E703" in ended.stderr


def test_looking_at_a_job_takes_no_lock(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path, batches=30), cwd=tmp_path) as host:
        host.until("job.started")
        wait_for(lambda: mozart("status", "demo", "--json").document["progress"]["completed"] > 3)
        assert host.end().exit_code == 0
