"""`mozart diagnose` and the filters of `mozart errors`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
from support.commands import mozart, write_job

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.diagnose import lines
from mozart_nb.looking.diagnosis import diagnose

SECRET = "sk-ant-" + "s" * 40

TROUBLED = {
    "latency_seconds": 0,
    "seed": 1,
    "script": {1: ["transient"], 2: ["invalid_output"] * 9, 3: [{"rate_limit": {"wait_seconds": 0.1}}]},
}


@pytest.fixture
def troubled(tmp_path: Path, isolated: Path) -> Path:
    """Batch 1 was retried, batch 2 failed for good, batch 3 waited for a limit."""
    retry = {"max_retries": 1, "base_delay_seconds": 0.01, "jitter": False}
    prompt = {"template": "Batch {{ batch_num }}: see data/missing.csv"}
    file = write_job(
        tmp_path,
        rehearsal=TROUBLED,
        retry=retry,
        prompt=prompt,
        parallel={"enabled": True, "fail_fast": False},
        batch={"size": 2, "total_items": 10, "dependencies": {4: [2]}},
    )
    assert mozart("run", file).exit_code == 1
    return tmp_path


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOZART_NB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_cause_and_next_step_come_first_and_every_part_follows(troubled: Path) -> None:
    ended = mozart("diagnose", "demo")
    assert ended.exit_code == 0
    head, cause, step, *rest = ended.stdout.splitlines()
    assert head.startswith("demo failed: 3 of 5 batches done, 1 failed, 1 blocked")
    assert cause.startswith("cause: E201 output validation failed: rule 1 (file_exists")
    assert "nothing is there" in cause
    assert step.startswith("next: ")
    assert "`mozart resume demo --reload-config`" in step
    text = "\n".join(rest)
    for part in (
        "E201 output validation failed: 2 times, batch 2",
        "expected a file",
        "Mended by later attempts: ",
        "Batch 4 waits for batch 2, which failed first: E201",
        "batch 2: retries 1/1, completions 0/3, heals 0/0",
        "attempt 2 (retry)",
        "Rate limits: ",
        "the prompt names files that do not exist: data/missing.csv",
        "free: nobody runs the job",
        "mozart recover demo",
    ):
        assert part in text
    assert "%mozart" not in text


def test_a_diagnosis_is_one_json_document_with_the_same_facts(troubled: Path) -> None:
    document = mozart("diagnose", "demo", "--json").document
    assert (document["job_id"], document["status"], document["is_healthy"]) == ("demo", "failed", False)
    assert document["progress"] == {"total": 5, "done": 3, "completed": 3, "failed": 1, "blocked": 1}
    group = document["groups"][0]
    assert (group["code"], group["unresolved_batches"], group["rules"][0]["count"]) == ("E201", [2], 2)
    (timeline,) = document["timelines"]
    assert (timeline["batch"], timeline["retries"]) == (2, {"used": 1, "most": 1})
    assert [attempt["mode"] for attempt in timeline["attempts"]] == ["first", "retry"]
    assert timeline["attempts"][1]["wait_reason"] == "back-off after E201"
    assert document["waits"]["by_code"][0]["code"] == "E101"
    assert document["circuit_breaker"]["status"] == "closed"
    assert document["prompts"]["findings"][0]["batches"] == [1, 2, 3, 5]
    assert {"mozart_nb", "python", "backend", "workspace", "lock"} <= {
        f["name"] for f in document["environment"]["facts"]
    }
    steps = document["next_steps"]
    assert steps[0] == {
        "command": "mozart errors demo",
        "magic": "%mozart errors demo",
        "python": "job.errors()",
        "why": "every failure, and what each rule expected and saw",
    }
    assert document["next"] in mozart("diagnose", "demo").stdout


def test_the_output_of_failed_batches_is_shown_on_request_without_secrets(tmp_path: Path) -> None:
    rehearsal = {"latency_seconds": 0, "answer": f"I saw {SECRET}. " * 50 + "\nThe end of batch {{ batch_num }}"}
    rule = {"type": "answer_matches", "pattern": "never"}
    file = write_job(tmp_path, rehearsal=rehearsal, validations=[rule], retry={"max_retries": 0})
    assert mozart("run", file).exit_code == 1
    assert "Output of batch" not in mozart("diagnose", "demo").stdout
    shown = mozart("diagnose", "demo", "--include-output").stdout
    assert "Output of batch 1, attempt 1" in shown
    assert "The end of batch 1" in shown
    everything = shown + json.dumps(mozart("diagnose", "demo", "--include-output", "--json").document)
    everything += mozart("errors", "demo", "-v").stdout + mozart("errors", "demo", "-v", "--json").stdout
    assert "s" * 40 not in everything


def test_no_such_job_is_exit_code_1_and_a_misspelled_one_names_the_nearest(troubled: Path) -> None:
    ended = mozart("diagnose", "dem")
    assert ended.exit_code == 1
    assert "no job `dem` is known here" in ended.stderr
    assert "did you mean `demo`?" in ended.stderr
    assert "error" in mozart("diagnose", "dem", "--json").document


# --- records that cannot be read --------------------------------------------------------------------------------------


def layout_of(folder: Path) -> Layout:
    return Layout(folder / "ws", "demo")


def damage(folder: Path, *, line: int, text: bytes) -> Path:
    layout = layout_of(folder)
    layout.snapshot.unlink()
    segment = layout.segment(1)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:line], text, *lines[line:]]))
    return segment


def test_a_damaged_journal_is_told_with_what_can_be_read_of_it(troubled: Path) -> None:
    segment = damage(troubled, line=20, text=b"damaged\n")
    ended = mozart("diagnose", "demo")
    assert ended.exit_code == 0
    head, cause, step, *_ = ended.stdout.splitlines()
    assert head.startswith("demo unreadable: its record cannot be read: up to event 20")
    assert cause == f"cause: E701 checkpoint corrupt: {segment} line 21 is damaged"
    assert f"`mozart run {troubled / 'job.yaml'} --fresh`" in step
    document = mozart("diagnose", "demo", "--json").document
    assert (document["status"], document["error"]["code"]) == ("unreadable", "E701")
    assert mozart("run", troubled / "job.yaml", "--fresh").exit_code == 1
    assert mozart("diagnose", "demo").stdout.startswith("demo failed")


def test_a_journal_of_a_newer_version_asks_for_an_upgrade(troubled: Path) -> None:
    from mozart_nb.checkpoint.frames import EVENTS

    lines = layout_of(troubled).segment(1).read_bytes().splitlines(keepends=True)
    damage(
        troubled, line=len(lines), text=EVENTS.wrap(b'{"kind":"batch.invented","seq":%d,"at":1.0}' % (len(lines) + 1))
    )
    head, cause, step, *_ = mozart("diagnose", "demo").stdout.splitlines()
    assert "unreadable" in head
    assert "E702 checkpoint written by a newer version" in cause
    assert "batch.invented" in cause
    assert "pip install --upgrade mozart_nb" in step


def test_a_folder_in_place_of_a_file_is_no_traceback(troubled: Path) -> None:
    segment = layout_of(troubled).segment(1)
    segment.rename(segment.with_name("aside"))
    segment.mkdir()
    ended = mozart("diagnose", "demo")
    assert (ended.exit_code, ended.stdout.split(":")[0]) == (0, "demo unreadable")
    assert "Is a directory" in ended.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_named(troubled: Path) -> None:
    journal = layout_of(troubled).journal
    journal.chmod(0)
    try:
        ended = mozart("diagnose", "demo")
    finally:
        journal.chmod(0o700)
    assert (ended.exit_code, str(journal) in ended.stdout) == (0, True)
    assert "Permission denied" in ended.stdout


def test_a_job_whose_journal_is_gone_or_whose_workspace_is_gone(troubled: Path) -> None:
    layout = layout_of(troubled)
    layout.snapshot.unlink()
    for segment in layout.journal.iterdir():
        segment.unlink()
    ended = mozart("diagnose", "demo")
    assert ended.exit_code == 0
    assert "demo has no record" in ended.stdout
    (troubled / "ws").rename(troubled / "elsewhere")
    assert "demo is gone" in mozart("diagnose", "demo").stdout


def test_a_job_that_is_gone_is_known_from_the_history_once_nothing_else_remembers_it(troubled: Path) -> None:
    (troubled / "ws").rename(troubled / "elsewhere")
    assert mozart("list", "--json").document["jobs"] == []
    assert "demo is gone" in mozart("diagnose", "demo").stdout
    (troubled / "elsewhere").rename(troubled / "ws")  # as when its disk is mounted again
    assert mozart("diagnose", "demo").stdout.startswith("demo failed")
    assert mozart("diagnose", "nobody").exit_code == 1


# --- jobs that never began --------------------------------------------------------------------------------------------


def test_a_job_that_is_well_elsewhere_is_not_called_lost_where_it_is_not(troubled: Path, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    ended = mozart("diagnose", "demo", "--workspace", tmp_path / "another")
    assert ended.exit_code == 1
    assert "no job `demo`" in ended.stderr


def test_a_job_without_its_plan_is_not_told_to_go_on(troubled: Path) -> None:
    (layout_of(troubled).plan / "config.json").write_text("torn")
    first = mozart("diagnose", "demo").stdout.splitlines()[:8]
    assert any("its plan cannot be read" in line and "from a backup" in line for line in first)


def test_a_journal_that_is_empty_is_no_job_that_waits_to_be_started(troubled: Path) -> None:
    layout_of(troubled).segment(1).write_bytes(b"")
    ended = mozart("diagnose", "demo")
    assert ended.stdout.startswith("demo has no record")
    assert "from a backup" in ended.stdout.splitlines()[2]


def test_a_job_file_whose_name_has_a_space_is_named_so_that_a_shell_takes_it(tmp_path: Path) -> None:
    (tmp_path / "my jobs").mkdir()
    file = write_job(tmp_path / "my jobs", name="spaced")
    step = mozart("diagnose", file, "--json").document["next_steps"][-1]["command"]
    assert shlex.split(step) == ["mozart", "run", str(file)]


def test_a_job_file_that_is_refused_is_explained_by_name_and_by_id(tmp_path: Path) -> None:
    file = write_job(tmp_path, prompt={"template_file": "nowhere.j2"})
    assert mozart("run", file).exit_code == 2
    for named in (file, "demo"):
        ended = mozart("diagnose", named)
        assert ended.exit_code == 0
        top = "\n".join(ended.stdout.splitlines()[:4])
        assert "V003" in top
        assert f"{tmp_path / 'nowhere.j2'} does not exist" in top
        assert "mozart validate" in top


def test_a_job_that_was_never_started_says_how_to_start_it(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    head, cause, step, *_ = mozart("diagnose", file).stdout.splitlines()
    assert head.startswith("demo never began")
    assert "not started yet" in cause
    assert f"`mozart run {file}`" in step
    assert not (tmp_path / "ws").exists()
    assert mozart("run", file).exit_code == 0
    assert mozart("diagnose", file).stdout.startswith("demo completed")


# --- filters of errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["--type", "validation"], {"E201"}),
        (["--type", "rate_limit"], {"E101"}),
        (["--type", "permanent"], set()),
        (["--since", "1h", "--batch", "3"], {"E101"}),
        (["--until", "1h"], set()),
    ],
)
def test_errors_are_filtered_by_type_and_time(troubled: Path, args: list[str], wanted: set[str]) -> None:
    document = mozart("errors", "demo", "--json", *args).document
    assert {error["code"] for error in document["errors"]} == wanted
    if "--batch" not in args:
        assert mozart("errors", "--json", *args).document["total"] == document["total"]


def test_a_type_or_time_that_does_not_exist_is_refused(troubled: Path) -> None:
    for args in (["--type", "odd"], ["--since", "soonish"]):
        ended = mozart("errors", "demo", *args)
        assert ended.exit_code == 2
        assert args[1] in ended.stderr


def test_the_words_are_those_of_the_surface(troubled: Path) -> None:
    found = diagnose(layout_of(troubled))
    shell = [line.text for line in lines(found, "mozart")]
    notebook = str(found).splitlines()
    assert "%mozart" not in "\n".join(shell)
    assert "`mozart" not in "\n".join(notebook)
    assert "  %mozart errors demo" in "\n".join(notebook)
    assert "or job.errors()" in "\n".join(notebook)
