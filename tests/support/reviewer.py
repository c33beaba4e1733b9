"""A server side for `examples/commit-review.yaml`: plays the model that reviews commits, with its mishaps.

The real `claude` program does the writing, through its own tools; this only says what to write.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from support.anthropic_server import Call, Reply, refuse, text, tool, uses

PARTIAL = frozenset({3, 17, 40})
"""Batches whose first session writes two of the three reports."""

LIMITED, OVERLOADED, BROKEN_AT_THE_END = 8, 12, 20
"""Batches that meet a 429, a 529, and an error after every file is in place."""


class Reviewer:
    """The handler of an `AnthropicServer`. `prompts` counts what was asked per batch and kind.

    The key of batch `bad_key` is refused.
    """

    def __init__(self, *, mishaps: bool = True, bad_key: int) -> None:
        self.bad_key = bad_key
        self.mishaps = mishaps
        self.prompts: Counter[tuple[int, str]] = Counter()
        self.sessions: dict[int, list[str]] = defaultdict(list)

    def __call__(self, call: Call) -> Reply:
        batch = int(_found(r"Review batch (\d+) of", call.prompts[0]))
        if call.session_id not in self.sessions[batch]:
            self.sessions[batch].append(call.session_id)
        kind = "completion" if len(call.prompts) > 1 else "task"
        rounds = _rounds(call)
        if rounds == 0:
            self.prompts[batch, kind] += 1
        mishap = self._mishap(batch, call, rounds) if self.mishaps else None
        return mishap or self._work(batch, call, kind, rounds)

    def _mishap(self, batch: int, call: Call, rounds: int) -> Reply | None:
        is_first_session = self.sessions[batch][0] == call.session_id
        if batch == LIMITED and is_first_session:
            return refuse(429, "This request would exceed your rate limit. Please try again in 2 seconds.")
        if batch == OVERLOADED and is_first_session:
            return refuse(529, "Overloaded")
        if batch == BROKEN_AT_THE_END and rounds == 2:
            return refuse(500, "Internal server error")
        if batch == self.bad_key:
            return refuse(401, "invalid x-api-key")
        return None

    def _work(self, batch: int, call: Call, kind: str, rounds: int) -> Reply:
        workspace = _found(r"(\S+)/reports/batch-\d+-security\.md", call.prompts[0])
        reports = [
            f"{workspace}/reports/batch-{batch}-{topic}.md" for topic in ("security", "correctness", "maintainability")
        ]
        tracking = [f"{workspace}/tracking/{name}.md" for name in ("progress", "findings")]
        if kind == "completion":
            reports, tracking = [path for path in reports if path in call.prompt], []
        elif batch in PARTIAL and self.mishaps:
            reports = reports[:2]
        if rounds == 0:
            writes = [tool("Write", file_path=path, content=f"# Batch {batch}\n\nNothing found.\n") for path in reports]
            return uses(*writes, *(tool("Read", file_path=path) for path in tracking), words="I write the reports.")
        if rounds == 1 and tracking:
            line = f"batch {batch} reviewed\n"
            return uses(*(tool("Write", file_path=path, content=line) for path in tracking))
        return text(f"Batch {batch} is reviewed.")


def _rounds(call: Call) -> int:
    """How often tools have answered since the user last said something."""
    rounds = 0
    for message in reversed(call.body["messages"]):
        content = message["content"]
        blocks = content if isinstance(content, list) else []
        if message["role"] == "user":
            if any(block.get("type") == "tool_result" for block in blocks):
                rounds += 1
            elif (
                not all(block.get("text", "").lstrip().startswith("<system-reminder>") for block in blocks)
                or not blocks
            ):
                break
    return rounds


def _found(pattern: str, words: str) -> str:
    match = re.search(pattern, words)
    assert match, f"{pattern} not in {words[:300]}"
    return match[1]
