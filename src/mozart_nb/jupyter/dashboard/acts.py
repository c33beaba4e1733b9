"""What a person can do with a dashboard: one method per control. Called on the job's host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from mozart_nb.events import ReplyAction
from mozart_nb.jupyter.dashboard.controls import FILTERS, SLIDER_STEPS
from mozart_nb.jupyter.dashboard.questions import WidgetConfirmations

if TYPE_CHECKING:
    from mozart_nb.jupyter.dashboard.dashboard import Dashboard

_BATCH_PIECES: Final = ("table", "details", "log", "retry_one", "open", "number")
"""In the order in which they are sent."""


class Acts:
    """The controls of one dashboard by the name that `controls` gives them. What they raise is said in its head."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._by_name: dict[str, Callable[[Any], None]] = {
            "pause": lambda _: dashboard.job.pause(),
            "resume": lambda _: self._resume(),
            "retry_failed": lambda _: self._retry(()),
            "retry_one": self._retry_one,
            "cancel": lambda _: self._ask_cancel(True),
            "cancel_no": lambda _: self._ask_cancel(False),
            "cancel_yes": self._cancel,
            "close": lambda _: dashboard.leave(),
            "done": lambda _: dashboard.leave(),
            "filter": self._filter,
            "page_back": lambda _: self._page(-1),
            "page_on": lambda _: self._page(+1),
            "number": self.open,
            "open": self._open_or_close,
            "batch_back": lambda _: self._step_batch(-1),
            "batch_on": lambda _: self._step_batch(+1),
            "command": self._command,
            "time": self._drag,
            "back": lambda _: self._step_time(-1),
            "on": lambda _: self._step_time(+1),
            "now": lambda _: self._go_live(),
            "views": dashboard.views_changed,
            **{action: self._answer(action) for action in ("proceed", "add", "skip", "abort", "retry")},
            "retry_edited": self._answer("retry", is_edited=True),
            "edit": self._edit,
        }

    def do(self, name: str, value: Any) -> None:
        """Do what the control of that name is for."""
        self._by_name[name](value)

    # --- the job ------------------------------------------------------------------------------------------------------

    def _ask_cancel(self, asks: bool) -> None:
        self._dashboard.view.asks_cancel = asks
        self._dashboard.touch("verbs")

    def _cancel(self, _: Any) -> None:
        self._ask_cancel(False)
        self._dashboard.job.cancel()

    def _retry_one(self, _: Any) -> None:
        if self._dashboard.view.batch:
            self._retry((self._dashboard.view.batch,))

    def _retry(self, batches: tuple[int, ...]) -> None:
        if self._dashboard.job.is_live:
            self._dashboard.job.retry(batches)
        else:
            self._resume(",".join(str(number) for number in batches))

    def _resume(self, batches: str = "") -> None:
        """Questions of the run that begins are asked here."""
        person = WidgetConfirmations(self._dashboard.job)
        self._dashboard.job.resume(batches=batches, confirmations=person, ask=person.agrees)

    def _answer(self, action: ReplyAction, *, is_edited: bool = False) -> Callable[[Any], None]:
        def answer(_: Any) -> None:
            dashboard = self._dashboard
            if questions := dashboard.desk.questions(dashboard.job):
                # A retry takes the words for the prompt only where that was said: they may be a reason.
                words = "" if action == "retry" and not is_edited else dashboard.controls.words.value
                questions[0].reply(action, words)
                dashboard.controls.put(dashboard.controls.words, {"value": ""})

        return answer

    def _edit(self, _: Any) -> None:
        """The prompt goes into the field, where it can be changed."""
        if questions := self._dashboard.desk.questions(self._dashboard.job):
            self._dashboard.controls.put(self._dashboard.controls.words, {"value": questions[0].prompt})

    # --- batches ------------------------------------------------------------------------------------------------------

    def _filter(self, which: Any) -> None:
        if which in FILTERS:
            self._dashboard.view.filter, self._dashboard.view.first = which, 0
            self._dashboard.touch("table")

    def _page(self, pages: int) -> None:
        view = self._dashboard.view
        if view.first + pages * view.rows < self._dashboard.scene.index.count(view.filter):
            view.first = max(0, view.first + pages * view.rows)
        self._dashboard.touch("table")

    def open(self, number: Any) -> None:
        """Show the details of that batch, and its neighbours in the table."""
        dashboard, index = self._dashboard, self._dashboard.scene.index
        if not index.total:
            return
        view = dashboard.view
        view.batch = min(max(1, int(number)), index.total)
        place = index.place(view.filter, view.batch)
        if index.window(view.filter, place, 1) == [view.batch] and not view.first <= place < view.first + view.rows:
            last = max(0, index.count(view.filter) - view.rows)
            view.first = min(max(0, place - view.rows // 2), last)
        dashboard.inspector.open(view.batch)
        dashboard.touch(*_BATCH_PIECES)

    def _open_or_close(self, _: Any) -> None:
        dashboard = self._dashboard
        if not dashboard.view.batch:
            self.open(dashboard.controls.number.value)
            return
        view = dashboard.view
        view.batch = 0
        view.first = view.first // view.rows * view.rows
        dashboard.inspector.open(0)
        dashboard.touch(*_BATCH_PIECES)

    def _step_batch(self, steps: int) -> None:
        """The neighbour in the table as it is filtered; the first one when none is open."""
        view, index = self._dashboard.view, self._dashboard.scene.index
        place = index.place(view.filter, view.batch)
        is_in = index.window(view.filter, place, 1) == [view.batch]
        place += steps if is_in or steps < 0 else 0
        if found := index.window(view.filter, max(0, place), 1):
            self.open(found[0])

    def _command(self, text: Any) -> None:
        """`open 17 …`, which a click on a row or on the map has written."""
        match str(text).split():
            case ["open", number, *_] if number.isdecimal():
                self.open(number)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _drag(self, value: Any) -> None:
        if value >= SLIDER_STEPS:
            self._go_live()
        else:
            self._dashboard.travel.seek(value / SLIDER_STEPS)

    def _step_time(self, steps: int) -> None:
        then = self._dashboard.view.then
        if then is not None and then.position + steps > then.last:
            self._go_live()
        elif then is not None:
            self._dashboard.travel.step(max(1, then.position + steps))
        elif steps < 0:
            self._dashboard.travel.step(-1)

    def _go_live(self) -> None:
        dashboard = self._dashboard
        dashboard.travel.stay()
        dashboard.view.then = None
        dashboard.look_elsewhere()
