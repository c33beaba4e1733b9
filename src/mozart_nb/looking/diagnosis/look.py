"""Looking a job over: everything is read from its folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.codes import lookup
from mozart_nb.consumers.phrases import advice_for
from mozart_nb.consumers.progress import LIVE, Progress
from mozart_nb.errors import MozartError, UnknownJobError
from mozart_nb.looking.diagnosis.batches import (
    batches_to_tell,
    blocked_chains,
    prompts_of,
    remedies_of,
    timeline_of,
)
from mozart_nb.looking.diagnosis.environment import Surroundings
from mozart_nb.looking.diagnosis.findings import (
    Breaker,
    Budget,
    Diagnosis,
    Environment,
    ErrorGroup,
    SessionOutput,
    Trouble,
)
from mozart_nb.looking.diagnosis.isolated import isolation_facts
from mozart_nb.looking.diagnosis.reading import Read, read
from mozart_nb.looking.diagnosis.steps import Standing, first_step, next_steps
from mozart_nb.looking.diagnosis.troubles import troubles_of
from mozart_nb.looking.diagnosis.unborn import emptied
from mozart_nb.looking.diagnosis.unreadable import plan_troubles, salvaged, unreadable
from mozart_nb.looking.finding import Found, find
from mozart_nb.looking.timeline.catching_up import GoesOn, always
from mozart_nb.words import clean, moment, one_line, plural

_STATUSES: Final = ("completed", "failed", "blocked", "cancelled", "skipped", "running", "waiting", "pending")


def diagnose(
    layout: Layout, *, now: float | None = None, include_output: bool = False, goes_on: GoesOn = always
) -> Diagnosis:
    """Look a job over at `now` (epoch seconds, by default the wall clock).

    `include_output` adds the ends of the raw output of a few failed batches. A record that cannot be read is a finding,
    not an error: the diagnosis is built from what is there. Blocks for as long as reading takes, about two seconds for
    100,000 batches; in a worker thread it leaves the event loop room to breathe.

    Raises `UnknownJobError`, and `InterruptedReadError` once `goes_on()` is false.
    """
    now = time.time() if now is None else now
    try:
        found = find(layout)
        if not found.state.job.seq and not found.is_live:
            return emptied(layout)
        return _diagnosed(found, now, goes_on, include_output=include_output)
    except UnknownJobError:
        raise
    except (MozartError, OSError) as error:
        return unreadable(*_what_is_left(layout, now, goes_on, include_output=include_output), error)


def _what_is_left(
    layout: Layout, now: float, goes_on: GoesOn, *, include_output: bool
) -> tuple[Found, Diagnosis | None]:
    """A job as far as it can be read, and what can be said about that."""
    found = salvaged(layout, now)
    if not found.state.job.seq:
        return found, None
    try:
        return found, _diagnosed(found, now, goes_on, include_output=include_output)
    except (MozartError, OSError):
        return found, None


def _diagnosed(found: Found, now: float, goes_on: GoesOn, *, include_output: bool) -> Diagnosis:
    surroundings = Surroundings(found.layout, found.loaded, found.workspace, is_live=found.is_live)
    told, omitted = batches_to_tell(found.state)
    journal = read(found.layout, found.state, told, goes_on)
    outputs = _outputs(found, told) if include_output else ()
    return _diagnosis(found, journal, surroundings.environment(now), outputs, told, omitted, now)


def _outputs(found: Found, told: Sequence[int]) -> tuple[SessionOutput, ...]:
    from mozart_nb.looking.diagnosis.outputs import outputs_of  # reading records of sessions: seldom asked for

    return tuple(outputs_of(found.layout, found.state, told))


def _diagnosis(
    found: Found,
    journal: Read,
    around: Environment,
    outputs: tuple[SessionOutput, ...],
    told: Sequence[int],
    omitted: int,
    now: float,
) -> Diagnosis:
    progress, state, job, config = found.progress, found.state, found.state.job, found.config
    around = replace(around, facts=(*around.facts, *isolation_facts(found)))
    groups = tuple(_fitting(progress, journal.failures.groups(config, job.cost_usd)))
    troubles = (*plan_troubles(found), *troubles_of(found, around))
    unmended = [group for group in groups if group.unresolved]
    standing = Standing(state, progress, unmended, troubles, around.holder, now, found.loaded)
    row = lookup(progress.code) if progress.code else None
    breaker = job.breaker
    return Diagnosis(
        job_id=job.job_id,
        name=job.name,
        status=progress.status,
        headline=_headline(found, around, now),
        total=progress.total,
        done=progress.done,
        cause=next(_causes(found, around, groups, troubles, now), ""),
        first=first_step(standing),
        counts=tuple((status, state.count(status)) for status in _STATUSES if state.count(status)),
        reason=clean(progress.reason),
        code=progress.code,
        meaning=row.meaning if row else "",
        advice=row.advice if row else "",
        groups=groups,
        blocked=tuple(blocked_chains(state)),
        timelines=tuple(timeline_of(state, number, journal.stories[number], config) for number in told),
        timelines_omitted=omitted,
        waits=journal.journey.waits(state, found.is_live, now),
        breaker=Breaker(breaker.status, breaker.failures, breaker.until, journal.journey.breaker_opened),
        crashes=journal.journey.crashes(state, is_interrupted=progress.status == "interrupted"),
        remedies=tuple(remedies_of(state)),
        budget=_budget(found, progress),
        prompts=prompts_of(state),
        troubles=troubles,
        environment=around,
        warnings=tuple(map(clean, (*(() if found.is_live else found.glimpse.warnings), *journal.notices))),
        outputs=outputs,
        next_steps=tuple(next_steps(standing)),
        looked_at=now,
    )


def _fitting(progress: Progress, groups: Iterable[ErrorGroup]) -> Iterator[ErrorGroup]:
    """What passes by itself does so as long as somebody runs the job; afterwards it takes a resume."""
    for group in groups:
        is_left = progress.status not in LIVE and group.advice.startswith("nothing")
        yield replace(group, advice=advice_for(group.code, is_over=True)) if is_left else group


def _headline(found: Found, around: Environment, now: float) -> str:
    progress = found.progress
    what = f"{progress.job_id} {progress.status}: {progress.done:,} of {plural(progress.total, 'batch')} done"
    if progress.failed:
        what += f", {progress.failed:,} failed"
    if progress.blocked:
        what += f", {progress.blocked:,} blocked"
    if progress.parked:
        what += f", {progress.parked:,} with the service"
    if progress.questions:
        what += f", {progress.questions:,} waiting for you"
    if progress.status == "interrupted":
        return f"{what}. Nobody runs it any more, although it had not settled"
    if progress.status in LIVE and (holder := around.holder) is not None:
        what += f". Pid {holder.pid} on host {holder.host} runs it since {moment(holder.since, now)}"
    reason = one_line(progress.reason, 300)
    return f"{what}. {_begun(reason)}" if reason and progress.status != "completed" else what


def _begun(sentence: str) -> str:
    """With a capital letter, unless it begins with a name: `backend.cli_path`, an address."""
    is_word = sentence.partition(" ")[0].isalpha()
    return f"{sentence[0].upper()}{sentence[1:]}" if is_word else sentence


def _budget(found: Found, progress: Progress) -> Budget:
    job, limit = found.state.job, progress.limit_usd
    is_exhausted = progress.code == "E506" or (limit is not None and progress.cost_usd >= limit)
    return Budget(
        cost_usd=progress.cost_usd,
        unknown_costs=progress.unknown_costs,
        limit_usd=limit,
        is_exhausted=is_exhausted,
        saved_usd=progress.saved_usd,
        earlier_usd=job.earlier_usd,
        unpriced=tuple((model, number) for model, (number, _) in sorted(job.unpriced.items())),
    )


# --- why --------------------------------------------------------------------------------------------------------------


def _causes(
    found: Found, around: Environment, groups: Sequence[ErrorGroup], troubles: Sequence[Trouble], now: float
) -> Iterator[str]:
    """What explains how the job stands, the best first; nothing when nothing is wrong."""
    progress, job = found.progress, found.state.job
    standing = [group for group in groups if group.unresolved and group.code]
    if progress.status == "interrupted":
        whose = f" (pid {around.holder.pid} on host {around.holder.host})" if around.holder is not None else ""
        yield f"the process that ran it{whose} is gone{_since(job.at, now)}: it was killed, or the machine stopped"
    if progress.status in LIVE and around.holder is not None and around.holder.is_alive is None:
        host = around.holder.host
        yield f"its lock belongs to another machine, {host}: whether it still runs there can only be seen there"
    if progress.status in LIVE:
        asked = (wait for wait in progress.waits if wait.kind == "answer")
        yield from (f"batch {one.batch} waits for a person's answer: {one_line(one.message, 200)}" for one in asked)
    limit = job.limit
    if limit is not None and (progress.status in LIVE or (progress.status == "paused" and limit.until > now)):
        said = f": {one_line(limit.message, 200)}" if limit.message else ""
        until = moment(limit.until, now)
        yield f"{limit.code} {lookup(limit.code).meaning}, until {until} (known from {limit.source}){said}"
    if progress.status in LIVE and job.breaker.status == "open":
        yield f"the circuit breaker is open: {plural(job.breaker.failures, 'attempt')} failed in a row{_top(standing)}"
    if progress.status not in ("completed", "cancelled"):
        failed = [group for group in standing if progress.failed or group.code == progress.code]
        for group in failed:
            yield f"{group.code} {group.meaning}{f': {group.cause}' if group.cause else ''}"
    if progress.status in LIVE and standing:
        yield f"it goes on trying after {plural(standing[0].unresolved, 'failed attempt')}{_top(standing)}"
    yield from (f"{trouble.what}{f': {trouble.cause}' if trouble.cause else ''}" for trouble in troubles)


def _since(at: float, now: float) -> str:
    return f" since about {moment(at, now)}" if at else ""


def _top(standing: Sequence[ErrorGroup]) -> str:
    if not standing:
        return ""
    top = standing[0]
    return f" with {top.code} {top.meaning}{f': {top.cause}' if top.cause else ''}"
