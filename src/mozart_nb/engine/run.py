"""One invocation of a job by a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mozart_nb import events as ev
from mozart_nb.engine.ids import new_marker
from mozart_nb.engine.ports import Healing


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation of a job.

    `planned` is the first event of a new job; `orphans` are answers that were kept although the host died before
    their `session.finished` (with its place filled in) was journaled; `inferred` are batches whose results stand
    although no event says so; `healings` are what had to be mended before the job could be taken up;
    `isolated` says where sessions work; `notices` are told to observers first.
    """

    options: ev.RunOptions = field(default_factory=ev.RunOptions)
    planned: ev.JobPlanned | None = None
    reloaded: ev.ConfigReloaded | None = None
    orphans: Sequence[ev.Answer] = ()
    inferred: Sequence[int] = ()
    healings: Sequence[Healing] = ()
    isolated: ev.JobIsolated | None = None
    notices: Sequence[str] = ()
    run_id: str = field(default_factory=lambda: new_marker()[:12])
    pid: int = 0
