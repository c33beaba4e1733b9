"""A job that another host has let go of goes on as that host ran it, and not at all where somebody else ended it.

What was asked of a run that is handed over (a pilot, some batches only, questions before a batch fails) is asked of its
second half as well: or it would be paid for what nobody wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.policy.requests import ASKED_TO_PAUSE
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.errors import MozartError
from mozart_nb.hosts.conductor.carried import Carried

_OPEN: Final = frozenset({"pending", "running", "waiting"})


class Inheritance(NamedTuple):
    """`ended` says why the job does not go on; empty where it does, with `wish` beside what was asked for already.

    `done` is how many batches were done by then.
    """

    ended: str = ""
    wish: Mapping[str, Any] = MappingProxyType({})
    done: int = 0


def inherited(carried: Carried) -> Inheritance:
    """What the job's last host leaves to the one that takes it over. Blocks."""
    try:
        state = look(carried.layout).state
    except (MozartError, OSError):
        return Inheritance()  # whoever takes it up next says what is wrong with it
    ended = _ended(state)
    return Inheritance(ended) if ended else _of_the_last_run(state, carried.wish, carried.done_before)


def orphaned(layout: Layout) -> Inheritance:
    """What a host leaves that died while it ran the job. Blocks."""
    try:
        state = look(layout).state
    except (MozartError, OSError):
        return Inheritance()
    stop = state.job.stop
    if not state.is_settled and stop is not None and (stop.kind == "cancel" or stop.reason.startswith(ASKED_TO_PAUSE)):
        what = "end" if stop.kind == "cancel" else "pause"
        return Inheritance(f"it was asked to {what} before its host died: `mozart resume {layout.job_id}` goes on")
    return _of_the_last_run(state, {}, 0)


def _of_the_last_run(state: JobState, asked: Mapping[str, Any], done_before: int) -> Inheritance:
    done, cut = state.count("completed") + state.count("skipped"), state.job.options
    wish: dict[str, Any] = {
        "max_concurrent": asked.get("max_concurrent") or cut.max_concurrent,
        "self_healing": bool(asked.get("self_healing") or cut.self_healing),
        "escalation": bool(asked.get("escalation") or cut.escalation),
    }
    if asked.get("limit") or asked.get("batches"):
        return Inheritance("", wish, done_before)
    rest = what_is_left(state)
    if rest is None:
        return Inheritance("the batches that were asked for are done")
    return Inheritance("", {**wish, **rest}, done)


def what_is_left(state: JobState) -> dict[str, Any] | None:
    """Which batches the last run would still have run, as `limit` and `batches`; None where it had done what it should.

    Sessions that go on by themselves are not begun, so they count for no limit: it is lower by them.
    """
    cut = state.job.options
    rest: dict[str, Any] = {}
    if cut.only:
        rest["batches"] = ",".join(f"{first}-{last}" for first, last in cut.only)
    if not cut.limit:
        return rest
    begun = [batch for batch in state.batches.values() if batch.run == state.job.runs and batch.status in _OPEN]
    never_begun = cut.limit - state.job.run_batches
    if never_begun > 0:
        return {**rest, "limit": never_begun + sum(_begins_anew(batch) for batch in begun)}
    return {"batches": ",".join(str(batch.number) for batch in begun)} if begun else None


def _begins_anew(batch: BatchState) -> bool:
    """Whether the batch takes one of the next run's beginnings: what goes on by itself takes none."""
    if batch.status != "running" or batch.phase == "started":
        return True
    session = batch.session
    return batch.phase == "opened" and not (session is not None and (session.outlives or session.parked))


def _ended(state: JobState) -> str:
    """Why it has come to an end by itself, or by somebody's word, before it was let go of."""
    job = state.job
    if job.status in ("failed", "cancelled"):
        return f"it is {job.status}"
    by_a_person = job.reason.startswith(ASKED_TO_PAUSE)
    return f"it is paused: {job.reason}" if job.status == "paused" and (job.code or by_a_person) else ""
