"""A job on the Message Batches API through the command line: paused while the service works, collected on resume."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.batches_server import BatchesServer, Fate, hurry
from support.commands import Started, mozart, write_job

ROWS = 60
PRICE = {"input": 4.0, "output": 20.0}
"""US dollars per million tokens, the full price."""


def fate(custom_id: str, prompt: str) -> Fate:
    """Rows 7 and 8 fail at their first attempt."""
    return {"7-1": "expired", "8-1": "errored"}.get(custom_id.split("-", 2)[2], "succeeded")  # type: ignore[return-value]  # a dict of literals


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchesServer]:
    monkeypatch.setenv("LOOPBACK_KEY", "sk-loopback")
    hurry(monkeypatch)
    with BatchesServer(processing_seconds=4, fate=fate).in_thread() as server:
        yield server


def job_file(folder: Path, url: str) -> Path:
    (folder / "rows.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(1, ROWS + 1)))
    return write_job(
        folder,
        name="rows",
        backend={"type": "anthropic_batches", "base_url": url, "api_key_env": "LOOPBACK_KEY", "model": "claude-test"},
        items={"file": "rows.csv"},
        batch={"size": 1},
        prompt={"template": "Row {{ item.id }}."},
        cost_limits={"prices": {"claude-sonnet-5": PRICE, "claude-test": PRICE}},
        validations=[{"type": "answer_matches", "pattern": "^answer to: Row {{ item.id }}\\."}],
    )


def test_a_job_paused_while_the_service_works_is_collected_by_its_resume(
    tmp_path: Path, server: BatchesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = job_file(tmp_path, server.url)
    with Started("run", file, cwd=tmp_path) as host:
        host.until("remote.submitted")
        host.signal(signal.SIGINT)
        paused = host.end()
    assert paused.exit_code == 3, paused
    assert f"{ROWS} requests are still being answered" in paused.stderr

    afresh = mozart("run", file, "--fresh")
    assert afresh.exit_code == 2
    assert "handed in are not over yet" in afresh.stderr

    server.processing_seconds = 0.1
    resumed = mozart("resume", "rows", "--json", "-w", "ws")
    assert resumed.exit_code == 0, resumed
    assert sum(len(batch.entries) for batch in server.batches.values()) == ROWS + 2
    assert server.sent_twice == []
    status = resumed.document
    assert (status["progress"]["completed"], status["execution"]["retries"]) == (ROWS, 2)
    tokens = ROWS * (100 * PRICE["input"] + 20 * PRICE["output"]) / 1e6
    assert status["cost"]["usd"] == pytest.approx(tokens / 2)

    asked = server.calls["create"]
    again = mozart("run", file)
    assert again.exit_code == 0, again
    assert server.calls["create"] == asked


def test_after_a_cancel_a_job_may_start_over(
    tmp_path: Path, server: BatchesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.processing_seconds = 30
    file = job_file(tmp_path, server.url)
    with Started("run", file, cwd=tmp_path) as host:
        host.until("remote.submitted")
        host.signal(signal.SIGINT)
        assert host.end().exit_code == 3
    cancelled = mozart("cancel", "rows", "-w", "ws")
    assert cancelled.exit_code == 0, cancelled
    assert [batch.status for batch in server.batches.values()] != ["in_progress"]

    server.processing_seconds = 0.1
    assert mozart("run", file, "--fresh").exit_code == 0


SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


def test_invalid_answers_go_back_to_the_model_in_another_remote_batch(
    tmp_path: Path, server: BatchesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.processing_seconds, server.fate = 0.1, lambda *_: "succeeded"

    def answer(prompt: str) -> str:
        """Every fifth row is refused at first; what is said about that makes the conversation two turns long."""
        number = int(re.findall(r"Row (\d+)", prompt)[0])
        _, _, repair = prompt.partition('"required":["number"]}')
        return json.dumps({"number": number}) if number % 5 or repair.strip() else "I would rather talk about it."

    server.answer = answer
    (tmp_path / "rows.csv").write_text("id\n" + "".join(f"{number}\n" for number in range(1, 21)))
    file = write_job(
        tmp_path,
        name="typed",
        backend={"type": "anthropic_batches", "base_url": server.url, "api_key_env": "LOOPBACK_KEY"},
        items={"file": "rows.csv"},
        batch={"size": 1},
        prompt={"template": "Row {{ item.id }}: say its number."},
        answer={"format": "json", "schema": SCHEMA},
        validations=[],
    )
    ended = mozart("run", file, "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["execution"]["retries"] == 0
    assert sorted(len(batch.entries) for batch in server.batches.values())[-1] == 20
    assert server.submitted.total() == 24
    answers = [
        json.loads(line) for line in mozart("answers", "typed", "--format", "jsonl", "-w", "ws").stdout.splitlines()
    ]
    assert [row["number"] for row in answers] == list(range(1, 21))
