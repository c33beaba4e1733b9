"""Bringing the history up to date from the journals of jobs that nobody runs: what a host that died left unwritten.

A job that somebody runs is left to its host. Everything here blocks. SQLAlchemy is imported when it is first needed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mozart_nb.checkpoint.ends import events_since, last_seq, planned_in
from mozart_nb.checkpoint.follow import load_for_reading, read_events
from mozart_nb.checkpoint.index import all_jobs, home
from mozart_nb.checkpoint.layout import STATE_FOLDER, Layout
from mozart_nb.checkpoint.lock import is_running
from mozart_nb.checkpoint.scan import scan
from mozart_nb.consumers.history import JobIdentity, Section
from mozart_nb.consumers.history.identity import SWEPT, identity_text, journal_of
from mozart_nb.consumers.history.parcel import Missing, Parcel, parts_of
from mozart_nb.consumers.history.tally import COUNTED
from mozart_nb.consumers.learning import LearningSection
from mozart_nb.engine.state import SETTLED, BatchState, JobState
from mozart_nb.errors import MozartError, WorldError
from mozart_nb.events import Event, kind_of
from mozart_nb.onlookers import deliveries_of, identity_of
from mozart_nb.plans.hints import HISTORY
from mozart_nb.plans.prepared import Prepared, opened

if TYPE_CHECKING:
    from mozart_nb.consumers.history.database import Database
    from mozart_nb.consumers.history.reading import JobEntry

Tell = Callable[[str], None]

BATCHES_AT_ONCE: Final = 5_000
"""Batches that are written in one transaction: runs write in between."""

CATCH_UP_SECONDS: Final = 4.0
"""How long whoever only wants to look may be kept waiting for jobs to be caught up with."""

COUNT_SECONDS: Final = 60.0
"""The same for whoever wants to see runs, which would else be counted from the journals all the same."""

_BYTES_PER_SECOND: Final = 40e6


def history_file() -> Path:
    """Where the history is kept."""
    return home() / HISTORY


@dataclass
class Rebuilt:
    """What a rebuild came to. `unreadable` maps jobs to why their records could not be read."""

    jobs: int = 0
    runs: int = 0
    mirrors: int = 0
    left_alone: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


# --- opening ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_history(tell: Tell) -> Iterator[Database]:
    """The history, open. One that is damaged is moved aside and begun anew, which is told.

    Raises `WorldError` when it was written by a newer version, cannot be read, or is held by another process.
    """
    database = _opened(tell)
    try:
        yield database
    finally:
        database.close()


def _opened(tell: Tell) -> Database:
    from sqlalchemy.exc import DBAPIError

    from mozart_nb.consumers.history.database import is_damage, open_database

    path = history_file()
    try:
        try:
            return open_database(path)
        except DBAPIError as error:
            if not is_damage(error):
                raise
            set_aside_damaged(path, error, tell)
            return open_database(path)
    except (DBAPIError, OSError) as error:
        raise unusable(error) from error


def set_aside_damaged(path: Path, error: Exception, tell: Tell) -> None:
    """Move a damaged history out of the way and say so. Raises `OSError`."""
    from mozart_nb.consumers.history.database import set_aside
    from mozart_nb.consumers.history.recorder import said

    with contextlib.suppress(FileNotFoundError):  # somebody else has done it
        place = set_aside(path)
        tell(f"the history was damaged ({said(error)}): it is now {place}, and made anew from the jobs' journals")


def unusable(error: Exception) -> WorldError:
    """What to raise when the history cannot be used."""
    from mozart_nb.consumers.history.recorder import said

    hint = "`mozart history --rebuild` makes it anew from the jobs' journals"
    return WorldError(f"the history {history_file()} cannot be used: {said(error)}", hint=hint)


# --- one job ----------------------------------------------------------------------------------------------------------


def is_behind(layout: Layout, entry: JobEntry | None) -> bool:
    """Whether the job's journal holds more than the history knows, or is another one.

    A settled job without its snapshot has met with an accident: its record is looked at as well.
    """
    if entry is None or is_of_another(layout, entry):
        return True
    if entry.record.status in SETTLED and not layout.snapshot.is_file():
        return True
    return min(entry.seq, entry.batches_seq) != last_seq(layout)


def is_of_another(layout: Layout, entry: JobEntry) -> bool:
    """Whether the history knows another journal of the job: it was started over since."""
    found = _journal_at(layout)
    return not found or entry.journal != found


def record(database: Database, layout: Layout, sections: Sequence[Section]) -> JobState:
    """Bring the history up to date with a job that nobody runs. Returns its state.

    Raises `DBAPIError`, `OSError`, and what reading the job's record raises.
    """
    from mozart_nb.consumers.history.database import patience
    from mozart_nb.consumers.history.writing import catch_up, write

    state = load_for_reading(layout).state
    whole = _parcel(_identity(layout), state)
    kinds = COUNTED.union(*(section.kinds for section in sections))
    names = frozenset(map(kind_of, kinds))

    def read_since(seq: int) -> Iterator[Event]:
        return events_since(layout, seq) if seq else scan(layout, names)

    missing = catch_up(database, whole, read_since, sections, patience())
    numbers = _touched(state, missing) if missing is not None else []
    since = missing.since if missing is not None else whole.since
    for part, is_last in _in_parts(numbers):
        batches = [state.batches[number] for number in part]
        with database.writing() as connection:
            write(connection, _parcel(whole.identity, state, since, batches, is_last), sections)
    return state


def _touched(state: JobState, missing: Missing) -> list[int]:
    """The batches that have to be written: those that events name, or all of them where nothing is known yet."""
    if not missing.since:
        return list(state.batches)
    swept = {number for number, batch in state.batches.items() if missing.sweep and batch.status in SWEPT}
    return sorted((missing.numbers & state.batches.keys()) | swept)


def _parcel(
    identity: JobIdentity,
    state: JobState,
    since: int | None = None,
    batches: Sequence[BatchState] = (),
    drained: bool = True,
) -> Parcel:
    job = state.job
    return Parcel(
        identity=identity,
        journal=journal_of(job),
        seq=job.seq,
        record=job,
        batches=batches,
        since=job.seq if since is None else since,
        drained=drained,
    )


def _in_parts(numbers: Sequence[int]) -> Iterator[tuple[Sequence[int], bool]]:
    parts = list(parts_of(numbers, BATCHES_AT_ONCE)) or [()]
    for place, part in enumerate(parts, 1):
        yield part, place == len(parts)


def _identity(layout: Layout) -> JobIdentity:
    try:
        return identity_of(opened(layout))
    except (MozartError, OSError):  # its plan cannot be read any more; its journal can
        return JobIdentity(job_id=layout.job_id, state_workspace=str(layout.workspace.resolve()))


def record_archived(
    database: Database, layout: Layout, sections: Sequence[Section], *, known: Collection[str] = ()
) -> None:
    """Count the runs of the job's archived records, those before a `--fresh`, anew; not those of `known` journals.

    Raises as `record`.
    """
    from mozart_nb.consumers.history.writing import count_anew

    for place in sorted(layout.archive.glob(f"{layout.job_id}-*")):
        there = Layout(place, layout.job_id)
        if (place / STATE_FOLDER).is_dir() and there.exists and _journal_at(there) not in known:
            with contextlib.suppress(MozartError, OSError):  # an old record that is damaged tells nothing
                state = load_for_reading(there).state
                if state.job.runs:
                    count_anew(database, _parcel(_identity(layout), state), read_events(there), sections)


def _journal_at(layout: Layout) -> str:
    """The identity of the journal there; empty when its beginning cannot be read."""
    planned = planned_in(layout)
    return identity_text(planned.seed, planned.at) if planned is not None else ""


def record_mirror(prepared: Prepared) -> None:
    """Make the job's mirror anew. Raises `DBAPIError`, `OSError`, and what reading the job's record raises."""
    from mozart_nb.consumers.history.mirror import Mirror

    layout = prepared.layout
    for path in layout.mirror_files:
        path.unlink(missing_ok=True)
    state = load_for_reading(layout).state
    mirror = Mirror(layout.mirror)
    try:
        whole = _parcel(identity_of(prepared), state)
        mirror.catch_up(whole, lambda seq: read_events(layout, seq))
        for part, is_last in _in_parts(list(state.batches)):
            mirror.write(_parcel(whole.identity, state, 0, [state.batches[n] for n in part], is_last))
    finally:
        mirror.close()


# --- all jobs ---------------------------------------------------------------------------------------------------------


def brought_up_to_date(
    database: Database, layouts: Iterable[Layout], *, seconds: float = CATCH_UP_SECONDS
) -> dict[Layout, JobEntry]:
    """What the history knows of these jobs, after catching up with those that nobody runs, for so long at most.

    A job that is missing from the answer is not known well enough: its record has to be read. One that somebody runs
    may be `is_stale`. Raises `DBAPIError` and `OSError`.
    """
    from mozart_nb.consumers.history.reading import jobs_with_open_deliveries, journals_to_their_end, read_entries

    end = time.monotonic() + seconds
    mine = {entry.layout for entry in all_jobs()}
    layouts = list(layouts)
    with database.reading() as connection:
        known = {(entry.job_id, entry.state_workspace): entry for entry in read_entries(connection)}
        waiting = jobs_with_open_deliveries(connection)
        ended = journals_to_their_end(connection)
    found, changed = {}, []
    for layout in layouts:
        entry = known.get(_key(layout))
        if not is_behind(layout, entry):
            if entry is not None:
                found[layout] = entry
        elif is_running(layout):
            if entry is not None and not is_of_another(layout, entry):
                found[layout] = replace(entry, is_stale=True)
        elif layout in mine and time.monotonic() + _reading_seconds(layout, entry) < end:
            with contextlib.suppress(MozartError, OSError):  # whoever shows it says why it cannot be read
                if entry is None:
                    record_archived(database, layout, [LearningSection()])
                record(database, layout, [LearningSection()])
                changed.append(layout)
        if entry is not None and layout in mine and time.monotonic() < end:  # what died before a `--fresh`
            record_archived(database, layout, [LearningSection()], known=ended.get(entry.key, frozenset()))
    _refresh_deliveries(database, {entry.key: layout for layout, entry in found.items() if entry.key in waiting})
    if changed:
        with database.reading() as connection:
            again = {(e.job_id, e.state_workspace): e for e in read_entries(connection, {x.job_id for x in changed})}
        found.update({layout: again[_key(layout)] for layout in changed if _key(layout) in again})
    return found


def _reading_seconds(layout: Layout, entry: JobEntry | None) -> float:
    """About how long it takes to read what the history does not know of a job: all of it, or only the end."""
    if entry is not None and not is_of_another(layout, entry):
        return 0.0
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in layout.journal.iterdir()) / _BYTES_PER_SECOND
    return 0.0


def _refresh_deliveries(database: Database, jobs: dict[int, Layout]) -> None:
    """What was still on its way when the run ended may have arrived since."""
    from mozart_nb.consumers.history.writing import write_deliveries

    for key, layout in jobs.items():
        with database.writing() as connection:
            write_deliveries(connection, key, deliveries_of(layout))


def _key(layout: Layout) -> tuple[str, str]:
    return layout.job_id, str(layout.workspace.resolve())


def rebuild(tell: Tell) -> Rebuilt:
    """Read the journals of all known jobs anew, archived records included, and make their mirrors anew.

    What is known of jobs whose journals are gone stays; a job that somebody runs is left to its host. Raises
    `WorldError`.
    """
    from sqlalchemy.exc import DBAPIError

    from mozart_nb.consumers.history.reading import count_runs

    done = Rebuilt()
    try:
        with open_history(tell) as database:
            for layout in dict.fromkeys(entry.layout for entry in all_jobs()):
                _rebuild_one(database, layout, done)
            with database.reading() as connection:
                done.runs = count_runs(connection)
    except (DBAPIError, OSError) as error:
        raise unusable(error) from error
    return done


def _rebuild_one(database: Database, layout: Layout, done: Rebuilt) -> None:
    from mozart_nb.consumers.history.writing import forget_job

    name = f"{layout.job_id} ({layout.workspace})"
    if is_running(layout):
        done.left_alone.append(name)
        return
    sections = [LearningSection()]
    try:
        state = load_for_reading(layout).state
        with database.writing() as connection:
            key = forget_job(connection, _parcel(_identity(layout), state), sections)
        record_archived(database, layout, sections)
        record(database, layout, sections)
        _refresh_deliveries(database, {key: layout})
        prepared = opened(layout)
        if prepared.loaded.config.state_backend == "sqlite":
            record_mirror(prepared)
            done.mirrors += 1
    except (MozartError, OSError) as error:
        done.unreadable[name] = error.message if isinstance(error, MozartError) else str(error)
    else:
        done.jobs += 1
