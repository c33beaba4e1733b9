"""`%mozart questions` and `%mozart reply`: what a job asks of a person, and the answer."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator

from mozart_nb.errors import OptionError
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.magics.notebook import Notebook, Outcome
from mozart_nb.looking.questions import OpenQuestion, open_questions
from mozart_nb.words import clock, one_line, page

_PROMPT_WIDTH = 300


def questions(notebook: Notebook, given: Namespace) -> Outcome:
    """The open questions of a job with the lines that answer them."""
    job = notebook.job(given.job, given.workspace)
    found = job.read(lambda state: open_questions(state, job.prepared))
    lines = [line for question in found for line in _lines(job, question)]
    if found and not job.is_live:
        lines.append(f"nobody runs job `{job.job_id}` any more: `%mozart resume {job.job_id}` asks again")
    return Outcome(page(lines or [f"job `{job.job_id}` asks nothing"]))


def _lines(job: Job, question: OpenQuestion) -> Iterator[str]:
    number, asked = question.batch, clock(max(0.0, time.time() - question.asked_at))
    yield f"batch {number}, attempt {question.attempt} ({question.mode}), asked {asked} ago"
    yield f"  {question.text}"
    if question.prompt:
        yield f"  prompt: {one_line(question.prompt, _PROMPT_WIDTH)}"
    yield f"  %mozart reply {job.job_id} {number} {'|'.join(question.choices)}"


def reply(notebook: Notebook, given: Namespace) -> Outcome:
    """The answer to one of them; it counts if nobody was faster."""
    if not given.batch.isdecimal():
        raise OptionError(f"%mozart reply: the number of a batch expected, not `{given.batch}`")
    job = notebook.job(given.job, given.workspace)
    job.answer(int(given.batch), given.answer, given.text)
    what = f"the answer `{given.answer}` for batch {given.batch} of job `{job.job_id}`"
    notebook.say(f"{what} is on its way; the first one counts")
    return Outcome(job)
