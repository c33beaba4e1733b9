"""Kills hosts with SIGKILL, 100 times for each backend, and counts what was lost, repeated or left behind.

    python benchmarks/kill9.py                       both backends and the failing disk (about fifteen minutes)
    python benchmarks/kill9.py --kills 20            fewer kills
    python benchmarks/kill9.py --backend rehearsal   one backend only

The `claude` backend drives the real program against a server on 127.0.0.1 that answers slowly and asks it to write
files; `MOZART_NB_CLAUDE` names the program. Whole runs write the table of docs/reliability.md. Linux only: what is left
running is looked for in /proc.
"""

from __future__ import annotations

import argparse
import errno
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pages import DOCS, put_between

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.anthropic_server import AnthropicServer  # noqa: E402  # after the path is set
from support.claude import clean_environment, find_claude  # noqa: E402
from support.faulty_runs import a_job, check_resumed, every_fault, lives, what_was_told  # noqa: E402
from support.kill9 import Moment, Series, Tally, rehearsed_job  # noqa: E402
from support.kill9_claude import Scribe, claude_job, count_at_the_server  # noqa: E402

PAGE = DOCS / "reliability.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def any_moment(rng: random.Random) -> Moment:
    """From three milliseconds to a second after the start, every order of magnitude alike; or amid a batch's steps."""
    if rng.random() < 0.7:
        return Moment(10 ** rng.uniform(-2.5, 0))
    step = rng.choice(["batch.started", "session.opened", "session.finished", "batch.validation_passed"])
    return Moment(rng.uniform(0, 0.005), after=step)


def any_moment_of_a_session(rng: random.Random) -> Moment:
    """Early, while sessions are picked up; while they work; in the moment in which they are started or have ended."""
    draw = rng.random()
    if draw < 0.4:
        return Moment(10 ** rng.uniform(-2, 0))
    if draw < 0.7:
        return Moment(rng.uniform(0.5, 4))
    return Moment(rng.uniform(0, 0.02), after=rng.choice(["session.opened", "session.adopted", "session.finished"]))


def rehearsed(kills: int, seed: int, folder: Path) -> Tally:
    """Kills of hosts that run the rehearsal backend."""
    rng, tally = random.Random(seed), Tally()
    while tally.kills < kills:
        # Every other job also meets rate limits, whose waits and probes are interrupted too.
        failures = {"transient": 0.03, "invalid_output": 0.04, "timeout": 0.02}
        if tally.series % 2:
            failures["rate_limit"] = 0.004
        job = rehearsed_job(folder / str(tally.series), 200, seed + tally.series, latency=0.025, failures=failures)
        tally += Series(job, plain_environment(folder), rng, moments=any_moment).run(kills - tally.kills)
        report("rehearsal", tally)
    return tally


def with_claude(kills: int, seed: int, folder: Path, claude: str) -> Tally:
    """Kills of hosts that drive the real program."""
    rng, tally = random.Random(seed), Tally()
    while tally.kills < kills:
        with AnthropicServer(Scribe(random.Random(rng.random()))).in_thread() as server:
            job = claude_job(folder / str(tally.series), claude, 12)
            environ = {**plain_environment(folder), **clean_environment(folder, server.url)}
            pauses = rng.choice([0.0, 0.0, 0.5, 2.0])
            series = Series(job, environ, rng, moments=any_moment_of_a_session, pauses=lambda _, p=pauses: p)
            series.run(kills - tally.kills)
            count_at_the_server(server, series.rows, series.tally)
            tally += series.tally
            tally.requests += len(server.calls)
        report("claude_cli", tally)
    return tally


def plain_environment(folder: Path) -> dict[str, str]:
    """Nothing of this user's: hosts keep to `folder`."""
    for name in ("home", "claude_config_dir", "mozart"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    own = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**own, "LANG": "C.UTF-8", "HOME": str(folder / "home"), "MOZART_NB_HOME": str(folder / "mozart")}


def failing_disk(folder: Path) -> Counter[str]:
    """How runs ended in which one operation failed, or all from one on."""
    endings: Counter[str] = Counter()
    for error in (errno.EIO, errno.ENOSPC):
        for lasting in (False, True):
            place = folder / f"{error}-{lasting}"
            endings.update(ran.status for ran in every_fault(place, error, lasting=lasting))
    return endings


def every_operation(folder: Path) -> int:
    """Hosts that died right before or amid each of their operations on the disk, starting a job and resuming one."""
    deaths = 0
    for scenario in ("new", "resume"):
        *dead, _ = lives(folder / scenario, scenario)
        for place in dead:
            check_resumed(what_was_told(place), a_job(place))
        deaths += len(dead)
    return deaths


def report(name: str, tally: Tally) -> None:
    print(
        f"{name}: {tally.kills} kills, {tally.series} jobs, {tally.batches} batches, {tally.problems or 'no problem'}",
        flush=True,
    )


# --- the table --------------------------------------------------------------------------------------------------------


def kill_table(tallies: dict[str, Tally]) -> Iterator[str]:
    names = list(tallies)
    yield f"| | {' | '.join(f'`{name}`' for name in names)} |"
    yield f"|---|{'---:|' * len(names)}"
    for label, value in (
        ("hosts killed with SIGKILL", lambda t: t.kills),
        ("… while sessions were open", lambda t: t.with_sessions),
        ("sessions open at those moments", lambda t: t.open_at_kill),
        ("jobs, batches", lambda t: f"{t.series}, {t.batches:,}"),
        ("events journaled, sessions opened", lambda t: f"{t.events:,}, {t.sessions:,}"),
        ("sessions found still running and followed", lambda t: t.followed),
        ("sessions found finished and read", lambda t: t.read),
        ("attempts abandoned and refunded", lambda t: t.abandoned),
        ("requests counted at the server", lambda t: f"{t.requests:,}" if t.requests else "—"),
        ("**completed batches lost**", lambda t: len(t.lost)),
        ("**completed batches or attempts run again**", lambda t: len(t.repeated)),
        ("**journal errors**", lambda t: len(t.journal_errors)),
        ("**processes left running**", lambda t: len(t.left_running)),
        ("**sessions sent twice, counted at the server**", lambda t: len(t.paid_twice) if t.requests else "—"),
    ):
        yield f"| {label} | {' | '.join(str(value(tallies[name])) for name in names)} |"


def disk_table(endings: Counter[str], deaths: int) -> Iterator[str]:
    """A failed check would have ended this program: what is not counted here is 0."""
    yield "| | |"
    yield "|---|---:|"
    yield f"| runs in which one operation failed, or all from one on (EIO, ENOSPC, half a write) | {endings.total()} |"
    yield f"| … that completed all the same | {endings['completed']} |"
    yield f"| … that paused with E703 | {endings['paused']} |"
    yield f"| … that ended with E703, because not even that could be saved | {endings['raised']} |"
    yield f"| hosts that died by SIGKILL at an operation, each at another one | {deaths} |"
    yield f"| jobs completed by a resume afterwards | {endings.total() + deaths} |"
    yield "| **completed batches or answers lost, or done again** | 0 |"
    yield "| **journal errors** | 0 |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20260)
    parser.add_argument("--backend", choices=("rehearsal", "claude_cli", "both"), default="both")
    asked = parser.parse_args()
    claude = find_claude()
    if asked.backend != "rehearsal" and claude is None:
        sys.exit("there is no claude program: set MOZART_NB_CLAUDE, or ask for --backend rehearsal")
    began, tallies = time.monotonic(), {}
    with tempfile.TemporaryDirectory(prefix="mozart-kill9-") as name:
        folder = Path(name)
        if asked.backend != "claude_cli":
            tallies["rehearsal"] = rehearsed(asked.kills, asked.seed, folder / "rehearsal")
        if asked.backend != "rehearsal":
            tallies["claude_cli"] = with_claude(asked.kills, asked.seed, folder / "claude", str(claude))
        disk = list(disk_table(failing_disk(folder / "disk"), every_operation(folder / "deaths")))
    machine = f"Measured on {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    lines = [f"{machine}, seed {asked.seed}.", "", *kill_table(tallies), "", *disk]
    print("\n".join(lines), f"\n{time.monotonic() - began:.0f} s", flush=True)
    problems = [problem for tally in tallies.values() for problem in tally.problems]
    if problems:
        sys.exit("\n".join(problems))
    if len(tallies) == 2 and asked.kills >= 100 and PAGE.exists():
        put_between(PAGE, "\n".join(lines), BEGIN, END)


if __name__ == "__main__":
    main()
