"""A diagnosis as lines for people: what matters first, in the words of the surface that shows it.

The first lines are the headline, the likely cause, what to do about it, and what else is wrong. Details follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from mozart_nb.consumers.progress import LIVE
from mozart_nb.looking.diagnosis.findings import (
    SHELL_ONLY,
    BatchTimeline,
    BlockedChain,
    Budget,
    Diagnosis,
    ErrorGroup,
    FailedRule,
    NextStep,
    Prompts,
    Trouble,
)
from mozart_nb.words import cost, count, dollars, moment, one_line, plural, roughly, spans

Style = Literal["head", "cause", "next", "also", "title", "warning", "dim", ""]

_MOST_GROUPS: Final = 8
_MOST_CHAINS: Final = 5
_MOST_REMEDIES: Final = 8
_MOST_RULES: Final = 4
_MOST_TIMELINES: Final = 3
_MOST_FINDINGS: Final = 5
_MOST_TROUBLES: Final = 3
_WIDTH: Final = 160
_FIRST_WIDTH: Final = 400
_COMMAND: Final = re.compile(r"`mozart ([a-z-]+)")


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and what it is: a surface with colours gives each style its own."""

    text: str = ""
    style: Style = ""


def in_words_of(text: str, mozart: str) -> str:
    """Advice that names commands of the shell, as they are written where it is shown."""
    if mozart == "mozart":
        return text
    return _COMMAND.sub(lambda found: f"`{'!mozart' if found[1] in SHELL_ONLY else mozart} {found[1]}", text)


def lines(found: Diagnosis, mozart: str = "%mozart") -> Iterator[Line]:
    """The whole diagnosis; `mozart` is how commands begin where it is shown."""
    for line in _lines(found, mozart):
        yield Line(in_words_of(line.text, mozart), line.style)


def _lines(found: Diagnosis, mozart: str) -> Iterator[Line]:
    yield from _first_lines(found)
    yield from _group_lines(found)
    yield from _chain_lines(found.blocked)
    for part in (_timeline_lines(found), _history_lines(found), _prompt_lines(found.prompts), _around_lines(found)):
        yield from _spaced(part)
    for output in found.outputs:
        more = " (the end of it)" if output.is_cut else ""
        yield from _titled(f"Output of batch {output.batch}, attempt {output.attempt}{more}", output.text.splitlines())
    yield from _step_lines(found.next_steps, is_magic=mozart != "mozart")


def _first_lines(found: Diagnosis) -> Iterator[Line]:
    yield Line(found.headline, "head")
    if found.cause:
        # What is wrong around a job that is completed has caused nothing of how it stands.
        label = "also" if found.status == "completed" else "cause"
        yield Line(f"{label}: {one_line(found.cause, _FIRST_WIDTH)}", "cause")
    if found.first:
        yield Line(f"next: {one_line(found.first, _FIRST_WIDTH)}", "next")
    for trouble in found.troubles[:_MOST_TROUBLES]:
        if trouble.severity in ("error", "warning") and trouble.what not in found.cause:
            yield Line(f"also: {_trouble_text(trouble)}", "also")
    for warning in found.warnings:
        yield Line(f"note: {one_line(warning, _WIDTH)}", "warning")


def _trouble_text(trouble: Trouble) -> str:
    cause = f": {trouble.cause}" if trouble.cause else ""
    advice = f"; {trouble.advice}" if trouble.advice else ""
    return one_line(f"{trouble.what}{cause}{advice}", _FIRST_WIDTH)


def _spaced(part: Iterable[Line]) -> Iterator[Line]:
    """A part with an empty line before it, if there is anything in it."""
    shown = list(part)
    if shown:
        yield Line()
        yield from shown


def _titled(title: str, texts: Iterable[str]) -> Iterator[Line]:
    yield Line()
    yield Line(title, "title")
    for text in texts:
        yield Line(f"  {text}")


# --- failures ---------------------------------------------------------------------------------------------------------


def _group_lines(found: Diagnosis) -> Iterator[Line]:
    standing = [group for group in found.groups if group.unresolved and (group.batches or group.code != found.code)]
    for group in standing[:_MOST_GROUPS]:
        yield Line()
        yield from _standing_lines(group, is_told=group.cause in found.cause)
    if len(standing) > _MOST_GROUPS:
        yield Line(f"and {len(standing) - _MOST_GROUPS} more codes")
    mended = [group for group in found.groups if not group.unresolved]
    if mended:
        told = ", ".join(f"{group.code} {plural(group.count, 'time')}" for group in mended)
        yield Line()
        yield Line(f"Mended by later attempts: {told}", "dim")


def _standing_lines(group: ErrorGroup, *, is_told: bool) -> Iterator[Line]:
    where = f", {_batches(group.unresolved_batches)}" if group.unresolved_batches else ""
    yield Line(f"{group.code} {group.meaning}: {plural(group.count, 'time')}{where}", "title")
    if group.cause and not is_told:
        yield Line(f"  likely cause: {one_line(group.cause, _FIRST_WIDTH)}")
    yield Line(f"  what helps: {group.advice}")
    for text, times in group.messages[:_MOST_RULES] if len(group.messages) > 1 else ():
        yield Line(f"  {plural(times, 'time')}: {one_line(text, _WIDTH)}")
    yield from _example_lines(group)
    for rule in group.rules[:_MOST_RULES]:
        yield from _rule_lines(rule)
    if len(group.rules) > _MOST_RULES:
        yield Line(f"    and {plural(len(group.rules) - _MOST_RULES, 'more rule', 'more rules')}")


def _example_lines(group: ErrorGroup) -> Iterator[Line]:
    example = group.example
    if example is None:
        return
    whose = f"batch {example.batch}, attempt {example.attempt}: " if example.batch else ""
    yield Line(f"  for example {whose}{one_line(example.message, _WIDTH)}")
    for label, text in (("output", example.stdout_tail), ("error output", example.stderr_tail)):
        if text:
            yield Line(f"    the end of its {label}:")
            for line in text.splitlines():
                yield Line(f"      {one_line(line, _WIDTH)}", "dim")


def _rule_lines(rule: FailedRule) -> Iterator[Line]:
    what = one_line(" ".join(text for text in (rule.type, rule.path, rule.description) if text), 100)
    number = f"rule {rule.rule} " if rule.rule else "form of the answer "
    times = f" {plural(rule.count, 'time')}" if rule.count > 1 else ""
    yield Line(f"    {number}{what}: {'could not run' if rule.could_not_run else 'failed'}{times}")
    for label, text in (("expected", rule.expected), ("saw", rule.actual or rule.message)):
        if text:
            yield Line(f"      {label} {one_line(text, _WIDTH)}")


def _chain_lines(chains: tuple[BlockedChain, ...]) -> Iterator[Line]:
    if chains:
        yield Line()
    for chain in chains[:_MOST_CHAINS]:
        what = f"{_batches(chain.blocked)} {'wait' if len(chain.blocked) > 1 else 'waits'} for batch {chain.failed}"
        said = f"{what[0].upper()}{what[1:]}, which failed first: {chain.code} {one_line(chain.message, 100)}".rstrip()
        yield Line(said)
    if len(chains) > _MOST_CHAINS:
        yield Line(f"and behind {plural(len(chains) - _MOST_CHAINS, 'other failed batch', 'other failed batches')}")


def _timeline_lines(found: Diagnosis) -> Iterator[Line]:
    shown = [timeline for timeline in found.timelines if timeline.attempts][:_MOST_TIMELINES]
    if shown:
        yield Line("Attempts of failed batches", "title")
    for timeline in shown:
        yield from _attempt_lines(timeline, found.looked_at)
    left = len(found.timelines) + found.timelines_omitted - len(shown)
    if shown and left > 0:
        yield Line(f"  and {plural(left, 'more failed batch', 'more failed batches')}: `mozart errors {found.job_id}`")


def _attempt_lines(timeline: BatchTimeline, now: float) -> Iterator[Line]:
    used = f"retries {timeline.retries}, completions {timeline.completions}, heals {timeline.heals}"
    money = cost(timeline.cost_usd, not timeline.cost_known)
    worked, waited = roughly(timeline.worked_seconds), roughly(timeline.waited_seconds)
    yield Line(f"  batch {timeline.batch}: {used}; {worked} of work, {waited} of waiting, {money}")
    if timeline.omitted:
        yield Line(f"    {plural(timeline.omitted, 'earlier attempt')} not shown", "dim")
    for attempt in timeline.attempts:
        if attempt.wait_seconds >= 0.05:
            yield Line(f"    waited {roughly(attempt.wait_seconds)}: {one_line(attempt.wait_reason, 100)}", "dim")
        said = attempt.code or ("passed" if attempt.passed else attempt.outcome or "not ended")
        message = f" {one_line(attempt.message, 100)}" if attempt.message else ""
        when = moment(attempt.started_at, now)
        yield Line(
            f"    {when} attempt {attempt.attempt} ({attempt.mode}), {roughly(attempt.duration)}: {said}{message}"
        )


# --- on the way -------------------------------------------------------------------------------------------------------


def _history_lines(found: Diagnosis) -> Iterator[Line]:
    texts = (*_wait_lines(found), *_crash_lines(found), *_remedy_lines(found), *_money_lines(found.budget))
    return (Line(text) for text in texts)


def _wait_lines(found: Diagnosis) -> Iterator[str]:
    waits, breaker = found.waits, found.breaker
    if waits.hits:
        parts = ", ".join(f"{code} {plural(hits, 'time')}, {roughly(seconds)}" for code, hits, seconds in waits.by_code)
        longest = f", {roughly(waits.longest_seconds)} at the longest" if waits.hits > 1 else ""
        yield f"Rate limits: {roughly(waits.seconds)} of waiting ({parts}{longest})"
    if waits.until and found.status in LIVE:
        yield f"It goes on by itself at {moment(waits.until, found.looked_at)}"
    if waits.breaker_opened:
        yield f"The circuit breaker opened {plural(waits.breaker_opened, 'time')}: too many failures in a row"
    if breaker.status != "closed":
        trial = f"; one attempt tries again at {moment(breaker.until, found.looked_at)}" if breaker.until else ""
        word = "open" if breaker.status == "open" else "half open"
        yield f"The circuit breaker is {word}: {plural(breaker.failures, 'failure')} in a row{trial}"


def _crash_lines(found: Diagnosis) -> Iterator[str]:
    crashes = found.crashes
    if crashes.runs or crashes.lost_sessions:
        ended = f"{plural(crashes.runs, 'run')} ended without settling" if crashes.runs else ""
        lost = f"{plural(crashes.lost_sessions, 'session')} lost with {'it' if crashes.runs == 1 else 'their hosts'}"
        last = f"; the last time {moment(crashes.last_at, found.looked_at)}" if crashes.last_at else ""
        yield "Crashes: " + ", ".join(part for part in (ended, lost if crashes.lost_sessions else "") if part) + last


def _remedy_lines(found: Diagnosis) -> Iterator[str]:
    for remedy in found.remedies[:_MOST_REMEDIES]:
        whose = f"{_batches(remedy.batches)}: " if remedy.batches else ""
        yield f"Self-healing: {whose}{one_line(remedy.text, _WIDTH)}"
    if len(found.remedies) > _MOST_REMEDIES:
        yield f"and {len(found.remedies) - _MOST_REMEDIES} more remedies"


def _money_lines(budget: Budget) -> Iterator[str]:
    spent = cost(budget.cost_usd, budget.unknown_costs)
    if budget.limit_usd is not None:
        left = "used up" if budget.is_exhausted else f"{dollars(max(0.0, budget.limit_usd - budget.cost_usd))} left"
        yield f"Budget: {spent} of {dollars(budget.limit_usd)}, {left}"
    elif budget.cost_usd or budget.unknown_costs:
        yield f"Cost: {spent}"
    if budget.unknown_costs:
        models = ", ".join(f"{model or 'unknown model'} {number}" for model, number in budget.unpriced)
        whose = f" (paid for, without a price: {models})" if models else ""
        yield f"  {plural(budget.unknown_costs, 'session')} of unknown cost{whose}"
    if budget.earlier_usd:
        yield f"  {dollars(budget.earlier_usd)} more before it was started over"


def _prompt_lines(prompts: Prompts) -> Iterator[Line]:
    if prompts.sent:
        largest = f", the largest {count(prompts.largest_tokens)} (batch {prompts.largest_batch})"
        each = f"about {count(prompts.mean_tokens)} tokens each"
        yield Line(f"Prompts: {prompts.sent:,} sent, {each}{largest if prompts.largest_tokens else ''}")
    for finding in prompts.findings[:_MOST_FINDINGS]:
        code = f"{finding.code} " if finding.code else ""
        yield Line(f"  preflight, {_batches(finding.batches)}: {code}{one_line(finding.message, _WIDTH)}")
    if len(prompts.findings) > _MOST_FINDINGS:
        yield Line(f"  and {len(prompts.findings) - _MOST_FINDINGS} more findings of preflight")


# --- around it --------------------------------------------------------------------------------------------------------


def _around_lines(found: Diagnosis) -> Iterator[Line]:
    around = found.environment
    if not around.facts:
        return
    yield Line("Environment", "title")
    width = max(len(fact.name) for fact in around.facts)
    for fact in around.facts:
        hint = f" ({fact.hint})" if fact.hint else ""
        style: Style = "warning" if fact.status in ("error", "warning") else ""
        yield Line(f"  {fact.name:<{width}}  {one_line(fact.detail + hint, _FIRST_WIDTH)}", style)


def _step_lines(steps: tuple[NextStep, ...], *, is_magic: bool) -> Iterator[Line]:
    if not steps:
        return
    yield Line()
    yield Line("What to do next:", "title")
    shown = [step.magic if is_magic else step.command for step in steps]
    width = max(map(len, shown))
    for step, command in zip(steps, shown, strict=True):
        also = f"  or {step.python}" if step.python and is_magic else ""
        yield Line(f"  {command:<{width}}  {step.why}{also}")


def _batches(numbers: tuple[int, ...]) -> str:
    return f"batch{'es' if len(numbers) > 1 else ''} {spans(numbers)}"
