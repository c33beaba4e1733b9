"""Measures what notebooks feel, in real kernels, and writes the figures into docs/performance.md.

    python benchmarks/notebook.py            about six minutes, into docs/performance.md
    python benchmarks/notebook.py --quick    about a minute, writes nothing

How long `%load_ext` takes; what the dashboard of 10,000 batches sends to the browser, costs the kernel and does to its
loop, beside the same job without one; what an interrupt and a cell that sleeps do to jobs. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pages import DOCS, put_between

HERE = Path(__file__).parent
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- notebook figures: begin -->", "<!-- notebook figures: end -->"

sys.path.insert(0, str(HERE.parent / "tests"))

from support.kernel_driver import Kernel  # noqa: E402  # after the path is set
from support.kernel_records import Gap, Traffic  # noqa: E402
from support.notebook_cells import LOAD, mozart_cell, rehearsed, root_of  # noqa: E402
from support.notebook_environment import notebook_environment  # noqa: E402

TIMED_LOAD = "import time; _began = time.perf_counter()\n%load_ext mozart_nb\n_seconds = time.perf_counter() - _began"


@contextmanager
def kernel() -> Iterator[Kernel]:
    with tempfile.TemporaryDirectory(prefix="mozart-bench-") as folder:
        one = Kernel(Path(folder), notebook_environment(Path(folder)))
        try:
            yield one
        finally:
            one.close()


def load_seconds(repeats: int) -> list[float]:
    """What `%load_ext mozart_nb` adds to a kernel that has just started; the very first may read from disk."""
    seconds = []
    with kernel() as one:
        for _ in range(repeats + 1):
            one.run(TIMED_LOAD)
            seconds.append(float(one.value("_seconds")))
            one.restart()
    return seconds[1:]


@dataclass(frozen=True, slots=True)
class Watched:
    """A job of 10,000 batches, looked at for some seconds in the middle of its run."""

    opening: Traffic
    traffic: Traffic
    worst_second: tuple[int, int]
    gaps: list[Gap]
    cpu_share: float
    done_per_second: float


def watch(seconds: float) -> tuple[Watched, Watched]:
    """The job with a dashboard and the same job without, at the same time, so that both meet the same machine."""
    with kernel() as shown, kernel() as hidden:
        openings = [opening(shown), opening(hidden, "--no-dashboard")]
        both = (shown, hidden)
        for one in both:
            one.watch_loop()
        done = [one.value("job.progress().done") for one in both]
        began, cpu = time.monotonic(), [one.cpu_seconds for one in both]
        time.sleep(seconds)
        ended, used = time.monotonic(), [one.cpu_seconds for one in both]
        rates = [one.value("job.progress().done") - before for one, before in zip(both, done, strict=True)]
        first, second = (
            Watched(
                openings[number],
                one.traffic(began, ended),
                worst(one, began, ended),
                one.gaps(),
                (used[number] - cpu[number]) / (ended - began),
                rates[number] / (ended - began),
            )
            for number, one in enumerate(both)
        )
        return first, second


def opening(one: Kernel, options: str = "") -> Traffic:
    """Begin the job; what was sent until the first drawing was over."""
    one.run(LOAD)
    began = time.monotonic()
    one.run(mozart_cell(rehearsed("large", 10_000, latency=0.2, at_once=32), options))
    if not options:
        one.change(root_of(one), _view_count=1)
    time.sleep(3)
    return one.traffic(began)


def worst(one: Kernel, since: float, until: float) -> tuple[int, int]:
    """Most messages, and most bytes, that came in any second."""
    messages: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    for message in one.messages:
        if message.channel == "iopub" and since <= message.at < until:
            messages[int(message.at - since)] += 1
            sizes[int(message.at - since)] += message.size
    return max(messages.values(), default=0), max(sizes.values(), default=0)


def interrupt_seconds(repeats: int) -> list[float]:
    """From the interrupt to the reply of a cell that waits for its job."""
    taken = []
    with kernel() as one:
        one.run(LOAD)
        for number in range(repeats):
            cell = one.execute(mozart_cell(rehearsed(f"stopped-{number}", 100, latency=0.5), "--wait"))
            one.wait_until(lambda cell=cell: cell.outputs)
            time.sleep(1)
            began = time.monotonic()
            one.interrupt()
            one.finish(cell)
            assert cell.replied_at is not None
            taken.append(cell.replied_at - began)
            one.run("await job")
    return taken


def blocked(sleep: float, timeout: float, loop: str) -> tuple[int, int, int, int]:
    """Batches done while a cell slept, done in the end, attempts and errors of a job with a shorter time limit."""
    latency = timeout / 2
    with kernel() as one:
        one.run(LOAD)
        one.run(f"%config MozartMagics.loop = '{loop}'")
        batches = 4 * int(2 * sleep / latency)
        one.run(mozart_cell(rehearsed("blocked", batches, latency=latency, timeout=timeout, at_once=4)))
        one.run(f"import time; before = job.progress().done; time.sleep({sleep}); after = job.progress().done", 120)
        one.run("await job", 240)
        figures = one.value("[after - before, job.progress().done, len(job.attempts()), len(job.errors())]")
        return tuple(figures)


def lines(quick: bool) -> Iterator[str]:
    loads = load_seconds(2 if quick else 7)
    yield f"`%load_ext mozart_nb` takes {statistics.median(loads) * 1000:.0f} ms (median of {len(loads)} new kernels)."
    yield ""
    seconds = 8 if quick else 40
    yield from dashboard_lines(*watch(seconds), seconds)
    yield ""
    taken = interrupt_seconds(2 if quick else 7)
    yield (
        f"An interrupt gives the prompt of a cell that waits back after {statistics.median(taken):.2f} s "
        f"(median of {len(taken)}, worst {max(taken):.2f} s); its job pauses."
    )
    yield ""
    sleep, timeout = (5, 2) if quick else (30, 10)
    yield f"While a job runs whose attempts may take {timeout} s, a cell says `time.sleep({sleep})`:"
    yield ""
    yield "| the job runs on | batches done meanwhile | batches done in the end | attempts | false time-outs |"
    yield "|---|---:|---:|---:|---:|"
    for loop in ("kernel", "thread"):
        meanwhile, done, attempts, errors = blocked(sleep, timeout, loop)
        place = "the kernel's loop" if loop == "kernel" else "a loop in a thread"
        yield f"| {place} | {meanwhile} | {done} | {attempts} | {errors} |"


def dashboard_lines(shown: Watched, hidden: Watched, seconds: float) -> Iterator[str]:
    opening = shown.opening
    yield (
        f"10,000 batches, {shown.done_per_second:.0f} of them per second, watched for {seconds} s. "
        f"The first drawing took {opening.messages} messages and {opening.size / 1000:.0f} kB."
    )
    yield ""
    yield "| | with a dashboard | without | |"
    yield "|---|---:|---:|---|"
    yield (
        f"| messages to the browser per second | {shown.traffic.messages_per_second:.1f} "
        f"| {hidden.traffic.messages_per_second:.1f} | in the worst second {shown.worst_second[0]} |"
    )
    yield (
        f"| kB to the browser per second | {shown.traffic.bytes_per_second / 1000:.1f} "
        f"| {hidden.traffic.bytes_per_second / 1000:.1f} | in the worst second {shown.worst_second[1] / 1000:.1f} |"
    )
    yield (
        f"| processor time of the kernel | {shown.cpu_share:.1%} | {hidden.cpu_share:.1%} "
        f"| the dashboard's part: {shown.cpu_share - hidden.cpu_share:.1%} |"
    )
    for name, figure in (("99.9th percentile", 0.999), ("worst", 1.0)):
        yield (
            f"| lateness of a 10 ms heartbeat, {name} | {late(shown, figure):.0f} ms "
            f"| {late(hidden, figure):.0f} ms | |"
        )
    yield (
        f"| longest stretch of work on the loop | {longest(shown):.0f} ms | {longest(hidden):.0f} ms "
        "| processor time of its thread between two beats |"
    )


def late(watched: Watched, share: float) -> float:
    ordered = sorted(gap.late for gap in watched.gaps)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def longest(watched: Watched) -> float:
    return 1000 * max(gap.cpu for gap in watched.gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    where = f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"
    told = [f"Measured on {where}.", ""]
    for line in lines(quick):
        print(line, flush=True)
        told.append(line)
    if not quick:
        put_between(PAGE, "\n".join(told), BEGIN, END)


if __name__ == "__main__":
    main()
