"""A job file written for the earlier terminal tool, with both kinds of placeholders, runs here unchanged."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

JOB = Path(__file__).parents[1] / "data" / "unchanged-job.yaml"


def mozart(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mozart_nb", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False
    )


def test_it_validates_and_runs_rehearsed_with_every_file_in_place(tmp_path: Path) -> None:
    shutil.copy(JOB, tmp_path / "job.yaml")
    validated = mozart("validate", "job.yaml", "--json", cwd=tmp_path)
    assert validated.returncode == 0
    assert json.loads(validated.stdout)["valid"] is True

    run = mozart("run", "job.yaml", "--rehearse", "--json", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert (document["status"], document["progress"]["completed"]) == ("completed", 10)
    scratch = Path(re.search(r"/\S*mozart-rehearsal-\S+?(?=[;,.]?\s)", run.stderr)[0])  # type: ignore[index]
    for batch in range(1, 11):
        assert (scratch / "work" / "output" / f"batch{batch}-result.md").is_file()
        assert (scratch / "workspace" / f"batch{batch}-output.md").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.yaml"], "nothing else was written"
