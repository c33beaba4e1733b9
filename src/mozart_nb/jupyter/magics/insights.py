"""`%mozart insights`: what earlier jobs came to."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mozart_nb.jupyter.looks.insights import NOTHING, insights_html, insights_text
from mozart_nb.jupyter.magics.notebook import Outcome
from mozart_nb.looking.learning import COLUMNS, Insights, find_insights

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class InsightsView:
    """What is known, as a page. `templates`, `rules`, `times` and `suggestions` are DataFrames, `frame` is what was
    asked for, by default `templates`."""

    found: Insights
    what: str = ""

    @property
    def frame(self) -> pd.DataFrame:
        return self._frame(self.what or "templates")

    @cached_property
    def templates(self) -> pd.DataFrame:
        return self._frame("templates")

    @cached_property
    def rules(self) -> pd.DataFrame:
        return self._frame("rules")

    @cached_property
    def times(self) -> pd.DataFrame:
        return self._frame("times")

    @cached_property
    def suggestions(self) -> pd.DataFrame:
        return self._frame("suggestions")

    def _frame(self, what: str) -> pd.DataFrame:
        from mozart_nb.frames.typed import frame_of

        return frame_of(COLUMNS[what], getattr(self.found, what))

    def _repr_html_(self) -> str:
        return insights_html(self.found, [self.what] if self.what else [])

    def __str__(self) -> str:
        if not self.found.templates:
            return NOTHING
        lines = [*insights_text(self.found, [self.what] if self.what else [])]
        return "\n".join(lines).rstrip() or NOTHING

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def insights(given: Namespace) -> Outcome:
    """The view on what is known of the templates that were asked for."""
    return Outcome(InsightsView(find_insights(given.job or None, limit=given.limit), given.what))
