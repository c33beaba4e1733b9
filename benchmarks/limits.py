"""Runs jobs against a service that enforces 1,000 requests and 100,000 tokens per minute, and writes the figures.

    python benchmarks/limits.py            about five minutes, into docs/performance.md
    python benchmarks/limits.py --quick    about a minute, writes nothing

Four jobs at once, each with an account of its own: with the limits in the job file and without, short prompts (requests
run out first) and longer ones (tokens run out first). First against a service that refills all the time, then against
one that counts the last minute as a whole. Throughput is counted at the service, from the first request to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pages import DOCS, put_between

HERE = Path(__file__).parent
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- figures of limits: begin -->", "<!-- figures of limits: end -->"
REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE = 1000, 100_000
MOST_AT_ONCE = 64

sys.path.insert(0, str(HERE.parent / "tests"))

from support.anthropic_server import Call  # noqa: E402
from support.limited_server import LimitedServer, Limits  # noqa: E402

from mozart_nb import events as ev  # noqa: E402
from mozart_nb.job.load import load_mapping  # noqa: E402
from mozart_nb.runtime import prepare, run_job  # noqa: E402


@dataclass
class Case:
    """One job and the service it runs against. `tokens`: tokens run out before requests do."""

    configured: bool
    tokens: bool
    sliding: bool

    @property
    def name(self) -> str:
        return f"limits-{'set' if self.configured else 'heard'}-{self.tokens:d}{self.sliding:d}"

    @property
    def row(self) -> str:
        known = "in the job file" if self.configured else "heard from the service"
        binds = "tokens" if self.tokens else "requests"
        counts = "the last minute" if self.sliding else "a bucket, refilled all the time"
        return f"| {known} | {binds} | {counts} "

    @property
    def prompt(self) -> str:
        words = "Describe the item in the words of somebody who sells it. " * (9 if self.tokens else 2)
        return f"Item {{{{ batch_num }}}}. {words}"

    def answer(self, call: Call) -> int:
        """Tokens of the answer: different for each prompt, and the same whenever it is asked."""
        draw = hashlib.blake2b(call.prompt.encode(), digest_size=1).digest()[0]
        return 10 + draw // 4 if self.tokens else 5 + draw // 16

    @property
    def limits(self) -> Limits:
        return Limits(REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE, sliding=self.sliding)


CASES = [
    Case(configured, tokens, sliding)
    for configured in (True, False)
    for tokens in (False, True)
    for sliding in (False, True)
]


def job(case: Case, url: str, batches: int, folder: Path) -> Any:
    limits = {"requests_per_minute": REQUESTS_PER_MINUTE, "tokens_per_minute": TOKENS_PER_MINUTE}
    config = {
        "name": case.name,
        "workspace": str(folder / case.name),
        "backend": {"type": "anthropic_api", "base_url": url, "max_tokens": 200},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": case.prompt},
        "parallel": {"enabled": True, "max_concurrent": MOST_AT_ONCE},
        "validations": [{"type": "answer_matches", "pattern": "answer"}],
        **({"rate_limit": limits} if case.configured else {}),
    }
    return prepare(load_mapping(config, base_dir=folder))


async def measured(case: Case, seconds: float, folder: Path) -> str:
    """The job's line of the table."""
    server = LimitedServer(case.limits, answer=case.answer, latency=0.3)
    async with server.serving():
        state = await run_job(job(case, server.url, batches_for(case, seconds), folder), ev.RunOptions())
    limits = server.limits
    assert state.status == "completed", state.job.reason
    assert limits.first_at is not None
    minutes = (limits.last_at - limits.first_at) / 60
    used = limits.tokens_used / TOKENS_PER_MINUTE if case.tokens else limits.statuses[200] / REQUESTS_PER_MINUTE
    refused = limits.statuses[429]
    return (
        f"{case.row}| {limits.statuses.total():,} | {minutes * 60:.0f} s | {used / minutes:.0%} "
        f"| {refused} ({limits.refused_share:.2%}) | {limits.during_wait} | {state.job.limit_waits} |"
    )


def batches_for(case: Case, seconds: float) -> int:
    """So many that the job takes about so long."""
    if not case.tokens:
        return int(REQUESTS_PER_MINUTE * seconds / 60)
    each = len(case.prompt) // 4 + 10 + 32
    return int(TOKENS_PER_MINUTE * seconds / 60 / each)


@contextlib.contextmanager
def bare_environment(folder: Path) -> Iterator[None]:
    """Nothing of the machine's own: a made-up key, no proxies, a home of our own."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "CLAUDE_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(ANTHROPIC_API_KEY="made-up", MOZART_NB_HOME=str(folder / "home"))
    yield


async def table(seconds: float) -> list[str]:
    head = [
        "| limits known from | what runs out | the service counts | requests | time | of the limit | refused (429) "
        "| sent during a wait | waits |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory(prefix="mozart-limits-") as folder, bare_environment(Path(folder)):
        rows = []
        for sliding in (False, True):
            cases = [case for case in CASES if case.sliding is sliding]
            rows += await asyncio.gather(*(measured(case, seconds, Path(folder)) for case in cases))
    return [*head, *rows]


def machine() -> str:
    return f"{platform.system()} {platform.release()}, {platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    lines = [f"Measured on {machine()}.", "", *asyncio.run(table(35 if quick else 150))]
    print("\n".join(lines))
    if not quick:
        put_between(PAGE, "\n".join(lines), BEGIN, END)


if __name__ == "__main__":
    main()
