"""What a message says: the channel's own template, or a sentence of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from mozart_nb.errors import PromptError
from mozart_nb.job.notifications import ChannelSettings
from mozart_nb.job.templates import CompiledTemplate
from mozart_nb.masking import masked
from mozart_nb.words import dollars, one_line, plural, roughly

LONGEST_TEXT: Final = 3000
"""Characters of a text; Slack takes no more in one block."""

_TITLES: Final[Mapping[str, str]] = {
    "job_start": "started",
    "job_complete": "completed",
    "job_failed": "failed",
    "job_paused": "paused",
    "job_resumed": "goes on",
    "batch_start": "batch started",
    "batch_complete": "batch completed",
    "batch_failed": "batch failed",
    "rate_limit_detected": "waits for a rate limit",
}

Escape = Callable[[str], str]


class Wording(NamedTuple):
    """Title and text of a message, free of secrets. `fault` says what was wrong with the channel's template."""

    title: str
    text: str
    fault: str = ""


def worded(settings: ChannelSettings, facts: Mapping[str, Any], escape: Escape = str) -> Wording:
    """What the message says. `escape` is for what comes from the job, not for what the template itself has.

    A template that fails gives way to our own sentence: a message with the wrong words is better than none.
    """
    name = str(facts["event_type"])
    title = escape(masked(one_line(f"{facts['job_name']}: {_TITLES[name]}", 120)))
    template, fault = settings.template, ""
    source = template.get(name) if isinstance(template, dict) else template  # type: ignore[call-overload]
    if source is not None:
        values = {key: escape(masked(value)) if isinstance(value, str) else value for key, value in facts.items()}
        try:
            return Wording(title, masked(_compiled(source).render(values))[:LONGEST_TEXT])
        except PromptError as error:
            fault = masked(one_line(error.message))
    return Wording(title, escape(masked(_sentence(name, facts)))[:LONGEST_TEXT], fault)


@lru_cache(maxsize=64)
def _compiled(source: str) -> CompiledTemplate:
    return CompiledTemplate(source, "template")


def _sentence(name: str, facts: Mapping[str, Any]) -> str:
    if name.startswith("batch_"):
        return _of_batch(name, facts)
    job, why = facts["job_id"], _why(facts)
    done = f"{facts['completed_batches']:,} of {plural(facts['total_batches'], 'batch')} completed"
    if name in ("job_start", "job_resumed"):
        return f"{done} so far, on {facts['host']}" if facts["completed_batches"] else f"{done}, on {facts['host']}"
    if name == "rate_limit_detected":
        return f"{why or 'a rate limit'}; it goes on in {roughly(facts['wait_seconds'])}, {done}"
    spent = f"{roughly(facts['duration_seconds'])}, {dollars(facts['cost_usd'])}"
    if name == "job_complete":
        return f"{done} ({spent})"
    if name == "job_paused":
        return f"{why + '; ' if why else ''}{done} ({spent}); `mozart resume {job}` goes on"
    failed = f", {facts['failed_batches']:,} failed" if facts["failed_batches"] else ""
    return f"{why + '; ' if why else ''}{done}{failed} ({spent}); `mozart diagnose {job}` says more"


def _of_batch(name: str, facts: Mapping[str, Any]) -> str:
    verb = {"batch_start": "started", "batch_complete": "completed", "batch_failed": "failed"}[name]
    if facts["count"] > 1:
        which = f": {facts['batches']}" if facts["batches"] else ""
        return f"{facts['count']:,} more batches {verb}{which}"
    what = f"batch {facts['batch_num']} of {facts['total_batches']:,} {verb}"
    if name == "batch_start":
        return what
    why = _why(facts)
    spent = f"{roughly(facts['duration_seconds'])}, {dollars(facts['cost_usd'])}"
    return f"{what}{': ' + why if why else ''} ({spent})"


def _why(facts: Mapping[str, Any]) -> str:
    return " ".join(part for part in (facts["error_code"], one_line(facts["error_message"], 300)) if part)
