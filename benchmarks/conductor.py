"""Ten jobs of 200 batches at once on one conductor: fair shares, a shared limit, flat memory; into docs/performance.md.

    python benchmarks/conductor.py            about a quarter of an hour
    python benchmarks/conductor.py --quick    about six minutes, writes nothing

The conductor is a process of its own, as `mozart start` makes it. Shares are read from the journals: seat-seconds from
the start of an attempt to the end of its session, in every whole minute in which all jobs still had work. The limit is
counted at a service on loopback. Memory is resident memory of the process; its slope is a least-squares line.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from pages import DOCS, put_between

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from kill9 import plain_environment  # noqa: E402  # after the path is set
from support.conductor import Conductor  # noqa: E402
from support.limited_server import LimitedServer, Limits  # noqa: E402

from mozart_nb import events as ev  # noqa: E402
from mozart_nb.checkpoint.follow import read_events  # noqa: E402
from mozart_nb.checkpoint.layout import Layout  # noqa: E402

PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- figures of the conductor: begin -->", "<!-- figures of the conductor: end -->"
JOBS, BATCHES, SEATS = 10, 200, 20
RATE = 600
WINDOW_SECONDS = 60.0
SETTLING_SECONDS = 5.0
SAMPLE_SECONDS = 2.0
CLOCK_SECONDS = 0.05


@dataclass
class Span:
    """A session, from the start of its attempt to its end (epoch seconds)."""

    begin: float
    end: float

    def within(self, begin: float, end: float) -> float:
        return max(0.0, min(self.end, end) - max(self.begin, begin))


@dataclass
class Past:
    """What a job's journal says."""

    layout: Layout
    spans: list[Span]

    @classmethod
    def of(cls, layout: Layout) -> Past:
        spans, begun = [], {}
        for event in read_events(layout):
            if isinstance(event, ev.BatchStarted):
                begun[event.batch] = event.at
            elif isinstance(event, ev.SessionFinished | ev.SessionAbandoned):
                spans.append(Span(begun.pop(event.batch), event.at))
        return cls(layout, spans)

    @property
    def first(self) -> float:
        return min(span.begin for span in self.spans)

    @property
    def last_begun(self) -> float:
        return max(span.begin for span in self.spans)


def write_job(folder: Path, name: str, **sections: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "name": name,
        "workspace": str(folder / name),
        "batch": {"size": 1, "total_items": BATCHES},
        "prompt": {"template": f"{name}: describe item {{{{ batch_num }}}} of {{{{ total_batches }}}}."},
        "parallel": {"enabled": True, "max_concurrent": 50},
        "validations": [{"type": "answer_matches", "pattern": "answer"}],
        **sections,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


def carried_out(conductor: Conductor, files: Sequence[Path], samples: list[tuple[float, float]]) -> list[Past]:
    """Submit the jobs and wait for all of them, looking at the conductor's memory meanwhile."""
    process, began = psutil.Process(conductor.pid), time.monotonic()
    layouts = []
    for file in files:
        answer: Any = conductor.call("submit", file=str(file))
        layouts.append(Layout(Path(answer["workspace"]), answer["job_id"]))
    while not all(_is_over(conductor, layout) for layout in layouts):
        samples.append((time.monotonic() - began, process.memory_info().rss / 2**20))
        time.sleep(SAMPLE_SECONDS)
    return [Past.of(layout) for layout in layouts]


def _is_over(conductor: Conductor, layout: Layout) -> bool:
    status: Any = conductor.call("status", job_id=layout.job_id, workspace=str(layout.workspace))
    found = status.get("status") or status.get("job", {}).get("status")
    assert found not in ("failed", "cancelled", "paused"), status
    return bool(found == "completed")


# --- fair shares ------------------------------------------------------------------------------------------------------


def fair(conductor: Conductor, folder: Path, latency: float) -> Iterator[str]:
    samples: list[tuple[float, float]] = []
    began = time.monotonic()
    past = carried_out(conductor, rehearsed(folder / "first", latency), samples)
    took = time.monotonic() - began
    yield f"Ten rehearsed jobs of {BATCHES} batches on {SEATS} seats; sessions of {0.8 * latency:.1f} s in the first"
    yield f"job to {1.2 * latency:.1f} s in the last. All of it took {took:.0f} s; at most {most_at_once(past)}"
    yield "sessions were open at once."
    yield ""
    yield "| minute | seats in use | smallest share | largest share | furthest from its due |"
    yield "|---:|---:|---:|---:|---:|"
    begin = max(job.first for job in past) + SETTLING_SECONDS
    for number, shares in enumerate(windows(past, begin, min(job.last_begun for job in past)), start=1):
        whole = sum(shares)
        parts = [share / whole for share in shares]
        furthest = max(abs(part * JOBS - 1) for part in parts)
        seats = whole / WINDOW_SECONDS
        yield f"| {number} | {seats:.1f} of {SEATS} | {min(parts):.1%} | {max(parts):.1%} | {furthest:.0%} |"
    again: list[tuple[float, float]] = []
    carried_out(conductor, rehearsed(folder / "again", latency), again)
    yield ""
    yield "| resident memory of the conductor | at first | later | in between | a minute |"
    yield "|---|---:|---:|---:|---:|"
    yield f"| the first ten jobs of its life | {memory(samples)} |"
    yield f"| ten more | {memory(again)} |"


def rehearsed(folder: Path, latency: float) -> list[Path]:
    return [
        write_job(
            folder,
            f"{folder.name}-{number}",
            backend={"type": "rehearsal"},
            rehearsal={"latency_seconds": round(latency * (0.8 + 0.4 * number / (JOBS - 1)), 2), "answer": "an answer"},
        )
        for number in range(JOBS)
    ]


def windows(past: Sequence[Past], begin: float, end: float) -> Iterator[list[float]]:
    """Seat-seconds of each job in every whole window."""
    while begin + WINDOW_SECONDS <= end:
        yield [sum(span.within(begin, begin + WINDOW_SECONDS) for span in job.spans) for job in past]
        begin += WINDOW_SECONDS


def most_at_once(past: Sequence[Past]) -> int:
    """Sessions that overlap by more than the clocks of jobs, which are set when they begin, may differ."""
    spans = [span for job in past for span in job.spans]
    edges = sorted(edge for span in spans for edge in ((span.begin + CLOCK_SECONDS, 1), (span.end, -1)))
    most = now = 0
    for _, change in edges:
        now += change
        most = max(most, now)
    return most


def memory(samples: Sequence[tuple[float, float]]) -> str:
    """Cells of the table: once everything is loaded, until the first job has ended."""
    settled = [sample for sample in samples if 20.0 <= sample[0] <= 0.75 * samples[-1][0]]
    slope = statistics.linear_regression([at for at, _ in settled], [size for _, size in settled]).slope
    seconds = settled[-1][0] - settled[0][0]
    return f"{settled[0][1]:.0f} MB | {settled[-1][1]:.0f} MB | {seconds:.0f} s | {slope * 60:+.2f} MB"


# --- a shared limit ---------------------------------------------------------------------------------------------------


def limited(conductor: Conductor, folder: Path, batches: int) -> Iterator[str]:
    yield f"Ten jobs of {batches} batches through the API with one key; the service lets {RATE} requests through in any"
    yield "minute:"
    yield ""
    yield "| the limit is | requests | time | of the limit | refused (429) |"
    yield "|---|---:|---:|---:|---:|"
    for known in ("in the ten job files", "heard from the service"):
        limits = Limits(requests=RATE, tokens=1e9, sliding=True)
        with LimitedServer(limits, latency=0.2).in_thread() as server:
            named = {"rate_limit": {"requests_per_minute": RATE}} if known.startswith("in") else {}
            name = "named" if named else "heard"
            files = [
                write_job(
                    folder / name,
                    f"{name}-{number}",
                    backend={"type": "anthropic_api", "base_url": server.url, "max_tokens": 100},
                    batch={"size": 1, "total_items": batches},
                    **named,
                )
                for number in range(JOBS)
            ]
            carried_out(conductor, files, [])
        assert limits.first_at is not None
        minutes = (limits.last_at - limits.first_at) / 60
        yield (
            f"| {known} | {limits.statuses.total():,} | {minutes * 60:.0f} s "
            f"| {limits.statuses[200] / RATE / minutes:.0%} | {limits.statuses[429]} |"
        )


# --- all of it --------------------------------------------------------------------------------------------------------


def measured(*, quick: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mozart-conductor-") as name:
        folder = Path(name)
        environ = plain_environment(folder)
        conductor = Conductor({**environ, "ANTHROPIC_API_KEY": "made-up"})
        try:
            conductor.start(f"max_sessions: {SEATS}\n")
            yield from fair(conductor, folder, 1.0 if quick else 3.2)
            yield ""
            yield from limited(conductor, folder, 60 if quick else 150)
        finally:
            conductor.close()


def machine() -> str:
    return f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    lines = [f"Measured on {machine()}.", ""]
    for line in measured(quick=quick):
        print(line, flush=True)
        lines.append(line)
    if not quick:
        put_between(PAGE, "\n".join(lines), BEGIN, END)


if __name__ == "__main__":
    main()
