"""What the OpenAPI document promises holds for whatever schemathesis makes of it: no 500, no undocumented answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.conductor import Conductor
from support.notebook_environment import notebook_environment
from support.web import Web, running_web
from support.web_jobs import run_job

EXAMPLES = 3

SETTINGS = """\
[parameters]
"path.key" = "review"

[phases.stateful]
enabled = false

[phases.coverage]
unexpected-methods = ["PUT", "DELETE"]

# Moments, numbers of batches, names of events and job files are written for people: no schema tells which are good.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "413", "422"]

[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]
"""

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server that knows a job; what is sent to it may start a conductor."""
    root = tmp_path_factory.mktemp("schemathesis")
    environ = notebook_environment(root)
    (root / "jobs").mkdir()
    run_job(root / "jobs", environ)
    conductor = Conductor(environ)
    try:
        with running_web(root, "standalone") as web:
            yield web
    finally:
        conductor.close()


def test_whatever_is_asked_is_answered_as_promised(served: Web) -> None:
    settings = served.root / "schemathesis.toml"
    settings.write_text(SETTINGS, encoding="utf-8")
    program = str(Path(sys.executable).with_name("schemathesis"))
    command = [program, "--config-file", str(settings), "run", f"{served.address}/mozart/openapi.json"]
    command += ["--url", f"{served.address}/mozart", "-H", f"Authorization: token {served.token}"]
    command += ["--max-examples", str(EXAMPLES), "--generation-database", "none", "--no-color", "--seed", "1"]
    run = subprocess.run(
        command, env=served.environ, cwd=served.root, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:] + served.log[-4_000:]
    assert "0 generated" not in run.stdout
    assert served.ask("/mozart/health").status == 200
