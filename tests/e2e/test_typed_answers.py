"""Rows in, typed and validated answers out: 500 rows, every tenth first answer wrong in one of five ways."""

from __future__ import annotations

import csv
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.anthropic_server import AnthropicServer, Call, Reply, text
from support.commands import mozart, write_job

ROWS = 500
PER_BATCH = 5
PRICES = {"input": 3.0, "output": 15.0}
"""US dollars per million tokens."""

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "mood": {"enum": ["good", "bad"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["id", "mood", "score"],
    "additionalProperties": False,
}


def right(number: int) -> dict[str, Any]:
    return {"id": number, "mood": "good" if number % 3 else "bad", "score": number % 7 / 7}


def _document(rows: list[dict[str, Any]]) -> str:
    return json.dumps({"items": rows})


WRONG: tuple[Callable[[list[dict[str, Any]]], str], ...] = (
    lambda rows: "I am sorry, I would rather talk about it.",
    lambda rows: _document(rows)[:-15],
    lambda rows: _document([*rows[:-1], {"id": 1, "score": 0.5}]),
    lambda rows: _document([{**rows[0], "score": "very high"}, *rows[1:]]),
    lambda rows: _document(rows[:-1]),
)


class Ledger:
    """The server's own count of what it answered and what that used."""

    def __init__(self) -> None:
        self.tokens: Counter[str] = Counter()
        self.requests = 0
        self.repairs: list[tuple[int, str]] = []
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Reply:
        messages = call.body["messages"]
        numbers = [int(found) for found in re.findall(r"item-(\d+)!", json.dumps(messages[0]))]
        batch = (numbers[0] - 1) // PER_BATCH
        rows = [right(number) for number in numbers]
        is_first = len(messages) == 1
        said = WRONG[batch // 10 % 5](rows) if is_first and batch % 10 == 0 else _document(rows)
        usage = {"input_tokens": len(json.dumps(messages)) // 4, "output_tokens": len(said) // 4}
        with self._lock:
            self.requests += 1
            self.tokens.update(usage)
            if not is_first:
                self.repairs.append(
                    (batch, messages[-1]["content"] if isinstance(messages[-1]["content"], str) else "")
                )
                assert messages[1]["role"] == "assistant"
        return text(said, usage=usage)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Ledger]:
    """The job of 500 rows, run to its end; its folder and the server's ledger."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    (tmp_path / "rows.csv").write_text("text\n" + "".join(f"item-{number}!\n" for number in range(1, ROWS + 1)))
    ledger = Ledger()
    with AnthropicServer(ledger.answer).in_thread() as server:
        file = write_job(
            tmp_path,
            name="moods",
            backend={"type": "anthropic_api", "base_url": server.url, "model": "claude-sonnet-5"},
            items={"file": "rows.csv"},
            batch={"size": PER_BATCH},
            prompt={"template": "{% for row in items %}{{ row.text }}\n{% endfor %}"},
            answer={"schema": SCHEMA, "per_item": True, "format": "json"},
            parallel={"enabled": True, "max_concurrent": 16},
            cost_limits={"prices": {"claude-sonnet-5": PRICES}},
            validations=[],
        )
        ended = mozart("run", file, "--json")
        assert ended.exit_code == 0, ended
        (tmp_path / "status.json").write_text(ended.stdout)
    return tmp_path, ledger


def test_every_row_gets_its_typed_answer_and_every_bad_answer_one_repair(finished: tuple[Path, Ledger]) -> None:
    folder, ledger = finished
    batches = ROWS // PER_BATCH
    assert ledger.requests == batches + batches // 10
    assert sorted(batch for batch, _ in ledger.repairs) == list(range(0, batches, 10))
    status = json.loads((folder / "status.json").read_text())
    assert status["execution"]["completions"] == batches // 10
    assert status["execution"]["retries"] == 0

    ended = mozart("answers", "moods", "--format", "jsonl")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [row["item"] for row in rows] == list(range(1, ROWS + 1))
    assert [{key: row[key] for key in right(1)} for row in rows] == [right(number) for number in range(1, ROWS + 1)]


def test_tokens_and_cost_are_the_servers_own_count(finished: tuple[Path, Ledger]) -> None:
    folder, ledger = finished
    status = json.loads((folder / "status.json").read_text())
    sent, received = ledger.tokens["input_tokens"], ledger.tokens["output_tokens"]
    assert (status["tokens"]["input"], status["tokens"]["output"]) == (sent, received)
    cost = (sent * PRICES["input"] + received * PRICES["output"]) / 1e6
    assert status["cost"]["usd"] == pytest.approx(cost, abs=1e-6)


def test_the_answers_are_typed_in_every_format(finished: tuple[Path, Ledger]) -> None:
    folder, _ = finished
    target = folder / "answers.csv"
    assert mozart("answers", "moods", "--format", "csv", "-o", target).exit_code == 0
    rows = list(csv.DictReader(target.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == ROWS
    assert (rows[6]["id"], rows[6]["mood"], float(rows[6]["score"])) == ("7", "good", 0.0)
