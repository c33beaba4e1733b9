"""Pace for backends that do not keep one themselves."""

from __future__ import annotations

from typing import Any

from mozart_nb.engine.ports import Backend, Health, Pace, Reattaches, Report, SessionRequest, SessionResult
from mozart_nb.events import Usage

FIRST_OUTPUT_TOKENS = 1024
"""How long answers are taken to be before the first one is known, unless `max_tokens` allows less."""

_FADING = 0.9


class Expectation:
    """How many tokens a request will use: what is sent, and the mean length of the last answers."""

    def __init__(self) -> None:
        self._output: float | None = None

    def tokens(self, request: SessionRequest) -> int:
        """Input and output together."""
        allowed = int(request.options.get("max_tokens") or FIRST_OUTPUT_TOKENS)
        output = self._output if self._output is not None else FIRST_OUTPUT_TOKENS
        return max(1, request.prompt_tokens + round(min(output, allowed)))

    def learn(self, usage: Usage) -> None:
        """An answer has come."""
        if usage.output_tokens:
            before = self._output if self._output is not None else usage.output_tokens
            self._output = before * _FADING + usage.output_tokens * (1 - _FADING)


def limited_tokens(usage: Usage) -> int:
    """The tokens that count towards limits: what is read from a prompt cache does not.

    Source: the service's documentation of rate limits, on cache-aware limits.
    """
    return usage.input_tokens + usage.cache_write_tokens + usage.output_tokens


class PacedBackend:
    """`backend`, but each session waits for its turn before it is opened. A session counts as one request.

    Everything else is the backend's own; sessions that are picked up again were admitted when they began.
    """

    def __init__(self, backend: Backend, pace: Pace) -> None:
        self._backend = backend
        self._pace = pace
        self._expectation = Expectation()
        self.name = backend.name
        self.family = backend.family
        self.continues_by = backend.continues_by
        self.outlives_host = backend.outlives_host
        self.is_free = backend.is_free

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def run(self, request: SessionRequest, report: Report) -> SessionResult:
        """As the backend's; a cancellation while waiting leaves nothing behind."""
        expected = self._expectation.tokens(request)
        await self._pace.admit(expected)
        actual = 0
        try:
            result = await self._backend.run(request, report)
            actual = limited_tokens(result.usage)
            self._expectation.learn(result.usage)
            return result
        finally:
            self._pace.used(expected, actual)

    async def reattach(self, request: SessionRequest, report: Report) -> SessionResult | None:
        """As the backend's; None where it has no sessions to find again."""
        if not isinstance(self._backend, Reattaches):
            return None
        return await self._backend.reattach(request, report)

    async def check(self) -> Health:
        """As the backend's."""
        return await self._backend.check()
