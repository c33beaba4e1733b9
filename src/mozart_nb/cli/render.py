"""The progress view-model in words and colours, for the live display, `status` and the last lines of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.text import Text

from mozart_nb.cli.output import STYLES
from mozart_nb.codes import lookup
from mozart_nb.consumers.isolation import isolation_phrases
from mozart_nb.consumers.phrases import count_phrases, money_text, repeat_phrases, running_phrases, wait_text
from mozart_nb.consumers.progress import Progress, RunningBatch
from mozart_nb.engine.state import JobRecord, JobState
from mozart_nb.hooks import HookResult, words
from mozart_nb.words import (
    clean,
    clock,
    count,
    dollars,
    moment,
    one_line,
    plural,
    rough_eta,
    roughly,
    spans,
)

MAX_RUNNING = 8
"""Running batches that are shown one by one."""
MAX_REMEDIES = 10
"""Different remedies that are shown."""

_BAR = "━"
_HOOK_LOOKS = {"succeeded": "completed", "detached": "running", "unknown": "interrupted"}


def line(*parts: str | tuple[str, str], indent: int = 0) -> Text:
    """One line that is cut, never wrapped."""
    cleaned = (clean(part) if isinstance(part, str) else (clean(part[0]), part[1]) for part in parts)
    return Text.assemble(" " * indent, *cleaned, no_wrap=True, overflow="ellipsis")


def head_line(progress: Progress, width: int) -> Text:
    """Name, status, bar, done/total, ETA: one line of at most `width` columns."""
    name = one_line(progress.name or progress.job_id, max(10, width // 4))
    left = Text.assemble((name, "bold"), " ", (progress.status, STYLES.get(progress.status, "")), " ")
    right = f" {progress.done:,}/{progress.total:,} {progress.percent:g} %"
    if progress.is_live:
        right += f"  ETA {rough_eta(progress.eta_seconds)}"
    room = width - left.cell_len - len(right)
    head = left + bar(progress, min(40, room)) if room >= 8 else left
    return _cut(head + Text(right))


def bar(progress: Progress, width: int) -> Text:
    """Completed, failed, running and other batches as shares of `width` columns."""
    total = max(1, progress.total)
    shares = [
        (progress.done, "green"),
        (progress.failed + progress.blocked + progress.cancelled, "red"),
        (progress.running, "cyan"),
    ]
    text, used = Text(), 0
    for number, style in shares:
        cells = min(width - used, -(-number * width // total) if style != "green" else number * width // total)
        text.append(_BAR * cells, style=style)
        used += cells
    return text.append(_BAR * (width - used), style="bright_black")


def count_line(progress: Progress) -> Text:
    """How many batches stand how, cost, tokens, time."""
    parts = [*count_phrases(progress), money_text(progress), f"{count(progress.usage.total)} tokens"]
    parts.append(clock(progress.elapsed_seconds))
    return _cut(Text("  " + " · ".join(parts), style="bright_black" if not progress.failed else ""))


def wait_lines(progress: Progress) -> Iterator[Text]:
    """What holds batches back, with a countdown."""
    for wait in progress.waits:
        yield line((wait_text(wait), "yellow"), indent=2)


def running_lines(progress: Progress, most: int = MAX_RUNNING) -> Iterator[Text]:
    """Running batches, the longest running first."""
    shown = progress.running_batches[:most]
    width = max((len(f"{batch.number}") for batch in shown), default=1)
    for batch in shown:
        yield _running_line(batch, width)
    left = len(progress.running_batches) - len(shown)
    if left > 0:
        yield line((f"and {left:,} more", "bright_black"), indent=2)


def _running_line(batch: RunningBatch, width: int) -> Text:
    facts = running_phrases(batch)
    number = (f"#{batch.number:<{width}}", "cyan")
    return line(number, f" {clock(batch.elapsed_seconds):>7}  ", (" · ".join(facts), "bright_black"), indent=2)


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


# --- the end ----------------------------------------------------------------------------------------------------------


def summary_lines(progress: Progress, job: JobRecord | None = None) -> Iterator[Text]:
    """What became of a run, in a few lines. With `job`, a run that went on is told apart from all runs together."""
    status = progress.status
    went_on = job is not None and job.runs > 1
    what = f"{progress.done:,} of {f'{progress.total:,}' if went_on else plural(progress.total, 'batch')} done"
    if progress.skipped:
        what += f" ({progress.skipped:,} skipped)"
    took = f" in {roughly(progress.elapsed_seconds)}" if progress.elapsed_seconds else ""
    money = f"{money_text(progress)}, {count(progress.usage.total)} tokens"
    if progress.saved_usd > 0:
        money += f", {dollars(progress.saved_usd)} saved by the prompt cache"
    if job is not None and went_on:
        said = f"{plural(job.run_completed, 'batch')}{took}; {what}, {money} in all"
    else:
        said = f"{what}{took}, {money}"
    yield Text.assemble((progress.job_id, "bold"), " ", (status, STYLES.get(status, "")), f": {said}")
    used = repeat_phrases(progress)
    if used:
        yield Text(f"  {', '.join(used)}", style="bright_black")
    if progress.reason and status != "completed":
        code = f"{progress.code} {lookup(progress.code).meaning}: " if progress.code else ""
        yield Text(f"  {code}{one_line(progress.reason, 400)}")


def remedy_lines(state: JobState) -> Iterator[Text]:
    """What self-healing did or advises, the same for many batches once."""
    found: dict[str, list[int]] = {text: [] for text in state.job.remedies}
    for number, batch in state.batches.items():
        for text in dict.fromkeys(batch.remedies):
            found.setdefault(text, []).append(number)
    for text, numbers in list(found.items())[:MAX_REMEDIES]:
        whose = f"batch{'es' if len(numbers) > 1 else ''} {spans(sorted(numbers))}: " if numbers else ""
        yield Text(f"  self-healing: {whose}{text}")
    if len(found) > MAX_REMEDIES:
        yield line(f"and {len(found) - MAX_REMEDIES:,} more: see `mozart errors {state.job.job_id}`", indent=2)


def isolation_lines(state: JobState) -> Iterator[Text]:
    """Where the work of an isolated job is."""
    return (line(phrase, indent=2) for phrase in isolation_phrases(state.job.isolation))


def hook_lines(results: Iterable[HookResult]) -> Iterator[Text]:
    """Hooks of a completed job, one line each."""
    for result in results:
        style = STYLES.get(_HOOK_LOOKS.get(result.status, result.status), "")
        what = one_line(result.what, 80)
        said = one_line(words(result), 200).removeprefix(result.status)
        yield line(f"hook {result.hook} ({result.type}) {what}: ", (result.status, style), said, indent=2)


def when_line(started_at: float, finished_at: float, now: float) -> str:
    """When a run began and ended."""
    began = f"started {moment(started_at, now)}"
    return f"{began}, ended {moment(finished_at, now)}" if finished_at else began
