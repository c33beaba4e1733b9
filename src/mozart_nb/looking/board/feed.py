"""Telling many listeners of one job what happens: one task reads, everybody gets the same bytes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from mozart_nb import events as ev
from mozart_nb.checkpoint.ends import events_since
from mozart_nb.consumers.progress import shown_status
from mozart_nb.errors import MozartError, UnknownJobError
from mozart_nb.looking.board.digest import Digest, named, pack, status_frame
from mozart_nb.looking.board.shapes import News, NewsKind
from mozart_nb.looking.board.watched import Reading, Watched
from mozart_nb.masking import masked

LIVE_SECONDS: Final = 0.5
"""Between two looks at a job that runs."""

IDLE_SECONDS: Final = 1.0
"""The same at one that nobody runs."""

MOST_WAITING: Final = 8
"""Pieces of news that wait for a slow listener; then they are thrown away and it is told to look again."""

MOST_CAUGHT_UP: Final = 500
"""Events that a listener who comes back is told one by one; whoever was away for longer looks again."""

GONE_SECONDS: Final = 3.0
"""How long a record may be missing, because it is just being archived, before the job is gone."""

T = TypeVar("T")


class Feed:
    """The news of one job, for the listeners of one event loop. Reads only while somebody listens."""

    def __init__(self, watched: Watched, pool: ThreadPoolExecutor, *, interval: float = LIVE_SECONDS) -> None:
        self._watched = watched
        self._pool = pool
        self._interval = interval
        self._listeners: set[asyncio.Queue[News]] = set()
        self._task: asyncio.Task[None] | None = None
        self._digest = Digest()
        self._stop: Callable[[], None] | None = None
        self._beginning = asyncio.Lock()
        self._seen = _Seen()
        self._missing_since: float | None = None
        self._is_idle = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    async def listen(self, since: int | None, record: str) -> AsyncGenerator[News, None]:
        """The news from now on, what happened after event `since` first. Raises as `Watched.reading`."""
        queue: asyncio.Queue[News] = asyncio.Queue(MOST_WAITING)
        self._listeners.add(queue)  # before the first look: what is told meanwhile must not be missed
        try:
            await self._begin()
            first = await self._in_thread(self._catch_up, since, record)
            yield first
            seq, place = first.seq, first.record
            while True:
                news = _after(await queue.get(), seq, place)
                seq, place = news.seq, news.record
                yield news
                if news.kind == "gone":
                    return
        finally:
            self._listeners.discard(queue)
            if not self._listeners:
                await self.close()

    async def close(self) -> None:
        """Stop reading; whoever still listens is told that the job is gone from here."""
        task, self._task = self._task, None
        left = tuple(self._listeners)  # whoever comes while the task ends begins anew, and stays
        if self._stop is not None:
            self._stop()
            self._stop = None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tell(_gone(self._seen.seq, self._seen.record), left)

    # --- the one task that reads --------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        async with self._beginning:
            if self._task is None or self._task.done():
                await self._in_thread(self._enter)
                self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(max(self._interval, IDLE_SECONDS) if self._is_idle else self._interval)
            try:
                news = await self._in_thread(self._look)
            except Exception as error:
                news = _gone(self._seen.seq, self._seen.record, f"{type(error).__name__}: {error}")
            if news is not None:
                self._tell(news)
                if news.kind == "gone":
                    return

    def _tell(self, news: News, listeners: Iterable[asyncio.Queue[News]] | None = None) -> None:
        for queue in tuple(self._listeners if listeners is None else listeners):
            try:
                queue.put_nowait(news)
            except asyncio.QueueFull:
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(_reload(news))

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    # --- in a thread --------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """From here on everything is heard."""
        with self._watched.reading(0) as reading:
            if self._stop is not None:
                self._stop()
            self._digest = Digest()
            self._stop = self._watched.hear(lambda events: self._digest.hear(events))
            self._seen = _seen(reading)
            self._missing_since = None

    def _look(self) -> News | None:
        """What is new; None when nothing is."""
        try:
            with self._watched.reading(0) as reading:
                digest, self._digest = self._digest, Digest()
                known, self._seen = self._seen, _seen(reading)
                self._is_idle = reading.owner is None
                self._missing_since = None
                return _news(reading, known, digest) if self._seen != known else None
        except (MozartError, OSError) as error:
            return self._on_error(error)

    def _on_error(self, error: Exception) -> News | None:
        """A record may be missing for a moment, or be half written; what lasts ends the news."""
        now = time.monotonic()
        if self._missing_since is None:
            self._missing_since = now
        if now - self._missing_since < GONE_SECONDS:
            return None
        reason = "the record of the job was removed" if isinstance(error, UnknownJobError) else str(error)
        return _gone(self._seen.seq, self._seen.record, reason)

    def _catch_up(self, since: int | None, record: str) -> News:
        """How the job stands, and what happened since then if that can be told."""
        with self._watched.reading(0) as reading:
            place, last = reading.record, reading.state.job.seq
            progress = reading.progress
            is_reset = since is not None and (since > last or record not in ("", place))
            is_far = since is not None and last - since > MOST_CAUGHT_UP
            status = status_frame(reading, frozenset() if since in (None, last) else None, 0)
        if is_reset:
            return News("reset", last, place, batches=None, progress=progress, encoded=_reset(place) + status)
        if is_far:
            encoded = named("reload", {"seq": last}) + status
            return News("reload", last, place, batches=None, progress=progress, encoded=encoded)
        missed: list[ev.Event] = []
        if since is not None and since < last:
            missed = [event for event in events_since(self._watched.layout, since) if event.seq <= last]
        told, encoded = pack(missed)
        changed = frozenset[int]() if since is None or since == last else None
        return News("events", last, place, told, len(missed) - len(told), changed, progress, encoded + status)


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that has to stay the same for there to be no news."""

    record: str = ""
    seq: int = 0
    status: str = ""
    questions: int = 0
    version: str = ""


def _seen(reading: Reading) -> _Seen:
    status = shown_status(reading.state, is_live=reading.owner is not None)
    return _Seen(reading.record, reading.state.job.seq, status, reading.questions, reading.version)


def _news(reading: Reading, known: _Seen, digest: Digest) -> News:
    record, seq = reading.record, reading.state.job.seq
    if record != known.record:
        encoded = _reset(record) + status_frame(reading, None, 0)
        return News("reset", seq, record, batches=None, progress=reading.progress, encoded=encoded)
    if seq - known.seq != digest.count:
        digest.lose_count()
    told, encoded = pack(digest.told)
    skipped = max(0, digest.count - len(told))
    status = status_frame(reading, digest.changed, skipped)
    return News("events", seq, record, told, skipped, digest.changed, reading.progress, encoded + status)


def _after(news: News, seq: int, record: str) -> News:
    """`news` without what this listener has been told already."""
    if news.kind != "events" or news.record != record or not news.events or news.events[0].seq > seq:
        return news
    known = pack(news.events)[1]
    told, encoded = pack(event for event in news.events if event.seq > seq)
    return replace(news, events=told, seq=max(seq, news.seq), encoded=encoded + news.encoded[len(known) :])


def _reset(record: str) -> bytes:
    return named("reset", {"record": record})


def _reload(news: News) -> News:
    if news.kind == "gone":
        return news
    encoded = named("reload", {"seq": news.seq}, news.seq)
    kind: NewsKind = "reset" if news.kind == "reset" else "reload"
    more = _reset(news.record) if kind == "reset" else b""
    return News(kind, news.seq, news.record, (), 0, None, news.progress, more + encoded)


def _gone(seq: int, record: str, reason: str = "the server let go of the job") -> News:
    return News("gone", seq, record, encoded=named("gone", {"reason": masked(reason)}))
