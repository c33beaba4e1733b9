"""A job file may name any file; what is none is not waited for, and not read to an end that never comes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mozart_nb.errors import ConfigError
from mozart_nb.job.load import load_text
from mozart_nb.plans.checking import check
from mozart_nb.plans.prepared import prepare

JOB = "name: job\nworkspace: ./job\nbackend: {type: rehearsal}\nbatch: {size: 1, total_items: 3}\n"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("name", ["/dev/zero", "pipe.jsonl"])
def test_a_template_that_is_a_pipe_or_a_device_is_a_finding(tmp_path: Path, pipe: Path, name: str) -> None:
    loaded = load_text(f"{JOB}prompt: {{template_file: {name}}}\n", base_dir=tmp_path)
    assert "V003" in [issue.code for issue in check(loaded)]


def test_items_are_not_waited_for_at_a_pipe(tmp_path: Path, pipe: Path) -> None:
    text = JOB.replace("batch: {size: 1, total_items: 3}", "batch: {size: 1}\nitems: {file: ./pipe.jsonl}")
    loaded = load_text(f"{text}prompt: {{template: hello}}\n", base_dir=tmp_path)
    with pytest.raises(ConfigError, match="no regular file"):
        prepare(loaded)
