"""Files that go along with prompts: found from the job file's folder, and part of what is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.anthropic_server import AnthropicServer, Call, Reply, text
from support.commands import mozart, write_job


def api_job(folder: Path, url: str, **backend: Any) -> Path:
    return write_job(
        folder,
        backend={"type": "anthropic_api", "base_url": url, "attachments": ["notes/{{ batch_num }}.txt"], **backend},
        batch={"size": 1, "total_items": 2},
        validations=[],
    )


def test_files_are_found_beside_the_job_file_and_a_changed_one_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    home = tmp_path / "project"
    (home / "notes").mkdir(parents=True)
    for number in (1, 2):
        (home / "notes" / f"{number}.txt").write_text(f"note number {number}")
    sent: list[str] = []

    def answer(call: Call) -> Reply:
        sent.append(json.dumps(call.body["messages"]))
        return text("seen")

    with AnthropicServer(answer).in_thread() as server:
        file = api_job(home, server.url)
        ended = mozart("run", file, "--json")
        assert ended.exit_code == 0, ended
        assert sorted("note number 1" in body for body in sent) == [False, True]
        assert sorted("note number 2" in body for body in sent) == [False, True]

        sent.clear()
        (home / "notes" / "2.txt").write_text("another note")
        assert mozart("run", file, "--set", "retry.max_retries=2").exit_code == 0
        assert len(sent) == 1
        assert "another note" in sent[0]


def test_a_file_that_is_not_there_fails_its_batch_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    with AnthropicServer().in_thread() as server:
        ended = mozart("run", api_job(tmp_path, server.url), "--json")
        assert ended.exit_code == 1
        assert server.calls == []
    batch = ended.document["batches"]["1"]
    assert batch["error_code"] == "E601"
    assert str(tmp_path / "notes" / "1.txt") in json.dumps(ended.document)
