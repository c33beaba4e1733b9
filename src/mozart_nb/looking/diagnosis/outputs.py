"""The ends of what sessions of failed batches printed, readable, bounded and without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import JobState
from mozart_nb.looking.details.logs import read_log_tail, recorded_tail
from mozart_nb.looking.diagnosis.findings import SessionOutput
from mozart_nb.words import clean

MOST_BATCHES: Final = 5
"""Failed batches whose output is shown."""
_MOST_LINES: Final = 40
_LONGEST_LINE: Final = 400


def outputs_of(layout: Layout, state: JobState, batches: Sequence[int]) -> Iterator[SessionOutput]:
    """The end of the last session's output, of the first few of these batches."""
    for number in batches[:MOST_BATCHES]:
        record = state.batches[number]
        tail = read_log_tail(layout, number, record.attempts, lines=_MOST_LINES)
        if tail.source == "none":
            tail = recorded_tail(record, lines=_MOST_LINES)
        stem = layout.log_stem(number, record.attempts)
        files = tuple(f"{stem}{suffix}" for suffix in (".out", ".err") if Path(f"{stem}{suffix}").is_file())
        text = "\n".join(clean(line.text)[:_LONGEST_LINE] for line in tail.lines) or "it printed nothing that was kept"
        yield SessionOutput(number, record.attempts, text, files, tail.is_cut)
