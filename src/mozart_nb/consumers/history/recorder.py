"""What the thread of the history does with a parcel: write it to the history, and to the job's mirror if it has one.

Each of the two is opened when it is first needed, caught up from the journal where something was missed, and given up
for this run after repeated failure, which people are told once. Imported late.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy.exc import DBAPIError

from mozart_nb.consumers.history.database import (
    Database,
    Patience,
    is_busy,
    is_damage,
    open_database,
    patience,
    set_aside,
)
from mozart_nb.consumers.history.mirror import Mirror
from mozart_nb.consumers.history.parcel import Answer, Delivery, Missing, Parcel, ReadSince
from mozart_nb.consumers.history.section import Section
from mozart_nb.consumers.history.writing import catch_up, require_job, write, write_deliveries
from mozart_nb.errors import MozartError
from mozart_nb.events import Event

MOST_FAILURES: Final = 3
"""After so many parcels in a row that another process kept from being written, it is given up for this run."""


class Book(Protocol):
    """A database that is kept in step with a job. Everything may raise `DBAPIError`, `OSError` and `MozartError`."""

    def catch_up(self, parcel: Parcel, read_since: ReadSince, waits: Patience) -> Missing | None:
        """Add what was missed before `parcel`; returns what batches it has to be told of besides."""

    def write(self, parcel: Parcel, waits: Patience) -> None:
        """Add a parcel."""

    def close(self) -> None:
        """Nothing more will be added."""


class HistoryBook:
    """`history.db`."""

    def __init__(self, path: Path, sections: Sequence[Section], waits: Patience) -> None:
        self._database: Database = open_database(path, waits=waits)
        self._sections = sections

    def catch_up(self, parcel: Parcel, read_since: ReadSince, waits: Patience) -> Missing | None:
        return catch_up(self._database, parcel, read_since, self._sections, waits)

    def write(self, parcel: Parcel, waits: Patience) -> None:
        with self._database.writing(waits) as connection:
            write(connection, parcel, self._sections)

    def write_deliveries(self, parcel: Parcel, deliveries: Iterable[Delivery], waits: Patience) -> None:
        """Bring the job's notifications up to date."""
        with self._database.writing(waits) as connection:
            write_deliveries(connection, require_job(connection, parcel), deliveries)

    def close(self) -> None:
        self._database.close()


class Shelf:
    """The place of a book: opens it when it is needed, and knows whether it can be used."""

    def __init__(
        self, path: Path, what: str, open_book: Callable[[Patience], Book], tell: Callable[[str], None]
    ) -> None:
        self.path = path
        self.is_off = False
        self._what = what
        self._open = open_book
        self._tell = tell
        self._book: Book | None = None
        self._failures = 0
        self._has_told_damage = False

    def book(self, waits: Patience) -> Book:
        if self._book is None:
            self._book = self._open(waits)
        return self._book

    def put(self, parcel: Parcel, read_since: ReadSince, waits: Patience) -> Missing | None:
        """Write a parcel. What could not be written is asked for again."""
        again = Missing(since=parcel.since, numbers={batch.number for batch in parcel.batches})
        try:
            missing = self.book(waits).catch_up(parcel, read_since, waits)
            self.book(waits).write(parcel, waits)
        except Exception as error:  # whatever is wrong with it: the run goes on
            self.failed(error)
            return None if self.is_off else again
        self._failures = 0
        return missing

    def failed(self, error: Exception) -> None:
        """Take note of a failure: begin anew after damage, try again when somebody was in the way, else give up."""
        if is_damage(error) and not self._has_told_damage:
            self._begin_anew(error)
            return
        self._failures += 1
        if not is_busy(error) or self._failures >= MOST_FAILURES:
            self.is_off = True
            self.close()
            self._tell(
                f"{self._what} {self.path} is not written in this run ({said(error)}); it is caught up next time"
            )

    def _begin_anew(self, error: Exception) -> None:
        self._has_told_damage = True
        self.close()
        try:
            place = set_aside(self.path)
        except FileNotFoundError:
            return  # somebody else has done it
        except OSError as trouble:
            self.failed(trouble)
            return
        self._tell(
            f"{self._what} {self.path} was damaged ({said(error)}): it is now {place.name}, and made anew; "
            "`mozart history --rebuild` reads the journals of all jobs"
        )

    def close(self) -> None:
        book, self._book = self._book, None
        if book is not None:
            with contextlib.suppress(DBAPIError):
                book.close()


def said(error: Exception) -> str:
    """What went wrong, in few words."""
    if isinstance(error, DBAPIError):
        return str(error.orig)
    if isinstance(error, MozartError | OSError):
        return error.message if isinstance(error, MozartError) else str(error)
    return f"{type(error).__name__}: {error}"


class Recorder:
    """Writes parcels. Made and used in one thread."""

    def __init__(
        self,
        database: Path | None,
        mirror: Path | None,
        read_since: ReadSince,
        sections: Sequence[Section],
        tell: Callable[[str], None],
        *,
        is_patient: Callable[[], bool] = lambda: True,
        has_time: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_patient`: other processes may still be waited for; `has_time`: the journal may still be read."""
        self._read_since = _while(has_time, read_since)
        self._is_patient = is_patient
        self._last: Parcel | None = None
        self._shelves: list[Shelf] = []
        if database is not None:
            self._shelves.append(
                Shelf(database, "the history", lambda waits: HistoryBook(database, sections, waits), tell)
            )
        if mirror is not None:
            self._shelves.append(Shelf(mirror, "the mirror", lambda waits: Mirror(mirror, waits), tell))

    def write(self, parcel: Parcel) -> Answer:
        """Write a parcel wherever that is possible. Never raises."""
        self._last = parcel
        used = [shelf for shelf in self._shelves if not shelf.is_off]
        found = [shelf.put(parcel, self._read_since, self._patience()) for shelf in used]
        return Answer(
            [missing for missing in found if missing is not None], is_off=all(shelf.is_off for shelf in self._shelves)
        )

    def close(self, deliveries: Callable[[], Iterable[Delivery]] = tuple) -> None:
        """Write what became of notifications so far, and close everything. Never raises."""
        for shelf in self._shelves:
            if not shelf.is_off and self._last is not None:
                self._add_deliveries(shelf, self._last, deliveries)
            shelf.close()

    def _add_deliveries(self, shelf: Shelf, parcel: Parcel, deliveries: Callable[[], Iterable[Delivery]]) -> None:
        try:
            book = shelf.book(self._patience())
            if isinstance(book, HistoryBook):
                book.write_deliveries(parcel, deliveries(), self._patience())
        except Exception as error:
            shelf.failed(error)

    def _patience(self) -> Patience:
        waits = patience()
        return lambda: waits() and self._is_patient()


def _while(has_time: Callable[[], bool], read_since: ReadSince) -> ReadSince:
    """Reads a journal for as long as there is time. Raises `TimeoutError` when that is over."""

    def read(seq: int) -> Iterator[Event]:
        for event in read_since(seq):
            if not has_time():
                raise TimeoutError("there was no time to read the journal")
            yield event

    return read
