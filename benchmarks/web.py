"""What looking costs: pages and lists of a long job, and fifty people who watch one while it runs.

    python benchmarks/web.py [--batches N] [--seconds N] [--keep FOLDER] [--write]

A server of `mozart dashboard` answers for a rehearsed job of 100,000 batches (made by `overnight.py`): each address is
asked for cold and warm. Then a second such job runs, paced and as fast as it can, without a server, with one that
nobody uses, and with fifty event streams; what the server takes of a processor and how fast the job goes is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from overnight import night
from pages import DOCS, put_between

PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- web: begin -->", "<!-- web: end -->"
MOST_MILLISECONDS, MOST_PERCENT = 300.0, 10.0
WATCHERS = 50
TOKEN = "benchmark"
JOB = "/mozart/api/jobs/overnight"

ADDRESSES = {
    "list of jobs": "/mozart/api/jobs",
    "home page": "/mozart/",
    "one job": JOB,
    "page of the job": "/mozart/jobs/overnight",
    "page of its run": "/mozart/jobs/overnight/run",
    "status": f"{JOB}/status",
    "100 batches": f"{JOB}/batches?offset=50000",
    "failed ones, dearest first": f"{JOB}/batches?status=failed&sort=cost&order=desc",
    "all by duration": f"{JOB}/batches?sort=duration&order=desc",
    "one batch": f"{JOB}/batches/777",
    "page of a batch": "/mozart/jobs/overnight/batches/778",
    "events from the middle": f"{JOB}/events?since=250000",
    "last warnings of the log": f"{JOB}/logs?level=WARNING",
    "answers from the middle": f"{JOB}/answers?first_batch=50000",
    "errors": f"{JOB}/errors",
    "diagnosis": f"{JOB}/diagnose",
    "history": "/mozart/api/history",
}

RUNNING = """\
name: NAME
workspace: ./NAME
backend: {type: rehearsal}
batch: {size: 1, total_items: 100000}
prompt: {template: "Item {{ batch_num }}"}
rehearsal: {answer: fine, latency_seconds: LATENCY}
parallel: {enabled: true, max_concurrent: 64, adaptive: false}
"""

PACES = {"64 sessions of 1 s": "1.0", "as fast as it can": "0"}


class Server:
    """`mozart dashboard` as a process of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        runtime = folder / "runtime"
        runtime.mkdir(exist_ok=True)
        own = {"JUPYTER_TOKEN": TOKEN, "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(folder / "conf")}
        command = [sys.executable, "-m", "mozart_nb", "dashboard", "--no-browser", "--port", "0"]
        self.process = subprocess.Popen(
            command, cwd=folder, env={**env, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.port = self._port(runtime / f"jpserver-{self.process.pid}.json")

    def _port(self, file: Path) -> int:
        for _ in range(600):
            with contextlib.suppress(OSError, ValueError):
                port = urlsplit(json.loads(file.read_text())["url"]).port or 0
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return port
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    def ask(self, path: str) -> tuple[float, int, int]:
        """Milliseconds, bytes as sent, status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"token {TOKEN}", "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        size = len(answer.read())
        connection.close()
        return 1000 * (time.perf_counter() - began), size, answer.status

    @property
    def seconds(self) -> float:
        """Seconds of a processor that it has used."""
        used = psutil.Process(self.process.pid).cpu_times()
        return used.user + used.system

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@contextlib.contextmanager
def server(folder: Path, env: dict[str, str]) -> Iterator[Server]:
    running = Server(folder, env)
    try:
        yield running
    finally:
        running.close()


# --- lists and pages --------------------------------------------------------------------------------------------------


def answers(folder: Path, env: dict[str, str]) -> list[str]:
    rows = ["| asked for | cold | warm | sent |", "|---|---:|---:|---:|"]
    with server(folder, env) as running:
        running.ask("/mozart/health")
        found = {name: running.ask(path) for name, path in ADDRESSES.items()}
        time.sleep(5.0)  # what is made in the background is made by now
        for name, path in ADDRESSES.items():
            warm = sorted(running.ask(path) for _ in range(5))[2]
            cold, _, status = found[name]
            late = " (!)" if warm[0] > MOST_MILLISECONDS or status != 200 else ""
            rows.append(f"| {name} | {cold:,.0f} ms | {warm[0]:,.0f} ms{late} | {warm[1] / 1024:,.1f} kB |")
            print(rows[-1], status, flush=True)
        memory = psutil.Process(running.process.pid).memory_info().rss / 2**20
        print(f"memory of the server: {memory:,.0f} MB")
    return rows


# --- watching ---------------------------------------------------------------------------------------------------------


class Watchers:
    """Clients that read an event stream and throw it away, all in one thread of ours."""

    def __init__(self, port: int, key: str, number: int) -> None:
        self.received = 0
        self.events = 0
        request = (
            f"GET /mozart/api/jobs/{key}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Accept: text/event-stream\r\nAuthorization: token {TOKEN}\r\n\r\n"
        )
        self._sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(number)]
        for one in self._sockets:
            one.sendall(request.encode())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        import selectors

        selector = selectors.DefaultSelector()
        for one in self._sockets:
            selector.register(one, selectors.EVENT_READ)
        with contextlib.suppress(OSError, ValueError):
            while True:
                for key, _ in selector.select(1.0):
                    chunk = key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
                    self.received += len(chunk)
                    self.events += chunk.count(b"\nid: ")

    def close(self) -> None:
        for one in self._sockets:
            one.close()


@contextlib.contextmanager
def running_job(folder: Path, env: dict[str, str], name: str, latency: str) -> Iterator[Path]:
    """A job that runs in a process of its own; yields its journal."""
    text = RUNNING.replace("NAME", name).replace("LATENCY", latency)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mozart_nb", "run", f"{name}.yaml", "-q"]
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = folder / name / ".mozart" / name / "journal"
    try:
        while completed(journal) < 64:
            assert process.poll() is None
            time.sleep(0.2)
        yield journal
    finally:
        process.kill()
        process.wait()


def completed(journal: Path) -> int:
    return sum(path.read_bytes().count(b'"kind":"batch.completed"') for path in sorted(journal.glob("*.jsonl")))


def pace(journal: Path, seconds: float, running: Server | None) -> tuple[float, float]:
    """Batches per second, and the part (in percent) of one processor that the server took."""
    done, used, began = completed(journal), running.seconds if running else 0.0, time.perf_counter()
    time.sleep(seconds)
    took = time.perf_counter() - began
    spent = running.seconds - used if running else 0.0
    return (completed(journal) - done) / took, 100 * spent / took


def watching(folder: Path, env: dict[str, str], seconds: float) -> list[str]:
    rows = [
        "| job | watched by | batches a second | server | each gets |",
        "|---|---|---:|---:|---:|",
    ]
    for name, latency in PACES.items():
        for number in (None, 0, 1, WATCHERS):
            with contextlib.ExitStack() as stack:
                env_of = dict(env)
                running = stack.enter_context(server(folder, env_of)) if number is not None else None
                job = f"watched-{len(rows)}"
                journal = stack.enter_context(running_job(folder, env_of, job, latency))
                watchers = None
                if running is not None and number:
                    while running.ask(f"/mozart/api/jobs/{job}")[2] != 200:
                        time.sleep(0.2)
                    watchers = Watchers(running.port, job, number)
                time.sleep(2.0)
                received = watchers.received if watchers else 0
                speed, percent = pace(journal, seconds, running)
                each = (watchers.received - received) / seconds / (number or 1) if watchers else 0.0
                if watchers:
                    watchers.close()
                    assert each, "nothing was heard"
            who = "nobody, no server" if number is None else f"{number or 'nobody'}"
            late = " (!)" if percent > MOST_PERCENT else ""
            told = f"{each / 1024:,.1f} kB/s" if watchers else ""
            rows.append(f"| {name} | {who} | {speed:,.0f} | {percent:.1f} %{late} | {told} |")
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each pace is measured")
    parser.add_argument("--keep", type=Path, help="leave the job in this folder, and take it from there next time")
    parser.add_argument("--only", choices=["answers", "watching"], help="measure one part")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    given = parser.parse_args()
    rows: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mozart-web-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if given.only != "watching":
            rows += answers(folder, night(given.batches, folder))
        if given.only != "answers":
            env = {**os.environ, "MOZART_NB_HOME": str(Path(scratch) / "home"), "HOME": scratch}
            rows += ["", *watching(Path(scratch), env, given.seconds)]
    if given.write:
        put_between(PAGE, "\n".join(rows), BEGIN, END)


if __name__ == "__main__":
    main()
