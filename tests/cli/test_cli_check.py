"""`validate`, `schema`, `init`."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from support.commands import mozart, write_job

from mozart_nb.errors import MisuseError
from mozart_nb.job.load import load_job
from mozart_nb.plans.mending import mend

KEY = "sk-ant-api03-" + "aB3_" * 8

# --- validate ---------------------------------------------------------------------------------------------------------


def test_a_valid_file_exits_with_0_even_with_warnings(tmp_path: Path) -> None:
    ended = mozart("validate", write_job(tmp_path, retries={"max": 3}))
    assert ended.exit_code == 0, ended
    assert "WARNING V108" in ended.stdout
    assert "valid, 0 errors, 1 warning" in ended.stdout


@pytest.mark.parametrize("changes", [{"backend": {"timeout_seconds": KEY}}, {KEY: 1, "prompt": {"template_file": KEY}}])
@pytest.mark.parametrize("flags", [("validate",), ("validate", "--json"), ("run",), ("run", "--json")])
def test_a_key_in_the_wrong_place_is_not_shown(tmp_path: Path, changes: dict[str, Any], flags: tuple[str, ...]) -> None:
    ended = mozart(*flags, write_job(tmp_path, **changes))
    assert ended.exit_code in (1, 2)
    assert KEY not in ended.stdout + ended.stderr


def test_strict_turns_unknown_keys_into_errors(tmp_path: Path) -> None:
    ended = mozart("validate", "--strict", write_job(tmp_path, retries={"max": 3}))
    assert ended.exit_code == 1, ended
    assert "retries" in ended.stdout


def test_an_error_of_a_check_exits_with_1_and_names_file_and_line(tmp_path: Path) -> None:
    file = write_job(tmp_path, prompt={"template_file": "nowhere.j2"})
    ended = mozart("validate", file)
    assert ended.exit_code == 1, ended
    assert f"ERROR   V003 {file}:" in ended.stdout


def test_a_value_that_the_loader_refuses_exits_with_1(tmp_path: Path) -> None:
    ended = mozart("validate", write_job(tmp_path, batch={"size": 0, "total_items": 10}))
    assert ended.exit_code == 1, ended
    assert "batch.size" in ended.stdout or "size" in ended.stdout


@pytest.mark.parametrize("content", ["name: [unclosed", None])
def test_a_file_that_cannot_be_read_or_parsed_exits_with_2(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "job.yaml"
    if content is not None:
        file.write_text(content)
    assert mozart("validate", file).exit_code == 2
    document = mozart("validate", file, "--json").document
    assert document["valid"] is False
    assert document["issues"][0]["severity"] == "ERROR"


@pytest.mark.parametrize(
    ("sections", "code", "valid"),
    [
        ({}, 0, True),
        ({"retries": 1}, 0, True),
        ({"batch": {"size": "many"}}, 1, False),
        ({"prompt": {"template": "{{ unclosed"}}, 1, False),
    ],
)
def test_json_is_one_valid_document_whatever_is_wrong(
    tmp_path: Path, sections: dict[str, object], code: int, valid: bool
) -> None:
    ended = mozart("validate", write_job(tmp_path, **sections), "--json")
    assert ended.exit_code == code
    document = ended.document
    assert document["valid"] is valid
    assert document["errors"] == sum(issue["severity"] == "ERROR" for issue in document["issues"])
    assert all({"code", "message", "line", "column", "path"} <= issue.keys() for issue in document["issues"])


def test_control_characters_of_a_job_file_never_reach_the_screen(tmp_path: Path) -> None:
    ended = mozart("validate", write_job(tmp_path, **{"\x1b]0;owned\x07key": 1}, batch={"size": "\x1b[31m"}))
    assert ended.exit_code == 1
    assert "key" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert "\x07" not in ended.stdout


def test_fix_makes_the_folder_that_is_missing(tmp_path: Path) -> None:
    file = write_job(tmp_path, workspace="./deep/er/ws")
    assert mozart("validate", file).exit_code == 1
    ended = mozart("validate", file, "--fix", "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["fixed"] == [f"made {tmp_path / 'deep' / 'er'}"]
    assert (tmp_path / "deep" / "er").is_dir()


MISSPELLED = """\
name: sample   # the name
workspace: ./deep/ws
batch: {size: 10, total_items: 100}
retrys: {max_retry: 5}   # patience
prompt:
  template: |
    {{ batchnum }}
"""


def test_fix_corrects_misspellings_in_the_file_and_shows_what_changed(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(MISSPELLED)
    file.chmod(0o640)
    ended = mozart("validate", file, "--fix")
    assert ended.exit_code == 0, ended
    assert file.read_text() == MISSPELLED.replace("retrys: {max_retry:", "retry: {max_retries:").replace(
        "batchnum", "batch_num"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert "-retrys: {max_retry: 5}   # patience" in ended.stdout
    assert "+retry: {max_retries: 5}   # patience" in ended.stdout
    assert "fixed: `retrys`: `retrys` is now `retry`" in ended.stdout + ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml", "deep"] or (tmp_path / "deep").is_dir()
    assert not list(tmp_path.glob(".*"))


def test_a_dry_run_of_fix_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(MISSPELLED)
    ended = mozart("validate", file, "--fix", "--dry-run", "--json")
    assert ended.exit_code == 1
    assert file.read_text() == MISSPELLED
    assert not (tmp_path / "deep").exists()
    assert len(ended.document["fixed"]) == 4
    assert "+retry: {max_retries: 5}   # patience" in ended.document["diff"]
    assert mozart("validate", file, "--dry-run").exit_code == 2


def test_a_file_that_does_not_load_for_a_misspelling_loads_after_fix(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(b"\xef\xbb\xbfnmae: sample\r\nbatch: {size: 10, total_items: 100}\r\n")
    offered = mozart("validate", file)
    assert offered.exit_code == 1
    assert "one of these can be corrected without asking" in offered.stdout + offered.stderr
    assert [issue["auto_fixable"] for issue in mozart("validate", file, "--json").document["issues"]].count(True) == 1
    assert mozart("validate", file, "--fix").exit_code == 0
    assert file.read_bytes() == b"\xef\xbb\xbfname: sample\r\nbatch: {size: 10, total_items: 100}\r\n"


def test_what_fix_leaves_alone_is_not_offered_again(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    # Read as `validations`, the list has a mistake of its own: more would be wrong than before.
    job.write_text(
        "name: demo\nbackend: {type: rehearsal, max_turn: two}\nbatch: {size: 1, total_items: 1}\n"
        "prompt: {template: go}\nvalidatons: [{type: file_exist, path: x}]\n"
    )
    for args in ([], ["--fix", "--dry-run"]):
        ended = mozart("validate", job, "--strict", *args)
        assert "did you mean `validations`?" in ended.stdout
        assert "of these can be corrected" not in ended.stderr
    assert "by hand" in mozart("validate", job, "--strict", "--fix").stderr


def test_fix_leaves_a_read_only_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    before = MISSPELLED
    file.write_text(before)
    file.chmod(0o444)
    ended = mozart("validate", file, "--fix")
    assert ended.exit_code == 2
    assert "read-only" in ended.stdout + ended.stderr
    assert file.read_text() == before


def test_fix_reads_no_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "job.yaml"
    os.mkfifo(pipe)
    assert mend(pipe, None, dry_run=False).done == []


def test_fix_never_writes_over_what_somebody_else_wrote_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(MISSPELLED)
    copy_mode = shutil.copymode

    def interrupted(source: Path, target: Path) -> None:
        copy_mode(source, target)
        file.write_text("name: theirs\n")

    monkeypatch.setattr(shutil, "copymode", interrupted)
    with pytest.raises(MisuseError, match="changed meanwhile"):
        mend(file, None, dry_run=False)
    assert file.read_text() == "name: theirs\n"
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_a_workspace_of_ones_own_is_the_one_that_is_checked(tmp_path: Path) -> None:
    file = write_job(tmp_path, workspace="./deep/er/ws")
    assert mozart("validate", file, "-w", tmp_path / "ws").exit_code == 0


# --- schema and init --------------------------------------------------------------------------------------------------


def test_schema_prints_the_json_schema() -> None:
    document = mozart("schema").document
    assert document["$schema"].startswith("https://json-schema.org/")
    assert {"batch", "sheet", "prompt"} <= document["properties"].keys()


def test_init_writes_a_file_without_errors_or_unknown_keys(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "review.yaml"
    assert mozart("init", file).exit_code == 0
    loaded = load_job(file, strict=True)
    assert loaded.config.name == "review"
    assert not loaded.warnings
    assert mozart("validate", file).exit_code == 0


def test_every_line_that_init_comments_out_is_valid_too(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    mozart("init", file, "--name", "all of it")
    lines = file.read_text().splitlines()
    active = [line.replace("# ", "", 1) if _is_commented_key(line) else line for line in lines]
    active = [line for line in active if "total_items" not in line and not line.startswith(("items", "  file"))]
    active = [line.replace("size: 5", "size: 5\n  total_items: 20") for line in active]
    file.write_text("\n".join(active))
    loaded = load_job(file, strict=True)
    assert loaded.config.parallel.enabled
    assert loaded.config.backend.cli_model == "sonnet"


def _is_commented_key(line: str) -> bool:
    text = line.strip()
    return text.startswith("#") and text.removeprefix("#").strip().partition(":")[0].replace("_", "").isalpha()


def test_init_never_writes_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("mine")
    ended = mozart("init", file)
    assert ended.exit_code == 2
    assert "exists already" in ended.stderr
    assert file.read_text() == "mine"
