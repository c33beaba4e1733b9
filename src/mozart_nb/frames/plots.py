"""Pictures of a job: when its batches ran, how long they took, what they cost, what went wrong, how runs compare.

Needs matplotlib (`pip install 'mozart-nb[plot]'`), which is imported with the first picture. Figures stand for
themselves: nothing of pyplot's global state is touched, no window opens, and a notebook shows what a cell returns.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, get_args

from mozart_nb.consumers.history.rows import RunRow, counted
from mozart_nb.consumers.rows import errors_of
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError
from mozart_nb.events import Event
from mozart_nb.frames.spans import spans_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["timeline", "durations", "costs", "errors", "trend"]
By = Literal["result", "mode"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
_BY: Final[tuple[str, ...]] = get_args(By)


def plot(
    kind: str,
    state: JobState,
    events: Iterable[Event],
    *,
    by: str = "result",
    runs: Sequence[RunRow] | None = None,
    size: tuple[float, float] | None = None,
) -> Figure:
    """A figure of one job. `events`: its whole journal; `size` in inches; `by` colours the bars of `timeline`.

    | kind | |
    |---|---|
    | `timeline` | every attempt over time (UTC) at the number of its batch; waits for rate limits and breaks as bands |
    | `durations` | how long sessions took |
    | `costs` | what batches cost, in US dollars |
    | `errors` | failed attempts by code, mended since or not |
    | `trend` | success rate, duration, cost and retries from run to run: of `runs`, or those in `events` |

    `by="result"`: how attempts ended; `by="mode"`: first attempts, retries, completions, healed ones. Raises
    `MisuseError` for a kind that does not exist, and when matplotlib is not installed.
    """
    _require(kind, KINDS, "kind of picture")
    _require(by, _BY, "way to colour attempts")
    try:
        from mozart_nb.frames import _pictures as pictures
        from mozart_nb.frames import _trends as trends
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise MisuseError("plots need matplotlib", hint="pip install 'mozart-nb[plot]'") from None
    name = state.job.name or state.job.job_id
    if kind == "trend":
        return trends.trend(counted(state, events) if runs is None else runs, name, size=size)
    spans = spans_of(events)
    match kind:
        case "timeline":
            return pictures.timeline(spans, name, state.total, by=by, size=size)
        case "durations":
            return pictures.durations(spans, name, size=size)
        case "costs":
            return pictures.costs(state, name, size=size)
        case _:
            return pictures.errors(errors_of(state, spans.attempts), name, size=size)


def _require(given: str, known: tuple[str, ...], what: str) -> None:
    if given in known:
        return
    nearest = difflib.get_close_matches(given, known, n=1)
    hint = f"did you mean `{nearest[0]}`?" if nearest else f"one of {', '.join(known)}"
    raise MisuseError(f"there is no {what} `{given}`", hint=hint)
