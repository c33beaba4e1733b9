"""A service that enforces requests and tokens per minute as Anthropic documents it: in memory, and on loopback.

    limits = Limits(requests=1000, tokens=100_000)
    with LimitedServer(limits).in_thread() as server:
        ...  # ANTHROPIC_BASE_URL=server.url
    assert limits.statuses[429] == 0

Every reply carries the `anthropic-ratelimit-*` headers, a refusal `retry-after` as well. Input tokens count when a
request arrives, output tokens when it is answered. With `sliding`, what counts is the last minute as a whole, which is
stricter than a bucket that is refilled all the time.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from support.anthropic_server import AnthropicServer, Call, Reply, refuse, text

from mozart_nb.engine.ports import Allowance


class _Bucket:
    """Full at first, refilled evenly; may be overdrawn by what is only known afterwards."""

    def __init__(self, limit: float, minute: float) -> None:
        self.limit = limit
        self._minute = minute
        self._left = limit
        self._at = 0.0

    def left(self, now: float) -> float:
        self._left = min(self.limit, self._left + max(0.0, now - self._at) * self.limit / self._minute)
        self._at = max(now, self._at)
        return self._left

    def take(self, amount: float, now: float) -> None:
        self._left = self.left(now) - amount

    def seconds_until(self, amount: float, now: float) -> float:
        return max(0.0, amount - self.left(now)) / self.limit * self._minute


class _Sliding:
    """Whatever was taken in the last minute is gone."""

    def __init__(self, limit: float, minute: float) -> None:
        self.limit = limit
        self._minute = minute
        self._taken: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def left(self, now: float) -> float:
        while self._taken and self._taken[0][0] <= now - self._minute:
            self._sum -= self._taken.popleft()[1]
        return self.limit - self._sum

    def take(self, amount: float, now: float) -> None:
        self._taken.append((now, amount))
        self._sum += amount

    def seconds_until(self, amount: float, now: float) -> float:
        missing, wait = amount - self.left(now), 0.0
        for at, taken in self._taken:
            if missing <= 0:
                return wait
            missing -= taken
            wait = at + self._minute - now
        return wait if missing <= 0 else self._minute


@dataclass
class Limits:
    """The limits of one account and what became of requests. `minute` is the length of its minute in seconds."""

    requests: float = 1000
    tokens: float = 100_000
    minute: float = 60.0
    sliding: bool = False
    names_wait: bool = True
    statuses: Counter[int] = field(default_factory=Counter)
    during_wait: int = 0
    """Requests that came in although a refusal had asked to wait longer."""
    first_at: float | None = None
    last_at: float = 0.0
    tokens_used: float = 0.0

    def __post_init__(self) -> None:
        kind = _Sliding if self.sliding else _Bucket
        self._limits = {"requests": kind(self.requests, self.minute), "tokens": kind(self.tokens, self.minute)}
        self._wait_until = 0.0

    def arrive(self, tokens: float, now: float) -> float:
        """A request of so many input tokens; 0 when it is let in, else the seconds it is asked to wait."""
        self.first_at = now if self.first_at is None else self.first_at
        self.last_at = now
        self.during_wait += now < self._wait_until
        wants = {"requests": 1.0, "tokens": tokens}
        wait = max(limit.seconds_until(wants[kind], now) for kind, limit in self._limits.items())
        self.statuses[429 if wait else 200] += 1
        if wait:
            wait = float(math.ceil(wait)) if self.minute >= 60 else wait
            self._wait_until = max(self._wait_until, now + wait)
            return wait
        for kind, limit in self._limits.items():
            limit.take(wants[kind], now)
        self.tokens_used += tokens
        return 0.0

    def answered(self, tokens: float, now: float) -> None:
        """An answer of so many tokens went out."""
        self._limits["tokens"].take(tokens, now)
        self.tokens_used += tokens

    def allowances(self, now: float) -> list[Allowance]:
        return [Allowance(kind, limit.limit, max(0.0, limit.left(now))) for kind, limit in self._limits.items()]

    def headers(self, now: float, wall: float) -> dict[str, str]:
        """What a reply says about the limits."""
        said: dict[str, str] = {}
        for kind, limit in self._limits.items():
            full = datetime.fromtimestamp(wall + limit.seconds_until(limit.limit, now), UTC)
            prefix = f"anthropic-ratelimit-{kind}"
            said[f"{prefix}-limit"] = f"{limit.limit:.0f}"
            said[f"{prefix}-remaining"] = f"{max(0.0, limit.left(now)):.0f}"
            said[f"{prefix}-reset"] = full.strftime("%Y-%m-%dT%H:%M:%SZ")
        return said

    @property
    def refused_share(self) -> float:
        return self.statuses[429] / max(1, self.statuses.total())


class LimitedServer(AnthropicServer):
    """Enforces `limits` on loopback. `answer(call)` gives the length of the answer in tokens; `latency` is in seconds.

    Input tokens are a quarter of the characters of the prompt.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        answer: Callable[[Call], int] = lambda call: 50,
        latency: float = 0.05,
        with_headers: bool = True,
    ) -> None:
        super().__init__(self._reply)
        self.limits = limits
        self._length_of = answer
        self._latency = latency
        self._with_headers = with_headers

    def _reply(self, call: Call) -> Reply:
        now = time.monotonic()
        asked = max(1, sum(map(len, call.prompts)) // 4)
        if wait := self.limits.arrive(asked, now):
            named = {"retry_after": f"{wait:g}"} if self.limits.names_wait else {}
            return self._with(refuse(429, "rate limit reached", **named), now)
        output = self._length_of(call)
        self.limits.answered(output, now)
        usage = {"input_tokens": asked, "output_tokens": output}
        return self._with(text(f"answer to: {call.prompt[:50]}", delay=self._latency, usage=usage), now)

    def _with(self, reply: Reply, now: float) -> Reply:
        said: Mapping[str, str] = self.limits.headers(now, time.time()) if self._with_headers else {}
        reply.headers.update(said)
        return reply
