"""Cost limits: no attempt begins that would probably pass them, and what was spent is told in time.

What sessions in flight will cost is not known before they end, so each of them, and the one that is about to begin, is
taken at the mean of those that have ended. A limit is therefore passed by no more than what was in flight when the
first costs came in, or by one session that costs more than the others did.
"""

from __future__ import annotations

from dataclasses import dataclass

from mozart_nb import events as ev
from mozart_nb.engine.policy.commands import Command, Record, Rest
from mozart_nb.engine.state import JobState
from mozart_nb.job.model import JobConfig
from mozart_nb.job.prices import Prices, charge, table_for
from mozart_nb.job.tokens import expected_output

_DIGITS = 9
"""Decimal places of US dollars to compare to: a mean times a count is a little off."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What a job has cost in US dollars, and what it must reckon with.

    `counted` is what sessions are known to have cost, those included whose model got a price later. `unknown` sessions
    never said; they are reckoned at `expected`, the mean of a session, 0 before there is one. `unpriced` are models
    without a price whose sessions were paid for.
    """

    counted: float
    expected: float
    unknown: int = 0
    unpriced: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        return round(self.counted + self.unknown * self.expected, _DIGITS)

    def with_sessions(self, count: int) -> float:
        """The cost once `count` more sessions have ended as expected."""
        return round(self.total + count * self.expected, _DIGITS)


def spending(state: JobState, config: JobConfig) -> Spending:
    """What the job has cost so far, by what its sessions reported and the prices of `config`."""
    job = state.job
    counted, later, unpriced = job.cost_usd, 0, []
    if job.unpriced:
        table = table_for(config)
        for model, (sessions, usage) in job.unpriced.items():
            prices = table.of(model)
            if prices is None:
                unpriced.append(model)
                continue
            counted += charge(prices, usage, is_batch=config.backend.type == "anthropic_batches").cost_usd
            later += sessions
    paid = job.paid_sessions + later
    expected = counted / paid if paid else _guess(state, config)
    unknown = job.unknown_costs - sum(sessions for sessions, _ in job.unpriced.values())
    return Spending(counted, expected, unknown, tuple(unpriced))


def _guess(state: JobState, config: JobConfig) -> float:
    """What a session costs before any has ended.

    Nothing is assumed while few run at a time. Requests that are handed in by the thousand and answered hours later
    could pass any limit before the first cost is known: those are taken at their price and a stated length of answer.
    """
    job = state.job
    if not state.agenda.parked or not job.opened_sessions:
        return 0.0
    prices = table_for(config).of(config.backend.model)
    if prices is None:
        return 0.0
    return _session_price(prices, job.prompt_tokens // job.opened_sessions, config)


def _session_price(prices: Prices, tokens: int, config: JobConfig) -> float:
    usage = ev.Usage(tokens, expected_output(tokens, config.backend.max_tokens))
    return charge(prices, usage, is_batch=config.backend.type == "anthropic_batches").cost_usd


def over_budget(state: JobState, config: JobConfig, number: int) -> Command | None:
    """What keeps batch `number` from starting: a pause, or waiting for what running sessions will have cost."""
    limits = config.cost_limits
    if not limits.is_active or state.job.stop is not None:
        return None
    so_far = spending(state, config)
    if so_far.unpriced:
        return _pause(state, *_about_price(so_far.unpriced[0]))
    if limits.max_cost_per_batch is not None and _is_batch_over(state, number, limits.max_cost_per_batch):
        cost = state.batches[number].cost_usd
        reason = f"batch {number} has cost {usd(cost)} of {usd(limits.max_cost_per_batch)}"
        return _pause(state, f"{reason} (cost_limits.max_cost_per_batch) and would need another attempt")
    limit = limits.max_cost_per_job
    if limit is None or so_far.with_sessions(len(state.agenda.running) + 1) <= limit:
        return None
    if state.agenda.running and so_far.total < limit:
        return Rest()
    return _pause(state, _limit_text(so_far, limit))


def warn_of_cost(state: JobState, config: JobConfig, now: float) -> Command | None:
    """Tell once per limit that `cost_limits.warn_at_percent` of it is used."""
    limits = config.cost_limits
    limit = limits.max_cost_per_job
    if not limits.is_active or limit is None or state.job.warned_limit == limit:
        return None
    cost = spending(state, config).total
    if cost < round(limit * limits.warn_at_percent / 100, _DIGITS) or not state.job.run_id:
        return None
    message = f"{cost / limit * 100:.0f} % of the cost limit are used: {usd(cost)} of {usd(limit)}"
    return Record(ev.CostUpdated(cost_usd=cost, limit_usd=limit, message=message))


def _is_batch_over(state: JobState, number: int, limit: float) -> bool:
    """Whether another attempt, if it costs what the batch's others did, would pass the limit."""
    batch = state.batches.get(number)
    if batch is None or not batch.attempts or not batch.cost_usd:
        return False
    paid = max(1, batch.attempts - batch.waits - batch.abandoned)
    return round(batch.cost_usd + batch.cost_usd / paid, _DIGITS) > limit


def _pause(state: JobState, reason: str, remedy: str = "raise the limit in the job file") -> Command:
    text = f"{reason}; {remedy}, then `mozart resume {state.job.job_id} --reload-config`"
    return Record(ev.JobPausing(reason=text, by="policy", code="E506"))


def _limit_text(so_far: Spending, limit: float) -> str:
    text = f"the job has cost {usd(so_far.total)} of {usd(limit)} (cost_limits.max_cost_per_job)"
    if so_far.total < limit:
        text += f" and the next session is expected to cost {usd(so_far.expected)}"
    if so_far.unknown:
        text += f"; {so_far.unknown} sessions of unknown cost are reckoned at the mean"
    return text


def _about_price(model: str) -> tuple[str, str]:
    name = f"`{model}`" if model else "the model"
    entry = f"{model or 'MODEL'}: [input, output], US dollars per million tokens"
    return f"no price is known for {name}, so a cost limit cannot hold", f"give one in `cost_limits.prices` ({entry})"


def usd(amount: float) -> str:
    """An amount in words: cents from a dollar up, else so many digits that it can be told from others."""
    return f"{amount:,.2f} USD" if amount >= 1 or not amount else f"{amount:.4g} USD"
