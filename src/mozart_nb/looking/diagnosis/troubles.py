"""What is wrong around a job: notifications that do not arrive, hooks that failed, disks, sessions left behind."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mozart_nb.consumers.log.files import log_file
from mozart_nb.engine.ports import NOT_PERMITTED
from mozart_nb.hooks import HookResult
from mozart_nb.looking.diagnosis.findings import Environment, Fact, Severity, Trouble
from mozart_nb.looking.diagnosis.isolated import isolation_troubles
from mozart_nb.looking.diagnosis.silence import silence_troubles
from mozart_nb.looking.finding import Found
from mozart_nb.words import clean, one_line, plural, spans

if TYPE_CHECKING:
    from mozart_nb.consumers.notify import Delivery

_HOOKS_GONE_WRONG: Final = frozenset({"failed", "interrupted", "unknown"})
_WIDTH: Final = 240

_NEEDED_TO_GO_ON: Final = frozenset({"claude", "anthropic", "key", "workspace", "state", "works in"})


def troubles_of(found: Found, around: Environment) -> Iterator[Trouble]:
    """What is wrong besides the work itself, the worst first."""
    told = [
        *_environment_troubles(found, around),
        *silence_troubles(found),
        *_denial_troubles(found),
        *_notification_troubles(found.layout.notifications),
        *_log_troubles(found),
        *isolation_troubles(found),
        *_hook_troubles(found.hooks, found.layout.job_id),
    ]
    yield from sorted(told, key=lambda trouble: trouble.severity != "error")


def _environment_troubles(found: Found, around: Environment) -> Iterator[Trouble]:
    """A completed job needs neither its program nor its folders any more."""
    is_over = found.progress.status == "completed"
    for fact in around.facts:
        is_needed = fact.name in _NEEDED_TO_GO_ON and not is_over
        if fact.name == "sessions" or (is_needed and fact.status == "error") or _is_tight(fact):
            yield Trouble(fact.name, f"{fact.name}: {fact.detail}", advice=fact.hint, severity=fact.status)


def _is_tight(fact: Fact) -> bool:
    return fact.name in ("workspace", "state") and fact.status == "error" and fact.hint.startswith("make room")


def _denial_troubles(found: Found) -> Iterator[Trouble]:
    """Batches that passed although their session was refused a tool; of those that failed it is the likely cause."""
    batches = found.state.batches.values()
    denied = {
        batch.number: next(text for text in batch.warnings if NOT_PERMITTED in text)
        for batch in batches
        if batch.warnings and batch.status == "completed" and any(NOT_PERMITTED in text for text in batch.warnings)
    }
    if denied:
        whose = f"{plural(len(denied), 'completed batch')} ({spans(sorted(denied), 6)})"
        said = one_line(denied[min(denied)], _WIDTH)
        advice = "should it have been: backend.skip_permissions: true, or backend.allowed_tools, and rules that notice"
        yield Trouble("tools", f"a tool was not permitted in {whose}", clean(said), advice)


# --- who was to be told -----------------------------------------------------------------------------------------------


def _notification_troubles(folder: Path) -> Iterator[Trouble]:
    """Each channel that does not get what it should, with the last reason."""
    if not folder.is_dir():
        return
    from mozart_nb.consumers.notify import deliveries, next_step  # for jobs that tell somebody, and for no others

    by_channel: dict[tuple[int, str], list[Delivery]] = {}
    for one in deliveries(folder):
        by_channel.setdefault((one.channel, one.type), []).append(one)
    for (channel, kind), several in sorted(by_channel.items()):
        last = several[-1]
        if last.status == "delivered":
            continue
        counts = Counter(one.status for one in several)
        lost = counts["failed"] + counts["retrying"]
        name = f"notifications of channel {channel} ({kind})"
        if last.status == "skipped":
            yield Trouble("notifications", f"{name} are not shown", one_line(last.error, _WIDTH), severity="unknown")
            continue
        what = f"{name} do not arrive: {plural(lost, 'message')} not delivered"
        again = "it is still tried; " if last.status == "retrying" else ""
        advice = f"{again}{next_step(kind, last.error, last.http_status)}; `mozart notify-test JOB.yaml` tries it"
        yield Trouble("notifications", what, one_line(last.error, _WIDTH), advice)


def _log_troubles(found: Found) -> Iterator[Trouble]:
    """A log that cannot be written. The run said so once, and went on without it."""
    if found.config is None or not os.access(found.workspace, os.W_OK):
        return
    file = log_file(found.config.logging, found.workspace)
    with contextlib.suppress(OSError, StopIteration):
        place = next(path for path in (file, *file.parents) if path.exists())
        why = ""
        if place == file and file.is_dir():
            why = "it is a folder"
        elif place != file and not place.is_dir():
            why = f"{place} is no folder"
        elif not os.access(place, os.W_OK):
            why = f"{place} may not be written"
        if why:
            advice = "choose another logging.file_path for the next run; `mozart logs` reads the journal meanwhile"
            yield Trouble("log", f"the log file {file} cannot be written", why, advice)


def _hook_troubles(hooks: list[HookResult], job_id: str) -> Iterator[Trouble]:
    for hook in hooks:
        if hook.status in _HOOKS_GONE_WRONG:
            last = hook.output.strip().splitlines()[-1:]
            why = "; ".join(text for text in (hook.message, *last) if text)
            advice = f"mend what it runs, and run it by hand; `mozart status {job_id}` shows all hooks"
            if hook.status == "interrupted":
                advice = f"`mozart resume {job_id}` runs it again"
            what = f"hook {hook.hook} {hook.status} ({one_line(hook.what, 100)})"
            severity: Severity = "error" if hook.status == "failed" else "warning"
            yield Trouble("hooks", what, one_line(why, _WIDTH), advice, severity)
