"""`logs`: from the journal, from the log file, and the raw output of sessions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.commands import Started, mozart, slow_job, wait_for, write_job

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.looking.logs import last_events
from mozart_nb.plans.frozen import PlanMaterials
from mozart_nb.plans.prepared import open_job

TROUBLED = {
    "latency_seconds": 0,
    "seed": 1,
    "script": {1: ["transient"], 2: ["invalid_output"] * 9, 3: [{"rate_limit": {"wait_seconds": 0.1}}]},
}


@pytest.fixture
def troubled(tmp_path: Path) -> Path:
    """Batch 1 was retried, batch 2 failed for good, batch 3 waited for a limit. The log has both forms."""
    retry = {"max_retries": 1, "base_delay_seconds": 0.01, "jitter": False}
    parallel = {"enabled": True, "fail_fast": False}
    logging = {"format": "both", "level": "DEBUG", "max_file_size_mb": 0.003, "backup_count": 50}
    file = write_job(tmp_path, rehearsal=TROUBLED, retry=retry, parallel=parallel, logging=logging)
    assert mozart("run", file).exit_code == 1
    return tmp_path


def names(*args: str | Path) -> list[str]:
    """The events in a listing, in their order."""
    return [json.loads(line)["event"] for line in mozart("logs", *args, "--json").stdout.splitlines()]


# --- the journal ------------------------------------------------------------------------------------------------------


def test_logs_are_the_events_of_the_job_as_lines(troubled: Path) -> None:
    lines = mozart("logs", "demo", "-n", "0").stdout.splitlines()
    assert lines[0].split()[1] == "job.planned"
    assert lines[-1].split()[1] == "job.failed"
    assert mozart("logs", "demo", "-n", "3").stdout.splitlines() == lines[-3:]
    assert "session.opened" not in "".join(lines)
    assert "session.opened" in mozart("logs", "demo", "-n", "0", "--level", "debug").stdout


def test_only_what_matters_enough_is_shown(troubled: Path) -> None:
    assert set(names("demo", "--level", "ERROR")) == {"batch.failed", "job.failed"}
    assert mozart("logs", "demo", "--level", "LOUD").exit_code == 2


def test_lines_that_are_damaged_are_counted_and_told(troubled: Path) -> None:
    segment = Layout(troubled / "ws", "demo").segment(1)
    whole = mozart("logs", "demo", "-n", "0")
    assert "could not be read" not in whole.stderr + mozart("diagnose", "demo").stdout
    lines = segment.read_bytes().splitlines(keepends=True)
    hurt = next(at for at, line in enumerate(lines) if b'"kind":"batch.failed"' in line)
    lines[hurt] = lines[hurt].replace(b"E201", b"E301", 1)
    lines[1] = b"#" + lines[1][1:]
    segment.write_bytes(b"".join(lines) + lines[3][:20])  # and the end of a write that was cut short
    listed = mozart("logs", "demo", "-n", "0")
    assert listed.stderr.count("2 lines of the journal could not be read") == 1
    assert len(listed.stdout.splitlines()) == len(whole.stdout.splitlines()) - 2
    assert "note: 1 line of the journal could not be read" in mozart("diagnose", "demo").stdout


def test_logs_without_a_job_are_those_of_the_latest(troubled: Path) -> None:
    ended = mozart("logs")
    assert "job `demo`" in ended.stderr
    assert ended.stdout == mozart("logs", "demo").stdout


def test_logs_as_json_are_one_event_per_line(troubled: Path) -> None:
    events = [json.loads(line) for line in mozart("logs", "demo", "-n", "0", "--json").stdout.splitlines()]
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert events[0]["event"] == "job.planned"


def test_the_story_of_a_batch_is_told_by_its_events(troubled: Path) -> None:
    told = names("demo", "--batch", "1", "-n", "0")
    assert (told[0], told[-1]) == ("batch.started", "batch.completed")
    assert told.count("batch.started") == 2
    assert "there are batches 1 to 5" in mozart("logs", "demo", "--batch", "99").stderr


def test_events_are_chosen_by_name_and_by_time(troubled: Path) -> None:
    chosen = names("demo", "-n", "0", "--event", "job.*ed", "--event", "batch.failed")
    assert chosen == ["job.planned", "job.started", "batch.failed", "job.failed"]
    assert mozart("logs", "demo", "--event", "nothing.*").exit_code == 2
    whole = last_events(Layout(troubled / "ws", "demo"), 0)
    middle = datetime.fromtimestamp(whole[len(whole) // 2].at, UTC).isoformat()
    later = names("demo", "-n", "0", "--level", "DEBUG", "--since", middle)
    sooner = names("demo", "-n", "0", "--level", "DEBUG", "--until", middle)
    assert 0 < len(later) < len(whole)
    assert len(later) + len(sooner) > len(whole)  # what happened at that very moment is in both
    assert names("demo", "--since", "1h") == names("demo")
    ended = mozart("logs", "demo", "--until", "1h")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "no such events\n")


def test_following_ends_with_the_run(tmp_path: Path) -> None:
    with Started("run", slow_job(tmp_path), cwd=tmp_path) as host:
        host.until("batch.completed")
        with (
            Started("logs", "demo", "--follow", cwd=tmp_path) as reader,
            Started("logs", "demo", "--file", "--follow", "-n", "0", cwd=tmp_path) as file_reader,
        ):
            wait_for(lambda: reader.out and any("batch.completed" in line for line in list(file_reader.out)))
            assert mozart("cancel", "demo").exit_code == 0
            followed, from_file = reader.end(), file_reader.end()
        assert host.end().exit_code == 4
    assert followed.exit_code == from_file.exit_code == 0
    assert followed.stdout.splitlines()[-1].split()[1] == "job.cancelled"
    assert from_file.stdout.splitlines()[0].split()[2] == "job.planned"


# --- the log file -----------------------------------------------------------------------------------------------------


def test_the_log_file_with_its_backups_says_the_same_as_the_journal(troubled: Path) -> None:
    assert len(list((troubled / "ws").glob("mozart.log.*"))) > 1
    for form in ([], ["--file"]):
        assert names("demo", *form, "-n", "4") == names("demo", "-n", "4")
    shown = mozart("logs", "demo", "--file").stdout.splitlines()
    assert [line.split()[2] for line in shown[-4:]] == names("demo", "-n", "4")
    assert all(" job_id=demo run_id=" in line for line in shown)


def test_both_forms_of_the_log_file_are_filtered_alike(troubled: Path) -> None:
    for path in ("mozart.log", "mozart.jsonl"):
        for wish in (["--level", "ERROR"], ["--batch", "3"], ["--event", "batch.*", "--since", "1h"]):
            from_file = names("--file", troubled / "ws" / path, *wish, "-n", "5")
            assert from_file == names("demo", *wish, "-n", "5")


def test_a_job_that_says_nothing_of_it_writes_a_log_into_its_workspace(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path))
    assert "logging" not in ended.stderr
    lines = (tmp_path / "ws" / "mozart.log").read_text().splitlines()
    assert [line.split()[2] for line in lines] == names("demo", "-n", "0")


def test_a_rehearsal_leaves_the_log_alone(tmp_path: Path) -> None:
    file = write_job(tmp_path, logging={"file_path": str(tmp_path / "elsewhere" / "a.log")})
    assert mozart("run", file, "--rehearse").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.yaml"]


def test_the_log_goes_on_when_old_results_are_archived_and_is_not_handed_to_batches(tmp_path: Path) -> None:
    file = write_job(tmp_path, workspace_lifecycle={"archive_on_fresh": True})
    assert mozart("run", file).exit_code == 0
    assert mozart("run", file, "--fresh").exit_code == 0
    found = {path.name for path in (tmp_path / "ws").iterdir()}
    assert {"mozart.log", ".mozart.log.lock", "archive"} <= found
    archived = {path.name for path in (tmp_path / "ws" / "archive" / "iteration-1").iterdir()}
    assert archived == {f"report-{number}.md" for number in range(1, 6)}
    assert names("demo", "--file", "-n", "0").count("job.planned") == 2
    prepared = open_job("demo", tmp_path / "ws")
    seen = PlanMaterials(prepared.frozen, prepared.places.workspace).glob("*")  # as for `capture_files`
    assert {Path(path).name for path in seen} == {"demo.json", *archived}


def test_a_log_file_that_is_not_there_is_named(troubled: Path) -> None:
    ended = mozart("logs", "--file", troubled / "nothing.log")
    assert ended.exit_code == 2
    assert "nothing.log" in ended.stderr


# --- raw output -------------------------------------------------------------------------------------------------------


def test_the_output_of_a_batch_is_shown_as_far_as_it_was_kept(troubled: Path) -> None:
    ended = mozart("logs", "demo", "--raw", "--batch", "3")
    assert ended.exit_code == 0
    assert "batch 3, attempt 2" in ended.stderr
    assert "Rehearsed batch 3" in ended.stdout
    assert mozart("logs", "demo", "--raw", "--batch", "2", "--json").document["attempt"] == 2
    assert mozart("logs", "demo", "--raw", "--batch", "99").exit_code == 2
    assert "of which batch" in mozart("logs", "demo", "--raw").stderr


def test_the_raw_log_of_a_session_is_shown_where_there_is_one(troubled: Path) -> None:
    folder = troubled / "ws" / ".mozart" / "demo" / "logs" / "0000"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0002-2.out").write_text('{"type": "result"}\n')
    (folder / "0002-2.err").write_text("warned\n")
    assert mozart("logs", "demo", "--raw", "--batch", "2").stdout == '{"type": "result"}\nwarned\n'
    document = mozart("logs", "demo", "--batch", "2", "--raw", "-j").document
    assert (document["out"], document["err"], document["is_raw"]) == ('{"type": "result"}\n', "warned\n", True)
