"""Answers kept by content, seen from a whole job: whose are kept, and what a job leaves behind that is planned anew.

A changed job whose answers are kept starts a new record: the old one goes to the archive, and every batch whose request
is still the same takes the answer that was accepted for it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from mozart_nb.checkpoint.files import DiskFiles
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import load_state
from mozart_nb.checkpoint.plan import archived
from mozart_nb.errors import MozartError

_KEPT = frozenset({"anthropic_api", "anthropic_batches"})


def is_kept(backend_type: str) -> bool:
    """Whether the answers of a `backend.type` are kept by content."""
    return backend_type in _KEPT


@dataclass(frozen=True)
class Earlier:
    """The record that a new one takes the place of: where it is, below `.mozart`, and what all before it cost (USD)."""

    replaces: str = ""
    cost_usd: float = 0.0


def earlier_record(layout: Layout) -> Earlier:
    """The newest archived record of a job that is about to be planned anew."""
    place = archived(layout)
    if place is None:
        return Earlier()
    cost = 0.0
    with contextlib.suppress(MozartError, OSError):  # one that cannot be read is still named
        job = load_state(Layout(place, layout.job_id), DiskFiles(), holder=False).state.job
        cost = job.cost_usd + job.earlier_usd
    return Earlier(place.relative_to(layout.state_root).as_posix(), round(cost, 9))
