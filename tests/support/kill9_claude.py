"""Killing hosts whose sessions of the real `claude` program outlive them: what was sent is counted at the server."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from support.anthropic_server import AnthropicServer, Call, Reply, text, use
from support.kill9 import Job, Tally
from support.raw_journal import Row, of_kind

REQUESTS_PER_SESSION = 2
"""One answer that asks for the Write tool, and one after its result."""


class Scribe:
    """Answers like a slow model: first it writes the file that the prompt names, then it says so."""

    def __init__(self, rng: random.Random, slowest_seconds: float = 1.0, quickest_seconds: float = 0.3) -> None:
        self._rng = rng
        self._range = quickest_seconds, slowest_seconds

    def __call__(self, call: Call) -> Reply:
        delay = self._rng.uniform(*self._range)
        if call.tool_results:
            return text("It is written.", delay=delay)
        named = re.search(r"Write (\S+\.md) about item (\d+)", call.prompt)
        if named is None:
            return text(f"I do not know what to do with: {call.prompt[:100]}")
        reply = use("Write", file_path=named[1], content=f"Item {named[2]}.\n")
        return Reply(reply.blocks, stop_reason=reply.stop_reason, delay=delay)


def claude_job(folder: Path, claude: str, batches: int, *, max_concurrent: int = 4, **sections: Any) -> Job:
    """A job for the real program, in a folder of its own."""
    config: dict[str, Any] = {
        "name": "kill9",
        "backend": {"type": "claude_cli", "cli_path": claude, "setting_sources": [], "timeout_seconds": 120},
        "batch": {"size": 1, "total_items": batches},
        "prompt": {"template": "Write {{ workspace }}/out/{{ batch_num }}.md about item {{ batch_num }}."},
        "parallel": {"enabled": True, "max_concurrent": max_concurrent},
        "retry": {"max_retries": 2, "base_delay_seconds": 0.5, "completion_delay_seconds": 0},
        "validations": [
            {"type": "content_contains", "path": "{workspace}/out/{batch_num}.md", "pattern": "Item {batch_num}."}
        ],
        **sections,
    }
    return Job(folder, config)


def item_of(prompt: str) -> int:
    found = re.search(r"about item (\d+)", prompt)
    return int(found[1]) if found else 0


def count_at_the_server(server: AnthropicServer, rows: tuple[Row, ...], tally: Tally) -> None:
    """Every batch was sent in one session, and nothing of it twice; what is not so goes to `tally.paid_twice`.

    A second session of a batch is right only where the first one failed by itself, or was gone before it sent anything.
    """
    sent: dict[int, set[str]] = defaultdict(set)
    for call in server.calls:
        sent[item_of(call.prompt)].add(call.session_id)
    opened = {row["session_id"]: row for row in of_kind(rows, "session.opened")}
    failed = {(row["batch"], row["attempt"]) for row in of_kind(rows, "session.finished") if row.get("code")}
    for batch, sessions in sorted(sent.items()):
        strangers = sessions - set(opened)
        if strangers:
            tally.paid_twice.append(f"batch {batch}: the server saw sessions that no journal knows: {strangers}")
        paid = [s for s in sessions & set(opened) if (batch, opened[s]["attempt"]) not in failed]
        if len(paid) > 1:
            tally.paid_twice.append(f"batch {batch} was sent in {len(paid)} sessions")
    for session, requests in server.sessions.items():
        row = opened.get(session)
        if row is not None and (row["batch"], row["attempt"]) in failed:
            continue
        if requests != REQUESTS_PER_SESSION:
            tally.paid_twice.append(f"session {session} sent {requests} requests")
