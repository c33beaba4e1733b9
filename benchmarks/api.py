"""Measures what a request through the API costs here, against clients that keep nothing, into docs/performance.md.

    python benchmarks/api.py            2,000 requests 64 at a time and 10,000 requests 256 at a time, several runs each
    python benchmarks/api.py --quick    one run each

Every client is a process of its own against one loopback server with 50 ms of latency (`loopback.py`), in turn, so that
a busy machine disturbs all of them alike. Peers are measured too where their own environments are named: see `PEERS`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import loopback
from one_api_client import job
from pages import DOCS, put_between

HERE = Path(__file__).parent
BEGIN, END = "<!-- api figures: begin -->", "<!-- api figures: end -->"
CLIENTS = ("aiohttp", "sdk", "sdk-tasks", "mozart")
NAMES = {
    "aiohttp": "bare aiohttp",
    "sdk": "anthropic SDK, aiohttp transport, workers",
    "sdk-tasks": "the same, a task per request",
    "mozart": "mozart_nb, journaled, one rule",
}
PEERS = {"curator": "MOZART_BENCH_CURATOR", "inspect_ai": "MOZART_BENCH_INSPECT", "async-batch-llm": "MOZART_BENCH_ABL"}
"""Peer → environment variable with the Python of an environment in which it is installed."""

Figures = dict[str, float]


def dummy_environment() -> dict[str, str]:
    """Nothing of the user's own account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "CLAUDE_"))}
    return {**kept, "ANTHROPIC_API_KEY": "sk-none"}


def client_figures(client: str, url: str, n: int, concurrent: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="mozart-bench-") as folder:
        environment = {**dummy_environment(), "MOZART_NB_HOME": f"{folder}/home"}
        command = [sys.executable, str(HERE / "one_api_client.py"), client, url, str(n), str(concurrent), folder]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            sys.exit(f"{client} failed:\n{done.stderr}")
        figures: Figures = json.loads(done.stdout)
        return figures


def table(url: str, n: int, concurrent: int, repeats: int) -> Iterator[str]:
    collected: dict[str, list[Figures]] = {client: [] for client in CLIENTS}
    for _ in range(repeats):
        for client in CLIENTS:
            collected[client].append(client_figures(client, url, n, concurrent))
    medians = {
        client: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for client, runs in collected.items()
    }
    yield f"{n:,} requests, {concurrent} at a time (ideal {n * 0.05 / concurrent:.2f} s):"
    yield ""
    yield "| client | wall | × SDK | CPU per request | × SDK | peak memory |"
    yield "|---|---:|---:|---:|---:|---:|"
    for client, figures in medians.items():
        yield (
            f"| {NAMES[client]} | {figures['wall_s']:.2f} s | {_ratio(collected, client, 'wall_s'):.2f} "
            f"| {figures['cpu_s'] / n * 1000:.2f} ms | {_ratio(collected, client, 'cpu_s'):.2f} "
            f"| {figures['peak_mb']:.0f} MB |"
        )


def _ratio(collected: dict[str, list[Figures]], client: str, key: str) -> float:
    """To the SDK of the same round: machines get slower and faster from one minute to the next."""
    return statistics.median(
        run[key] / floor[key] for run, floor in zip(collected[client], collected["sdk"], strict=True)
    )


# --- whole processes --------------------------------------------------------------------------------------------------


def process_lines(url: str, n: int, repeats: int) -> Iterator[str]:
    """The command line, from start to end: first run, the same again, one row changed; and the peers."""
    collected: dict[str, list[tuple[float, int]]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="mozart-bench-") as folder:
            for name, figures in command_line(url, n, Path(folder)):
                collected.setdefault(name, []).append(figures)
        for peer, variable in PEERS.items():
            if python := os.environ.get(variable):
                collected.setdefault(peer, []).append(timed(url, [python, str(HERE / "peers.py"), peer, url, str(n)]))
    yield f"Whole processes, {n:,} requests, 64 at a time:"
    yield ""
    yield "| | wall | requests sent |"
    yield "|---|---:|---:|"
    for name, runs in collected.items():
        yield f"| {name} | {statistics.median(wall for wall, _ in runs):.2f} s | {runs[-1][1]:,} |"


def command_line(url: str, n: int, folder: Path) -> Iterator[tuple[str, tuple[float, int]]]:
    rows = [f"item {number}" for number in range(1, n + 1)]
    items = folder / "rows.txt"
    config = job(url, n, 64, folder)
    config["batch"] = {"size": 1}
    config["items"] = {"file": "rows.txt"}
    config["prompt"] = {"template": "Summarise {{ item }} in one sentence."}
    file = folder / "job.yaml"
    file.write_text(json.dumps(config))
    command = [sys.executable, "-m", "mozart_nb", "-q", "run", str(file)]
    home = str(folder / "home")
    items.write_text("\n".join(rows))
    yield "`mozart run`", timed(url, command, home)
    yield "`mozart run` again", timed(url, command, home)
    rows[n // 2] = "another item"
    items.write_text("\n".join(rows))
    yield "`mozart run`, one row changed", timed(url, command, home)


def timed(url: str, command: list[str], home: str = "") -> tuple[float, int]:
    """Wall seconds of a command, and how many requests reached the server meanwhile."""
    loopback.ask(url, "/reset", post=True)
    environment = {**dummy_environment(), "MOZART_NB_HOME": home, "ANTHROPIC_BASE_URL": url}
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return wall, loopback.ask(url, "/stats")["requests"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    repeats = 1 if parser.parse_args().quick else 3
    with loopback.running(50) as url:
        lines = [
            *table(url, 2_000, 64, repeats if repeats == 1 else 7),
            "",
            *table(url, 10_000, 256, repeats),
            "",
            *process_lines(url, 2_000, repeats),
        ]
    text = "\n".join(lines)
    print(text)
    if repeats > 1:
        put_between(DOCS / "performance.md", text, BEGIN, END)


if __name__ == "__main__":
    main()
