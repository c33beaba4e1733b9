"""The widgets of a dashboard: what a person can press, choose and type, and the places that are painted.

Nothing here decides anything: the painter puts contents into the widgets, and whatever a person does goes, as a name
and a value, to one function. Front ends call that function in any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, Final

import ipywidgets
from ipywidgets.widgets.widget_description import DescriptionStyle
from ipywidgets.widgets.widget_string import HTMLStyle, TextStyle

from mozart_nb.jupyter.dashboard.batch_index import STATUSES
from mozart_nb.jupyter.dashboard.outputs import HIDES_STATIC, LIVE_CLASS
from mozart_nb.jupyter.looks.theme import CSS

Act = Callable[[str, Any], None]

SLIDER_STEPS: Final = 1_000
"""The right end of the time slider, which stands for now. It never changes, so the slider is never sent again."""

FILTERS: Final = ("all", "failed", "running", "waiting", "completed", "pending", "blocked", "skipped", "cancelled")
assert {*FILTERS} == {"all", *STATUSES}

_COMMAND_CLASS: Final = "mozart-command"

_BATCH_UNDER_POINTER: Final = (
    "var t=event.target.closest('[data-batch],img[data-columns]'),n=0;"
    "if(t&&t.dataset.batch)n=+t.dataset.batch;"
    "else if(t){var d=t.dataset,r=t.getBoundingClientRect(),"
    "x=Math.floor((event.clientX-r.left)/r.width*d.columns),y=Math.floor((event.clientY-r.top)/r.height*d.rows);"
    "if(x>=0&&x<+d.columns)n=(y*d.columns+x)*d.perCell+1;if(n>+d.total)n=0}"
)
_OPENS: Final = (
    f"{_BATCH_UNDER_POINTER}if(!n)return;"
    f"var i=this.closest('.{LIVE_CLASS}').querySelector('.{_COMMAND_CLASS} input');"
    "i.value='open '+n+' '+Date.now();i.dispatchEvent(new Event('change',{bubbles:true}))"
)
"""What a click on a row or on a cell of the map does: it writes into the hidden text field as a person would."""

_NAMES: Final = f"{_BATCH_UNDER_POINTER}if(t)t.title=n?'batch '+n:''"
"""What the pointer over the map does: a tooltip says which batch a cell is."""

_LINK: Final = (
    '<a class="mozart-pages-link" href="{}" target="_blank" rel="noopener"'
    ' title="The page of this run, in a tab of its own">Page of this run ↗</a>'
)
"""In JupyterLab our extension catches the click and opens a tab of Lab; elsewhere it is a tab of the browser."""

_SAYS: Final = "a reason, or text for the end of the prompt"
_SAYS_OF_FAILURE: Final = "a reason, or another prompt to retry with"

_CSS: Final = f"""
{HIDES_STATIC}
.{LIVE_CLASS} {{ max-width: 1040px; }}
.{LIVE_CLASS} .widget-html-content {{ line-height: inherit; }}
.{LIVE_CLASS} [data-batch], .{LIVE_CLASS} img[data-columns] {{ cursor: pointer; }}
.{LIVE_CLASS} .widget-button {{ width: auto; }}
.{LIVE_CLASS} .mozart-bars {{ flex-flow: row wrap; align-items: center; overflow: visible; }}
.{LIVE_CLASS} .mozart-verbs > .widget-button:first-child {{ min-width: 76px; }}
.{LIVE_CLASS} .mozart-table tr > :nth-child(3) {{ min-width: 88px; }}
.{LIVE_CLASS} .mozart-pages-link {{ margin: 0 8px; color: var(--jp-content-link-color, #1a6fc4); }}
.{LIVE_CLASS} .mozart-asked {{ border-left: 3px solid #b07c10; padding-left: 8px; }}
"""


def clickable(html: str, *, names: bool = False) -> str:
    """Our own HTML, in which a click on anything with `data-batch`, or on the map, opens that batch.

    `names`: a tooltip says which one that would be.
    """
    hover = f' onmousemove="{escape(_NAMES)}"' if names else ""
    return f'<div onclick="{escape(_OPENS)}"{hover}>{html}</div>'


class Controls:
    """All widgets of one dashboard. `root` is the one that is shown; `link`, where given, leads to the job's page.

    Widgets share their layouts and styles, because each of those is a model of its own that is sent to the browser.
    """

    def __init__(self, act: Act, link: str = "") -> None:
        self._act = act
        self._address = link
        self._models: list[Any] = []
        self._painting_in = 0
        self._plain = self._layout()
        self._hidden = self._layout(display="none")
        self._wide = self._layout(width="100%")
        self._button_style = self._keep(ipywidgets.ButtonStyle())
        self._text_style = self._keep(HTMLStyle())
        self._field_style = self._keep(DescriptionStyle(description_width="initial"))
        self._words_style = self._keep(TextStyle(description_width="initial"))
        self._make_areas()
        self._make_verbs()
        self._make_time()
        self._make_table_bar()
        self._make_question()
        self.command = self._listen(
            ipywidgets.Text(layout=self._hidden, style=self._words_style, continuous_update=False), "command"
        )
        self.command.add_class(_COMMAND_CLASS)
        self.scripts = self._keep(ipywidgets.Output(layout=self._hidden))
        self.root = self._keep(ipywidgets.VBox(self._rows(), layout=self._wide))
        self.place = f"mozart-{self.root.model_id}"
        for name in (LIVE_CLASS, self.place):
            self.root.add_class(name)
        self.root._view_count = 0  # from now on front ends count how many views of it they show
        self.root.observe(lambda change: self._act("views", change["new"]), "_view_count")

    @property
    def views(self) -> int:
        """How many front ends show the dashboard."""
        return self.root._view_count or 0

    def close(self) -> None:
        """Remove every widget from kernel and front ends."""
        for model in reversed(self._models):
            model.close()
        self._models.clear()

    # --- the parts ----------------------------------------------------------------------------------------------------

    def _make_areas(self) -> None:
        self.style = self._html(f"<style>{CSS}{_CSS}</style>")
        self.head, self.map, self.errors, self.table = (self._html() for _ in range(4))
        self.details, self.log = self._html(), self._html()

    def _make_verbs(self) -> None:
        made = (
            self._button("pause", "Pause", "Let running batches finish and begin no more"),
            self._button("resume", "Resume", "Go on with everything that is not done"),
            self._button("close", "Close", "Leave only the static output"),
            self._button("done", "Done", "Leave only the static output"),
            self._button("cancel", "Cancel …", "End all sessions at once; asks once more"),
            self._button("cancel_yes", "Yes, cancel the job", "End all sessions at once", danger=True),
            self._button("cancel_no", "No", "Leave the job as it is"),
            self._button("retry_failed", "Retry failed", "Try all failed batches again"),
        )
        names = ("pause", "resume", "close", "done", "cancel", "cancel_yes", "cancel_no", "retry_failed")
        self.verb = dict(zip(names, made, strict=True))
        self.links = [self._html(_LINK.format(escape(self._address)))] if self._address else []
        self.verbs = self._bar(())
        self.verbs.add_class("mozart-verbs")

    def _make_time(self) -> None:
        slider = ipywidgets.IntSlider(
            value=SLIDER_STEPS,
            min=0,
            max=SLIDER_STEPS,
            readout=False,
            description="Time",
            tooltip="Drag to the left to see the job as it was; the right end is now",
            layout=self._layout(width="420px"),
            style=self._field_style_of(ipywidgets.SliderStyle),
        )
        self.slider = self._listen(slider, "time")
        self.moment = self._html()
        self.back = self._button("back", "◂", "One event back")
        self.on = self._button("on", "▸", "One event on")
        self.now = self._button("now", "Back to live", "Show the job as it is now")
        self.time = self._bar((self.slider, self.back, self.on, self.now, self.moment))

    def _make_table_bar(self) -> None:
        filter_ = ipywidgets.Dropdown(
            options=FILTERS,
            value="all",
            description="Show",
            layout=self._layout(width="170px"),
            style=self._field_style,
        )
        self.filter = self._listen(filter_, "filter")
        self.page_back = self._button("page_back", "◂ Page", "The 25 batches before these")
        self.page_on = self._button("page_on", "Page ▸", "The next 25 batches")
        number = ipywidgets.IntText(
            value=1, description="Batch", layout=self._layout(width="130px"), style=self._field_style
        )
        self.number = self._listen(number, "number")
        self.open = self._button("open", "Details", "Prompt, answer, validations and attempts of this batch")
        self.batch_back = self._button("batch_back", "◂ Batch", "The batch before this one in the table")
        self.batch_on = self._button("batch_on", "Batch ▸", "The next batch in the table")
        self.retry_one = self._button("retry_one", "Retry this batch", "Try this batch again")
        self.table_bar = self._bar(
            (
                self.filter, self.page_back, self.page_on,
                self.number, self.open, self.batch_back, self.batch_on, self.retry_one,
            )
        )  # fmt: skip

    def _make_question(self) -> None:
        self.asked = self._html()
        area = ipywidgets.Textarea(
            placeholder=_SAYS,
            layout=self._layout(width="420px", height="52px"),
            style=self._words_style,
        )
        self.words = self._keep(area)
        self.answers = {
            "proceed": self._button("proceed", "Proceed", "Go on"),
            "add": self._button("add", "Add text", "Go on with this text at the end of the prompt"),
            "skip": self._button("skip", "Skip", "Leave this batch out"),
            "abort": self._button("abort", "Abort", "Do not begin it, the job pauses; one about to fail fails"),
            "retry": self._button("retry", "Retry", "Try it again with fresh budgets"),
            "edit": self._button("edit", "Edit prompt", "Put its prompt into the field, to be changed"),
            "retry_edited": self._button("retry_edited", "Retry with this prompt", "Send what stands in the field"),
        }
        self.question = self._keep(ipywidgets.VBox((), layout=self._plain))
        self.question.add_class("mozart-asked")
        self._any_answer = self._answer_bar("proceed add skip abort", self.words)
        self._of_failure = self._answer_bar("retry edit retry_edited skip abort", self.words)
        self._yes_or_no = self._answer_bar("proceed abort")

    def _answer_bar(self, names: str, *more: Any) -> Any:
        return self._bar((*(self.answers[name] for name in names.split()), *more))

    def question_children(self, choices: Sequence[str]) -> Sequence[Any]:
        """What stands in `question` while one with these choices is open; nothing without choices."""
        if not choices:
            return ()
        if "retry" in choices:
            return (self.asked, self._of_failure)
        return (self.asked, self._any_answer if "add" in choices else self._yes_or_no)

    def put_question(self, content: Mapping[str, Any]) -> None:
        choices = content["choices"]
        self.put(self.words, {"placeholder": _SAYS_OF_FAILURE if "retry" in choices else _SAYS})
        self.put(self.question, {"children": self.question_children(choices)})

    def put_verbs(self, content: Mapping[str, Any]) -> None:
        self.put(self.verbs, {"children": [*(self.verb[name] for name in content["shown"]), *self.links]})

    def _rows(self) -> Sequence[Any]:
        return (
            self.style, self.head, self.verbs, self.question, self.time, self.map, self.errors,
            self.table_bar, self.table, self.details, self.log, self.command, self.scripts,
        )  # fmt: skip

    def run_once(self, output: Mapping[str, Any]) -> None:
        """Have every page that shows the dashboard run a script, and leave nothing of it."""
        self.put(self.scripts, {"outputs": (output,)})
        self.put(self.scripts, {"outputs": ()})

    # --- making -------------------------------------------------------------------------------------------------------

    def _keep(self, model: Any) -> Any:
        self._models.append(model)
        return model

    def _layout(self, **traits: str) -> Any:
        return self._keep(ipywidgets.Layout(**traits))

    def _field_style_of(self, kind: Any) -> Any:
        return self._keep(kind(description_width="initial"))

    def _html(self, value: str = "") -> Any:
        return self._keep(ipywidgets.HTML(value, layout=self._plain, style=self._text_style))

    def _button(self, name: str, text: str, tooltip: str, *, danger: bool = False) -> Any:
        button = ipywidgets.Button(
            description=text,
            tooltip=tooltip,
            button_style="danger" if danger else "",
            layout=self._plain,
            style=self._button_style,
        )
        button.on_click(lambda _: self._act(name, None))
        return self._keep(button)

    def _bar(self, children: Sequence[Any]) -> Any:
        bar = self._keep(ipywidgets.HBox(children, layout=self._wide))
        bar.add_class("mozart-bars")
        return bar

    def _listen(self, field: Any, name: str) -> Any:
        def heard(change: Mapping[str, Any]) -> None:
            if self._painting_in != threading.get_ident():  # else it was us, not a person
                self._act(name, change["new"])

        field.observe(heard, "value")
        return self._keep(field)

    def put_into(self, widget: Any) -> Callable[[Mapping[str, Any]], None]:
        """What sets traits of that widget."""
        return partial(self.put, widget)

    def put(self, widget: Any, traits: Mapping[str, Any]) -> None:
        """Set traits of a widget, in one message."""
        self._painting_in = threading.get_ident()
        try:
            with widget.hold_sync():
                for name, value in traits.items():
                    setattr(widget, name, value)
        finally:
            self._painting_in = 0
