"""Jobs for tests of the web server, run by processes of their own in the server's environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SECRET = "sk-ant-api03-" + "a1B2" * 20
SCRIPT = "<script>alert('planted')</script>"

JOB = f"""\
name: NAME
description: "reviews with {SECRET}"
workspace: ./NAME
backend: {{type: rehearsal}}
batch: {{size: 1, total_items: BATCHES}}
prompt: {{template: "Review {{{{ batch_num }}}} {SCRIPT}"}}
rehearsal:
  latency_seconds: LATENCY
  answer: "{{{{ 'bad' if batch_num % 4 == 0 else 'fine' }}}} {SECRET} {SCRIPT}"
retry: {{max_retries: 0, max_completion_attempts: 0}}
parallel: {{enabled: true, max_concurrent: 4, fail_fast: false}}
validations:
  - {{type: answer_matches, pattern: fine, description: the answer says fine}}
"""


def job_text(name: str = "review", *, batches: int = 12, latency: float = 0.0) -> str:
    """A rehearsed job file of which every fourth batch fails; answers hold a secret and markup."""
    return JOB.replace("NAME", name).replace("BATCHES", str(batches)).replace("LATENCY", str(latency))


def run_job(folder: Path, environ: Mapping[str, str], name: str = "review", **about: float) -> Path:
    """Run such a job to its end; returns its workspace."""
    process = start_job(folder, environ, name, **about)
    assert process.wait(120) == 1  # some batches have failed
    return folder / name


def start_job(
    folder: Path, environ: Mapping[str, str], name: str = "review", **about: float
) -> subprocess.Popen[bytes]:
    """The process that runs it; whoever starts it ends it."""
    file = folder / f"{name}.yaml"
    file.write_text(job_text(name, **about), encoding="utf-8")  # type: ignore[arg-type]
    command = [sys.executable, "-m", "mozart_nb", "run", str(file), "-q"]
    return subprocess.Popen(
        command, cwd=folder, env=dict(environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
