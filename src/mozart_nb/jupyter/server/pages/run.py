"""The page that a job is watched on: progress, map, time, batches and log, now or at any moment of its past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mozart_nb import events as ev
from mozart_nb.codes import lookup
from mozart_nb.consumers.lines import level_of, pairs_of
from mozart_nb.consumers.phrases import advice_for
from mozart_nb.errors import MisuseError
from mozart_nb.jupyter.server.pages.addresses import Query, To, with_query
from mozart_nb.jupyter.server.pages.charts import Activity, activity_of
from mozart_nb.jupyter.server.pages.maps import Maps, MapView
from mozart_nb.jupyter.server.pages.past import Known, Past
from mozart_nb.jupyter.server.pages.shared import Page
from mozart_nb.jupyter.server.pages.views import (
    BatchTable,
    Chip,
    JobView,
    batch_table,
    batch_wish,
    job_view,
    verbs_of,
)
from mozart_nb.looking.board import BatchPage, BatchWish, Board, Frame, JobLook, StillReadingError
from mozart_nb.looking.board.batches import STATUS_LETTERS, chosen, letters
from mozart_nb.looking.board.batches import page as page_of
from mozart_nb.looking.details import LogTail
from mozart_nb.words import time_of_day

REFRESH_SECONDS: Final = 5
READING_SECONDS: Final = 2
EVENTS_SHOWN: Final = 60
LINES_SHOWN: Final = 120
_LOGS_SHOWN: Final = 8
_FAILURES_SHOWN: Final = 4
_FAILURES_READ: Final = 40
_LEVELS: Final = {"ERROR": "error", "DEBUG": "system"}


@dataclass(frozen=True, slots=True)
class Travel:
    """The time slider: where it stands, and where its buttons lead."""

    last: int
    at: int
    words: str
    live: str
    back: str
    on: str
    keep: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event as a line of the log."""

    kind: str
    time: str
    text: str


@dataclass(frozen=True, slots=True)
class LogView:
    """What the log shows: the output of a session (`tail`), or the events of the job."""

    note: str
    choices: Sequence[Chip] = ()
    tail: LogTail | None = None
    events: Sequence[EventLine] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Batches that failed lately with the same code, and what helps."""

    code: str
    meaning: str
    message: str
    advice: str
    batches: Sequence[int]


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything on the page. `is_reading`: the past of the job is not known yet."""

    job: JobView
    then: Frame | None
    map: MapView | None
    activity: Activity | None
    is_reading: bool
    travel: Travel
    failures: Sequence[Failure]
    batches: BatchTable
    log: LogView


class RunReader:
    """Reads what the page shows, and keeps what is worth keeping between two looks. Safe in any thread."""

    def __init__(self) -> None:
        self._maps = Maps(STATUS_LETTERS)
        self._past = Past()

    def read(self, board: Board, key: str, query: Query, to: To) -> RunView:
        """The page as the address asks for it. Blocks."""
        look = board.look(key)
        known = self._past.of(board, key, look.record, look.job.seq)
        then, is_reading = _then(board, look, query.number("at"))
        page, wish, problem = self._batches(board, key, query, then)
        return RunView(
            job=_job(board, look, then),
            then=then,
            map=self._map(board, key, then) if look.progress.total else None,
            activity=self._activity(known, look, then, to, query),
            is_reading=is_reading or (not known.is_whole and look.job.seq > 1),
            travel=_travel(look.job.seq, then, to.run(key), query),
            failures=list(_failures(board, key, look, then)),
            batches=batch_table(page, wish, key, to, problem=problem, at=then.seq if then else 0),
            log=_log(board, look, then, to, query),
        )

    def _batches(self, board: Board, key: str, query: Query, then: Frame | None) -> tuple[BatchPage, BatchWish, str]:
        """The part of the table that is asked for; without a filter of numbers that nobody can read."""
        wish = batch_wish(query)
        try:
            return _some(board, key, wish, then), wish, ""
        except MisuseError as error:
            wider = replace(wish, numbers="")
            return _some(board, key, wider, then), wish, error.message

    def _map(self, board: Board, key: str, then: Frame | None) -> MapView:
        if then is not None:
            return self._maps.view(f"{key} then", letters(then.state))
        return self._maps.view(key, board.statuses(key))

    def _activity(self, known: Known, look: JobLook, then: Frame | None, to: To, query: Query) -> Activity | None:
        if known.settled is None:
            return None

        def address(seq: int) -> str:
            return with_query(to.run(look.key), {**_kept(query), "at": seq})

        at = then.at if then is not None else None
        return activity_of(known.settled, known.moments, address, at=at, now=look.now)


def _then(board: Board, look: JobLook, at: int) -> tuple[Frame | None, bool]:
    """The moment that is asked for, None for now; and whether it cannot be shown yet."""
    if not 0 < at < look.job.seq:
        return None, False
    try:
        return board.frame(look.key, at), False
    except StillReadingError:
        return None, True


def _some(board: Board, key: str, wish: BatchWish, then: Frame | None) -> BatchPage:
    if then is None:
        return board.batches(key, wish)
    return page_of(then.state, chosen(then.state, wish), wish, f"{then.seq}")


def _job(board: Board, look: JobLook, then: Frame | None) -> JobView:
    if then is None:
        return job_view(look, board.questions(look.key) if look.questions else ())
    return replace(job_view(look), progress=then.progress, verbs=verbs_of(then.progress, then=True))


# --- what failed ------------------------------------------------------------------------------------------------------


def _failures(board: Board, key: str, look: JobLook, then: Frame | None) -> Iterator[Failure]:
    """What failed lately, by code: the reason and the next step, on the screen where it failed."""
    progress = then.progress if then is not None else look.progress
    if not progress.failed:
        return
    wish = BatchWish(statuses=("failed",), sort="finished", descending=True, limit=_FAILURES_READ)
    by_code: dict[str, list[tuple[int, str]]] = {}
    for view in _some(board, key, wish, then).batches:
        by_code.setdefault(view.record.code, []).append((view.number, view.record.message or view.record.reason))
    for code, found in list(by_code.items())[:_FAILURES_SHOWN]:
        row = lookup(code) if code else None
        yield Failure(
            code=code,
            meaning=row.meaning if row else "",
            message=found[0][1],
            advice=advice_for(code, is_over=not progress.is_live) if code else "",
            batches=[number for number, _ in found],
        )


# --- time -------------------------------------------------------------------------------------------------------------

_KEPT: Final = ("status", "q", "numbers", "sort", "log")


def _kept(query: Query) -> dict[str, object]:
    """What stays of the address when another moment is looked at."""
    return {name: list(query.given[name]) for name in _KEPT if query.has(name)}


def _travel(seq: int, then: Frame | None, path: str, query: Query) -> Travel:
    last = max(1, seq)
    at = then.seq if then is not None else last
    kept = _kept(query)

    def there(seq: int) -> str:
        return with_query(path, {**kept, "at": seq if seq < last else 0})

    return Travel(
        last=last,
        at=at,
        words=time_of_day(then.at) if then is not None else "now",
        live=with_query(path, kept),
        back=there(max(1, at - 1)),
        on=there(at + 1) if then is not None else "",
        keep=[(name, value) for name in _KEPT for value in query.given.get(name, ())],
    )


# --- log --------------------------------------------------------------------------------------------------------------


def _log(board: Board, look: JobLook, then: Frame | None, to: To, query: Query) -> LogView:
    """The output of a session that runs, where one is chosen; else what happened last."""
    key = look.key
    if then is not None:
        found = board.events(key, since=max(0, then.seq - EVENTS_SHOWN), limit=EVENTS_SHOWN)
        told = [event for event in found.events if event.seq <= then.seq]
        return LogView("what happened up to then", events=[_line(event) for event in told])
    running = [one.number for one in look.progress.running_batches[:_LOGS_SHOWN]]
    wanted = query.number("log")
    shows_batch = 1 <= wanted <= look.progress.total
    numbers = list(dict.fromkeys([*running, *([wanted] if shows_batch else [])]))
    choices = [_choice(to, key, query, number, wanted if shows_batch else 0) for number in (0, *numbers)]
    if shows_batch:
        tail = board.output(key, wanted, lines=LINES_SHOWN)
        note = (
            f"batch {wanted}, attempt {tail.attempt}: the end of its output" if tail.attempt else "it printed nothing"
        )
        return LogView(note, choices, tail=tail)
    events = board.last_events(key, EVENTS_SHOWN).events
    return LogView("what happened last", choices if numbers else (), events=[_line(event) for event in events])


def _choice(to: To, key: str, query: Query, number: int, chosen_one: int) -> Chip:
    href = with_query(to.run(key), {**_kept(query), "log": number})
    return Chip(f"batch {number}" if number else "events", f"{href}#log-part", is_chosen=number == chosen_one)


def _line(event: ev.Event) -> EventLine:
    kind = _LEVELS.get(level_of(event), "")
    return EventLine(kind, time_of_day(event.at), f"{ev.kind_of(event)}{pairs_of(event)}")


class Run(Page):
    """`/mozart/jobs/{key}/run`."""

    async def get(self, key: str) -> None:
        if self.shows_shared():
            return
        view = await self.in_thread(_reader(self).read, self.board, key, self.query, self.to)
        seconds = READING_SECONDS if view.is_reading else REFRESH_SECONDS
        follows = self.live(seconds, self.to.events(key) if view.job.progress.is_live else "")
        self.show(
            "run.html",
            live=follows if view.then is None else None,
            tab="run",
            job=view.job,
            then=view.then,
            map=view.map,
            activity=view.activity,
            is_reading=view.is_reading,
            travel=view.travel,
            failures=view.failures,
            batches=view.batches,
            log=view.log,
        )


def _reader(page: Page) -> RunReader:
    """One for all pages of a server."""
    reader: RunReader = page.settings.setdefault("mozart_run_reader", RunReader())
    return reader
