"""The live dashboard of a job: what is shown, and what becomes of what a person does with it.

Events of the job and acts of people change what should be seen; when it is sent is the painter's business. Everything
here runs on the job's host: a front end may call from any thread, and all it does there is to ask the host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mozart_nb import events as ev
from mozart_nb.jupyter.dashboard.batch_index import Filter
from mozart_nb.jupyter.dashboard.outputs import NOTHING, Outputs, Publisher, here, live_bundle
from mozart_nb.jupyter.dashboard.painter import Content, Painter, Piece
from mozart_nb.jupyter.dashboard.questions import RENDER_SECONDS, concerns_questions, desk_of
from mozart_nb.jupyter.dashboard.scenes import Inspector, Now, Scene, Then, Travel
from mozart_nb.jupyter.dashboard.toast import script, told
from mozart_nb.jupyter.dashboard.watched import Watched

if TYPE_CHECKING:
    from mozart_nb.jupyter.dashboard.controls import Controls

PAGE_ROWS: Final = 25
PAGE_ROWS_BESIDE_DETAILS: Final = 9

STATIC_SECONDS: Final = 10.0
"""How old the static output may get while the job runs."""

STATIC_PATIENCE: Final = 1.5
"""How long it lets the widget go first, beside which nobody sees it."""

MOST_UNSEEN: Final = 20
"""Dashboards of settled jobs that are kept for the case that somebody scrolls back to them, or reloads the page."""

_open: list[Dashboard] = []
"""All that have not ended, the oldest first. A cell that is run again leaves one behind that nobody can close."""

_DONE: Final = frozenset({"completed", "cancelled"})
_TURNS: Final = (
    ev.JobPlanned,
    ev.JobStarted,
    ev.JobResumed,
    ev.JobWaiting,
    ev.JobPausing,
    ev.JobPauseWithdrawn,
    ev.JobPaused,
    ev.JobCompleted,
    ev.JobFailed,
    ev.JobCancelled,
)
"""Events after which the job has another status."""


@dataclass
class View:
    """What a person has chosen to see.

    `first` is the place (from 0) of the first row of the table among those that the filter lets through, `batch` the
    open one, `then` the moment of the past.
    """

    filter: Filter = "all"
    first: int = 0
    batch: int = 0
    then: Then | None = None
    asks_cancel: bool = False
    note: str = ""

    @property
    def rows(self) -> int:
        """How many rows the table has; fewer while the details of a batch need the room below it."""
        return PAGE_ROWS_BESIDE_DETAILS if self.batch else PAGE_ROWS


class Dashboard:
    """One live view of a job, with a static output beside it.

    `show` puts it below the cell that runs. It ends by itself: when the job is completed or cancelled and nobody is
    looking at something in particular, or when the job settled otherwise and no front end shows it; the static output
    stays, and follows a job that is resumed. A dashboard that was opened on a settled job stays until it is closed.
    Several dashboards of one job know nothing of each other and show the same.
    """

    def __init__(self, job: Watched, publisher: Publisher | None = None) -> None:
        # These need ipywidgets, which only those pay for who want to see a dashboard.
        from mozart_nb.jupyter.dashboard.acts import Acts
        from mozart_nb.jupyter.dashboard.controls import Controls
        from mozart_nb.jupyter.dashboard.panes import Panes
        from mozart_nb.jupyter.whereabouts import link_to_run

        self.job = job
        self.view = View()
        self.notices: deque[str] = deque(maxlen=2)
        self.broken: dict[str, str] = {}
        self._host = job.host
        self._outputs = Outputs(publisher or here())
        self._panes = Panes(self)
        self._acts = Acts(self)
        self._ends: list[Callable[[], None]] = []
        self._was_seen = self._is_closed = self._is_acting = False
        self._has_widget = True
        self.controls: Controls = Controls(self._from_front_end, link_to_run(job.layout))
        self._host.call(self._begin)

    def _begin(self) -> None:
        job = self.job
        self._opened_at = self._host.loop.time()
        self._stays = job.is_settled
        self._was_live = job.is_live
        self._began_at = self._opened_at if self._was_live else None
        self.now = Now(job)
        self.desk = desk_of(job)
        self.travel = Travel(job, self._arrived)
        self.inspector = Inspector(job, lambda: self.scene, lambda: self.touch("details", "log", at_once=True))
        pieces = self._pieces()
        static = Piece(
            "static", self._panes.static, self._outputs.refresh, True, STATIC_SECONDS, patience_seconds=STATIC_PATIENCE
        )
        self._painter = Painter(
            self._host.loop, [*pieces, static], is_live=self._lives, report=self._piece_broke, pulse=self._pulse
        )
        for piece in pieces:
            self._painter.flush(piece.name)
        self._leave_desk = self.desk.add(self)
        self._ends = [job.observe(self._hear)]
        self._make_room()
        self.touch()

    def _make_room(self) -> None:
        """End the oldest of those that nobody sees and in which nothing happens any more."""
        _open[:] = [one for one in _open if not one._host.is_gone]
        left = [one for one in _open if one._host is self._host and one._is_left()]
        for one in left[:-MOST_UNSEEN]:
            with suppress(Exception):
                one.end()
        _open.append(self)

    def _is_left(self) -> bool:
        return not self.is_seen() and not self.may_appear() and not self.job.is_live

    def _pieces(self) -> list[Piece]:
        """Everything that is painted into the widget."""
        panes, controls = self._panes, self.controls
        painted = [
            ("head", panes.head, controls.put_into(controls.head)),
            ("verbs", panes.verbs, controls.put_verbs),
            ("question", panes.question, controls.put_question),
            ("asked", panes.asked, controls.put_into(controls.asked)),
            ("table", panes.table, controls.put_into(controls.table)),
            ("map", panes.map, controls.put_into(controls.map)),
            ("details", panes.details, controls.put_into(controls.details)),
            ("log", panes.log, controls.put_into(controls.log)),
            ("errors", panes.errors, controls.put_into(controls.errors)),
            ("moment", panes.moment, controls.put_into(controls.moment)),
            ("now", panes.back_to_live, controls.put_into(controls.now)),
            ("slider", panes.slider, controls.put_into(controls.slider)),
            ("retry_one", panes.retry_one, controls.put_into(controls.retry_one)),
            ("open", panes.open, controls.put_into(controls.open)),
            ("number", panes.number, controls.put_into(controls.number)),
        ]
        pieces = [Piece(name, self._if_seen(make), put) for name, make, put in painted]
        pieces[0].pulses = pieces[0].is_eager = True
        return pieces

    def _if_seen(self, make: Callable[[], Content | None]) -> Callable[[], Content | None]:
        """Nothing new for a widget that is gone, or that front ends showed and show no more."""

        def content() -> Content | None:
            is_unseen = self._was_seen and not self.controls.views
            return None if is_unseen or not self._has_widget else make()

        return content

    # --- showing ------------------------------------------------------------------------------------------------------

    def show(self) -> Dashboard:
        """Put it below the running cell; call it there. Returns itself."""
        static = self._host.call(self._panes.static)
        live = NOTHING
        if self._has_widget:
            live = live_bundle(self.controls.root._repr_mimebundle_() or {}, self.job.job_id)
        self._outputs.show(live, static)
        self._host.call_soon(self.touch, "static")
        return self

    def _ipython_display_(self) -> None:
        """A dashboard at the end of a cell is shown once, also when that cell has shown it already."""
        if not self._outputs.is_shown:
            self.show()

    def __repr__(self) -> str:
        return f"<Dashboard of job {self.job.job_id}>"

    def close(self) -> None:
        """Remove the widget and leave the static output as it is; from any thread, and more than once if you like."""
        self._host.call(self.end)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def scene(self) -> Scene:
        """What is looked at."""
        return self.view.then or self.now

    @property
    def busy_seconds(self) -> float:
        """How long something else kept the loop from going on, the last time that happened."""
        return self._painter.late_seconds

    @property
    def busy_age(self) -> float:
        """Seconds since then."""
        return self._host.loop.time() - self._painter.late_at

    # --- what questions need ------------------------------------------------------------------------------------------

    def is_seen(self) -> bool:
        """Whether a front end shows it now."""
        return self._has_widget and self.controls.views > 0

    def may_appear(self) -> bool:
        """Whether a front end may still be about to show it for the first time."""
        return self._has_widget and not self._was_seen and self._host.loop.time() - self._opened_at < RENDER_SECONDS

    def questions_changed(self) -> None:
        """Show the open questions as they are now."""
        self.touch("asked", "question", at_once=True)

    # --- hearing ------------------------------------------------------------------------------------------------------

    def _hear(self, events: Sequence[ev.Event]) -> None:
        try:
            self._take(events)
        except Exception as error:
            self._broke("rest", error)

    def _take(self, events: Sequence[ev.Event]) -> None:
        if self._is_closed:
            return
        touched = self.now.hear(events)
        self.notices.extend(event.message for event in events if isinstance(event, ev.JobNotice))
        if self.view.batch in touched and self.view.then is None:
            self.inspector.refresh()
        if touched:
            self.touch("head", "table", "map", "errors", "verbs", "retry_one")
        if concerns_questions(events):
            self.questions_changed()
        turns = [event for event in events if isinstance(event, _TURNS)]
        if turns or not events:  # an empty burst says that a run here is over
            if any(isinstance(one, ev.JobStarted | ev.JobResumed) for one in turns):
                self._stays, self._began_at = False, self._host.loop.time()
            self._turned()

    def _lives(self) -> bool:
        """Whether time alone changes anything. A host that died tells nobody: that is noticed here."""
        is_live = not self._is_closed and self.job.is_live
        if is_live != self._was_live:
            self._was_live = is_live
            self._host.call_soon(self._turned)
        return is_live

    def _turned(self) -> None:
        """The job has another status."""
        self._panes.looks_elsewhere()
        self.touch()
        self._painter.touch("static", is_rested=True)
        if self.job.is_settled:
            self._painter.flush("static")  # whoever saves the notebook now saves the last word
            self._tell_settled()
        self._consider_end()

    def _tell_settled(self) -> None:
        """Pages that show it tell those who look elsewhere: once, and only of a run that was seen here."""
        began_at, self._began_at = self._began_at, None
        if began_at is not None and self.is_seen():
            facts = told(self.now.progress(), seconds=self._host.loop.time() - began_at, place=self.controls.place)
            if facts is not None:
                self.controls.run_once(script(facts))

    def _pulse(self) -> None:
        if self.now.check():
            self.touch()
        if self.view.then is None:
            self.inspector.pulse()

    def _arrived(self, then: Then | Exception) -> None:
        """A moment of the past has been fetched."""
        if isinstance(then, Exception):
            self.view.note = f"that moment cannot be shown: {then}"
        else:
            self.view.then = then
        self.look_elsewhere()

    def look_elsewhere(self) -> None:
        """Another moment is looked at."""
        self._panes.looks_elsewhere()
        self.inspector.open(self.view.batch)
        self._painter.forget("slider")  # a person has moved it since it was sent
        self.touch("map", "head", "table", "moment", "errors", "details", "log", "now", "slider", at_once=True)

    def touch(self, *names: str, at_once: bool = False) -> None:
        """These pieces may have changed; all, when none is named. `at_once`: a person waits for it."""
        self._painter.touch(*names, at_once=at_once or self._is_acting)

    def _piece_broke(self, piece: Piece, error: Exception) -> None:
        self._broke(piece.name, error)
        if piece.name == "head" and self._has_widget:
            with suppress(Exception):
                self.controls.put(self.controls.head, self._panes.plain_head())

    def _broke(self, what: str, error: Exception) -> None:
        """Said once, in the head; the run goes on."""
        if what not in self.broken:
            self.broken[what] = f"{type(error).__name__}: {error}"
            self.touch("head")

    # --- the end ------------------------------------------------------------------------------------------------------

    def _consider_end(self) -> None:
        """Whether the widget has served its turn."""
        status = self.job.status
        if self._is_closed or self._stays or self.job.is_live or status == "pending":
            return
        if status in _DONE:
            if self.is_seen() and (self.view.batch or self.view.then is not None):
                self._stays = True  # until the person who looks at something is done
            else:
                self.end()
        elif self.may_appear():
            self._host.loop.call_later(RENDER_SECONDS, self._consider_end, context=Context())
        elif not self.is_seen():
            self._end_widget()

    def _end_widget(self) -> None:
        """From here on there is only the static output."""
        if self._has_widget:
            self._has_widget = False
            self._leave_desk()
            self._painter.flush("static")
            self._outputs.empty_live()
            self.controls.close()

    def leave(self) -> None:
        """A person has seen enough: the static output stays, and follows the job as long as it can go on."""
        if self.job.status in _DONE:
            self.end()
        else:
            self._stays = False
            self._end_widget()

    def end(self) -> None:
        """The same as `close`, on the host's thread."""
        if self._is_closed:
            return
        self._end_widget()
        self._painter.flush("static")
        self._is_closed = True
        if self in _open:
            _open.remove(self)
        self._painter.close()
        self.inspector.open(0)
        self.travel.stay()
        for end in self._ends:
            end()

    # --- acts of people -----------------------------------------------------------------------------------------------

    def _from_front_end(self, name: str, value: Any) -> None:
        """In whatever thread: leave it to the host."""
        self._host.call_soon(self._act, name, value)

    def _act(self, name: str, value: Any) -> None:
        if self._is_closed:
            return
        if name != "views":
            self.view.note = ""
        self._is_acting = True
        try:
            self._acts.do(name, value)
        except Exception as error:
            self.view.note = str(error) or type(error).__name__
        finally:
            self._is_acting = False
        if not self._is_closed:
            self.touch("head", at_once=bool(self.view.note))

    def views_changed(self, views: int) -> None:
        """A front end has begun or ceased to show the widget."""
        self._was_seen = self._was_seen or views > 0
        if views:
            self.touch()
        else:
            self._consider_end()
