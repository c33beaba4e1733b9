"""What a job is planned with of earlier outcomes: its wording, and hints for its prompts (`learning.apply`).

Hints are worked out when a job is planned, and stand in its first event. So a resume, and answers kept by content, see
the same prompts; `--fresh` and `--reload-config` work them out anew.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.index import home
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import load_state
from mozart_nb.checkpoint.plan import archived
from mozart_nb.consumers.learning.hints import hints_from
from mozart_nb.consumers.learning.reading import read_counts
from mozart_nb.errors import MozartError
from mozart_nb.events import Wording
from mozart_nb.job.wording import template_key, wording_of
from mozart_nb.plans.frozen import read_frozen
from mozart_nb.plans.kept_answers import is_kept
from mozart_nb.plans.prepared import Prepared

HISTORY = "history.db"

NOTHING_KNOWN = "`learning.apply`: too little is known of this template, so prompts get no hints yet"


@dataclass(frozen=True)
class Learned:
    """What a job is planned with. `notice` is said to people; empty when there is nothing to say."""

    wording: Wording = field(default_factory=Wording)
    notice: str = ""


def learned(prepared: Prepared, *, anew: bool = False) -> Learned:
    """What a job is planned with that begins now, or takes a new config. Blocks: it reads the history.

    `anew`: its record was just archived while its answers are kept; they were given to prompts with the hints of that
    record, so those stay.
    """
    learning = prepared.loaded.config.learning
    kept = _hints_of_archived(prepared.layout) if anew and learning.apply else None
    hints, notice = (kept, "") if kept is not None else _hints(prepared)
    if not learning.enabled:
        return Learned(Wording(hints=hints), notice)  # without a template nothing is recorded
    return Learned(wording_of(prepared.loaded.config, prepared.frozen.texts, hints), notice)


def planned_hints(prepared: Prepared) -> tuple[str, ...]:
    """The hints of a job as it was planned, or as it would be planned now. Blocks; reads only."""
    if not prepared.loaded.config.learning.apply:
        return ()
    with contextlib.suppress(MozartError, OSError):
        if prepared.layout.exists:
            job = look(prepared.layout).state.job
            stays = job.config_digest == prepared.digest or is_kept(prepared.loaded.config.backend.type)
            if job.seq and stays and _applies(prepared.layout):
                return job.wording.hints
    return _hints(prepared)[0]


def _hints(prepared: Prepared) -> tuple[tuple[str, ...], str]:
    config = prepared.loaded.config
    if not config.learning.apply:
        return (), ""
    try:
        counts = read_counts(home() / HISTORY, template=template_key(config, prepared.frozen.texts))
    except MozartError as error:
        return (), f"`learning.apply`: prompts get no hints, because {error.message}"
    hints = hints_from(counts, config.validations)
    return hints, "" if hints else NOTHING_KNOWN


def _hints_of_archived(layout: Layout) -> tuple[str, ...] | None:
    """The hints of the record that a job leaves behind; None where it was planned without asking for any."""
    with contextlib.suppress(MozartError, OSError):
        place = archived(layout)
        if place is not None and _applies(there := Layout(place, layout.job_id)):
            return load_state(there, DiskFiles(), holder=False).state.job.wording.hints
    return None


def _applies(layout: Layout) -> bool:
    return read_frozen(layout).loaded.config.learning.apply
