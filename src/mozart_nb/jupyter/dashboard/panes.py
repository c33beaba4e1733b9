"""What each piece of a dashboard shows at this moment."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mozart_nb.jupyter.dashboard.controls import SLIDER_STEPS, clickable
from mozart_nb.jupyter.dashboard.outputs import Bundle, static_bundle
from mozart_nb.jupyter.dashboard.painter import Content
from mozart_nb.jupyter.looks.details import batch_html, log_html
from mozart_nb.jupyter.looks.errors import errors_html
from mozart_nb.jupyter.looks.head import BUSY_SECONDS, RUNNING_SHOWN, badge, head
from mozart_nb.jupyter.looks.picture import picture_html
from mozart_nb.jupyter.looks.static import MOST_ROWS, rows_to_keep, static_html, static_text
from mozart_nb.jupyter.looks.table import BatchRow, table, window_caption
from mozart_nb.jupyter.looks.text import escaped, escaped_line
from mozart_nb.looking.details import BatchDetails, Excerpt
from mozart_nb.words import plural, time_of_day

if TYPE_CHECKING:
    from mozart_nb.jupyter.dashboard.dashboard import Dashboard

_ROW_PIXELS: Final = 23
_NOTE_PIXELS: Final = 28
_LIST_PIXELS: Final = 20
_ROOM_SECONDS: Final = 12.0
_BUSY_SHOWN_SECONDS: Final = 10.0
_CODES_SHOWN: Final = 8
_DETAILS_BYTES: Final = 11_000
_CHARACTERS: Final = (3_000, 1_200, 500, 150)
"""Of prompt and answer, as many as fit: what is escaped takes up to six times its room."""
_PROMPT_SHOWN: Final = 2_000
_ROWS_MEANWHILE: Final = 8
"""Rows in the static output of a running job: it is sent every few seconds beside everything else."""

_CAN_PAUSE: Final = frozenset({"running", "waiting"})
_CAN_RESUME: Final = frozenset({"pausing", "paused", "failed", "interrupted", "cancelled"})
_CAN_CANCEL: Final = frozenset({"running", "waiting", "pausing", "paused", "interrupted"})
_CAN_RETRY: Final = frozenset({"failed", "cancelled"})


class _Room:
    """Keeps the place of lines that come and go, so that what stands below them does not jump all the time."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, now: float, pixels: int) -> int:
        """Pixels to leave empty below `pixels` of lines: up to the most that was needed lately."""
        while self._seen and (now - self._seen[0][0] > _ROOM_SECONDS or self._seen[-1][1] <= pixels):
            self._seen.popleft() if now - self._seen[0][0] > _ROOM_SECONDS else self._seen.pop()
        self._seen.append((now, pixels))
        return self._seen[0][1] - pixels

    def clear(self) -> None:
        """What was needed before is not needed any more."""
        self._seen.clear()


class Panes:
    """The contents of one dashboard's pieces. Called on the host's thread; every method looks at few batches."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._head_room = _Room()
        self._most_rows = 0
        self._rows_of: tuple[object, ...] = ()

    def looks_elsewhere(self) -> None:
        """Something else is shown from now on: no place is kept for what was there before."""
        self._head_room.clear()

    # --- about the job ------------------------------------------------------------------------------------------------

    def head(self) -> Content:
        dashboard = self._dashboard
        scene = dashboard.scene
        busy = dashboard.busy_seconds if dashboard.busy_age < _BUSY_SHOWN_SECONDS else 0.0
        progress, notes = scene.progress(), list(self._notes())
        said = len(progress.waits) + len(notes) + (busy >= BUSY_SECONDS)
        listed = min(len(progress.running_batches), RUNNING_SHOWN + 1)
        room = self._head_room.of(time.monotonic(), said * _NOTE_PIXELS + listed * _LIST_PIXELS)
        filler = f'<div style="height:{room}px"></div>' if room and progress.is_live else ""
        return {"value": head(progress, busy_seconds=busy, notes=notes) + filler}

    def plain_head(self) -> Content:
        """What stands in for a head that cannot be made."""
        notes = "".join(f"<p>{escaped_line(note, 300)}</p>" for note in self._notes())
        return {"value": f'<div class="mozart-look">{escaped_line(self._dashboard.job.job_id)}{notes}</div>'}

    def _notes(self) -> Iterable[str]:
        dashboard = self._dashboard
        if dashboard.view.then is not None:
            yield f"this is how it was at {time_of_day(dashboard.view.then.at)}"
        if dashboard.view.note:
            yield dashboard.view.note
        if dashboard.job.error is not None:
            yield str(dashboard.job.error)
        yield from dashboard.notices
        for what, error in dashboard.broken.items():
            yield f"the {what} of this display broke, which does not concern the job: {error}"

    def verbs(self) -> Content:
        """Which buttons are there. Those that come and go stand behind those that stay, so that none jumps away from
        the pointer.
        """
        view, status = self._dashboard.view, self._dashboard.job.status
        shown = ["pause"] if status in _CAN_PAUSE else ["resume"] if status in _CAN_RESUME else []
        shown.append("done" if status == "completed" else "close")
        if status in _CAN_CANCEL:
            shown += ["cancel", "cancel_yes", "cancel_no"] if view.asks_cancel else ["cancel"]
        if self._dashboard.now.index.count("failed"):
            shown.append("retry_failed")
        return {"shown": shown}

    def map(self) -> Content:
        picture = self._dashboard.scene.index.map.picture()
        # Decoded before it is drawn: else the place would be white for a moment each time.
        html = picture_html(picture, 'decoding="sync"', selected=self._dashboard.view.batch)
        return {"value": clickable(html, names=True)}

    def errors(self) -> Content:
        groups = self._dashboard.scene.index.troubles.groups()
        return {"value": errors_html(groups[:_CODES_SHOWN], counted="batches") if groups else ""}

    # --- batches ------------------------------------------------------------------------------------------------------

    def table(self) -> Content:
        view, scene = self._dashboard.view, self._dashboard.scene
        count = scene.index.count(view.filter)
        if view.first >= count:
            view.first = max(0, (count - 1) // view.rows * view.rows)
        rows = [BatchRow.of(scene.state, n) for n in scene.index.window(view.filter, view.first, view.rows)]
        what = "" if view.filter == "all" else view.filter
        caption = window_caption(view.first + 1, len(rows), count, what)
        html = table(rows, caption, selected=view.batch)
        return {"value": f'<div style="min-height:{self._room(len(rows))}px">{clickable(html)}</div>'}

    def _room(self, rows: int) -> int:
        """Pixels that the table takes at least: what stands below it does not jump as rows come and go."""
        view = self._dashboard.view
        looked_at = (view.filter, view.first, view.rows, view.then)
        if looked_at != self._rows_of:
            self._rows_of, self._most_rows = looked_at, 0
        self._most_rows = max(self._most_rows, rows)
        return (self._most_rows + 2) * _ROW_PIXELS

    def number(self) -> Content | None:
        batch = self._dashboard.view.batch
        return {"value": batch} if batch else None

    def open(self) -> Content:
        is_open = self._dashboard.view.batch != 0
        return {"description": "Close details" if is_open else "Details"}

    def retry_one(self) -> Content:
        batch, now = self._dashboard.view.batch, self._dashboard.now
        can = 0 < batch <= now.index.total and now.state.status_of(batch) in _CAN_RETRY
        return {"disabled": not can}

    def details(self) -> Content:
        inspector = self._dashboard.inspector
        if not inspector.number:
            return {"value": ""}
        if inspector.error is not None:
            text = f"batch {inspector.number} cannot be shown: {inspector.error}"
            return {"value": f'<p class="mozart-look">{escaped_line(text, 500)}</p>'}
        if inspector.details is None:
            return {"value": f'<p class="mozart-look">batch {inspector.number} …</p>'}
        return {"value": _fitting(inspector.details, self._dashboard.job.job_id)}

    def log(self) -> Content:
        inspector = self._dashboard.inspector
        if inspector.log is None or inspector.details is None:
            return {"value": ""}
        html = log_html(inspector.log, number=inspector.number, job_id=self._dashboard.job.job_id)
        return {"value": f'<div class="mozart-look mozart-details">{html}</div>' if html else ""}

    # --- time ---------------------------------------------------------------------------------------------------------

    def slider(self) -> Content | None:
        return {"value": SLIDER_STEPS} if self._dashboard.view.then is None else None

    def moment(self) -> Content:
        then = self._dashboard.view.then
        if then is None:
            words = "live" if self._dashboard.job.is_live else "now"
        else:
            words = f"{time_of_day(then.at)}, event {then.position:,} of {then.last:,}, {badge(then.state.status)}"
        return {"value": f'<span class="mozart-look">{words}</span>'}

    def back_to_live(self) -> Content:
        return {"disabled": self._dashboard.view.then is None}

    # --- questions ----------------------------------------------------------------------------------------------------

    def asked(self) -> Content:
        questions = self._dashboard.desk.questions(self._dashboard.job)
        if not questions:
            return {"value": ""}
        first = questions[0]
        more = f"<small>and {plural(len(questions) - 1, 'question')} more</small>" if len(questions) > 1 else ""
        text = f"<p>{escaped(first.text, _PROMPT_SHOWN)}</p>" if first.text else ""
        prompt = f"<details open><summary>Prompt</summary><pre>{escaped(first.prompt, _PROMPT_SHOWN)}</pre></details>"
        shown = prompt if first.prompt else ""
        return {
            "value": f'<div class="mozart-look mozart-details" role="alert">'
            f"<p><b>{escaped_line(first.head, 600)}</b> {more}</p>{text}{shown}</div>"
        }

    def question(self) -> Content:
        questions = self._dashboard.desk.questions(self._dashboard.job)
        return {"choices": list(questions[0].choices) if questions else []}

    # --- what stays ---------------------------------------------------------------------------------------------------

    def static(self) -> Bundle:
        now = self._dashboard.now
        progress = now.progress()
        is_over = not progress.is_live and now.state.is_settled
        rows, caption = rows_to_keep(now.state, MOST_ROWS if is_over else _ROWS_MEANWHILE)
        errors = now.index.troubles.groups() if is_over else ()
        as_of = now.state.job.finished_at if is_over else time.time()
        html = static_html(progress, now.index.map.picture(), rows, caption, as_of=as_of, errors=errors)
        return static_bundle(html, static_text(progress, rows))


def _fitting(details: BatchDetails, job_id: str) -> str:
    """The details as HTML, with so much of the texts that they are one message of a reasonable size."""
    html = ""
    for characters in _CHARACTERS:
        html = batch_html(_cut(details, characters), now=time.time(), job_id=job_id, with_log=False)
        if len(html.encode()) <= _DETAILS_BYTES:
            break
    return html


def _cut(details: BatchDetails, characters: int) -> BatchDetails:
    data = _shorter(details.data, characters) if details.data is not None else None
    return replace(
        details,
        prompt=_shorter(details.prompt, characters),
        answer=_shorter(details.answer, characters),
        data=data,
        rows=details.rows if characters == _CHARACTERS[0] else details.rows[:1],
    )


def _shorter(text: Excerpt, characters: int) -> Excerpt:
    """Begin and end of it; what is left out is said beside it."""
    return replace(Excerpt.of(text.text, characters), size=text.size)
