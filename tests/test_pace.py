"""The pace of requests, against a service in memory that refuses what goes beyond its limits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.limited_server import Limits
from support.virtual_time import run_virtual

from mozart_nb.engine.ports import Allowance, Pace
from mozart_nb.job.policies import RateLimitPolicy
from mozart_nb.pace import MinutePace, NoPace, account, configured_pace, minute_pace


@dataclass
class Client:
    """Sends requests to a service with limits, so many at a time, and tells the pace what comes back."""

    limits: Limits
    pace: Pace
    listens: bool = False
    latency: float = 1.0
    expected: int = 100
    uses: Callable[[int], tuple[int, int]] = lambda number: (50, 50)
    """Number of the request → tokens of its input and of its output."""
    sent: list[tuple[float, int]] = field(default_factory=list)

    async def run(self, requests: int, at_once: int = 64, jitter: float = 0.05) -> None:
        numbers, chance = iter(range(requests)), random.Random(1)

        async def worker() -> None:
            for number in numbers:
                await self._one(number, chance.uniform(0, jitter))

        await asyncio.gather(*(worker() for _ in range(at_once)))

    async def _one(self, number: int, underway: float) -> None:
        await self.pace.admit(self.expected)
        now = asyncio.get_running_loop().time
        self.sent.append((now(), number))
        await asyncio.sleep(underway)
        given, answer = self.uses(number)
        refused = self.limits.arrive(given, now())
        await asyncio.sleep(self.latency)
        if not refused:
            self.limits.answered(answer, now())
        if self.listens:
            self.pace.heard(self.limits.allowances(now()))
        self.pace.used(self.expected, 0 if refused else given + answer)


def throughput(limits: Limits) -> float:
    """The share of what the limit allows per minute, by what binds, from the first request to the last."""
    assert limits.first_at is not None
    minutes = (limits.last_at - limits.first_at) / limits.minute
    return max(limits.statuses[200] / limits.requests, limits.tokens_used / limits.tokens) / minutes


sliding = pytest.mark.parametrize("sliding", [False, True], ids=["refilled", "sliding"])


@sliding
def test_configured_requests_per_minute_are_used_and_never_exceeded(sliding: bool) -> None:
    limits = Limits(requests=1000, tokens=1e9, sliding=sliding)

    run_virtual(_send(Client(limits, MinutePace(1000)), 5000))

    assert limits.statuses[429] == 0
    assert throughput(limits) > 0.93


async def _send(client: Client, requests: int, at_once: int = 64) -> Client:
    await client.run(requests, at_once)
    return client


@sliding
@pytest.mark.parametrize("expected", [40, 200, 1000])
def test_configured_tokens_per_minute_are_used_and_never_exceeded_however_wrong_the_guess(
    sliding: bool, expected: int
) -> None:
    limits = Limits(requests=1e6, tokens=100_000, sliding=sliding)
    lengths = random.Random(2)

    def uses(number: int) -> tuple[int, int]:
        return lengths.randint(50, 150), lengths.randint(20, 180)

    run_virtual(_send(Client(limits, MinutePace(None, 100_000), expected=expected, uses=uses), 3000))

    assert limits.refused_share < 0.01
    assert throughput(limits) > 0.9


def test_a_job_without_limits_of_its_own_learns_those_of_the_service() -> None:
    limits = Limits(requests=1000, tokens=100_000)
    client = Client(limits, MinutePace(), listens=True, latency=0.5, uses=lambda number: (60, 60))

    run_virtual(_send(client, 4000))

    assert limits.refused_share < 0.01
    assert throughput(limits) > 0.95


@pytest.mark.parametrize("latency", [0.1, 3.0, 20.0])
def test_what_is_learned_holds_for_fast_and_slow_services(latency: float) -> None:
    limits = Limits(requests=600, tokens=1e9)

    run_virtual(_send(Client(limits, MinutePace(), listens=True, latency=latency), 4000, at_once=256))

    assert limits.refused_share < 0.01
    assert throughput(limits) > 0.95


def test_requests_do_not_wait_while_the_service_has_plenty_left() -> None:
    limits = Limits(requests=1000, tokens=1e9)
    client = Client(limits, MinutePace(), listens=True, latency=0.05)

    _, elapsed = run_virtual(_send(client, 500, at_once=50))

    assert elapsed < 2


def test_two_jobs_of_one_account_share_what_the_service_has_left() -> None:
    limits = Limits(requests=600, tokens=1e9)

    async def both() -> list[Client]:
        paces = [minute_pace(RateLimitPolicy(), "a key") for _ in range(2)]
        return await asyncio.gather(*(_send(Client(limits, pace, listens=True), 1000) for pace in paces))

    first, second = run_virtual(both())[0]

    assert limits.refused_share < 0.01
    assert first.sent[-1][0] == pytest.approx(second.sent[-1][0], rel=0.1)


def test_jobs_of_one_account_that_name_the_same_limit_stay_below_it_together() -> None:
    limits = Limits(requests=300, tokens=1e9, sliding=True)
    policy = RateLimitPolicy(requests_per_minute=300)

    async def run() -> list[Client]:
        jobs = [Client(limits, minute_pace(policy, "one account")) for _ in range(3)]
        jobs.append(Client(limits, configured_pace(policy, "one account")))
        return await asyncio.gather(*(_send(job, 200, at_once=8) for job in jobs))

    jobs, _ = run_virtual(run())

    assert limits.statuses[429] == 0
    assert throughput(limits) > 0.9
    ends = [job.sent[-1][0] for job in jobs]
    assert max(ends) - min(ends) < 10, "they take turns"


def test_jobs_that_name_different_limits_or_have_other_accounts_do_not_wait_for_each_other() -> None:
    async def run() -> float:
        started = asyncio.get_running_loop().time()
        slow = minute_pace(RateLimitPolicy(requests_per_minute=1), "one account")
        waiting = [asyncio.ensure_future(slow.admit(10)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await minute_pace(RateLimitPolicy(requests_per_minute=600), "one account").admit(10)
        await minute_pace(RateLimitPolicy(requests_per_minute=1), "another account").admit(10)
        await minute_pace(RateLimitPolicy(), "one account").admit(10)
        took = asyncio.get_running_loop().time() - started
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return took

    took, _ = run_virtual(run())

    assert took < 1


def test_two_processes_that_know_nothing_of_each_other_fit_into_one_limit() -> None:
    limits = Limits(requests=600, tokens=1e9)

    async def both() -> list[Client]:
        return await asyncio.gather(*(_send(Client(limits, MinutePace(), listens=True), 1000) for _ in range(2)))

    first, second = run_virtual(both())[0]

    assert limits.refused_share < 0.02
    assert throughput(limits) > 0.95
    assert first.sent[-1][0] == pytest.approx(second.sent[-1][0], rel=0.25)


def test_accounts_are_shared_by_key_on_one_loop() -> None:
    async def shared() -> tuple[object, object, object]:
        return account("one"), account("one"), account("other")

    one, again, other = run_virtual(shared())[0]

    assert one is again
    assert one is not other


def test_requests_go_out_in_the_order_in_which_they_asked_whatever_their_size() -> None:
    order: list[int] = []

    async def ask(pace: MinutePace, number: int) -> None:
        await pace.admit(5000 if number % 2 else 10)
        order.append(number)

    async def all_of_them() -> None:
        pace = MinutePace(tokens_per_minute=10_000)
        await asyncio.gather(*(ask(pace, number) for number in range(12)))

    run_virtual(all_of_them())

    assert order == list(range(12))


def test_a_wait_that_is_cancelled_leaves_the_account_straight() -> None:
    async def cancelled_or_not(cancels: bool) -> float:
        pace = MinutePace(requests_per_minute=60, tokens_per_minute=600)
        await pace.admit(100)
        others = [asyncio.create_task(pace.admit(500)) for _ in range(5 if cancels else 0)]
        await asyncio.sleep(5)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await pace.admit(100)
        return asyncio.get_running_loop().time()

    assert run_virtual(cancelled_or_not(True))[0] == pytest.approx(run_virtual(cancelled_or_not(False))[0], abs=0.3)


def test_what_was_not_used_comes_back_and_what_was_used_beyond_is_paid_for() -> None:
    async def third_after(actual: int) -> float:
        pace = MinutePace(tokens_per_minute=6000)
        await pace.admit(1000)
        pace.used(1000, actual)
        await pace.admit(1000)
        await pace.admit(1)
        return asyncio.get_running_loop().time()

    refused, as_expected, more = (run_virtual(third_after(actual))[0] for actual in (0, 1000, 3000))

    assert refused == pytest.approx(1000 / 95, abs=1.5)
    assert as_expected == pytest.approx(2000 / 95, abs=1.5)
    assert more == pytest.approx((3000 + 3000) / 95, abs=2)  # by then three times as much is expected of each


def test_credit_for_what_was_not_used_does_not_outlive_a_rest() -> None:
    async def burst() -> float:
        pace = MinutePace(tokens_per_minute=6000)
        await pace.admit(3000)
        pace.used(3000, 1)
        await asyncio.sleep(600)
        began = asyncio.get_running_loop().time()
        for _ in range(10):
            await pace.admit(30_000)
        return asyncio.get_running_loop().time() - began

    assert run_virtual(burst())[0] > 20


def test_a_rest_pays_for_what_went_before() -> None:
    async def later() -> float:
        pace = MinutePace(requests_per_minute=60, tokens_per_minute=600)
        await pace.admit(300)
        await asyncio.sleep(31)
        await pace.admit(300)
        return asyncio.get_running_loop().time()

    assert run_virtual(later())[0] == pytest.approx(31, abs=0.1)


def test_a_request_larger_than_every_limit_is_let_through_for_the_service_to_judge() -> None:
    async def large() -> float:
        pace = MinutePace(tokens_per_minute=1000)
        pace.heard([Allowance("tokens", 1000, 1000)])
        await pace.admit(50_000)
        return asyncio.get_running_loop().time()

    assert run_virtual(large())[0] < 1


def test_nothing_left_is_waited_out_slowly_and_full_speed_returns_with_better_news() -> None:
    async def times() -> list[float]:
        pace, loop = MinutePace(), asyncio.get_running_loop()
        pace.heard([Allowance("requests", 60, 0), Allowance("output-tokens", 0, 0)])
        found = []
        for _ in range(3):
            await pace.admit(10)
            pace.used(10, 10)
            pace.heard([Allowance("requests", 60, 0)])
            found.append(loop.time())
        pace.heard([Allowance("requests", 60, 60)])
        await pace.admit(10)
        return [*found, loop.time()]

    first, second, third, after = run_virtual(times())[0]

    assert second - first > 1
    assert third - second > 1
    assert after == third


def test_without_limits_nobody_waits() -> None:
    async def many() -> float:
        pace = NoPace()
        for _ in range(1000):
            await pace.admit(10**9)
            pace.used(10**9, 1)
            pace.heard([Allowance("requests", 1, 0)])
        return asyncio.get_running_loop().time()

    assert run_virtual(many())[0] == 0
    assert isinstance(configured_pace(RateLimitPolicy()), NoPace)
    assert isinstance(configured_pace(RateLimitPolicy(requests_per_minute=5)), MinutePace)


@settings(max_examples=40, deadline=None)
@given(
    limit=st.integers(5, 5000),
    latency=st.floats(0.01, 30),
    at_once=st.integers(1, 200),
    sliding=st.booleans(),
)
def test_no_configured_limit_is_ever_exceeded(limit: int, latency: float, at_once: int, sliding: bool) -> None:
    limits = Limits(requests=limit, tokens=1e9, sliding=sliding)

    run_virtual(_send(Client(limits, MinutePace(limit), latency=latency), min(300, 3 * limit), at_once))

    assert limits.statuses[429] == 0
