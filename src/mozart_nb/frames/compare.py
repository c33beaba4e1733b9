"""Two runs side by side: what changed prompts, models or settings did to the answers, their cost and their time."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, Literal

from mozart_nb.consumers.answers import ReadAnswer, answer_table, has_row_per_item
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError
from mozart_nb.frames.answers import answers_frame
from mozart_nb.frames.tables import batches_frame
from mozart_nb.job.model import JobConfig

if TYPE_CHECKING:
    import pandas as pd

How = Literal["outer", "inner"]

AUTO: Final = "auto"
INDEX: Final = "index"
ITEM: Final = "item"
BATCH: Final = "batch"

_FLAGS: Final = ("same", "diff")
_COMPARED: Final = ("status", "cost", "duration")


@dataclass(frozen=True)
class Run:
    """One side of a comparison. Build it with `run_of`.

    `answers` has one row per item, or per batch where `is_per_item` is False; `batches` one row per batch; `keys` are
    the columns of `answers` that hold what was answered. `has_labels`: its index is that of a DataFrame.
    """

    name: str
    answers: pd.DataFrame
    batches: pd.DataFrame
    keys: tuple[str, ...]
    is_per_item: bool = True
    has_labels: bool = False


def run_of(
    name: str,
    state: JobState,
    config: JobConfig,
    read: ReadAnswer,
    *,
    schema: Mapping[str, Any] | None = None,
    rows: Sequence[Any] | None = None,
    index: pd.Index[Any] | None = None,
    inputs: Sequence[str] = (),
) -> Run:
    """A job as one side of a comparison; the arguments are those of `answers_frame`. Labels must be unique to count."""
    labels = index if index is not None and index.is_unique else None
    spent = _COMPARED[1:]  # columns of the comparison that an answer may have as well
    plain = labels.set_names([None] * labels.nlevels) if labels is not None else None
    answers = answers_frame(state, config, read, schema=schema, rows=rows, index=plain, beside=spent, inputs=inputs)
    if labels is not None and has_row_per_item(config):  # only now: no column has to make way for a name of the index
        answers.index = answers.index.set_names(list(labels.names))
    return Run(
        name=name,
        answers=answers,
        batches=batches_frame(state),
        keys=answer_table(config, schema, inputs=inputs, beside=spent).answers,
        is_per_item=has_row_per_item(config),
        has_labels=labels is not None,
    )


def compare(left: Run, right: Run, *, on: str | Sequence[str] = AUTO, how: How = "outer") -> pd.DataFrame:
    """One row per item (or batch) that either run has; `how="inner"` keeps those that both have.

    Rows are put side by side by the index of the DataFrame that both got their items from; else by the number of the
    item, and by that of the batch where either run has one answer for several items. `on` chooses: `index`, `item`,
    `batch`, or columns of the answers (input columns above all).

    Columns: for every key of the answers `KEY_LEFT`, `KEY_RIGHT` and `KEY_same`; `same` (every key that both have);
    `status_…`, `cost_…` (US dollars; an item's share of its batch) and `duration_…` of either run, and `cost_diff`,
    `duration_diff` (right minus left). LEFT and RIGHT are the names of the runs, or `left` and `right` if these are
    the same. A flag is `<NA>` where one of the two has no answer.

    `.attrs["summary"]` has the totals as plain data. Raises `MisuseError` when rows cannot be put side by side.
    """
    if on == AUTO:
        on = _choice(left, right)
    if on == BATCH:
        _require_same_batches(left, right)
    one, two = _aligned(left, on), _aligned(right, on)
    both = one.index[one.index.isin(two.index)]
    rows = both if how == "inner" else one.index.append(two.index.difference(one.index, sort=False))
    names = _names(left, right)
    frame = _side_by_side(one.reindex(rows), two.reindex(rows), _keys(left, right), names)
    frame.attrs["summary"] = _summary(frame, left, right, names, in_both=len(both))
    return frame


def _choice(left: Run, right: Run) -> str:
    if not (left.is_per_item and right.is_per_item):
        return BATCH
    return INDEX if left.has_labels and right.has_labels else ITEM


def _names(left: Run, right: Run) -> tuple[str, str]:
    is_clear = len({left.name, right.name, *_FLAGS}) == 2 + len(_FLAGS)
    return (left.name, right.name) if is_clear else ("left", "right")


def _keys(left: Run, right: Run) -> list[str]:
    return list(dict.fromkeys((*left.keys, *right.keys)))


# --- rows side by side ------------------------------------------------------------------------------------------------


def _require_same_batches(left: Run, right: Run) -> None:
    """Batch 3 of one run says nothing about batch 3 of another that is cut differently."""
    cuts = [run.batches[["first_item", "last_item"]] for run in (left, right)]
    common = cuts[0].index.intersection(cuts[1].index)
    if not cuts[0].loc[common].equals(cuts[1].loc[common]):
        raise MisuseError(
            f"the batches of `{left.name}` and `{right.name}` hold different items",
            hint="compare runs with one `batch.size`, or give both `answer: {per_item: true}`",
        )
    for run in (left, right):
        if run.is_per_item and run.answers["batch"].duplicated().any():
            raise MisuseError(f"run `{run.name}` has several answers in one batch", hint="on='item'")


def _aligned(run: Run, on: str | Sequence[str]) -> pd.DataFrame:
    """What is compared of a run, on the index by which rows are put side by side."""
    frame = _labelled(_with_costs(run), run, on)
    if not frame.index.is_unique:
        raise MisuseError(f"several rows of run `{run.name}` have the same `{on}`", hint="on='item'")
    return frame[[*run.keys, *_COMPARED]]


def _labelled(frame: pd.DataFrame, run: Run, on: str | Sequence[str]) -> pd.DataFrame:
    if on == INDEX or (on == BATCH and not run.is_per_item):
        return frame
    columns = [on] if isinstance(on, str) else list(on)
    missing = [column for column in columns if column not in frame]
    if missing:
        known = [str(name) for name in run.answers.columns if name not in run.keys]
        hint = f"one of {', '.join([INDEX, *known])}"
        raise MisuseError(f"run `{run.name}` has no column `{missing[0]}` to compare on", hint=hint)
    if on in (ITEM, BATCH):
        return frame.set_index(frame[on].astype("int64"))
    return frame.set_index(columns)


def _with_costs(run: Run) -> pd.DataFrame:
    """The answers with cost and duration: each item has its share of its batch, so that sums stay true."""
    numbers = run.answers["batch"] if run.is_per_item else run.answers.index.to_series()
    batches = numbers.to_numpy(dtype="int64")
    shares = numbers.map(numbers.value_counts()).to_numpy(dtype="int64")
    spent = {name: run.batches[name].reindex(batches).to_numpy() / shares for name in ("cost", "duration")}
    return run.answers.assign(**spent)


def _side_by_side(left: pd.DataFrame, right: pd.DataFrame, keys: Sequence[str], names: tuple[str, str]) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {}
    flags: dict[str, Any] = {}
    is_answered = (left["status"] == "completed") & (right["status"] == "completed")
    for key in keys:
        columns |= {f"{key}_{name}": side[key] for name, side in zip(names, (left, right), strict=True) if key in side}
        if key in left and key in right:
            columns[f"{key}_same"] = flags[f"{key}_same"] = _same(left[key], right[key], is_answered)
    if flags:
        columns["same"] = reduce(operator.and_, flags.values())
    for what in _COMPARED:
        columns |= {f"{what}_{name}": side[what] for name, side in zip(names, (left, right), strict=True)}
        if what != "status":
            columns[f"{what}_diff"] = right[what] - left[what]
    return pd.DataFrame(columns, index=left.index)


def _same(left: pd.Series[Any], right: pd.Series[Any], is_answered: pd.Series[Any]) -> pd.Series[Any]:
    """Whether answers are equal, lists and objects included; null equals null."""
    import pandas as pd

    pairs = zip(_values(left), _values(right), is_answered.tolist(), strict=True)
    flags = [one == two if answered else None for one, two, answered in pairs]
    return pd.Series(pd.array(flags, dtype="boolean"), index=left.index)


def _values(series: pd.Series[Any]) -> list[Any]:
    missing = series.isna().tolist()
    values = series.astype(object).tolist()
    return [None if is_missing else value for value, is_missing in zip(values, missing, strict=True)]


# --- totals -----------------------------------------------------------------------------------------------------------


def _summary(frame: pd.DataFrame, left: Run, right: Run, names: tuple[str, str], *, in_both: int) -> dict[str, Any]:
    """Totals of a comparison as plain data. Shares are of the rows that both have answered, None without any."""
    runs = dict(zip(names, (left, right), strict=True))
    cost = {name: float(run.batches["cost"].sum()) for name, run in runs.items()}
    flags = {key: frame[f"{key}_same"] for key in _keys(left, right) if f"{key}_same" in frame}
    answered = sum(
        1 for one, two in zip(*(frame[f"status_{name}"] for name in names), strict=True) if one == two == "completed"
    )
    return {
        "rows": len(frame),
        "in_both": in_both,
        "answered_by_both": answered,
        "agreement": {key: _share(flag) for key, flag in flags.items()},
        "same": _share(frame["same"]) if flags else None,
        "completed": {name: int((frame[f"status_{name}"] == "completed").sum()) for name in names},
        "cost": cost,
        "cost_known": {name: bool(run.batches["cost_known"].all()) for name, run in runs.items()},
        "cost_diff": cost[names[1]] - cost[names[0]],
        "duration_seconds": {
            name: float(run.batches["duration"].dt.total_seconds().sum()) for name, run in runs.items()
        },
    }


def _share(flags: pd.Series[Any]) -> float | None:
    known = flags.dropna()
    return float(known.mean()) if len(known) else None
