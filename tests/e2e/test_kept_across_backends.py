"""Message batches and single messages ask the same service, so their answers are kept together."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.batches_server import BatchesServer, hurry
from support.commands import Started, mozart, write_job

NAMES = ["Ada", "Emmy", "Grace", "Hedy", "Mary"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchesServer]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-loopback")
    monkeypatch.chdir(tmp_path)
    hurry(monkeypatch)
    with BatchesServer(processing_seconds=0.1).in_thread() as server:
        yield server


def job(folder: Path, url: str, names: Sequence[str] = NAMES, *, backend: str = "anthropic_batches") -> Path:
    (folder / "rows.csv").write_text("name\n" + "".join(f"{name}\n" for name in names))
    return write_job(
        folder,
        name="people",
        backend={"type": backend, "base_url": url},
        items={"file": "rows.csv"},
        batch={"size": 1},
        prompt={"template": "Who was {{ item.name }}?"},
        validations=[],
    )


def sent(server: BatchesServer) -> int:
    return sum(len(batch.entries) for batch in server.batches.values())


def test_one_row_changed_is_one_request_in_a_message_batch_too(tmp_path: Path, server: BatchesServer) -> None:
    assert mozart("run", job(tmp_path, server.url)).exit_code == 0
    assert sent(server) == 5
    again = mozart("run", job(tmp_path, server.url, ["Ada", "Emmy", "Rosalind", "Hedy", "Mary"]))
    assert again.exit_code == 0, again
    assert sent(server) == 6
    assert "4 of 5 answers were kept, 1 asked" in again.stderr


def test_what_message_batches_answered_is_not_asked_again_one_by_one(tmp_path: Path, server: BatchesServer) -> None:
    assert mozart("run", job(tmp_path, server.url)).exit_code == 0
    again = mozart("run", job(tmp_path, server.url, NAMES[1:], backend="anthropic_api"))
    assert again.exit_code == 0, again
    assert "4 of 4 answers were kept, 0 asked" in again.stderr


def test_a_changed_job_whose_requests_are_still_being_answered_is_refused(
    tmp_path: Path, server: BatchesServer
) -> None:
    server.processing_seconds = 30
    with Started("run", job(tmp_path, server.url), cwd=tmp_path) as host:
        host.until("remote.submitted")
        host.signal(signal.SIGINT)
        assert host.end().exit_code == 3
    changed = mozart("run", job(tmp_path, server.url, ["Ada", "Emmy", "Rosalind"]))
    assert changed.exit_code == 2
    assert "handed in are not over yet" in changed.stderr
    assert "mozart resume people" in changed.stderr
    assert sent(server) == 5
