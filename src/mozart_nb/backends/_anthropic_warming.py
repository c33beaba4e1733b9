"""One request fills the prompt cache before the others that share its prefix are sent.

Sent at once, they would all find the cache empty, and each would pay for filling it. A cache entry can be read from the
moment the answer to the request that wrote it begins.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from mozart_nb.engine.ports import Clock

WARM_SECONDS: Final = 240.0
"""Seconds since its last use for which a prefix is taken to be in the cache; the service keeps it for five minutes."""


@dataclass(slots=True)
class _Prefix:
    used_at: float | None = None
    leader: object | None = None
    waiting: set[asyncio.Future[None]] = field(default_factory=set)


class Warming:
    """Who may send for which prefix: its first request at once, the others when that one has begun to be answered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._prefixes: dict[bytes, _Prefix] = {}

    async def enter(self, key: bytes, who: object) -> None:
        """Return when `who` may send for the prefix `key`; at once for an empty key. `leave` must follow."""
        if not key:
            return
        prefix = self._prefixes.setdefault(key, _Prefix())
        while prefix.leader is not None and not self._is_warm(prefix):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            prefix.waiting.add(turn)
            try:
                await turn
            finally:
                prefix.waiting.discard(turn)
        if not self._is_warm(prefix):
            prefix.leader = who

    def began(self, key: bytes) -> None:
        """The answer to a request with the prefix `key` has begun: it is in the cache."""
        if key:
            prefix = self._prefixes[key]
            prefix.used_at = self._clock.wall()
            self._wake(prefix)

    def leave(self, key: bytes, who: object) -> None:
        """`who` is done, however it ended; where it led without success, the next one leads."""
        prefix = self._prefixes.get(key)
        if prefix is not None and prefix.leader is who:
            prefix.leader = None
            self._wake(prefix)

    def _is_warm(self, prefix: _Prefix) -> bool:
        return prefix.used_at is not None and 0 <= self._clock.wall() - prefix.used_at < WARM_SECONDS

    def _wake(self, prefix: _Prefix) -> None:
        for turn in prefix.waiting:
            if not turn.done():
                turn.set_result(None)
