"""`questions` and `reply`: what jobs ask of a person, and the answer from any terminal."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from mozart_nb.checkpoint.control import drop
from mozart_nb.checkpoint.index import resolve
from mozart_nb.cli.editor import edit
from mozart_nb.cli.output import FAILED, OK, Output
from mozart_nb.engine.asked import Asked
from mozart_nb.engine.ports import Request
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError, MozartError
from mozart_nb.events import BatchAnswered, Event
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.looking.finding import Found, find, known_layouts
from mozart_nb.looking.following import Follower, follow
from mozart_nb.looking.questions import OpenQuestion, answer_to, open_question, open_questions, prompt_of
from mozart_nb.plans.prepared import Prepared, opened
from mozart_nb.words import clock, one_line, plural

ACKNOWLEDGE_SECONDS: Final = 5.0
"""How long to wait for a host to take the answer; it looks twice per second."""

EXPIRE_SECONDS: Final = 60.0
"""After so long a host that has not taken the answer leaves it: the person was told that it was not taken."""

BY: Final = "mozart reply"

_SHOWN_CHARACTERS: Final = 300


def questions(output: Output, job_id: str | None, workspace: Path | None) -> int:
    """Show what one job asks, or all jobs that run."""
    found = [find(resolve(job_id, workspace))] if job_id is not None else _asking(workspace)
    listed = [(one, open_questions(one.state, _prepared(one))) for one in found]
    if output.json:
        output.document([_document(one, question) for one, questions in listed for question in questions])
        return OK
    count = 0
    for one, asked in listed:
        count += len(asked)
        for question in asked:
            _show(output, one, question)
    if not count:
        output.say(f"job `{job_id}` asks nothing" if job_id is not None else "no job asks anything")
    for one, asked in listed:
        if asked and not one.is_live:
            job = one.layout.job_id
            output.say(f"nobody runs job `{job}` any more: `mozart resume {job}` asks again")
    return OK


def _asking(workspace: Path | None) -> list[Found]:
    """Jobs that somebody runs and that ask something."""
    found = []
    for layout in known_layouts(workspace):
        try:
            one = find(layout)
        except (MozartError, OSError):
            continue  # a damaged record must not hide what others ask
        if one.is_live and one.state.job.questions:
            found.append(one)
    return found


def _prepared(found: Found) -> Prepared | None:
    """Prompts are composed only where something is asked, and may need what only a notebook has."""
    if not found.state.job.questions:
        return None
    try:
        return opened(found.layout)
    except (MozartError, OSError):
        return None


def _document(found: Found, question: OpenQuestion) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(question)
    where = {"job_id": found.layout.job_id, "workspace": str(found.workspace), "is_live": found.is_live}
    return {**where, **document, "text": question.text}


def _show(output: Output, found: Found, question: OpenQuestion) -> None:
    job, number = found.layout.job_id, question.batch
    asked = f"asked {clock(max(0.0, time.time() - question.asked_at))} ago"
    output.show(f"{job}  batch {number}, attempt {question.attempt} ({question.mode}), {asked}")
    output.show(f"  {question.text}")
    if question.prompt:
        output.show(f"  prompt: {one_line(question.prompt, _SHOWN_CHARACTERS)}")
    output.show(f"  mozart reply {job} {number} {'|'.join(question.choices)}")


# --- reply ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ReplyWish:
    """What was asked of `reply`."""

    batch: int
    action: str
    text: str = ""
    edit: bool = False
    workspace: Path | None = None


def reply(output: Output, job_id: str, wish: ReplyWish) -> int:
    """Answer the open question of a batch. Exit code 0 once the answer counts, 1 when another one came first."""
    found = find(resolve(job_id, wish.workspace))
    question = open_question(found.state, wish.batch)
    owner = found.glimpse.owner
    if owner is None:
        hint = f"`mozart resume {job_id}` goes on with it and asks again"
        raise MisuseError(f"nobody runs job `{job_id}` any more: no answer can reach it", hint=hint, job_id=job_id)
    text = _text(found, question, wish)
    asked = answer_to(found.state, wish.batch, wish.action, text, by=BY, attempt=question.attempt)
    follower = Follower(found.layout)
    drop(found.layout, msgspec.structs.replace(asked, run_id=owner.run_id, expires_at=time.time() + EXPIRE_SECONDS))
    return _await(output, follower, found, asked, question)


def _text(found: Found, question: Asked, wish: ReplyWish) -> str:
    if not wish.edit:
        return sys.stdin.read() if wish.text == "-" else wish.text
    if wish.text:
        raise MisuseError("--edit and --text are two ways to give one text", hint="leave out one of them")
    if wish.action not in ("add", "retry"):
        raise MisuseError(f"--edit belongs to `add` and `retry`, not to `{wish.action}`")
    start = prompt_of(opened(found.layout), found.state, wish.batch) if wish.action == "retry" else ""
    text = run_briefly(edit(start))
    if not text:
        raise MisuseError("nothing was changed in the editor, and nothing was answered", job_id=found.layout.job_id)
    return text


def _await(output: Output, follower: Follower, found: Found, given: Request, asked: Asked) -> int:
    """Until the host has taken an answer, whoever gave it."""
    counted: list[BatchAnswered] = []
    number = given.batches[0]

    def hear(events: list[Event]) -> None:
        counted.extend(
            one
            for one in events
            if isinstance(one, BatchAnswered) and (one.batch, one.attempt) == (number, asked.attempt)
        )

    def is_answered(state: JobState) -> bool:
        return bool(counted) or state.is_settled

    follow(follower, hear, until=is_answered, seconds=ACKNOWLEDGE_SECONDS)
    job = found.layout.job_id
    if not counted:
        output.complain(f"the host of job `{job}` has not taken the answer", f"`mozart questions {job}` shows whether")
        return FAILED
    said = counted[0]
    is_ours = (said.by, said.action) == (BY, given.action)  # another terminal answers under the same name
    if output.json:
        output.document({"job_id": job, "batch": number, "action": said.action, "by": said.by, "counts": is_ours})
    if not is_ours:
        output.complain(f"somebody was faster: batch {number} was answered `{said.action}` by {said.by or 'a request'}")
        return FAILED
    left = len(follower.state.job.questions)
    more = f"; {plural(left, 'question')} left" if left else ""
    output.say(f"batch {number} of job `{job}`: {said.action}{more}")
    return OK
