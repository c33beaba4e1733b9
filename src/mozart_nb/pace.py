"""The pace of requests: what the job file allows per minute, and what the service itself says is left.

Configured limits are dealt out evenly with a small burst, so that neither a bucket that is refilled all the time nor a
count over the last minute refuses. Jobs of one account on one loop whose files name the same limits share them: the
number is that of the account, and they stay below it together.

What the service says about its own limits is followed as well: as one of them nears its end, requests go out no faster
than the service refills it. Several jobs and processes of one account need no agreement for that: each sees what the
others have left over and slows down until all of them fit.

All times are those of the running event loop, in seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from aiolimiter import AsyncLimiter

from mozart_nb.engine.ports import Allowance, Pace
from mozart_nb.job.policies import RateLimitPolicy

MINUTE_SECONDS: Final = 60.0

EVEN: Final = 0.95
"""The share of a configured limit that is dealt out evenly; with `BURST` it stays below the limit in any minute, also
when requests sent apart arrive together."""

BURST: Final = 0.02
"""The share of a configured limit that may go out at once after a rest."""

NEAR: Final = 0.2
"""Below this share of a limit, what the service has left is dealt out; above it, requests do not wait."""

KEPT: Final = 0.05
"""At this share requests go out as fast as the service refills the limit, below it more slowly."""

SLOWEST: Final = 0.02
"""However little is left, requests go out at this share of the refill, or nobody would learn that there is more."""

MOST_OUTSTANDING: Final = 0.5
"""Requests under way are taken off what the service says is left, but never more than this share of the limit."""

_LOOK_AGAIN_SECONDS: Final = 0.25
_SHORTEST_SECONDS: Final = 0.001


class NoPace:
    """Requests may go out whenever they like."""

    async def admit(self, tokens: int) -> None:
        """At once."""

    def used(self, expected: int, actual: int) -> None:
        """Nobody counts."""

    def heard(self, allowances: Sequence[Allowance]) -> None:
        """Nobody listens."""


# --- limits of the job file -------------------------------------------------------------------------------------------


class _Bucket:
    """One configured limit. What was charged stands in the limiter and drains evenly; nobody goes while it stands high.

    A request is charged when it goes, not while it waits: a wait that is cancelled changes nothing, and a request
    larger than the burst, or than the whole limit, goes out all the same and makes the next ones wait.
    """

    def __init__(self, per_minute: float, minute_seconds: float) -> None:
        rate = per_minute * EVEN / minute_seconds
        self._burst = per_minute * BURST
        # The limiter takes back nothing and refuses what exceeds its size, so it gets room for a day's worth of debt.
        self._room = per_minute * 1440
        self._limiter = AsyncLimiter(self._room, self._room / rate)
        self._step = self._burst / rate / 20
        self._correction = 0.0

    async def settle(self) -> None:
        """Wait until no more than the burst stands."""
        await self._enter()
        # Not by the limiter's own waiting, which lets smaller amounts overtake larger ones for ever.
        while not self._limiter.has_capacity(self._room - self._burst):
            await asyncio.sleep(self._step)
            await self._enter()

    async def charge(self, amount: float) -> None:
        """Let `amount` stand. Does not wait."""
        self._correction += amount
        await self._enter()

    def correct(self, amount: float) -> None:
        """So much more was used than was charged, or less, if negative: later charges are the smaller for it."""
        self._correction += amount

    async def _enter(self) -> None:
        if self._limiter.has_capacity(self._room):
            self._correction = max(self._correction, 0.0)  # nothing stands: what is given back has drained already
        if self._correction > 0:
            await self._limiter.acquire(min(self._correction, self._room))
            self._correction = 0.0


# --- limits of the service --------------------------------------------------------------------------------------------


class _ServiceLimit:
    """One limit as the service last stated it, and what should be left of it by now."""

    def __init__(self, minute_seconds: float) -> None:
        self._minute_seconds = minute_seconds
        self._limit = 0.0
        self._left = 0.0
        self._at = 0.0
        self._admitted_at = 0.0

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be asked for, as far as is known now."""
        left = self._left_at(now)
        # A request larger than the limit is for the service to refuse: it must not wait for ever.
        share = (left - min(amount, self._limit * (1 - NEAR))) / self._limit
        if share >= NEAR:
            return 0.0
        pace = self._refill * max(share / KEPT, SLOWEST)
        return self._admitted_at + amount / pace - now

    def admit(self, amount: float, now: float) -> None:
        self._set(self._left_at(now) - amount, now)
        self._admitted_at = now

    def correct(self, amount: float, now: float) -> None:
        """So much less (or more, if negative) was used than was thought."""
        self._set(self._left_at(now) + amount, now)

    def hear(self, allowance: Allowance, outstanding: float, now: float) -> None:
        self._limit = allowance.limit
        # The service may not have counted what is under way; it refills while that takes its time.
        self._set(allowance.remaining - min(outstanding, MOST_OUTSTANDING * self._limit), now)

    @property
    def _refill(self) -> float:
        return self._limit / self._minute_seconds

    def _left_at(self, now: float) -> float:
        return min(self._limit, self._left + (now - self._at) * self._refill)

    def _set(self, left: float, now: float) -> None:
        self._left, self._at = left, now


class Line:
    """Requests that wait for the same configured limits, in the order in which they came."""

    def __init__(self, requests: float | None, tokens: float | None, minute_seconds: float) -> None:
        self.turn = asyncio.Lock()  # it lets whoever waits longest go first
        self.requests = _Bucket(requests, minute_seconds) if requests else None
        self.tokens = _Bucket(tokens, minute_seconds) if tokens else None

    async def settle(self) -> None:
        """Wait until the limits let one more go."""
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                await bucket.settle()

    async def charge(self, tokens: float) -> None:
        """A request of so many tokens goes. Does not wait."""
        if self.requests is not None:
            await self.requests.charge(1)
        if self.tokens is not None:
            await self.tokens.charge(tokens)


class Account:
    """The limits of one account: those that job files name, and what the service says about its own. The jobs of one
    loop share it (see `account`)."""

    def __init__(self, minute_seconds: float = MINUTE_SECONDS) -> None:
        self._minute_seconds = minute_seconds
        self._limits: dict[str, _ServiceLimit] = {}
        self._lines: dict[tuple[float, float], Line] = {}
        self._requests = 0
        self._tokens = 0.0

    def line(self, requests: float | None, tokens: float | None) -> Line:
        """Where those wait whose files name these limits; who names none waits for nobody."""
        if not requests and not tokens:
            return Line(None, None, self._minute_seconds)
        key = (requests or 0.0, tokens or 0.0)
        if key not in self._lines:
            self._lines[key] = Line(requests, tokens, self._minute_seconds)
        return self._lines[key]

    def wait(self, tokens: float, now: float) -> float:
        """Seconds until a request of so many tokens may go out, as far as is known now; 0 or less: at once."""
        waits = (limit.wait(_amount(kind, tokens), now) for kind, limit in self._limits.items())
        return max(waits, default=0.0)

    def admit(self, tokens: float, now: float) -> None:
        """A request of so many tokens goes out."""
        self._requests += 1
        self._tokens += tokens
        for kind, limit in self._limits.items():
            limit.admit(_amount(kind, tokens), now)

    def used(self, admitted: float, actual: float, now: float) -> None:
        """A request is over that was admitted with so many tokens."""
        self._requests = max(0, self._requests - 1)
        self._tokens = max(0.0, self._tokens - admitted)
        for kind, limit in self._limits.items():
            if kind != "requests":
                limit.correct(admitted - actual, now)

    def heard(self, allowances: Sequence[Allowance], now: float) -> None:
        """The service said this in its last reply."""
        for allowance in allowances:
            if allowance.limit <= 0:
                continue
            limit = self._limits.get(allowance.kind)
            if limit is None:
                limit = self._limits[allowance.kind] = _ServiceLimit(self._minute_seconds)
            outstanding = self._requests if allowance.kind == "requests" else self._tokens
            limit.hear(allowance, outstanding, now)


def _amount(kind: str, tokens: float) -> float:
    """What a request takes of a limit. Input and output are not told apart: the service's next word puts it right."""
    return 1.0 if kind == "requests" else tokens


_accounts: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, Account]] = WeakKeyDictionary()


def account(key: str) -> Account:
    """The account of that name (see `gate.account_key`), the same for all jobs on the running loop.

    Other processes have one of their own; they learn of each other through what the service has left.
    """
    on_loop = _accounts.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    found = on_loop.get(key)
    if found is None:
        found = on_loop[key] = Account()
    return found


# --- the pace of a job ------------------------------------------------------------------------------------------------


class MinutePace:
    """Requests and tokens per minute, in the order in which they were asked for. Works on one event loop.

    `None` sets no limit of its own; what the service says (`heard`) always counts. Every admission is followed by one
    `used`, with 0 tokens when nothing came of it.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        shared: Account | None = None,
        minute_seconds: float = MINUTE_SECONDS,
    ) -> None:
        self._account = shared or Account(minute_seconds)
        self._line = self._account.line(requests_per_minute, tokens_per_minute)
        self._ratio = _Ratio()
        self._admitted: dict[int, deque[float]] = {}

    async def admit(self, tokens: int) -> None:
        """Wait until a request of about `tokens` (input and expected output) may be sent."""
        async with self._line.turn:
            await self._line.settle()
            while (wait := self._account.wait(self._ratio.of(tokens), _now())) > 0:  # noqa: ASYNC110 (may get better)
                await asyncio.sleep(min(max(wait, _SHORTEST_SECONDS), _LOOK_AGAIN_SECONDS))
            await self._charge(tokens)  # nothing was charged before, so a wait may be cancelled at any moment

    def used(self, expected: int, actual: int) -> None:
        """A request admitted with `expected` tokens used `actual` ones; 0 when it was refused or never sent."""
        waiting = self._admitted.get(expected)
        admitted = waiting.popleft() if waiting else 0.0
        if not waiting:
            self._admitted.pop(expected, None)
        if actual:
            self._ratio.learn(expected, actual)
        if self._line.tokens is not None:
            self._line.tokens.correct(actual - admitted)
        self._account.used(admitted, actual, _now())

    def heard(self, allowances: Sequence[Allowance]) -> None:
        """What the service said about its limits in its last reply."""
        self._account.heard(allowances, _now())

    async def _charge(self, tokens: int) -> None:
        likely = self._ratio.of(tokens)
        self._admitted.setdefault(tokens, deque()).append(likely)
        await self._line.charge(likely)
        self._account.admit(likely, _now())


def minute_pace(policy: RateLimitPolicy, key: str) -> Pace:
    """The pace of a job whose backend hears what the service says. `key` names the account."""
    return MinutePace(policy.requests_per_minute, policy.tokens_per_minute, shared=account(key))


def configured_pace(policy: RateLimitPolicy, key: str = "") -> Pace:
    """The pace of a job whose backend hears nothing: as the job file says, or none. Without a `key` it has no account
    that it shares with others."""
    if policy.requests_per_minute is None and policy.tokens_per_minute is None:
        return NoPace()
    shared = account(key) if key else None
    return MinutePace(policy.requests_per_minute, policy.tokens_per_minute, shared=shared)


class _Ratio:
    """How many tokens requests really use for each that was expected, the last hundred or so counting most."""

    _FADING = 0.98

    def __init__(self) -> None:
        self._expected = 0.0
        self._actual = 0.0

    def of(self, expected: int) -> float:
        """What a request is likely to use."""
        ratio = self._actual / self._expected if self._expected else 1.0
        return expected * min(max(ratio, 0.01), 100.0)

    def learn(self, expected: int, actual: int) -> None:
        self._expected = self._expected * self._FADING + expected
        self._actual = self._actual * self._FADING + actual


def _now() -> float:
    return asyncio.get_running_loop().time()
