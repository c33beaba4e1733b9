"""Jobs as pandas DataFrames: batches, attempts, errors, validations, events, answers, comparisons, runs, the history.

Importing this package does not import pandas; making the first frame does. Plots are in `mozart_nb.frames.plots`.
"""

from mozart_nb.frames.answers import answers_frame
from mozart_nb.frames.compare import Run, compare, run_of
from mozart_nb.frames.inputs import InputRows, index_of, input_rows, labels_of, rows_of_frame
from mozart_nb.frames.plots import plot
from mozart_nb.frames.reading import reading_answers
from mozart_nb.frames.tables import (
    attempts_frame,
    batches_frame,
    errors_frame,
    events_frame,
    failures_frame,
    history_frame,
    runs_frame,
    validations_frame,
)

__all__ = [
    "InputRows",
    "Run",
    "answers_frame",
    "attempts_frame",
    "batches_frame",
    "compare",
    "errors_frame",
    "events_frame",
    "failures_frame",
    "history_frame",
    "index_of",
    "input_rows",
    "labels_of",
    "plot",
    "reading_answers",
    "rows_of_frame",
    "run_of",
    "runs_frame",
    "validations_frame",
]
