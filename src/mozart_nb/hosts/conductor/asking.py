"""Asking something of a job through the conductor, whether it carries it, somebody else runs it, or nobody does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.index import all_jobs
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import owner
from mozart_nb.engine.ports import Request
from mozart_nb.errors import MisuseError, MozartError, PlanMismatchError
from mozart_nb.hosts.channel import Channel, channel_of
from mozart_nb.hosts.conductor.carried import key_of
from mozart_nb.hosts.conductor.carrying import BY
from mozart_nb.hosts.conductor.inheriting import orphaned
from mozart_nb.hosts.conductor.service import Conductor, living
from mozart_nb.hosts.conductor.wanted import (
    Adopted,
    Answered,
    Modified,
    OfJob,
    Recovered,
    Resumed,
    Retried,
    Wanted,
    absolute,
)
from mozart_nb.hosts.local_run import Wish
from mozart_nb.job.plan import compatible
from mozart_nb.job_handle import Job
from mozart_nb.looking.finding import find, last_activity
from mozart_nb.looking.questions import answer_to
from mozart_nb.plans.prepared import Prepared, opened, renewed
from mozart_nb.runtime import recover_job

PATIENCE_SECONDS: Final = 60.0
"""How long a caller waits for a job to pause before it is told that this goes on meanwhile."""

ADOPT_SECONDS: Final = 30.0
"""Between two looks for jobs whose host died."""
ADOPT_WITHIN_SECONDS: Final = 86_400.0

_TAKES_NO_PART: Final = ("queued", "held", "handover", "notebook")


async def layout_of(conductor: Conductor, job: OfJob | Resumed) -> Layout:
    """Where the job is. Raises `UnknownJobError`, `AmbiguousJobError`."""
    return await conductor.in_thread(conductor.locate, job.job_id, job.folder)


def _channel(conductor: Conductor, layout: Layout) -> Channel:
    return channel_of(layout, lambda: conductor.host)


async def pause(conductor: Conductor, job: OfJob) -> dict[str, Any]:
    """No new attempts; one that only waits for its turn here is taken out of the queue."""
    layout = await layout_of(conductor, job)
    if said := await _taken_out(conductor, layout):
        return {"job_id": layout.job_id, "said": said}
    await conductor.in_thread(_channel(conductor, layout).request, Request(kind="pause", by=BY))
    return {"job_id": layout.job_id, "said": f"job `{layout.job_id}` is asked to pause: running batches finish first"}


async def cancel(conductor: Conductor, job: OfJob) -> dict[str, Any]:
    """End its sessions at once, also those that a dead host left behind."""
    layout = await layout_of(conductor, job)
    said = await _taken_out(conductor, layout)
    if not said or layout.exists:
        await conductor.in_thread(_cancel, conductor, layout)
        said = f"job `{layout.job_id}` is asked to end at once"
    return {"job_id": layout.job_id, "said": said}


def _cancel(conductor: Conductor, layout: Layout) -> None:
    channel = _channel(conductor, layout)
    if channel.run is not None or channel.look() is not None:
        channel.request(Request(kind="cancel", by=BY))
    else:
        Job.at(layout).cancel()


async def _taken_out(conductor: Conductor, layout: Layout) -> str:
    async with conductor.alone_with(layout):  # what is being begun at this moment has begun then, and can be asked
        one = conductor.register.get(layout)
        if one is None or one.phase not in _TAKES_NO_PART:
            return ""
        await conductor.let_go(layout)
    conductor.log.tell("job.let_go", job_id=layout.job_id, phase=one.phase)
    return f"job `{layout.job_id}` did not run ({one.reason or one.phase}); the conductor does not carry it any more"


async def resume(conductor: Conductor, job: Resumed) -> dict[str, Any]:
    """Go on with it; one that is held goes on as it was asked for."""
    layout = await layout_of(conductor, job)
    one = conductor.register.get(layout)
    if one is not None and one.phase == "held" and not (job.config or job.reload_config or job.batches):
        await conductor.release([layout])
        return _released(conductor, layout)
    return await conductor.submit(_wanted(layout, job))


def _released(conductor: Conductor, layout: Layout) -> dict[str, Any]:
    one = conductor.register.get(layout)
    runs = key_of(layout) in conductor.running
    about = f"is {one.phase}: {one.reason}" if one is not None and one.reason else "goes on"
    decision = "run" if runs else "queued" if one is not None else "nothing"
    return {"job_id": layout.job_id, "decision": decision, "said": f"job `{layout.job_id}` {about}"}


def _wanted(layout: Layout, job: Resumed) -> Wanted:
    given = {name: getattr(job, name) for name in job.__struct_fields__ if name in Wanted.__struct_fields__}
    return Wanted(**{**given, "job_id": layout.job_id, "workspace": str(layout.workspace)})


async def retry(conductor: Conductor, job: Retried) -> dict[str, Any]:
    """Failed batches again, with fresh budgets."""
    layout = await layout_of(conductor, job)
    which = ",".join(str(number) for number in job.batches)
    if await conductor.in_thread(living, layout) is None and key_of(layout) not in conductor.running:
        return await conductor.submit(Wanted(job_id=layout.job_id, workspace=str(layout.workspace), batches=which))
    request = Request(kind="retry", by=BY, batches=tuple(job.batches))
    await conductor.in_thread(_channel(conductor, layout).request, request)
    what = f"batches {which}" if which else "all failed batches"
    return {"job_id": layout.job_id, "said": f"job `{layout.job_id}` is asked to try {what} again"}


async def answer(conductor: Conductor, reply: Answered) -> dict[str, Any]:
    """The answer to an open question of a batch; the first one counts, whoever gives it."""
    layout = await layout_of(conductor, reply)
    channel = _channel(conductor, layout)

    def ask() -> None:
        request = answer_to(find(layout).state, reply.batch, reply.action, reply.text, by=BY, attempt=reply.attempt)
        channel.request(request)

    await conductor.in_thread(ask)
    what = f"the answer `{reply.action}` for batch {reply.batch} of job `{layout.job_id}`"
    return {"job_id": layout.job_id, "said": f"{what} is on its way; the first one counts"}


async def recover(conductor: Conductor, job: Recovered) -> dict[str, Any]:
    """Check the rules of failed batches again, executing nothing; those that pass count as completed."""
    layout = await layout_of(conductor, job)
    prepared = await conductor.in_thread(opened, layout)
    found = await recover_job(prepared, dry_run=job.dry_run)
    recovered = [entry.batch for entry in found if entry.passed]
    failed = [entry.batch for entry in found if not entry.passed]
    return {"job_id": layout.job_id, "dry_run": job.dry_run, "recovered": recovered, "still_failed": failed}


# --- another config ---------------------------------------------------------------------------------------------------


async def modify(conductor: Conductor, job: Modified) -> dict[str, Any]:
    """Pause the job if it runs, and have it take a new config; it goes on with that if it is to `resume`."""
    layout = await layout_of(conductor, job)
    if not job.config:
        raise MisuseError("`config` is wanted: the new job file", job_id=layout.job_id)
    prepared, changed = await conductor.in_thread(_changed, layout, job)
    if changed is None:
        return {"job_id": layout.job_id, "said": f"job `{layout.job_id}` has this config already: nothing was changed"}
    work = asyncio.ensure_future(_take(conductor, layout, prepared, changed, job))
    done, _ = await asyncio.wait([work], timeout=PATIENCE_SECONDS)
    if not done:
        conductor.spawn(_until(work))
        said = f"job `{layout.job_id}` is asked to pause: running batches finish first, then it has its new config"
        return {"job_id": layout.job_id, "said": said}
    return {"job_id": layout.job_id, "said": work.result()}


async def _until(work: asyncio.Future[Any]) -> None:
    await work


def _changed(layout: Layout, job: Modified) -> tuple[Prepared, Prepared | None]:
    """The job as it is and as it is to be; None for the same."""
    handle = Job.at(layout)
    new = renewed(handle.prepared, handle.reread(absolute(job.config, "config")).prepared.loaded)
    _require_fit(layout, new)
    return handle.prepared, new if new.digest != handle.prepared.digest else None


def _require_fit(layout: Layout, changed: Prepared) -> None:
    state = find(layout).state
    if conflicts := compatible(state.plan, changed.plan, state.batches):
        text = f"the new config would change batches that have run: {'; '.join(conflicts)}; nothing was changed"
        hint = "start over with `mozart run --fresh`, or give the new job another name"
        raise PlanMismatchError(text, hint=hint, job_id=layout.job_id)


async def _take(conductor: Conductor, layout: Layout, prepared: Prepared, changed: Prepared, job: Modified) -> str:
    channel = _channel(conductor, layout)
    if channel.run is not None or await conductor.in_thread(channel.look) is not None:
        await conductor.in_thread(channel.request, Request(kind="pause", by=BY, reason="it is given a new config"))
        await channel.settled()
        await conductor.in_thread(_require_fit, layout, changed)
    async with conductor.alone_with(layout):
        if key_of(layout) not in conductor.running:
            await conductor.let_go(layout)
    if job.resume:
        told = await conductor.submit(_wanted(layout, job))
        return f"job `{layout.job_id}` has its new config and goes on: {told['decision']}"
    # A run in which no attempt begins: it ends what a dead host left open, takes the config and settles.
    channel.begin(Wish(prepared, ev.RunOptions(keep_failed=True, recover=True), {"reload": changed}))
    await channel.settled()
    if isinstance(channel.error, MozartError):
        raise channel.error
    return f"job `{layout.job_id}` has its new config; `mozart resume {layout.job_id}` goes on with it"


# --- jobs of dead hosts -----------------------------------------------------------------------------------------------


def orphans() -> list[Layout]:
    """Jobs of the user whose host died while it ran them: its name is still in their lock. Blocks."""
    found = []
    for entry in all_jobs():
        holder = owner(entry.layout)
        if holder is not None and holder.alive is False:
            found.append(entry.layout)
    return found


async def adopt(conductor: Conductor, layouts: Sequence[Layout]) -> list[dict[str, Any]]:
    """Take up jobs whose host died; one that cannot be does not keep the others from it."""
    told = []
    for layout in layouts:
        left = await conductor.in_thread(orphaned, layout)
        try:
            if left.ended:
                raise MisuseError(left.ended, job_id=layout.job_id)
            known = {"job_id": layout.job_id, "workspace": str(layout.workspace), "keep_failed": True}
            wanted = msgspec.convert({**known, **left.wish}, Wanted)
            told.append(await conductor.submit(wanted, is_adopted=True))
        except Exception as error:
            said = error.message if isinstance(error, MozartError) else f"{type(error).__name__}: {error}"
            conductor.log.tell("job.not_adopted", "warning", job_id=layout.job_id, reason=said)
            told.append({"job_id": layout.job_id, "decision": "refused", "said": said})
    return told


async def adopt_orphans(conductor: Conductor, wanted: Adopted) -> list[dict[str, Any]]:
    """The same for those that there are, or those of these ids."""
    found = await conductor.in_thread(orphans)
    told = await adopt(conductor, [one for one in found if not wanted.job_ids or one.job_id in wanted.job_ids])
    there = {one.job_id for one in found}
    said = "it is not among the jobs whose host died; `mozart resume ID --conductor` has any job go on here"
    others = dict.fromkeys(name for name in wanted.job_ids if name not in there)
    return [*told, *({"job_id": name, "decision": "refused", "said": said} for name in others)]


async def adopt_for_ever(conductor: Conductor) -> None:
    """As the settings say, take up jobs whose host has just died. One that cannot be taken up is not tried again."""
    refused: set[Layout] = set()
    while True:
        if conductor.settings.adopt_orphans == "auto":
            with contextlib.suppress(OSError):  # a disk that is gone for the moment
                fresh = [one for one in await conductor.in_thread(_lately) if one not in refused]
                told = await adopt(conductor, fresh)
                refused |= {one for one, said in zip(fresh, told, strict=True) if said["decision"] == "refused"}
        await asyncio.sleep(ADOPT_SECONDS)


def _lately() -> list[Layout]:
    """Of hosts that did something within the last day; who left a job alone for longer may not want it any more."""
    return [one for one in orphans() if time.time() - last_activity(one) < ADOPT_WITHIN_SECONDS]
