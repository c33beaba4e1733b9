"""`run` and `rehearse`, end to end with rehearsed jobs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import Started, mozart, write_job

LINE = re.compile(r'\d\d:\d\d:\d\d [a-z]+\.[a-z_]+( [a-z_]+=([^\s"=]+|"(\\.|[^"\\])*"))*')


def failing(*steps: object, batch: int = 2) -> dict[str, object]:
    return {"latency_seconds": 0, "seed": 1, "script": {batch: list(steps)}}


# --- exit codes -------------------------------------------------------------------------------------------------------


def test_a_completed_job_exits_with_0_and_prints_nothing_to_stdout(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path))
    assert (ended.exit_code, ended.stdout) == (0, ""), ended
    assert "demo completed: 5 of 5 batches done" in ended.stderr
    assert (tmp_path / "ws" / "report-5.md").is_file()


def test_a_failed_job_exits_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    file = write_job(tmp_path, rehearsal=failing("invalid_output", "invalid_output"), retry={"max_retries": 0})
    ended = mozart("run", file)
    assert ended.exit_code == 1, ended
    assert "demo failed" in ended.stderr
    assert "mozart errors demo" in ended.stderr
    assert "why: `mozart diagnose demo` names the cause and what to do" in ended.stderr
    assert "mozart resume demo" in ended.stderr


def test_a_job_wide_failure_names_its_code_and_the_remedy(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, rehearsal=failing("auth")))
    assert ended.exit_code == 1, ended
    assert "E501 authentication or permission failure" in ended.stderr
    assert "log in or fix the key" in ended.stderr


def test_a_pilot_pauses_and_exits_with_3(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path), "--limit", "2", "--json")
    assert ended.exit_code == 3, ended
    assert ended.document["status"] == "paused"
    assert ended.document["progress"]["completed"] == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--batches", "9-"], "batches 1 to 5"),
        (["--start-batch", "6"], "batches 1 to 5"),
        (["--show", "6"], "batches 1 to 5"),
        (["--at", "25:00"], "--at 25:00"),
        (["--set", "retry"], "key.path=value"),
        (["--set", "batch.size=0"], "size"),
        (["--limit", "0"], "limit"),
        (["--bogus"], "--bogus"),
    ],
)
def test_what_cannot_be_done_exits_with_2_and_one_message(tmp_path: Path, args: list[str], said: str) -> None:
    file = write_job(tmp_path)
    ended = mozart("run", file, *args)
    assert ended.exit_code == 2, ended
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize("args", [["--batches", "9-"], ["--bogus"], ["--limit", "0"], ["--set", "batch.size=0"]])
def test_with_json_a_mistake_is_one_document_too(tmp_path: Path, args: list[str]) -> None:
    ended = mozart("run", write_job(tmp_path), *args, "--json")
    assert ended.exit_code == 2
    assert ended.document["error"]["message"]


def test_an_invalid_file_is_refused_with_2_and_its_lines(tmp_path: Path) -> None:
    file = write_job(tmp_path, prompt={"template_file": "nowhere.j2"})
    ended = mozart("run", file, "-j")
    assert ended.exit_code == 2
    (problem,) = ended.document["error"]["problems"]
    assert "V003" in problem["message"]
    assert problem["line"] > 0


def test_warnings_are_said_once_at_the_start(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, retries={"max": 1}, notifications=[{"type": "email"}]))
    assert ended.exit_code == 0, ended
    assert ended.stderr.count("V108") == 1
    assert ended.stderr.count("V119") == 1
    assert ended.stderr.index("V108") < ended.stderr.index("job.planned")


# --- output -----------------------------------------------------------------------------------------------------------


def test_piped_output_is_one_line_per_event_on_stderr(tmp_path: Path) -> None:
    file = write_job(tmp_path, rehearsal=failing("transient", {"rate_limit": {"wait_seconds": 0.1}}))
    ended = mozart("run", file)
    lines = ended.stderr.splitlines()
    events = [line for line in lines if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert all(LINE.fullmatch(line) for line in events), events
    assert lines[0] == events[0]
    assert {"job.planned", "batch.retrying", "limit.hit", "job.completed"} <= {line.split()[1] for line in events}
    assert "session.progress" not in ended.stderr
    assert any(line.endswith("done=5/5") for line in events)


def test_verbose_shows_the_progress_of_sessions_too(tmp_path: Path) -> None:
    assert "session.progress" in mozart("-v", "run", write_job(tmp_path)).stderr


def test_quiet_says_nothing_when_all_goes_well(tmp_path: Path) -> None:
    ended = mozart("-q", "run", write_job(tmp_path, retries=1))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "")


def test_global_flags_may_stand_behind_the_command(tmp_path: Path) -> None:
    assert mozart("run", write_job(tmp_path), "-q").stderr == ""
    assert "session.progress" in mozart("run", "--verbose", write_job(tmp_path), "--fresh", "--yes").stderr


def test_run_and_status_print_the_same_document(tmp_path: Path) -> None:
    ran = mozart("run", write_job(tmp_path), "--json").document
    seen = mozart("status", "demo", "--json").document
    assert ran["status"] == "completed"
    assert list(ran["batches"]) == ["1", "2", "3", "4", "5"]
    assert {key: value for key, value in seen.items() if key != "owner"} == ran


def test_control_characters_of_a_session_never_reach_the_screen(tmp_path: Path) -> None:
    nasty = {"crash": {"message": "\x1b]0;owned\x07\x1b[31mred\x1b[0m"}}
    file = write_job(tmp_path, rehearsal=failing(nasty), retry={"max_retries": 0})
    shown = mozart("run", file).stderr + mozart("errors", "demo", "--verbose").stdout + mozart("logs", "demo").stdout
    shown += mozart("status", "demo", "--batches", "all").stdout
    assert "red" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


# --- options ----------------------------------------------------------------------------------------------------------


def test_only_chosen_batches_run(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path), "--batches", "2,4-5", "--json")
    assert ended.exit_code == 3
    statuses = {number: batch["status"] for number, batch in ended.document["batches"].items()}
    assert statuses == {"1": "pending", "2": "completed", "3": "pending", "4": "completed", "5": "completed"}


def test_start_batch_skips_what_comes_before(tmp_path: Path) -> None:
    document = mozart("run", write_job(tmp_path), "-s", "4", "--json").document
    assert document["status"] == "completed"
    assert document["progress"]["skipped"] == 3


def test_set_changes_a_key_for_this_run(tmp_path: Path) -> None:
    document = mozart(
        "run", write_job(tmp_path), "--set", "batch.size=5", "--set", "sheet.total_items=20", "-j"
    ).document
    assert document["progress"]["total"] == 4


def test_another_workspace_is_used_and_the_job_found_there(tmp_path: Path) -> None:
    assert mozart("run", write_job(tmp_path), "-w", tmp_path / "other").exit_code == 0
    assert (tmp_path / "other" / "report-1.md").is_file()
    assert not (tmp_path / "ws").exists()
    assert mozart("status", "demo", "--json").document["workspace"] == str(tmp_path / "other")


def test_max_concurrent_wins_over_the_file(tmp_path: Path) -> None:
    document = mozart("run", write_job(tmp_path), "--max-concurrent", "4", "-n", "--json").document
    assert document["max_concurrent"] == 4


def test_a_moment_to_start_at_is_waited_for(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path), "--at", "+0.3s")
    assert ended.exit_code == 0, ended
    assert ended.stderr.index("starts at") < ended.stderr.index("job.planned")


def test_whoever_gives_up_waiting_has_started_nothing(tmp_path: Path) -> None:
    with Started("run", write_job(tmp_path), "--at", "+1h", "--json", cwd=tmp_path) as process:
        process.until("starts at")
        process.signal(signal.SIGINT)
        ended = process.end()
    assert ended.exit_code == 3, ended
    assert ended.document["error"]["message"] == "interrupted"
    assert not (tmp_path / "ws").exists()


# --- dry run ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ended = mozart("run", file, "--dry-run")
    assert ended.exit_code == 0, ended
    assert "5 batches, items 1 to 10" in ended.stdout
    assert "from their text, ±30 %" in ended.stdout
    assert sorted(tmp_path.rglob("*")) == before
    assert mozart("list", "--json").document["jobs"] == []


def test_a_dry_run_shows_the_prompt_and_the_rules_of_any_batch(tmp_path: Path) -> None:
    rules = [
        {"type": "file_exists", "path": "{workspace}/report-{batch_num}.md"},
        {"type": "command_succeeds", "command": "test {batch_num} -gt 3", "condition": "batch_num > 3"},
    ]
    file = write_job(tmp_path, validations=rules)
    document = mozart("run", file, "-n", "--show", "4", "--json").document
    assert document["show"]["prompt"] == "Batch 4: items 7 to 8."
    assert [rule["command"] for rule in document["show"]["rules"]] == [None, "test 4 -gt 3"]
    assert [batch["rules"] for batch in document["batches"]] == [1, 1, 1, 2, 2]
    assert document["batches"][3]["prompt_tokens"] == 7
    assert "Batch 4: items 7 to 8." in mozart("run", file, "--show", "4").stdout


def test_a_dry_run_reads_the_items(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"word": "alpha"}\n{"word": "beta"}\n')
    file = write_job(
        tmp_path,
        batch={"size": 1},
        items={"file": "rows.jsonl"},
        prompt={"template": "Translate {{ item.word }}."},
    )
    document = mozart("run", file, "-n", "--show", "2", "--json").document
    assert document["total_batches"] == 2
    assert document["show"]["prompt"] == "Translate beta."


def test_a_dry_run_shows_who_waits_for_whom(tmp_path: Path) -> None:
    batch = {"size": 1, "total_items": 3, "fan_out": {2: 3}, "dependencies": {2: [1], 3: [2]}}
    ended = mozart("run", write_job(tmp_path, batch=batch), "-n")
    assert re.search(r"^5 .*\b2-4\b", ended.stdout, re.MULTILINE), ended


def test_a_dry_run_of_many_batches_looks_at_a_selection(tmp_path: Path) -> None:
    file = write_job(tmp_path, batch={"size": 1, "total_items": 20_000})
    document = mozart("run", file, "-n", "--json").document
    assert document["tokens"]["prompts_rendered"] == 1000
    assert document["batches_omitted"] == 19_000


# --- rehearsing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["run", "--rehearse"], ["rehearse"]])
def test_a_rehearsal_stays_in_a_folder_that_is_named_at_the_end(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = write_job(tmp_path, backend={"type": "claude_cli", "cli_path": "/nowhere/claude"})
    ended = mozart(*command, file)
    assert ended.exit_code == 0, ended
    folder = re.search(r"rehearsed in (\S+);", ended.stderr)
    assert folder is not None
    assert (Path(folder[1]) / "workspace" / "report-1.md").is_file()
    assert not (tmp_path / "ws").exists()
    assert mozart("list", "-j").document["jobs"] == []


# --- run again --------------------------------------------------------------------------------------------------------


def test_a_completed_job_is_left_alone(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    mozart("run", file)
    ended = mozart("run", file, "--json")
    assert ended.exit_code == 0
    assert "nothing was sent" in ended.stderr
    assert ended.document["execution"]["runs"] == 1


def test_an_unfinished_job_goes_on_and_says_so(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    mozart("run", file, "--limit", "2")
    ended = mozart("run", file, "--json")
    assert ended.exit_code == 0
    assert "goes on: 2 of 5 batches done so far" in ended.stderr
    assert [batch["attempts"] for batch in ended.document["batches"].values()] == [1] * 5


def test_a_changed_file_is_refused_and_both_ways_out_are_named(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path))
    ended = mozart("run", write_job(tmp_path, prompt={"template": "Something else {{ batch_num }}"}))
    assert ended.exit_code == 2, ended
    assert "--fresh" in ended.stderr
    assert "resume demo --reload-config" in ended.stderr


def test_fresh_archives_what_was_there_and_starts_over(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    mozart("run", file)
    ended = mozart("run", file, "--fresh", "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["execution"]["runs"] == 1
    assert "archive" in ended.stderr
    assert list((tmp_path / "ws" / ".mozart" / "archive").iterdir())


def test_fresh_is_the_way_out_of_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    mozart("run", file)
    journal = tmp_path / "ws" / ".mozart" / "demo" / "journal" / "000001.jsonl"
    journal.write_bytes(b"rubbish\n" + journal.read_bytes())
    (tmp_path / "ws" / "demo.json").unlink(missing_ok=True)
    refused = mozart("run", file)
    assert "--fresh" in refused.stderr
    assert mozart("run", file, "--fresh").exit_code == 0


# --- the process ------------------------------------------------------------------------------------------------------


def test_the_module_and_the_script_are_the_same_program(tmp_path: Path) -> None:
    with Started("--version", cwd=tmp_path) as process:
        assert process.end().stdout.startswith("mozart_nb ")


def test_help_is_quick_because_it_imports_neither_models_nor_engine(tmp_path: Path) -> None:
    with Started("--help", cwd=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}) as process:
        ended = process.end()
    assert ended.exit_code == 0
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "mozart_nb.cli.commands" in imported
    heavy = ("pydantic", "jinja2", "msgspec", "asyncio", "psutil", "mozart_nb.engine", "mozart_nb.job", "yaml")
    assert not [name for name in imported if name.startswith(heavy)]


def test_output_that_nobody_reads_does_not_stop_the_job(tmp_path: Path) -> None:
    file = write_job(tmp_path, batch={"size": 1, "total_items": 30})
    ours, theirs = os.pipe()
    with subprocess.Popen([sys.executable, "-m", "mozart_nb", "run", file], cwd=tmp_path, stderr=theirs) as process:
        os.close(theirs)
        assert b"job.planned" in os.read(ours, 4096)
        os.close(ours)  # as `2>&1 | head -1` does
        assert process.wait(30) == 0
    assert json.loads((tmp_path / "ws" / "demo.json").read_text())["status"] == "completed"


def test_an_unexpected_error_is_one_message_and_verbose_shows_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("mozart_nb.cli.status.find", broken)
    mozart("run", write_job(tmp_path))
    ended = mozart("status", "demo", "--json")
    assert ended.exit_code == 1
    assert ended.document["error"]["message"] == "RuntimeError: a bug"
    assert "mozart -v" in ended.stderr
    with pytest.raises(RuntimeError, match="a bug"):
        mozart("-v", "status", "demo")


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    file = write_job(tmp_path, batch={"size": 1, "total_items": 5000})
    with subprocess.Popen(
        [sys.executable, "-m", "mozart_nb", "run", file, "-n", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
