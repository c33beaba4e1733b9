"""Jobs that the conductor runs for a terminal: handed to it, shown until they are over, left alone on Ctrl-C."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.cli.attach import watch
from mozart_nb.cli.output import FAILED, OK, PAUSED, Output, exit_code_of
from mozart_nb.cli.render import summary_lines
from mozart_nb.consumers.phrases import next_steps
from mozart_nb.errors import MisuseError, UnknownJobError
from mozart_nb.hooks import ends_chain, words
from mozart_nb.hosts.carriage import Carriage
from mozart_nb.hosts.conductor.client import ensure_running
from mozart_nb.hosts.steering import Submission, Submitted, living, submit
from mozart_nb.job.model import JobConfig
from mozart_nb.looking.finding import Found, find
from mozart_nb.looking.following import POLL_SECONDS, Follower
from mozart_nb.plans.frozen import read_frozen
from mozart_nb.words import plural

VARIABLE: Final = "MOZART_NB_CONDUCTOR"
"""Environment variable: when it is set (not empty, `0`, `false` or `no`), jobs are run by the conductor."""


def is_wanted(conductor: bool | None, *, detach: bool = False, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the conductor is to run a job: as the option says, or the environment. `detach` needs it.

    Raises `MisuseError` for options that contradict each other.
    """
    if detach and conductor is False:
        raise MisuseError("--detach: only the conductor runs a job that nobody waits for", hint="leave out one of them")
    if conductor is not None or detach:
        return bool(conductor) or detach
    return environ.get(VARIABLE, "").strip().lower() not in ("", "0", "false", "no")


def is_there(layout: Layout, conductor: bool | None) -> bool:
    """Whether the conductor has the job already, so that nobody else should begin it; an option can say otherwise."""
    return conductor is None and Carriage(layout).coming is not None


def run_there(output: Output, wish: Submission, *, layout: Layout | None = None, detach: bool = False) -> int:
    """Have the conductor run a job and show it until it is over; returns the job's exit code, as `run` does.

    `layout` is where its record is or will be, where that is known. `detach`: return at once. Ctrl-C ends the showing
    only.
    """
    sent = submit(wish, say=output.say)
    for notice in sent.notices:
        output.warn(notice)
    if sent.said:
        output.say(sent.said)
    layout = layout or Layout(sent.workspace, sent.job_id)
    if detach:
        output.say(_with_it(sent))
        if output.json:
            output.document(sent.document)
        return OK
    try:
        if sent.decision != "nothing":
            who = "" if sent.decision == "attach" else " is run by the conductor"
            output.say(f"job `{sent.job_id}`{who}: showing it; Ctrl-C ends the showing only")
            _show_until_over(output, layout)
    except KeyboardInterrupt:
        output.say(f"detached; {_with_it(sent)}")
        _document(output, layout)
        return PAUSED
    left = _left_there(layout)
    if left:
        output.say(left)
    if not layout.exists:
        _document(output, layout)
        return PAUSED
    return _last_words(output, find(layout), already=sent.decision == "nothing")


def recover_there(output: Output, layout: Layout, *, dry_run: bool) -> int:
    """Have the conductor check the rules of failed batches again. Exit code 0 when all of them pass now."""
    with ensure_running(output.say) as client:
        told = client.call("recover", job_id=layout.job_id, workspace=str(layout.workspace), dry_run=dry_run)
    passed, failed = told["recovered"], told["still_failed"]
    if output.json:
        output.document({**told, "status": find(layout).progress.status})
        return FAILED if failed else OK
    for batch in sorted([*passed, *failed]):
        output.show(f"batch {batch}  {'passes now' if batch in passed else 'still fails'}")
    done = "would be completed" if dry_run else "completed"
    count = plural(len(passed) + len(failed), "failed batch")
    output.say(f"{len(passed):,} of {count} {done}; nothing was executed")
    return FAILED if failed else OK


def _with_it(sent: Submitted) -> str:
    job = sent.job_id
    how = "is completed" if sent.decision == "nothing" else "goes on with the conductor"
    return f"job `{job}` {how}; `mozart status {job} --watch` shows it, `mozart pause {job}` pauses it"


def _show_until_over(output: Output, layout: Layout) -> None:
    """Until nobody runs it and the conductor does not have it any more; also over a restart of the conductor."""
    carriage = Carriage(layout)
    while _await_host(output, layout, carriage):
        follower = _begun(layout)
        if follower is not None:
            watch(output, follower, _config(layout))
            carriage.was_running_it()
        else:
            time.sleep(POLL_SECONDS)  # it is just beginning, or putting things away


def _await_host(output: Output, layout: Layout, carriage: Carriage) -> bool:
    """Whether somebody runs it, or will, at last; False where the conductor has it no longer."""
    said = ""
    while living(layout) is None or not layout.exists:
        found = carriage.coming
        if found is None and living(layout) is None:
            return False
        text = _why_not_yet(layout.job_id, found.phase if found is not None else "", carriage)
        if text and text != said:
            output.say(text)
            said = text
        time.sleep(POLL_SECONDS)
    return True


def _why_not_yet(job: str, phase: str, carriage: Carriage) -> str:
    if not carriage.is_there:
        return f"the conductor is gone; job `{job}` goes on when it is back"
    if phase == "queued":
        return f"job `{job}` waits for room: the conductor runs as many jobs as it may"
    if phase == "handover":
        return f"whoever runs job `{job}` is asked to hand it over"
    return ""


def _left_there(layout: Layout) -> str:
    """Why the conductor still has a job that it does not go on with; empty where it has not."""
    carriage = Carriage(layout)
    found = carriage.entry
    if found is None:
        return ""
    if not carriage.is_there:
        return f"the conductor is gone; `mozart start` goes on with job `{layout.job_id}`"
    return f"the conductor holds job `{layout.job_id}`: {found.reason or found.phase}"


def _begun(layout: Layout) -> Follower | None:
    """None while the record is that of an earlier run, or is being archived at this moment."""
    try:
        follower = Follower(layout)
    except (UnknownJobError, FileNotFoundError):
        return None
    return None if follower.state.is_settled else follower


def _config(layout: Layout) -> JobConfig | None:
    try:
        return read_frozen(layout).loaded.config
    except (UnknownJobError, OSError):
        return None


def _last_words(output: Output, found: Found, *, already: bool) -> int:
    """How it stands now that it is over; returns the exit code."""
    progress = found.progress
    for line in () if already else summary_lines(progress, found.state.job):
        output.say(line)
    for step in () if already else next_steps(progress):
        output.say(f"next: {step}")
    for result in found.hooks:
        if result.status in ("failed", "unknown"):
            output.complain(f"hook {result.hook} ({result.what}) {words(result)}")
    if output.json:
        output.document(found.document())
    if found.config is not None and ends_chain(found.config, found.hooks):
        return FAILED
    return exit_code_of(progress.status)


def _document(output: Output, layout: Layout) -> None:
    if output.json:
        output.document(find(layout).document() if layout.exists else {"job_id": layout.job_id, "status": "pending"})


def absolute(path: Path | None) -> Path | None:
    """The conductor's current folder is another one."""
    return path.absolute() if path is not None else None
