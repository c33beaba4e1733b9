"""Measures what a batch costs as jobs grow, and writes docs/performance.md's tables.

    python benchmarks/run.py            100 to 100,000 batches, three runs each, medians (about ten minutes)
    python benchmarks/run.py --quick    one run each, up to 10,000 batches

Every figure is of a process of its own. Absolute times depend on the machine, so each comes with its ratio to a floor
measured in the same run: as many bare asyncio tasks, 64 at a time, with one synced write of 400 bytes per task.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pages import DOCS, put_between

HERE = Path(__file__).parent
PAGE = DOCS / "performance.md"
SIZES = (100, 1_000, 10_000, 100_000)
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

Figures = dict[str, float]


def measure(what: str, n: int, folder: Path) -> Figures:
    command = [sys.executable, str(HERE / "one_job.py"), what, str(n), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{what} {n} failed:\n{done.stderr}")
    figures: Figures = json.loads(done.stdout)
    return figures


def medians(runs: list[Figures]) -> Figures:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def job_figures(n: int, repeats: int) -> dict[str, Figures]:
    """Figures of a job of `n` batches: its run, its status, its resume, and the floor."""
    collected: dict[str, list[Figures]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="mozart-bench-") as folder:
            for what in ("floor", "run", "status", "resume"):
                collected.setdefault(what, []).append(measure(what, n, Path(folder)))
    return {what: medians(runs) for what, runs in collected.items()}


def table(sizes: tuple[int, ...], repeats: int) -> Iterator[str]:
    yield "| batches | CPU per batch | × floor | written per batch | wall | peak memory | status | resume |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for n in sizes:
        figures = job_figures(n, repeats)
        run, floor = figures["run"], figures["floor"]
        per_batch = run["cpu_s"] / n * 1e6
        yield (
            f"| {n:,} | {per_batch:.0f} µs | {run['cpu_s'] / floor['cpu_s']:.1f} | {run['bytes'] / n:,.0f} B "
            f"| {run['wall_s']:.1f} s | {run['peak_mb']:.0f} MB | {figures['status']['wall_s'] * 1000:.0f} ms "
            f"| {figures['resume']['wall_s']:.2f} s, {figures['resume']['peak_mb']:.0f} MB |"
        )


def lag_lines(n: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mozart-bench-") as folder:
        figures = measure("lag", n, Path(folder))
    yield f"Lateness of a 5 ms heartbeat on the loop during a run of {n:,} batches, in milliseconds:"
    yield ""
    yield "| | median | 99.9th percentile | worst |"
    yield "|---|---:|---:|---:|"
    for name in ("idle", "busy"):
        yield (
            f"| {name} loop | {figures[f'{name}_p50_ms']:.2f} | {figures[f'{name}_p999_ms']:.1f} "
            f"| {figures[f'{name}_max_ms']:.1f} |"
        )


def machine() -> str:
    return f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    sizes, repeats = (SIZES[:3], 1) if quick else (SIZES, 3)
    lines = [f"Measured on {machine()}; medians of {repeats}.", ""]
    for part in (table(sizes, repeats), iter([""]), lag_lines(10_000)):
        for line in part:
            print(line, flush=True)
            lines.append(line)
    if not quick:
        put_between(PAGE, "\n".join(lines), BEGIN, END)


if __name__ == "__main__":
    main()
