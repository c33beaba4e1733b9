"""Folders that are gone, or that nobody ever made: whole jobs in which a session cannot write what rules want."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.healing import Ward

WRITES = """
open_()
try:
    with open({path!r}, "w") as file:
        file.write("report")
except OSError as error:
    done(str(error))
else:
    done()
"""


def writes(path: Path | str) -> str:
    return WRITES.format(path=str(path))


def wants(*paths: str) -> dict[str, Any]:
    return {"validations": [{"type": "file_exists", "path": path} for path in paths]}


def test_a_workspace_deleted_under_a_running_job_is_made_again(ward: Ward) -> None:
    report = ward.workspace / "report.md"
    prepared = ward.write(writes(report), **wants("{workspace}/report.md"))
    batch = ward.run(prepared, on_start=lambda driver: shutil.rmtree(ward.workspace))
    assert (ward.state.status, batch.status, batch.heals, batch.code) == ("completed", "completed", 1, "")
    (healing,) = ward.healings
    assert healing.remedy == "missing-workspace"
    assert f"the workspace {ward.workspace} did not exist; it was made again" in healing.guidance
    assert batch.remedies == (f"missing-workspace: {healing.guidance}",)
    assert report.read_text() == "report"


def test_a_working_directory_inside_the_workspace_comes_back_with_it(ward: Ward) -> None:
    (ward.workspace / "work").mkdir(parents=True)
    prepared = ward.write(
        writes("report.md"), backend={"working_directory": "./ws/work"}, **wants("{workspace}/work/report.md")
    )
    batch = ward.run(prepared, on_start=lambda driver: shutil.rmtree(ward.workspace))
    events = ward.healings
    assert (batch.status, [healing.remedy for healing in events]) == ("completed", ["missing-workspace"])


def test_without_self_healing_the_same_job_fails(ward: Ward) -> None:
    prepared = ward.write(writes(ward.workspace / "report.md"), **wants("{workspace}/report.md"))
    batch = ward.run(prepared, heals=False, on_start=lambda driver: shutil.rmtree(ward.workspace))
    assert (ward.state.status, batch.code, batch.heals, batch.remedies) == ("failed", "E201", 0, ())
    assert ward.healings == []
    assert not ward.workspace.exists()


def test_folders_of_wanted_files_are_made(ward: Ward) -> None:
    report = ward.workspace / "2026" / "q4" / "report.md"
    prepared = ward.write(writes(report), **wants("{workspace}/2026/q4/report.md"))
    batch = ward.run(prepared)
    assert (batch.status, batch.heals, batch.attempts) == ("completed", 1, 2)
    assert [healing.remedy for healing in ward.healings] == ["missing-folders"]
    assert str(report.parent) in ward.healings[0].guidance


def test_a_new_retry_budget_comes_with_a_remedy(ward: Ward) -> None:
    prepared = ward.write(
        writes(ward.workspace / "new" / "report.md"),
        retry={"max_retries": 2, "max_completion_attempts": 0, "base_delay_seconds": 0.01, "jitter": False},
        **wants("{workspace}/new/report.md", "{workspace}/never.md"),
    )
    batch = ward.run(prepared)
    # Three attempts; the folder is made; three more; nothing is left to mend.
    assert (batch.status, batch.attempts, batch.retries, batch.heals) == ("failed", 6, 2, 2)
    assert [healing.remedy for healing in ward.healings] == ["missing-folders", ""]


@pytest.mark.parametrize("place", ["../outside/report.md", "{workspace}/link/new/report.md"])
def test_no_folder_is_made_outside_workspace_and_working_directory(ward: Ward, tmp_path: Path, place: str) -> None:
    job = tmp_path / "job"
    job.mkdir()
    inner = Ward(job)
    outside = tmp_path / "outside"
    inner.workspace.mkdir()
    (inner.workspace / "link").symlink_to(outside)
    batch = inner.run(inner.write(writes(outside / "report.md"), **wants(place)))
    assert (batch.status, batch.heals) == ("failed", 1)
    assert [healing.remedy for healing in inner.healings] == [""]
    assert not outside.exists()


def test_what_cannot_be_made_is_said_and_not_counted_as_healed(ward: Ward) -> None:
    ward.workspace.mkdir()
    (ward.workspace / "taken").write_text("a file")
    batch = ward.run(ward.write("open_(); done()", **wants("{workspace}/taken/deep/report.md")))
    assert batch.status == "failed"
    (healing,) = ward.healings
    assert healing.remedy == ""
    assert "could not be mended" in healing.guidance


def test_a_lost_working_directory_is_named_and_left_alone(ward: Ward) -> None:
    work = ward.folder / "checkout"
    work.mkdir()
    prepared = ward.write("open_(); done()", backend={"working_directory": "./checkout"})
    batch = ward.run(prepared, on_start=lambda driver: work.rmdir())
    assert (batch.status, batch.code) == ("failed", "E602")
    (healing,) = ward.healings
    assert (healing.remedy, work.exists()) == ("", False)
    assert f"the working directory {work} does not exist" in healing.guidance


def test_batches_that_ran_while_it_was_mended_are_tried_again_too(ward: Ward) -> None:
    template = """
import pathlib
place = pathlib.Path("{{ workspace }}") / "report-{{ batch_num }}.md"
open_()
time.sleep(0.3 if {{ batch_num }} == 2 and not pathlib.Path("late").exists() else 0)
if {{ batch_num }} == 2 and not pathlib.Path("late").exists():
    pathlib.Path("late").touch()
elif place.parent.is_dir():
    place.write_text("report")
done()
"""
    prepared = ward.write(
        template,
        batch={"size": 1, "total_items": 2},
        parallel={"enabled": True, "max_concurrent": 2, "fail_fast": False},
        **wants("{workspace}/report-{batch_num}.md"),
    )
    ward.run(prepared, on_start=lambda driver: shutil.rmtree(ward.workspace))
    assert ward.state.status == "completed"
    assert sorted(healing.guidance for healing in ward.healings)[1].startswith("the workspace")
    assert "mended while the attempt was under way" in [healing.guidance for healing in ward.healings]
