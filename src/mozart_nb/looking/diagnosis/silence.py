"""Running sessions that have printed nothing for long: they may hang, or work in silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mozart_nb.engine.state import BatchState
from mozart_nb.looking.diagnosis.findings import Trouble
from mozart_nb.looking.finding import Found
from mozart_nb.words import plural, roughly, spans

LONG_SECONDS: Final = 300.0
"""Silence worth a word: what `stale_detection` allows unless the job file says otherwise."""


def silence_troubles(found: Found) -> Iterator[Trouble]:
    """One trouble for all of them, if there are any. Only sessions with a log of their own can be judged."""
    if not found.is_live:
        return
    since = {number: last for number in found.state.agenda.running if (last := _last_word(found, number))}
    silent = {number: found.now - last for number, last in since.items() if found.now - last > LONG_SECONDS}
    if not silent:
        return
    longest = max(silent, key=lambda number: silent[number])
    whose = plural(len(silent), "session has", "sessions have")
    what = f"{whose} printed nothing for up to {roughly(silent[longest])} (batch {spans(sorted(silent), 6)})"
    watch = found.config.stale_detection if found.config is not None else None
    if watch is not None and watch.enabled:
        ends = f"it is ended after {roughly(watch.idle_timeout_seconds)} (stale_detection)"
    else:
        ends = "stale_detection: {enabled: true} would end it by itself"
    shown = f"`mozart logs {found.layout.job_id} --raw --batch {longest}` shows what it printed"
    yield Trouble("silence", what, "it hangs, or works for long without a word", f"{shown}; {ends}")


def _last_word(found: Found, number: int) -> float:
    """When the batch's session last printed something, epoch seconds; 0 where that cannot be seen."""
    batch: BatchState | None = found.state.batches.get(number)
    if batch is None or batch.session is None or not batch.session.log:
        return 0.0
    log = found.layout.root / batch.session.log
    return max((_changed(log.with_name(f"{log.name}{end}")) for end in (".out", ".err")), default=0.0)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
