"""A cost limit over the Messages API: it holds, and the bill is the server's own count to the last digit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer, Call, Reply, text
from support.commands import mozart, write_job

AT_ONCE = 16
MOST_OUTPUT = 1000
INPUT, OUTPUT, WRITE, READ = 2, 10, Fraction(5, 2), Fraction(1, 5)
"""US dollars per million tokens of claude-sonnet-5."""


@dataclass
class Till:
    """A server that charges for what it answers; each answer is of another length."""

    answered: int = 0
    due: Fraction = field(default_factory=Fraction)

    def __call__(self, call: Call) -> Reply:
        self.answered += 1
        output = 700 + self.answered * 37 % 301
        usage = {
            "input_tokens": 900 + self.answered,
            "output_tokens": output,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 11,
        }
        parts = (usage["input_tokens"] * INPUT, output * OUTPUT, 5 * WRITE, 11 * READ)
        self.due += sum(map(Fraction, parts)) / 1_000_000
        return text("done", usage=usage, delay=0.02)


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Till, str]]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    till = Till()
    with AnthropicServer(till).in_thread() as server:
        yield till, server.url


def limited_job(folder: Path, url: str, limit: float) -> Path:
    return write_job(
        folder,
        backend={"type": "anthropic_api", "model": "claude-sonnet-5", "base_url": url, "max_tokens": MOST_OUTPUT},
        batch={"size": 1, "total_items": 150},
        parallel={"enabled": True, "max_concurrent": AT_ONCE},
        cost_limits={"max_cost_per_job": limit},
        validations=[],
    )


def test_a_limit_is_passed_by_no_more_than_was_in_flight_and_the_rest_follows_after_it_was_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(monkeypatch) as (till, url):
        ended = mozart("run", limited_job(tmp_path, url, 1.0), "--json")
        assert ended.exit_code == 3, ended
        paused = ended.document
        assert paused["error"]["code"] == "E506"
        assert paused["cost"]["usd"] == pytest.approx(float(till.due), abs=1e-6)
        longest = (1100 * INPUT + MOST_OUTPUT * OUTPUT) / 1_000_000
        assert 1.0 - 2 * longest < till.due <= 1.0 + AT_ONCE * longest
        limited_job(tmp_path, url, 10)
        ended = mozart("resume", "demo", "--reload-config", "--json")
        assert ended.exit_code == 0, ended
        assert till.answered == 150, "nothing was asked twice"
        assert ended.document["cost"]["usd"] == round(float(till.due), 6)
        assert ended.document["cost"]["saved_usd"] == round(float(150 * (11 * (2 - READ) - 5 * (WRITE - 2)) / 10**6), 6)
        assert ended.document["cost"]["is_complete"]


def test_a_model_without_a_price_and_a_limit_is_refused_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(monkeypatch) as (till, url):
        ended = mozart("run", limited_job(tmp_path, url, 1.0), "--set", "backend.model=claude-omega-9")
    assert ended.exit_code == 2, ended
    assert "V124" in ended.stderr
    assert till.answered == 0
