"""Checking what came out of a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from mozart_nb.engine.ports.sessions import ExpectedFile
from mozart_nb.events import RuleResult


class Checker(Protocol):
    """Checks what a batch produced against the rules of the job. `values` are the batch's template variables."""

    async def signatures(self, values: Mapping[str, Any]) -> dict[str, str]:
        """A signature per file that a rule names ("" if it does not exist), keyed by the expanded path."""

    async def check(
        self,
        values: Mapping[str, Any],
        *,
        answer: str,
        baseline: Mapping[str, str],
        before: Mapping[str, str],
        data: Any = None,
    ) -> tuple[RuleResult, ...]:
        """Results in rule order, rules whose `condition` does not hold left out.

        `baseline`: signatures before the batch's first attempt (what `file_modified` compares with); `before`:
        signatures before this attempt (a file that changed since is `evidence`); `data`: the answer as JSON data, None
        where the job asks for text or the answer is none.
        """

    def expected_files(self, values: Mapping[str, Any]) -> tuple[ExpectedFile, ...]:
        """The files that rules want, for whoever produces them (the rehearsal backend)."""


class AnswerReading(msgspec.Struct, frozen=True):
    """What an answer amounts to: its `data` when JSON was asked for, or the `fault` that the model must mend."""

    data: Any = None
    fault: RuleResult | None = None


class AnswerContract(Protocol):
    """What the final answer must look like (`answer` of the job file). `rows` is the number of items of the batch."""

    wants_data: bool
    """Whether answers are JSON data; False: any text will do."""

    def schema(self, rows: int) -> Mapping[str, Any] | None:
        """The JSON Schema of the whole answer, an object at its top; None when there is none."""

    def instructions(self, rows: int) -> str:
        """What the prompt says about the form of the answer; empty for free text."""

    async def read(self, text: str, data: Any, rows: int) -> AnswerReading:
        """Read and check an answer. `data` is what the service itself parsed, None where it gave only `text`.

        The fault is a failed `RuleResult` of type `answer` with rule number 0; its message is for the model.
        """


class Ailment(msgspec.Struct, frozen=True, kw_only=True):
    """A failure that nothing else mends: of an attempt, or, with batch 0, of the job as a whole."""

    job_id: str
    batch: int
    attempt: int
    code: str
    message: str
    results: tuple[RuleResult, ...] = ()
    cycle: int = 1
    """1 for the batch's first healing, 2 for the second."""


class Healing(msgspec.Struct, frozen=True):
    """What came of it. `remedy` is the name of what was applied, empty when nothing was; `guidance` is for people."""

    remedy: str = ""
    guidance: str = ""


class Healer(Protocol):
    """Mends what keeps batches from succeeding, when the user allowed it."""

    async def begin(self) -> Healing:
        """Mend what can be mended before a run's first attempt. Never raises."""

    async def heal(self, ailment: Ailment) -> Healing:
        """Look for a remedy, apply it, say what was done or what a person should do. Never raises."""
