"""What the conductor says about jobs and about itself. Reads the disk, so what it says is what everybody else sees."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from mozart_nb import __version__
from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import JournalReader, load_for_reading, read_events
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.documents import error_document, error_groups
from mozart_nb.consumers.history.rows import RUN_COLUMNS
from mozart_nb.consumers.rows import row_of
from mozart_nb.errors import MozartError, UnknownJobError
from mozart_nb.hosts.conductor.asking import orphans
from mozart_nb.hosts.conductor.carried import Carried, key_of
from mozart_nb.hosts.conductor.service import Conductor, living
from mozart_nb.hosts.conductor.wanted import Diagnosed, Failures, Listed, OfJob, Past, Statuses
from mozart_nb.looking.diagnosis import diagnose_any
from mozart_nb.looking.failures import failure_filter, failures_at, failures_of_all
from mozart_nb.looking.finding import find, known_layouts
from mozart_nb.looking.history import find_runs, run_wish
from mozart_nb.looking.questions import open_questions
from mozart_nb.plans.prepared import opened

WATCH_SECONDS: Final = 0.25
"""Between two looks at a job's journal."""
MOST_AT_ONCE: Final = 500
"""Events in one burst of a watch."""
ORPHAN_SECONDS: Final = 5.0
"""Between two looks for jobs whose host died."""

_encode = msgspec.json.Encoder().encode


# --- jobs -------------------------------------------------------------------------------------------------------------


def carried_document(one: Carried) -> dict[str, Any]:
    """One job that is carried, as JSON data."""
    found = {name: getattr(one, name) for name in ("job_id", "folder", "phase", "priority", "reason", "since")}
    return {**found, "has_begun": one.has_begun}


def status(conductor: Conductor, wanted: Statuses) -> dict[str, Any]:
    """How a job stands, and what the conductor has to do with it. Blocks."""
    layout = conductor.locate(wanted.job_id, wanted.folder)
    one = conductor.register.get(layout)
    about = carried_document(one) if one is not None else None
    if not layout.exists:
        return {"job_id": layout.job_id, "status": "pending", "workspace": str(layout.workspace), "conductor": about}
    return {**find(layout).document(None if wanted.batches else ()), "conductor": about}


def listed(conductor: Conductor, wanted: Listed) -> list[dict[str, Any]]:
    """Jobs of the user, the one that did something last first. Blocks."""
    carried = {one.key: one for one in conductor.register}
    layouts = [one.layout for one in carried.values()] if wanted.carried else known_layouts(None)
    layouts += [one.layout for one in carried.values() if not one.layout.exists and one.layout not in layouts]
    rows: list[dict[str, Any]] = []
    for layout in layouts:
        one = carried.get(key_of(layout))
        row = _row(layout, one)
        if not wanted.status or wanted.status in (row["status"], row["phase"]):
            rows.append(row)
        if len(rows) == wanted.limit:
            break
    return rows


def _row(layout: Layout, one: Carried | None) -> dict[str, Any]:
    about = {"job_id": layout.job_id, "folder": str(layout.workspace), "phase": one.phase if one is not None else None}
    try:
        found = find(layout)
    except UnknownJobError:
        return {**about, "status": "pending", "reason": one.reason if one is not None else ""}
    except (MozartError, OSError) as error:
        return {**about, "status": "unreadable", "reason": str(error)}
    progress, job = found.progress, found.state.job
    counts = {
        "total": progress.total,
        "completed": found.state.count("completed"),
        "failed": found.state.count("failed"),
    }
    return {**about, "status": progress.status, "name": job.name, **counts, "updated_at": job.at, "reason": job.reason}


def errors(wanted: Failures) -> dict[str, Any]:
    """What failed, in order of time. Blocks."""
    narrow = failure_filter(code=wanted.code, batch=wanted.batch, kind=wanted.type, since="", until="", dashes="")
    if wanted.job_id:
        found = failures_at(resolve(wanted.job_id, wanted.folder), narrow)
    else:
        found, _ = failures_of_all(known_layouts(wanted.folder), narrow)
    rows = [error_document(error) for error in found[-wanted.limit :]]
    return {"total": len(found), "groups": error_groups(found), "errors": rows}


def diagnose(wanted: Diagnosed) -> dict[str, Any]:
    """Why a job is where it is. Blocks."""
    return diagnose_any(wanted.job_id, wanted.folder, include_output=wanted.include_output).document()


def history(wanted: Past) -> list[dict[str, Any]]:
    """Runs, the last one first. Blocks."""
    found = find_runs(wanted.job_id or None, wanted.folder, run_wish(limit=wanted.limit), [])
    return [row_of(RUN_COLUMNS, run) for run in found[: wanted.limit]]


def questions(wanted: OfJob) -> list[dict[str, Any]]:
    """What a job wants to know of a person. Blocks."""
    layout = resolve(wanted.job_id, wanted.folder)
    found: list[dict[str, Any]] = msgspec.to_builtins(open_questions(find(layout).state, opened(layout)))
    return found


async def watch(conductor: Conductor, layout: Layout, since_seq: int) -> AsyncIterator[Sequence[msgspec.Raw]]:
    """Bursts of events of a job after number `since_seq`, until nobody runs it and it does not wait to be run."""
    while not layout.exists:
        if await conductor.in_reader(_is_over, conductor, layout):
            return
        await asyncio.sleep(WATCH_SECONDS)
    tip = (await conductor.in_reader(load_for_reading, layout)).tip
    past = read_events(layout, since_seq)
    while burst := await conductor.in_reader(_some, past, tip.seq):
        since_seq = burst[-1].seq
        yield _raw(burst)
        if since_seq >= tip.seq:
            break
    reader = JournalReader(layout, tip)
    while True:
        is_over = await conductor.in_reader(_is_over, conductor, layout)
        news = await conductor.in_reader(reader.poll)
        for start in range(0, len(news), MOST_AT_ONCE):
            yield _raw(news[start : start + MOST_AT_ONCE])
        if is_over and not news:
            return
        if not news:
            await asyncio.sleep(WATCH_SECONDS)


def _some(events: Any, last: int) -> list[ev.Event]:
    found: list[ev.Event] = []
    for event in events:
        found.append(event)
        if len(found) == MOST_AT_ONCE or event.seq >= last:
            break
    return found


def _raw(events: Sequence[ev.Event]) -> list[msgspec.Raw]:
    return [msgspec.Raw(_encode(event)) for event in events]


def _is_over(conductor: Conductor, layout: Layout) -> bool:
    one = conductor.register.get(layout)
    is_coming = one is not None and one.phase not in ("held", "notebook")
    return not is_coming and key_of(layout) not in conductor.running and living(layout) is None


# --- the conductor itself ---------------------------------------------------------------------------------------------


def health(conductor: Conductor) -> dict[str, Any]:
    """Who it is and what it carries: numbers, and each job in a line. Blocks."""
    carried = [{**carried_document(one), "key": one.key} for one in conductor.register]
    phases = [one["phase"] for one in carried]
    return {
        "status": "stopping" if conductor.is_stopping else "running",
        "pid": os.getpid(),
        "version": __version__,
        "started_at": conductor.started_at,
        "uptime_seconds": round(time.time() - conductor.started_at, 1),
        "jobs": {phase: phases.count(phase) for phase in dict.fromkeys(phases)},
        "carried": carried,
        "orphans": [
            {"job_id": one.job_id, "folder": str(one.workspace)}
            for one in _orphans(conductor)
            if conductor.register.get(one) is None  # it goes on with those that it carries as its settings say
        ],
        "ended": list(conductor.ended)[-10:],
    }


def open_count(conductor: Conductor, key: str) -> int:
    """How many questions a job that runs here asks; on the conductor's loop."""
    running = conductor.running.get(key)
    run = running.channel.run if running is not None else None
    return len(run.driver.state.job.questions) if run is not None and run.driver is not None else 0


def _orphans(conductor: Conductor) -> list[Layout]:
    """Looked for now and then only: pages ask for the health of the conductor all the time."""
    now = time.monotonic()
    if now - conductor.orphans_seen[0] >= ORPHAN_SECONDS:
        conductor.orphans_seen = (now, orphans())
    return conductor.orphans_seen[1]


def ready(conductor: Conductor) -> dict[str, Any]:
    """Whether it takes jobs."""
    return {"is_up": True, "is_ready": not conductor.is_stopping, "pid": os.getpid()}
