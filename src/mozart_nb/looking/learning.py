"""What was learned of earlier jobs: rows, a document and DataFrames. Read from the history; nothing is ever applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.learning.columns import (
    RULE_COLUMNS,
    SUGGESTION_COLUMNS,
    TEMPLATE_COLUMNS,
    TIME_COLUMNS,
    RuleRow,
    SuggestionRow,
    TemplateRow,
    TimeRow,
)
from mozart_nb.consumers.learning.insights import rule_rows, template_rows, time_rows
from mozart_nb.consumers.learning.reading import Counts, counts_in, together
from mozart_nb.consumers.learning.suggestions import Settings, suggestion_rows
from mozart_nb.consumers.rows import Column, row_of
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.looking.finding import known_layouts
from mozart_nb.looking.recording import brought_up_to_date, history_file, open_history, unusable
from mozart_nb.plans.frozen import read_frozen

if TYPE_CHECKING:
    import pandas as pd

What = Literal["templates", "rules", "times", "suggestions"]

COLUMNS: Final[dict[str, tuple[Column[Any], ...]]] = {
    "templates": TEMPLATE_COLUMNS,
    "rules": RULE_COLUMNS,
    "times": TIME_COLUMNS,
    "suggestions": SUGGESTION_COLUMNS,
}


@dataclass(frozen=True, slots=True)
class Insights:
    """Everything that is told of some templates. `templates_left_out` are further ones that were not asked for.

    `notices` are what people should know about the history itself.
    """

    templates: Sequence[TemplateRow]
    rules: Sequence[RuleRow]
    times: Sequence[TimeRow]
    suggestions: Sequence[SuggestionRow]
    templates_left_out: int = 0
    notices: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """The same as JSON data."""
        tables = {name: [row_of(columns, row) for row in getattr(self, name)] for name, columns in COLUMNS.items()}
        return {**tables, "templates_left_out": self.templates_left_out}


def insights(about: str | None = None, *, what: What = "templates") -> pd.DataFrame:
    """What earlier jobs came to, as a DataFrame; the template that was used last comes first.

    `what`: `templates` (first-try success, one row per template), `rules` (what fails most and what fixed it), `times`
    (seconds, tokens and cost of sessions: p50, p90, p99) or `suggestions` (settings, each with its evidence).
    `about` keeps one template (its name, or the begin of its key) or the templates that one job used (its id).

    Raises `MisuseError` for another `what`, and for an `about` of which nothing is known; `WorldError` when the history
    cannot be read.
    """
    from mozart_nb.frames.typed import frame_of

    if what not in get_args(What):
        raise MisuseError(f"there are no insights called `{what}`", hint=f"one of {', '.join(get_args(What))}")
    return frame_of(COLUMNS[what], getattr(find_insights(about), what))


def find_insights(about: str | None = None, *, limit: int = 0) -> Insights:
    """What is known of the templates that `about` names, at most `limit` of them (0: all), the newest first.

    Raises as `insights`.
    """
    notices: list[str] = []
    counts = _up_to_date(notices)
    if about is not None:
        counts = _about(counts, about)
    every = list(dict.fromkeys(one.template for one in counts))
    shown = set(every[:limit] if limit else every)
    counts = [one for one in counts if one.template in shown]
    real = together((one for one in counts if not one.is_rehearsal), by_hints=False)
    return Insights(
        list(template_rows(counts)),
        rule_rows(counts),
        list(time_rows(counts)),
        list(suggestion_rows(real, _settings(real))),
        len(every) - len(shown),
        notices,
    )


def _up_to_date(notices: list[str]) -> list[Counts]:
    """Everything that was counted, and what a host that died left uncounted in the journals of the jobs known here."""
    layouts = known_layouts(None)
    if not layouts and not history_file().is_file():
        return []
    from sqlalchemy.exc import DBAPIError

    try:
        with open_history(notices.append) as database:
            brought_up_to_date(database, layouts)
            with database.reading() as connection:
                return counts_in(connection)
    except (DBAPIError, OSError) as error:
        raise unusable(error) from error


def _about(counts: Sequence[Counts], about: str) -> list[Counts]:
    """All counts of the templates that are meant, whichever jobs they belong to."""
    wanted = {one.template for one in counts if one.about(about)}
    if not wanted:
        hint = "`mozart learning` shows what is known; outcomes are counted while jobs run"
        raise MisuseError(f"nothing is known of a template or job `{about}`", hint=hint)
    return [one for one in counts if one.template in wanted]


def _settings(counts: Iterable[Counts]) -> dict[str, Settings]:
    """The settings of the newest job of each template, where its plan can be read."""
    found = {}
    for one in counts:
        try:
            config = read_frozen(Layout(Path(one.state_workspace), one.job_id)).loaded.config
        except (MozartError, OSError):
            continue
        parallel = config.parallel
        found[one.template] = Settings(
            config.backend.timeout_seconds,
            parallel.max_concurrent if parallel.enabled else 1,
            config.retry.completion_threshold_percent,
        )
    return found
