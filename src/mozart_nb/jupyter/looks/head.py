"""The head of a job's display: how it stands, how far it is, what it cost, what it waits for and what runs now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mozart_nb.codes import lookup
from mozart_nb.consumers.isolation import isolation_phrases
from mozart_nb.consumers.phrases import money_text, repeat_phrases, running_phrases, wait_text
from mozart_nb.consumers.progress import Progress, RunningBatch
from mozart_nb.jupyter.looks.advice import advice_here
from mozart_nb.jupyter.looks.text import escaped_line
from mozart_nb.jupyter.looks.theme import LOOKS, framed, mark
from mozart_nb.words import clock, count, dollars, plural, rough_eta

RUNNING_SHOWN: Final = 4
"""Running batches that are shown one by one where nobody says how many."""
SEPARATOR: Final = "<i> · </i>"
"""Between things in a row; the style sheet has better means and hides it."""
BUSY_SECONDS: Final = 1.0
"""A kernel that did nothing else for so long is worth a word."""

_LINE_PIXELS: Final = 20
_WAITING_WORDS: Final = 300
_REASON_WORDS: Final = 500


def head(
    progress: Progress, *, running: int = RUNNING_SHOWN, busy_seconds: float = 0.0, notes: Sequence[str] = ()
) -> str:
    """All of the head as HTML. `running`: batches that run are shown one by one, at most so many.

    `busy_seconds`: for so long the kernel has not let the job go on; `notes` are sentences of the host.
    """
    parts = [
        _title(progress),
        bar(progress),
        f'<p class="mozart-counts">{counts(progress)}</p>',
        f'<p class="mozart-facts">{facts(progress)}</p>',
        reason(progress),
        "".join(_place(progress)),
        "".join(_waits(progress)),
        "".join(_notes(busy_seconds if progress.is_live else 0.0, notes)),
        running_list(progress, running),
    ]
    return framed("".join(parts), "head")


def badge(status: str) -> str:
    """The status of a job or a batch: symbol and word."""
    kind = status if status in LOOKS else "other"
    return f'<span class="mozart-badge mozart-is-{kind}">{mark(status)} {escaped_line(status, 40)}</span>'


def _title(progress: Progress) -> str:
    name = escaped_line(progress.name or progress.job_id, 80)
    return (
        f'<p class="mozart-title"><strong class="mozart-name"><bdi>{name}</bdi></strong> '
        f"{badge(progress.status)} "
        f'<span class="mozart-share">{progress.done:,} of {plural(progress.total, "batch")} done'
        f" · {progress.percent:g} %</span></p>"
    )


def announcement(progress: Progress) -> str:
    """What a screen reader says when the status changes, unseen on the screen.

    It belongs into an element of its own that is replaced only then: a head that is drawn again every second must not
    speak every second.
    """
    name = escaped_line(progress.name or progress.job_id, 80)
    words = f"{name}: {escaped_line(progress.status, 40)}, {progress.done:,} of {plural(progress.total, 'batch')} done"
    failed = f", {progress.failed:,} failed" if progress.failed else ""
    return f'<span class="mozart-look mozart-unseen" role="status" lang="en">{words}{failed}</span>'


# --- the bar ----------------------------------------------------------------------------------------------------------


def bar(progress: Progress) -> str:
    """Shares of the batches as a bar: done, failed, running, waiting; what is left stays empty."""
    total = max(1, progress.total)
    pieces = "".join(
        f'<i class="mozart-{status}" style="width:{100 * number / total:.3g}%"></i>'
        for status, number in shares(progress)
    )
    return (
        f'<div class="mozart-bar" role="progressbar" aria-label="batches done" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{progress.percent:g}" aria-valuetext="{shares_words(progress)}">{pieces}</div>'
    )


def shares(progress: Progress) -> list[tuple[str, int]]:
    """The parts of the bar from the left, none of them empty: status and number of batches."""
    parts = (
        ("completed", progress.completed),
        ("skipped", progress.skipped),
        ("failed", progress.failed + progress.blocked + progress.cancelled),
        ("running", progress.running),
        ("waiting", progress.waiting),
    )
    return [(status, number) for status, number in parts if number]


def shares_words(progress: Progress) -> str:
    """The bar for those who do not see it."""
    words = ", ".join(f"{number:,} {status}" for status, number in shares(progress)) or "nothing done yet"
    return f"{words}, of {progress.total:,}"


def counts(progress: Progress) -> str:
    """How many batches stand how, symbol, number and word: the legend of bar and map."""
    shown = [f"<span>{mark(status)} {number:,} {word}</span>" for status, number, word in standing(progress)]
    return SEPARATOR.join(shown) or "<span>no batches yet</span>"


def standing(progress: Progress) -> list[tuple[str, int, str]]:
    """How many batches stand how, none left out that occurs: status, number, and the word for it."""
    left = "running" if progress.is_live else "left running"
    all_ = (
        ("completed", progress.completed, "completed"),
        ("running", progress.running - progress.parked, left),
        ("running", progress.parked, "with the service"),
        ("waiting", progress.waiting, "waiting"),
        ("failed", progress.failed, "failed"),
        ("blocked", progress.blocked, "blocked"),
        ("cancelled", progress.cancelled, "cancelled"),
        ("skipped", progress.skipped, "skipped"),
        ("pending", progress.pending, "pending"),
    )
    return [(status, number, word) for status, number, word in all_ if number > 0]


# --- numbers ----------------------------------------------------------------------------------------------------------


def facts(progress: Progress) -> str:
    """Time, money, tokens and what had to be done more than once: label and value."""
    shown = [_fact(label, value) for label, value in fact_pairs(progress)]
    return SEPARATOR.join(shown)


def fact_pairs(progress: Progress) -> Iterator[tuple[str, str]]:
    """The same as plain text."""
    if progress.is_live:
        yield "time left", rough_eta(progress.eta_seconds)
    yield "elapsed", clock(progress.elapsed_seconds)
    yield "cost", money_text(progress)
    yield "tokens", count(progress.usage.total)
    if progress.saved_usd > 0:
        yield "saved by cache", dollars(progress.saved_usd)
    if progress.is_live and progress.concurrency:
        now, most = progress.concurrency
        yield "at once", f"{now} instead of {most}" if now < most else f"{most}"
    again = repeat_phrases(progress)
    if again:
        yield "repeats", ", ".join(again)


def _fact(label: str, value: str) -> str:
    """Between two dollar signs of one element some would see a formula."""
    written = escaped_line(value).replace("$", "<span>$</span>")
    return f"<span><small>{label}</small> <b>{written}</b></span>"


# --- what is in the way -----------------------------------------------------------------------------------------------


def reason(progress: Progress) -> str:
    """Why the job does not go on, with the meaning of its code and what helps; empty when there is nothing to say."""
    words = reason_words(progress)
    if not words:
        return ""
    kind = "failed" if progress.status == "failed" else "waiting"
    return f'<p class="mozart-note mozart-is-{kind}">{words}</p>'


def reason_words(progress: Progress) -> str:
    """The same without its frame, as HTML."""
    if progress.status in ("completed", "running", "pending"):
        return ""
    said = f"<bdi>{escaped_line(progress.reason, _REASON_WORDS)}</bdi>" if progress.reason else ""
    if progress.code:
        row = lookup(progress.code)
        about = f"<b>{escaped_line(progress.code, 10)}</b> {escaped_line(row.meaning)}"
        said = f"{about}: {said}" if said else about
        advice = advice_here(progress.code, is_over=progress.status == "failed")
        if progress.status not in ("failed", "paused") or advice in progress.reason:
            return said
        return f"{said} <em>{escaped_line(advice)}</em>"
    if progress.status == "interrupted":
        return f"{said} Nobody runs this job any more; nothing is lost, it can be resumed.".strip()
    return said


def _place(progress: Progress) -> Iterator[str]:
    """Where an isolated job works, or has worked."""
    for phrase in isolation_phrases(progress.isolation):
        yield f'<p class="mozart-note"><bdi>{escaped_line(phrase, _REASON_WORDS)}</bdi></p>'


def _waits(progress: Progress) -> Iterator[str]:
    for wait in progress.waits:
        words = escaped_line(wait_text(wait), _WAITING_WORDS)
        yield f'<p class="mozart-note mozart-is-waiting">{mark("waiting")} <bdi>{words}</bdi></p>'


def _notes(busy_seconds: float, notes: Sequence[str]) -> Iterator[str]:
    if busy_seconds >= BUSY_SECONDS:
        yield f'<p class="mozart-note">kernel was busy {busy_seconds:.1f} s: this job stood still meanwhile</p>'
    for note in notes:
        yield f'<p class="mozart-note"><bdi>{escaped_line(note, _WAITING_WORDS)}</bdi></p>'


# --- running batches --------------------------------------------------------------------------------------------------


def running_list(progress: Progress, most: int = RUNNING_SHOWN) -> str:
    """Running batches, the longest running first, at most so many; empty when none runs."""
    shown = progress.running_batches[:most]
    room = _lines_kept(progress, most)
    if not shown and not room:
        return ""
    left = len(progress.running_batches) - len(shown)
    more = f"<li>and {left:,} more</li>" if shown and left else ""
    height = f' style="min-height:{_LINE_PIXELS * room}px"' if room else ""
    return f'<ul class="mozart-now" aria-label="running batches"{height}>{"".join(map(_running, shown))}{more}</ul>'


def _lines_kept(progress: Progress, most: int) -> int:
    """Lines that stay free while batches come and go, so that what stands below does not jump."""
    if progress.status != "running" or progress.concurrency is None or most < 1:
        return 0
    at_once = min(progress.concurrency[1], progress.running + progress.pending + progress.waiting)
    return min(at_once, most + 1)


def _running(batch: RunningBatch) -> str:
    words = escaped_line(" · ".join(running_phrases(batch)), 160)
    return f"<li><b>#{batch.number}</b> <time>{clock(batch.elapsed_seconds)}</time> <bdi>{words}</bdi></li>"
