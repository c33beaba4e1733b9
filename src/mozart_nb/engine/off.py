"""What stands in where something is not wanted: ports that do nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mozart_nb.engine.ports import Ailment, AnswerReading, Claim, Healing


class FreeText:
    """Any answer will do (`engine.ports.AnswerContract`)."""

    wants_data = False

    def schema(self, rows: int) -> Mapping[str, Any] | None:
        """There is none."""
        return None

    def instructions(self, rows: int) -> str:
        """Nothing is said about the form."""
        return ""

    async def read(self, text: str, data: Any, rows: int) -> AnswerReading:
        """Nothing is wrong with any text."""
        return AnswerReading()


class NothingKept:
    """No answer is ever kept (`engine.ports.KeptAnswers`)."""

    async def claim(self, batch: int, content: str) -> Claim:
        """Nothing is known of any request."""
        return Claim("")


class NoHealer:
    """Nothing is ever mended (`engine.ports.Healer`)."""

    async def begin(self) -> Healing:
        """Nothing is looked for."""
        return Healing()

    async def heal(self, ailment: Ailment) -> Healing:
        """There is no remedy."""
        return Healing()
