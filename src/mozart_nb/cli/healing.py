"""Self-healing before there is a run: the lock that a dead host of another machine left behind."""

from __future__ import annotations

from collections.abc import Sequence

from mozart_nb.cli.output import Output
from mozart_nb.engine.ports import Healing
from mozart_nb.healing import STALE_LOCK, guidance
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.runtime import Prepared, Standing, find_stale, standing


def unlocked(output: Output, prepared: Prepared, found: Standing, *, yes: bool) -> tuple[Standing, Sequence[Healing]]:
    """How the job stands once the mark of a dead host of another machine is gone, where somebody agrees to that."""
    finding = find_stale(prepared, found)
    if finding is None or finding.effect is None:
        return found, ()
    if not yes and not (output.can_ask and output.ask(finding.question)):
        output.say(f"{STALE_LOCK.name}: {guidance(finding)}")
        return found, ()
    run_briefly(finding.effect())
    said = guidance(finding, finding.deed)
    output.say(f"{STALE_LOCK.name}: {said}")
    return standing(prepared), (Healing(STALE_LOCK.name, said),)
