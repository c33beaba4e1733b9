"""One measurement in a process of its own; prints one JSON object.

python benchmarks/one_job.py run N FOLDER        a rehearsed job of N batches, no latency, 64 at a time
python benchmarks/one_job.py status N FOLDER     reading the status of that job
python benchmarks/one_job.py resume N FOLDER     taking it up again after a pause, until the first batch starts
python benchmarks/one_job.py lag N FOLDER        how late a heartbeat on the loop is during such a run
python benchmarks/one_job.py floor N FOLDER      N bare asyncio tasks, 64 at a time, and one synced line for each 64
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mozart_nb import events as ev
from mozart_nb.job.load import load_mapping
from mozart_nb.runtime import Prepared, prepare, run_job, standing

CONCURRENT = 64
BEAT_SECONDS = 0.005


def job(n: int, folder: Path) -> Prepared:
    config = {
        "name": f"bench-{n}",
        "workspace": str(folder / f"bench-{n}"),
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": n},
        "prompt": {"template": "Summarise item {{ batch_num }} of {{ total_batches }} in one sentence."},
        "parallel": {"enabled": True, "max_concurrent": CONCURRENT},
        "rehearsal": {"latency_seconds": 0, "seed": 1, "answer": "One sentence about item {{ batch_num }}."},
        "validations": [{"type": "answer_matches", "pattern": "sentence"}],
    }
    return prepare(load_mapping(config, base_dir=folder))


class Meter:
    """CPU seconds, wall seconds and bytes written since it was made; peak memory of the process (MB)."""

    def __init__(self) -> None:
        self.cpu, self.wall, self.written = time.process_time(), time.perf_counter(), written()

    def read(self) -> dict[str, float]:
        return {
            "cpu_s": time.process_time() - self.cpu,
            "wall_s": time.perf_counter() - self.wall,
            "bytes": written() - self.written,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def written() -> int:
    """Bytes this process has written so far (Linux)."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("wchar"):
            return int(line.split()[1])
    return 0


def run(n: int, folder: Path) -> dict[str, float]:
    prepared, meter = job(n, folder), Meter()
    state = asyncio.run(run_job(prepared, ev.RunOptions(limit=n - 1)))
    assert state.count("completed") == n - 1, state.job.reason
    return meter.read()


def status(n: int, folder: Path) -> dict[str, float]:
    prepared, meter = job(n, folder), Meter()
    assert standing(prepared).state is not None
    return meter.read()


def resume(n: int, folder: Path) -> dict[str, float]:
    prepared, meter = job(n, folder), Meter()
    first: list[dict[str, float]] = []

    async def watch(events: Sequence[ev.Event]) -> None:
        if not first and any(isinstance(event, ev.BatchStarted) for event in events):
            first.append(meter.read())

    state = asyncio.run(run_job(prepared, ev.RunOptions(), observers=[watch]))
    assert state.status == "completed"
    return first[0]


def lag(n: int, folder: Path) -> dict[str, float]:
    async def both() -> dict[str, float]:
        idle = await heartbeats(asyncio.sleep(3))
        busy = await heartbeats(run_job(job(n, folder), ev.RunOptions()))
        return {
            f"{name}_{key}": value for name, late in (("idle", idle), ("busy", busy)) for key, value in late.items()
        }

    return asyncio.run(both())


async def heartbeats(work: Any) -> dict[str, float]:
    """Lateness of a 5 ms heartbeat while `work` runs, in milliseconds."""
    task, late = asyncio.ensure_future(work), []
    while not task.done():
        began = time.perf_counter()
        await asyncio.sleep(BEAT_SECONDS)
        late.append((time.perf_counter() - began - BEAT_SECONDS) * 1000)
    await task
    late.sort()
    return {"p50_ms": late[len(late) // 2], "p999_ms": late[int(len(late) * 0.999)], "max_ms": late[-1]}


def floor(n: int, folder: Path) -> dict[str, float]:
    async def bare() -> None:
        line = b"x" * 400 + b"\n"
        with open(folder / "floor", "ab", buffering=0) as file:
            for start in range(0, n, CONCURRENT):
                await asyncio.gather(*(asyncio.sleep(0) for _ in range(start, min(n, start + CONCURRENT))))
                file.write(line * CONCURRENT)
                os.fdatasync(file.fileno())

    meter = Meter()
    asyncio.run(bare())
    return meter.read()


if __name__ == "__main__":
    what, count, where = sys.argv[1:]
    measure = {"run": run, "status": status, "resume": resume, "lag": lag, "floor": floor}[what]
    print(json.dumps(measure(int(count), Path(where))))
