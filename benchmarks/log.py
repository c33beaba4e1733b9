"""Measures what the log file costs: CPU per batch of a rehearsed job with it and without.

    python benchmarks/log.py [BATCHES [REPEATS]]     5,000 batches, five runs of each kind, taken in turns

Every run is a process of its own, so importing structlog counts. Medians, and the quickest of each kind: on a machine
with other work that one says more.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mozart_nb import events as ev
from mozart_nb.job.load import load_mapping
from mozart_nb.runtime import prepare, run_job

CONCURRENT = 64
KINDS = {
    "no log": {"file_path": os.devnull},
    "console": {},
    "json": {"format": "json"},
    "both": {"format": "both"},
    "DEBUG": {"level": "DEBUG"},
}


def one_run(kind: str, n: int, folder: Path) -> dict[str, float]:
    config = {
        "name": "bench",
        "workspace": str(folder / "ws"),
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": n},
        "prompt": {"template": "Summarise item {{ batch_num }} of {{ total_batches }} in one sentence."},
        "parallel": {"enabled": True, "max_concurrent": CONCURRENT},
        "rehearsal": {"latency_seconds": 0, "seed": 1, "answer": "One sentence about item {{ batch_num }}."},
        "validations": [{"type": "answer_matches", "pattern": "sentence"}],
        "logging": KINDS[kind],
    }
    prepared = prepare(load_mapping(config, base_dir=folder))
    cpu, wall = time.process_time(), time.perf_counter()
    state = asyncio.run(run_job(prepared, ev.RunOptions()))
    assert state.status == "completed", state.job.reason
    size = sum(path.stat().st_size for path in (folder / "ws").glob("mozart.*"))
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "bytes": size}


def measure(kind: str, n: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="mozart-bench-") as folder:
        environ = {**os.environ, "MOZART_NB_HOME": str(Path(folder) / "home")}
        command = [sys.executable, str(Path(__file__)), "--one", kind, str(n), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
        figures: dict[str, float] = json.loads(done.stdout)
        return figures


def main(n: int, repeats: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(repeats):
        for kind, found in runs.items():
            found.append(measure(kind, n))
    print(f"{n:,} batches, {repeats} runs of each kind")
    print("| log | CPU per batch: median | quickest | more than without | written per batch |")
    print("|---|---:|---:|---:|---:|")
    floor = min(run["cpu_s"] for run in runs["no log"])
    for kind, found in runs.items():
        cpu = [run["cpu_s"] for run in found]
        more = f"{(min(cpu) / floor - 1):+.1%}"
        middle, least = (value / n * 1e6 for value in (statistics.median(cpu), min(cpu)))
        print(f"| {kind} | {middle:.0f} µs | {least:.0f} µs | {more} | {found[-1]['bytes'] / n:.0f} B |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one_run(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main(*(int(text) for text in (sys.argv[1:] + ["5000", "5"][len(sys.argv) - 1 :])))
