"""A long beginning that all prompts share is paid for once: one request fills the cache before the others are sent."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer, Call, Reply, text
from support.commands import mozart, write_job

RULES = "Judge by these rules, each as important as the other. " * 400


def test_one_request_warms_the_cache_and_the_saving_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    arrived: list[float] = []
    marked: list[bool] = []

    def answer(call: Call) -> Reply:
        first = call.body["messages"][0]["content"]
        arrived.append(time.monotonic())
        marked.append(isinstance(first, list) and first[0]["text"].startswith("Judge") and "cache_control" in first[0])
        usage = {"input_tokens": 10, "output_tokens": 5}
        kind = "cache_creation_input_tokens" if len(arrived) == 1 else "cache_read_input_tokens"
        return text("fine", usage={**usage, kind: 5000}, delay=0.3)

    with AnthropicServer(answer).in_thread() as server:
        file = write_job(
            tmp_path,
            backend={"type": "anthropic_api", "base_url": server.url, "model": "claude-sonnet-5"},
            batch={"size": 1, "total_items": 6},
            prompt={"template": RULES + "Item {{ batch_num }}."},
            parallel={"enabled": True, "max_concurrent": 6},
            validations=[],
        )
        ended = mozart("run", file, "--json")
    assert ended.exit_code == 0, ended
    assert marked == [True] * 6
    assert min(arrived[1:]) - arrived[0] >= 0.25
    assert ended.document["tokens"]["cache_read"] == 5 * 5000
    assert ended.document["cost"]["saved_usd"] > 0
