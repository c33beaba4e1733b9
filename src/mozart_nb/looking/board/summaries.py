"""The list of jobs: one small record per job, made again only when something was written or its host came or went."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import owner
from mozart_nb.consumers.progress import LIVE
from mozart_nb.errors import MozartError, UnknownJobError
from mozart_nb.looking.board.keys import Places
from mozart_nb.looking.board.shapes import JobPage, JobSort, JobWish, Summary
from mozart_nb.looking.board.watched import Reading, Shelf
from mozart_nb.looking.history import SMALL, Listed, jobs_at

AGE_SECONDS: Final = 0.5
"""Requests that come closer together than this see the same list."""

CATCH_UP_SECONDS: Final = 0.3
"""How long a list may wait for the history to catch up with jobs whose hosts died. Who asks for runs waits longer."""

GONE: Final = "gone"
"""What a job is between two looks at the places: removed."""

_SORTS: Final[Mapping[JobSort, Callable[[Summary], Any]]] = {
    "updated": lambda one: one.updated_at,
    "created": lambda one: one.job.created_at if one.job is not None else 0.0,
    "name": lambda one: one.name.casefold(),
    "status": lambda one: one.status,
    "cost": lambda one: one.progress.cost_usd if one.progress is not None else 0.0,
    "percent": lambda one: one.progress.percent if one.progress is not None else 0.0,
    "failed": lambda one: one.progress.failed if one.progress is not None else 0,
    "total": lambda one: one.progress.total if one.progress is not None else 0,
}


class Summaries:
    """All known jobs. Safe in any thread; blocks while it looks."""

    def __init__(self, places: Places, shelf: Shelf) -> None:
        self._places = places
        self._shelf = shelf
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._known: dict[Layout, tuple[Hashable, Summary]] = {}
        self._list: tuple[Summary, ...] = ()
        self._notices: tuple[str, ...] = ()

    def page(self, wish: JobWish) -> JobPage:
        """The part of the list that is asked for."""
        found = self.all()
        text = wish.text.casefold()
        suiting = [one for one in found if _suits(one, wish.statuses, text)]
        # The list has the one that did something last first; a stable sort keeps that among equals.
        suiting.sort(key=_SORTS[wish.sort], reverse=wish.descending)
        end = wish.offset + wish.limit if wish.limit else None
        counts = Counter(one.status for one in found)
        return JobPage(tuple(suiting[wish.offset : end]), len(suiting), len(found), dict(counts), self._notices)

    def all(self) -> tuple[Summary, ...]:
        """Every job, the one that did something last first."""
        with self._lock:
            if time.monotonic() - self._at >= AGE_SECONDS:
                self._list = tuple(self._look())
                self._at = time.monotonic()
            return self._list

    def _look(self) -> Iterable[Summary]:
        places = self._places.all()
        stamps = {layout: _stamp(layout) for layout in places.values()}
        stale = [layout for layout, stamp in stamps.items() if not self._stands(layout, stamp)]
        found = self._read(stale)
        known: dict[Layout, tuple[Hashable, Summary]] = {}
        for key, layout in places.items():
            summary = found.get(layout) or self._known[layout][1]
            known[layout] = (stamps[layout], summary if summary.key == key else replace(summary, key=key))
        self._known = known
        return [summary for _, summary in known.values() if summary.status != GONE]

    def _stands(self, layout: Layout, stamp: Hashable) -> bool:
        """Whether nothing can have changed. Of a job that runs, times and the expected end do so by themselves."""
        known = self._known.get(layout)
        return known is not None and known[0] == stamp and known[1].status not in LIVE

    def _read(self, layouts: Sequence[Layout]) -> dict[Layout, Summary]:
        """Small jobs that run are followed, the others read from the history, which their hosts keep."""
        found: dict[Layout, Summary] = {}
        for layout in layouts:
            if self._shelf.known(layout) is not None or self._is_small_and_live(layout):
                found[layout] = self._followed(layout)
        notices: list[str] = []
        for listed in jobs_at([layout for layout in layouts if layout not in found], notices, seconds=CATCH_UP_SECONDS):
            found[listed.layout] = _of_listed(listed)
        self._notices = tuple(notices)
        return found

    def _is_small_and_live(self, layout: Layout) -> bool:
        known = self._known.get(layout)
        progress = known[1].progress if known is not None else None
        return progress is not None and progress.is_live and progress.total <= SMALL

    def _followed(self, layout: Layout) -> Summary:
        try:
            with self._shelf.take(layout).reading() as reading:
                return of_reading("", layout, reading)
        except (MozartError, OSError) as error:
            message = error.message if isinstance(error, MozartError) else str(error)
            status = GONE if isinstance(error, UnknownJobError) else "unreadable"
            return Summary("", layout, str(layout.workspace), status, message=message)


def of_reading(key: str, layout: Layout, reading: Reading) -> Summary:
    """The summary of a job that is followed."""
    workspace = reading.prepared.places.workspace if reading.prepared is not None else layout.workspace
    progress = reading.progress
    job = reading.state.job.still()
    is_live = reading.owner is not None
    return Summary(key, layout, str(workspace), progress.status, is_live, progress, job, reading.questions)


def _of_listed(listed: Listed) -> Summary:
    view = listed.view
    if view.status == "unreadable":
        return Summary("", listed.layout, view.workspace, view.status, message=view.message)
    progress = listed.progress
    return Summary(
        "", listed.layout, view.workspace, view.status, listed.is_live, progress, view.job, progress.questions
    )


def _suits(one: Summary, statuses: Sequence[str], text: str) -> bool:
    if statuses and one.status not in statuses:
        return False
    if not text:
        return True
    description = one.job.description if one.job is not None else ""
    return text in f"{one.job_id}\n{one.name}\n{description}\n{one.workspace}".casefold()


def _stamp(layout: Layout) -> Hashable:
    """Changes when the journal grows, is replaced, or another process runs the job."""
    try:
        with os.scandir(layout.journal) as entries:
            parts = sorted((one.name, one.stat()) for one in entries)
        sizes = [(name, found.st_size, found.st_mtime_ns) for name, found in parts]
    except OSError:
        sizes = []
    holder = owner(layout)
    return (tuple(sizes), holder, holder.alive if holder is not None else None)
