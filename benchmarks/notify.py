"""Measures what notifications cost a run, with a receiver that answers, hangs, fails or is not there.

    python benchmarks/notify.py            seven rounds, into docs/notifications.md
    python benchmarks/notify.py --quick    one round, printed only
    python benchmarks/notify.py --inside URL    one run in this process, and what its notifier took of it, as JSON

Every run is a process of its own, `mozart run` from start to exit, with 1,000 rehearsed batches and a channel that asks
for every event. The variants take turns, so that a busy machine disturbs all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from pages import DOCS, put_between

BEGIN, END = "<!-- notify figures: begin -->", "<!-- notify figures: end -->"
BATCHES = 1_000
MEMORY = "/dev/shm"  # where there is one: a disk that others use differs more from run to run than what is measured
EVENTS = ["job_start", "job_complete", "job_failed", "batch_start", "batch_complete", "batch_failed"]
NAMES = {
    "none": "no notifications",
    "answers": "a receiver that answers",
    "fails": "one that answers 503",
    "hangs": "one that accepts and never answers",
    "dead": "none there: connection refused",
}


def config(channels: bool) -> dict[str, Any]:
    channel = {"type": "webhook", "url_env": "BENCH_HOOK", "on_events": EVENTS}
    return {
        "name": "bench",
        "workspace": "./ws",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": BATCHES},
        "prompt": {"template": "Summarise item {{ batch_num }}."},
        "parallel": {"enabled": True, "max_concurrent": 16},
        "rehearsal": {"latency_seconds": 0.02, "seed": 1},
        **({"notifications": [channel]} if channels else {}),
    }


def temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="mozart-bench-", dir=MEMORY if Path(MEMORY).is_dir() else None)


def environment(folder: str, url: str) -> dict[str, str]:
    own = {"MOZART_NB_HOME": f"{folder}/home", "BENCH_HOOK": url, "MOZART_NB_COURIER_ENDS_WITH": str(os.getpid())}
    return {**os.environ, **own}


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
    with temporary() as folder:
        file = Path(folder) / "job.yaml"
        file.write_text(json.dumps(config(bool(url))))
        command = [sys.executable, "-m", "mozart_nb", "-q", "run", str(file)]
        began = time.perf_counter()
        run = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(folder, url)
        )
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        return Figures(time.perf_counter() - began, used.ru_utime + used.ru_stime, run.returncode)


def timed(method: Callable[..., Any], spent: list[float], clock: Callable[[], float]) -> Callable[..., Any]:
    """`method`, which notes how long each call takes by `clock`."""

    @functools.wraps(method)
    def plain(*args: Any) -> Any:
        began = clock()
        try:
            return method(*args)
        finally:
            spent.append(clock() - began)

    @functools.wraps(method)
    async def waiting(*args: Any) -> Any:
        began = clock()
        try:
            return await method(*args)
        finally:
            spent.append(clock() - began)

    return waiting if asyncio.iscoroutinefunction(method) else plain


def inside(url: str) -> None:
    """One run in this process; prints milliseconds of CPU on the loop and in the thread, and of waiting at the end."""
    from mozart_nb.consumers.notify import Notifier
    from mozart_nb.events import RunOptions
    from mozart_nb.job.load import load_mapping
    from mozart_nb.runtime import prepare, run_job

    spent: dict[str, list[float]] = {}
    for name, clock in (("observe", time.thread_time), ("_work", time.thread_time), ("close", time.perf_counter)):
        method = timed(getattr(Notifier, name), spent.setdefault(name, []), clock)
        setattr(Notifier, name, method)
    with temporary() as folder:
        os.environ.update(environment(folder, url))
        prepared = prepare(load_mapping(config(True), base_dir=folder))
        began = time.process_time()
        asyncio.run(run_job(prepared, RunOptions()))
        cpu = time.process_time() - began
    print(json.dumps({"cpu": cpu * 1000, **{name: sum(times) * 1000 for name, times in spent.items()}}))


def inside_lines(urls: dict[str, str], rounds: int) -> Iterator[str]:
    yield "| receiver | CPU of the run | of it, listening | of it, the thread | waiting for it at the end |"
    yield "|---|---:|---:|---:|---:|"
    for name, url in urls.items():
        if not url:
            continue
        command = [sys.executable, __file__, "--inside", url]
        runs = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(rounds)]
        cpu, heard, worked, waited = (
            statistics.median(run[key] for run in runs) for key in ("cpu", "observe", "_work", "close")
        )
        yield f"| {NAMES[name]} | {cpu:,.0f} ms | {heard:.0f} ms | {worked:.1f} ms | {waited:.0f} ms |"


def measure(rounds: int) -> Iterator[str]:
    found: dict[str, list[Figures]] = {name: [] for name in NAMES}
    with receiver(200) as answers, receiver(503) as fails, hanging() as hangs:
        urls = {"none": "", "answers": answers, "fails": fails, "hangs": hangs, "dead": "http://127.0.0.1:9/"}
        for _ in range(rounds):
            for name, url in urls.items():
                found[name].append(one_run(url))
        within = list(inside_lines(urls, min(rounds, 3)))
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
    yield ""
    yield f"Within the process of the run, for {2 * BATCHES + 2:,} events that are asked for:"
    yield ""
    yield from within


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--inside", metavar="URL")
    options = parser.parse_args()
    if options.inside:
        return inside(options.inside)
    quick = options.quick
    figures = "\n".join(measure(1 if quick else 7))
    print(figures)
    if not quick:
        put_between(DOCS / "notifications.md", figures, BEGIN, END)
    return None


if __name__ == "__main__":
    main()
