"""How long one waits for an explanation of a long night: 100,000 batches, 5 % of them failed.

    python benchmarks/overnight.py [--batches N] [--keep FOLDER]

A rehearsed job is run once; then every way of looking at it is timed in a process of its own, with the memory it took
at its highest. The floor is what Python and the command line's imports take without looking at anything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pages import DOCS, put_between

PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- overnight: begin -->", "<!-- overnight: end -->"
MOST_SECONDS, MOST_MEGABYTES = 2.0, 500.0

JOB = """\
name: overnight
workspace: ./results
backend: {type: rehearsal}
batch: {size: 1, total_items: BATCHES}
prompt:
  template: "Item {{ batch_num }}"
rehearsal:
  seed: 1
  answer: "{{ 'bad' if batch_num % 20 == 0 else 'fine' }}"
  latency_seconds: 0
  failures: {transient: 0.03}
retry: {max_retries: 2, base_delay_seconds: 0.01, jitter: false, max_completion_attempts: 0}
parallel: {enabled: true, max_concurrent: 64, fail_fast: false}
circuit_breaker: {enabled: false}
validations:
  - {type: answer_matches, pattern: fine, description: the answer says fine}
"""

FRAMES = "from mozart_nb import Job; job = Job.open('overnight'); assert len(job.{method}()) >= {rows}"

LOOKS = {
    "`--version` (the floor)": ["-m", "mozart_nb", "--version"],
    "`status`": ["-m", "mozart_nb", "status", "overnight"],
    "`errors`": ["-m", "mozart_nb", "errors", "overnight"],
    "`errors --json`": ["-m", "mozart_nb", "errors", "overnight", "--json"],
    "`diagnose`": ["-m", "mozart_nb", "diagnose", "overnight"],
    "`diagnose --json`": ["-m", "mozart_nb", "diagnose", "overnight", "--json"],
    "`history`": ["-m", "mozart_nb", "history"],
    "`history overnight`": ["-m", "mozart_nb", "history", "overnight"],
    "`list`": ["-m", "mozart_nb", "list"],
    "`learning`": ["-m", "mozart_nb", "learning"],
    "`logs -n 50`": ["-m", "mozart_nb", "logs", "overnight", "-n", "50"],
    "`job.batches()`": ["-c", FRAMES.format(method="batches", rows="BATCHES")],
    "`job.errors()`": ["-c", FRAMES.format(method="errors", rows=1)],
    "`history()`": ["-c", "from mozart_nb import history; assert len(history()) == 1"],
}
"""What is looked at → the arguments of a Python of its own."""


def timed(arguments: list[str], folder: Path, env: dict[str, str]) -> tuple[float, float, int]:
    """Seconds, megabytes at the highest and exit code of a process."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        print(said.decode()[-2000:], file=sys.stderr)
    return seconds, usage.ru_maxrss / 1024, process.returncode


def night(batches: int, folder: Path) -> dict[str, str]:
    """Run the job; returns the environment in which it is known."""
    env = {**os.environ, "MOZART_NB_HOME": str(folder / "home")}
    (folder / "job.yaml").write_text(JOB.replace("BATCHES", str(batches)), encoding="utf-8")
    if not (folder / "results" / "overnight.json").exists():
        run = subprocess.run(
            [sys.executable, "-m", "mozart_nb", "run", "job.yaml", "-q"], cwd=folder, env=env, check=False
        )
        assert run.returncode == 1, run.returncode  # 5 % have failed
    return env


def measure(batches: int, folder: Path) -> list[str]:
    env = night(batches, folder)
    rows = ["| | wall | peak memory |", "|---|---:|---:|"]
    late = []
    for name, arguments in LOOKS.items():
        asked = [argument.replace("BATCHES", str(batches)) for argument in arguments]
        runs = [timed(asked, folder, env) for _ in range(3)]
        seconds, megabytes, code = sorted(runs)[1]
        rows.append(f"| {name} | {seconds:.2f} s | {megabytes:.0f} MB |")
        print(rows[-1], f"exit {code}", flush=True)
        if seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES or code:
            late.append(name)
    if late:
        print("too slow, too large or failed:", ", ".join(late), file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="leave the job in this folder, and take it from there next time")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mozart-night-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(given.batches, folder)
    if given.write:
        put_between(PAGE, "\n".join(rows), BEGIN, END)


if __name__ == "__main__":
    main()
