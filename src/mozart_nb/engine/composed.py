"""What a batch's next session is sent, ready to be made a request of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mozart_nb import events as ev
from mozart_nb.engine.ports import ExpectedFile, Script, Turn
from mozart_nb.engine.preflight import Preflight, estimate_tokens


@dataclass(frozen=True, slots=True)
class Composed:
    """What a batch's next session is sent. `values` are its template variables, `rows` the number of its items.

    `content` is the hash of the batch's request where answers are kept by content, whatever the kind of attempt.
    """

    prompt: str
    values: Mapping[str, Any]
    preflight: Preflight
    expects: Sequence[ExpectedFile] = ()
    script: Script | None = None
    rows: int = 0
    content: str = ""
    earlier: Sequence[Turn] = ()
    attachments: Sequence[str] = ()
    answer_schema: Mapping[str, Any] | None = None
    shared_prefix: int = 0

    def with_finding(self, message: str) -> Composed:
        """The same with one more thing to know about its prompt."""
        findings = (*self.preflight.findings, ev.Finding(message))
        return replace(self, preflight=msgspec.structs.replace(self.preflight, findings=findings))

    def with_addition(self, text: str) -> Composed:
        """The same with `text` at the end of its prompt."""
        prompt = f"{self.prompt.rstrip()}\n\n{text}"
        sizes = {"tokens": estimate_tokens(prompt), "characters": len(prompt), "lines": prompt.count("\n") + 1}
        return replace(self, prompt=prompt, preflight=msgspec.structs.replace(self.preflight, **sizes))
