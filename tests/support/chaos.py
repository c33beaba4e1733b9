"""A server that misbehaves in every way at once, and jobs whose hosts die all the time.

storm = Storm(seed=1)
outcome = rage(storm, folder, jobs=2, batches=500, seed=1)
assert outcome.problems() == []
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from support.anthropic_server import AnthropicServer, Call, Reply, refuse, text
from support.host_process import Host
from support.raw_journal import of_kind, read_rows

from mozart_nb.checkpoint.layout import Layout

TRAVEL_SECONDS = 0.3
"""So long after a refusal was sent, requests may still arrive that were on their way: the news has to travel too."""

RETRY_AFTER_SECONDS = 0.5

SHARES = {"limit": 0.10, "unnamed_limit": 0.10, "overload": 0.10, "cut": 0.05, "malformed": 0.05, "silent": 0.05}
"""Which share of the replies goes wrong in which way."""


@dataclass
class Window:
    """From when to when (epoch seconds) the account must be left alone."""

    begin: float
    end: float


@dataclass
class Storm:
    """Answers of the server, and what it saw. One request at a time asks `answer`."""

    seed: int
    served: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    windows: list[Window] = field(default_factory=list)
    intruders: list[str] = field(default_factory=list)
    replies: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Reply:
        item = name_of(call)
        now = time.time()
        with self._lock:
            kind = self._kind()
            self.replies[kind] += 1
            last = self.windows[-1] if self.windows else None
            if last is not None and last.begin + TRAVEL_SECONDS < now < last.end:
                self.intruders.append(f"{item} came {now - last.begin:.2f} s into a limit of {RETRY_AFTER_SECONDS} s")
            if kind == "limit":
                self.windows.append(Window(now, now + RETRY_AFTER_SECONDS))
            if kind == "ok":
                self.served[item].append(now)
            return self._reply(kind, item)

    def _kind(self) -> str:
        draw = self._chance.random()
        for kind, share in SHARES.items():
            draw -= share
            if draw < 0:
                return kind
        return "ok"

    def _reply(self, kind: str, item: str) -> Reply:
        match kind:
            case "limit":
                return refuse(429, "slow down", retry_after=str(RETRY_AFTER_SECONDS))
            case "unnamed_limit":
                return refuse(429, "slow down")
            case "overload":
                return refuse(self._chance.choice([500, 529]), "no")
            case "cut" | "malformed" | "silent":
                return text(f"answer to {item}", ending=kind)
        return text(f"answer to {item}", delay=0.02)


def name_of(call: Call) -> str:
    found = re.search(r"(\w+-\d+)!", call.prompt)
    assert found is not None, call.prompt
    return found[1]


@dataclass
class Outcome:
    """What became of the jobs."""

    storm: Storm
    layouts: list[Layout]
    items: list[str]
    kills: list[tuple[str, float]] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def problems(self) -> list[str]:
        """Everything that must not happen, one line each; empty when all is well."""
        return [*self.endings, *self._lost(), *self._paid_too_often(), *self._misjudged_limits(), *self.storm.intruders]

    def _lost(self) -> list[str]:
        kept = set()
        for layout in self.layouts:
            rows = of_kind(read_rows(layout), "batch.completed")
            kept |= {f"{layout.job_id}-{row['batch']}" for row in rows}
        return [f"{item} was not answered" for item in self.items if item not in kept]

    def _paid_too_often(self) -> list[str]:
        """An answer may be paid again once for every time that its host died while it was on its way."""
        found = []
        for item, times in self.storm.served.items():
            deaths = [at for job, at in self.kills if job == item.rpartition("-")[0]]
            excused = sum(any(begun <= at <= begun + 3.0 for begun in times) for at in deaths)
            if len(times) > 1 + excused:
                found.append(f"{item} was paid {len(times)} times, its host died {excused} times meanwhile")
        return found

    def _misjudged_limits(self) -> list[str]:
        retries = [row for layout in self.layouts for row in of_kind(read_rows(layout), "batch.retrying")]
        return [f"a limit used a retry: {row}" for row in retries if row["code"] in ("E101", "E102", "E103")]


def chaotic_job(folder: Path, name: str, url: str, batches: int) -> Path:
    config: dict[str, Any] = {
        "name": name,
        "workspace": "./ws",
        "backend": {"type": "anthropic_api", "base_url": url, "timeout_seconds": 10},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": "Say something about {{ job_name }}-{{ batch_num }}!"},
        # Failures by chance say nothing about how much the service can bear: no reason to run fewer at once.
        "parallel": {"enabled": True, "max_concurrent": 16, "fail_fast": False, "adaptive": False},
        "retry": {"max_retries": 30, "base_delay_seconds": 0.05, "max_delay_seconds": 1},
        "rate_limit": {"wait_minutes": 0.005, "max_waits": 100_000},
        "circuit_breaker": {"recovery_timeout_seconds": 0.2},
        "stale_detection": {"enabled": True, "idle_timeout_seconds": 1},
        "validations": [{"type": "answer_matches", "pattern": "answer to {job_name}-{batch_num}$"}],
    }
    folder.mkdir(parents=True)
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def rage(
    storm: Storm, folder: Path, *, jobs: int, batches: int, seed: int, lives: tuple[float, float] = (2.0, 5.0)
) -> Outcome:
    """Run so many jobs side by side, each host killed again and again after `lives` seconds, until all have settled."""
    names = [f"storm{number}" for number in range(1, jobs + 1)]
    began = time.monotonic()
    with AnthropicServer(storm.answer).in_thread() as server:
        files = {name: chaotic_job(folder / name, name, server.url, batches) for name in names}
        outcome = Outcome(
            storm,
            [Layout(file.parent / "ws", name) for name, file in files.items()],
            [f"{name}-{number}" for name in names for number in range(1, batches + 1)],
        )
        threads = [
            threading.Thread(target=_live_and_die, args=(outcome, name, files[name], random.Random(seed + n), lives))
            for n, name in enumerate(names)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    outcome.seconds = time.monotonic() - began
    return outcome


def _live_and_die(outcome: Outcome, name: str, file: Path, chance: random.Random, lives: tuple[float, float]) -> None:
    environ = {**os.environ, "ANTHROPIC_API_KEY": "sk-ant-dummy"}
    while True:
        host = Host(file, environ)
        host.wait_until_running()
        code = host.kill_after(chance.uniform(*lives))
        if code is None:
            outcome.kills.append((name, time.time()))
            continue
        if code != 0:
            outcome.endings.append(f"{name} ended with exit code {code}: {host.output}")
        return
