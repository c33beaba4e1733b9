"""Measures what notifications cost a run, with a receiver that answers, hangs, fails or is not there.

    python benchmarks/notify.py            seven rounds, into docs/notifications.md
    python benchmarks/notify.py --quick    one round, printed only

Every run is a process of its own, `mozart run` from start to exit, with 1,000 rehearsed batches and a channel that asks
for every event. The variants take turns, so that a busy machine disturbs all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from pages import DOCS, put_between

BEGIN, END = "<!-- notify figures: begin -->", "<!-- notify figures: end -->"
BATCHES = 1_000
EVENTS = ["job_start", "job_complete", "job_failed", "batch_start", "batch_complete", "batch_failed"]
NAMES = {
    "none": "no notifications",
    "answers": "a receiver that answers",
    "fails": "one that answers 503",
    "hangs": "one that accepts and never answers",
    "dead": "none there: connection refused",
}


@contextmanager
def receiver(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@contextmanager
def hanging() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


class Figures(NamedTuple):
    """Seconds of a run as a whole process, its CPU without that of the courier, and its exit code."""

    wall: float
    cpu: float
    code: int


def one_run(url: str) -> Figures:
    """One run. Its courier ends with its folder."""
    with tempfile.TemporaryDirectory(prefix="mozart-bench-") as folder:
        config: dict[str, Any] = {
            "name": "bench",
            "workspace": "./ws",
            "backend": {"type": "rehearsal"},
            "batch": {"size": 1, "total_items": BATCHES},
            "prompt": {"template": "Summarise item {{ batch_num }}."},
            "parallel": {"enabled": True, "max_concurrent": 16},
            "rehearsal": {"latency_seconds": 0.02, "seed": 1},
        }
        if url:
            config["notifications"] = [{"type": "webhook", "url_env": "BENCH_HOOK", "on_events": EVENTS}]
        file = Path(folder) / "job.yaml"
        file.write_text(json.dumps(config))
        environment = {**os.environ, "MOZART_NB_HOME": f"{folder}/home", "BENCH_HOOK": url}
        environment["MOZART_NB_COURIER_ENDS_WITH"] = str(os.getpid())
        command = [sys.executable, "-m", "mozart_nb", "-q", "run", str(file)]
        began = time.perf_counter()
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        return Figures(time.perf_counter() - began, used.ru_utime + used.ru_stime, run.returncode)


def measure(rounds: int) -> Iterator[str]:
    found: dict[str, list[Figures]] = {name: [] for name in NAMES}
    with receiver(200) as answers, receiver(503) as fails, hanging() as hangs:
        urls = {"none": "", "answers": answers, "fails": fails, "hangs": hangs, "dead": "http://127.0.0.1:9/"}
        for _ in range(rounds):
            for name, url in urls.items():
                found[name].append(one_run(url))
    yield f"{BATCHES:,} rehearsed batches of 20 ms, 16 at a time; whole process, median of {rounds}:"
    yield ""
    yield "| receiver | wall | against none, same round | CPU of the run | exit code |"
    yield "|---|---:|---:|---:|---:|"
    for name, runs in found.items():
        pairs = zip(runs, found["none"], strict=True)
        ratio = statistics.median(run.wall / alone.wall for run, alone in pairs)
        wall, cpu = (statistics.median(getattr(run, key) for run in runs) for key in ("wall", "cpu"))
        codes = "/".join(sorted({str(run.code) for run in runs}))
        yield f"| {NAMES[name]} | {wall:.2f} s | {ratio - 1:+.1%} | {cpu:.2f} s | {codes} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    figures = "\n".join(measure(1 if quick else 7))
    print(figures)
    if not quick:
        put_between(DOCS / "notifications.md", figures, BEGIN, END)


if __name__ == "__main__":
    main()
