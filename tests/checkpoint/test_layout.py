"""Where things stand, and that no job id leads anywhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checkpoints import write_job

from mozart_nb.checkpoint.layout import Layout, jobs_in
from mozart_nb.errors import MisuseError
from mozart_nb.job.model import job_id_of


def test_everything_of_a_job_stands_where_the_documentation_says() -> None:
    layout = Layout(Path("ws"), "job")
    root = Path("ws/.mozart/job")
    assert layout.snapshot == Path("ws/job.json")
    assert layout.plan == root / "plan"
    assert layout.segment(1) == root / "journal/000001.jsonl"
    assert layout.answers == root / "answers.jsonl"
    assert (layout.lock, layout.control, layout.logs) == (root / "lock", root / "control", root / "logs")


@pytest.mark.parametrize(
    ("batch", "expected"), [(7, "0000/0007-1"), (999, "0000/0999-1"), (1000, "0001/1000-1"), (123456, "0123/123456-1")]
)
def test_logs_stand_in_folders_of_a_thousand(batch: int, expected: str) -> None:
    layout = Layout(Path("ws"), "job")
    assert layout.log_name(batch, 1) == f"logs/{expected}"
    assert layout.log_stem(batch, 1) == layout.root / "logs" / expected


@pytest.mark.parametrize(
    "job_id",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "/x",
        ".hidden",
        "-x",
        "a b",
        "a\n",
        "a\0",
        "x" * 181,
        "\udcff",
        "archive",
        "Archive",
        "answers.db",
    ],
)
def test_an_id_that_could_lead_elsewhere_is_refused(job_id: str) -> None:
    with pytest.raises(MisuseError, match="cannot be a job id"):
        Layout(Path("ws"), job_id)


@given(st.text(max_size=200))
def test_the_id_of_any_job_name_is_a_safe_one(name: str) -> None:
    job_id = job_id_of(name)
    if job_id and job_id.lower() not in ("archive", "answers.db"):
        layout = Layout(Path("/ws"), job_id)
        assert layout.root.parent == Path("/ws/.mozart")
        assert layout.snapshot.parent == Path("/ws")


def test_a_workspace_knows_its_jobs(tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    assert jobs_in(workspace) == []
    write_job(Layout(workspace, "job"), 1, 3)
    (workspace / ".mozart" / "empty").mkdir()
    (workspace / ".mozart" / "archive").mkdir()
    assert jobs_in(workspace) == ["job"]
