"""The progress view-model in words: the same sentences on a terminal, in a notebook and on pages.

Plain text. What comes from sessions and job files is not cleaned here: whoever shows it does that in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mozart_nb.codes import lookup
from mozart_nb.consumers.progress import Progress, RunningBatch, Wait
from mozart_nb.events import CHOICES
from mozart_nb.words import amount, clock, dollars, one_line, plural, time_of_day

SILENT_SECONDS: Final = 10
"""Silence of a session that is worth a word."""

_MODES: Final = {"retry": "retry", "completion": "completion", "healed": "after healing"}


def count_phrases(progress: Progress) -> list[str]:
    """How many batches stand how, as far as there are any: `3 running`, `1 failed`."""
    parts = [
        f"{number:,} {word}"
        for number, word in (
            (progress.running - progress.parked, "running" if progress.is_live else "left running"),
            (progress.parked, "with the service"),
            (progress.waiting - progress.questions, "waiting"),
            (progress.questions, "waiting for you"),
            (progress.failed, "failed"),
            (progress.blocked, "blocked"),
            (progress.skipped, "skipped"),
            (progress.retries, "retries" if progress.retries != 1 else "retry"),
            (progress.completions, "completions" if progress.completions != 1 else "completion"),
        )
        if number
    ]
    if progress.is_live and progress.concurrency and progress.concurrency[0] < progress.concurrency[1]:
        parts.append("{} instead of {} at once".format(*progress.concurrency))
    return parts


def repeat_phrases(progress: Progress) -> list[str]:
    """What had to be done more than once: `2 retries`, `1 rate-limit wait`."""
    return [
        plural(number, word, words)
        for number, word, words in (
            (progress.retries, "retry", "retries"),
            (progress.completions, "completion attempt", ""),
            (progress.limit_waits, "rate-limit wait", ""),
        )
        if number
    ]


def money_text(progress: Progress) -> str:
    """What it cost as far as that is known, and of which limit."""
    limit = f" of {dollars(progress.limit_usd)}" if progress.limit_usd is not None else ""
    if not progress.unknown_costs:
        return f"{dollars(progress.cost_usd)}{limit}"
    unknown = f"cost of {plural(progress.unknown_costs, 'session')} unknown"
    return f"{dollars(progress.cost_usd)}{limit} + {unknown}" if progress.cost_usd or limit else unknown


def wait_text(wait: Wait) -> str:
    """One wait in words."""
    if wait.kind == "limit":
        what = f"{wait.code} {lookup(wait.code).meaning}"
        if wait.probing:
            return f"{what}: batch {wait.probing} tries whether it is over"
        if not wait.seconds:
            return f"{what}: the time is up, one batch is about to try"
        return f"{what}: {_goes_on(wait)} ({wait.source})"
    if wait.kind == "breaker":
        if wait.probing:
            return f"circuit breaker: batch {wait.probing} tries again"
        return f"circuit breaker: {wait.message}, one tries again in {clock(wait.seconds)}"
    if wait.kind == "answer":
        return f"waits for you: batch {wait.batch}: {one_line(wait.message, 200)}"
    if wait.kind == "pause":
        return f"pause between batches: {clock(wait.seconds)}"
    reason = f": {wait.code} {one_line(wait.message, 80)}" if wait.code else ""
    return f"{wait.kind} of batch {wait.batch} in {clock(wait.seconds)}{reason}"


def _goes_on(wait: Wait) -> str:
    return f"goes on at {time_of_day(wait.until)}, in {clock(wait.seconds)}"


def running_phrases(batch: RunningBatch) -> list[str]:
    """What a running batch is doing: `working`, `attempt 2, retry`, `12 kB`, `silent for 0:31`."""
    facts: list[str] = [batch.doing]
    if batch.attempt > 1:
        facts.append(f"attempt {batch.attempt}" + (f", {_MODES[batch.mode]}" if batch.mode in _MODES else ""))
    if batch.bytes_received:
        facts.append(f"{amount(batch.bytes_received)}")
    if batch.note:
        facts.append(one_line(batch.note, 60))
    if batch.idle_seconds is not None and batch.idle_seconds >= SILENT_SECONDS:
        facts.append(f"silent for {clock(batch.idle_seconds)}")
    return facts


def advice_for(code: str, *, is_over: bool) -> str:
    """What helps against a failure with that code; `is_over`: what is done about it by itself has been done."""
    row = lookup(code)
    if is_over and row.passes:
        return "a resume tries it again"
    return row.advice


def next_steps(progress: Progress, mozart: str = "mozart") -> Sequence[str]:
    """Commands that make sense now; `mozart` is how they begin, in a notebook `%mozart`."""
    job = progress.job_id
    if progress.status == "completed":
        return ()
    if progress.status == "failed":
        advice = advice_for(progress.code, is_over=True) if progress.code else ""
        # A job of a notebook may have no file: there the changed cell is run again, as the advice says.
        reloads = " --reload-config" if "--reload-config" in advice and mozart == "mozart" else ""
        steps = [f"{mozart} errors {job}", f"{mozart} resume {job}{reloads}"]
        return (f"{advice}; then: {' · '.join(steps)}",) if advice else (" · ".join(steps),)
    if progress.is_live and progress.questions:
        first = next((wait for wait in progress.waits if wait.kind == "answer"), None)
        number, kind = (first.batch, first.source) if first is not None else ("BATCH", "")
        choices = "|".join(CHOICES["escalation" if kind == "escalation" else "confirmation"])
        return (f"{mozart} questions {job} · {mozart} reply {job} {number} {choices}",)
    if progress.is_live:
        watch = " --watch" if mozart == "mozart" else ""
        return (f"{mozart} status {job}{watch} · {mozart} pause {job} · {mozart} cancel {job}",)
    reloads = " --reload-config" if progress.code == "E506" else ""
    return (f"{mozart} resume {job}{reloads}",)
