"""What to do about a diagnosis: the first thing in a sentence, and the commands worth trying."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mozart_nb.codes import ErrorCode, lookup
from mozart_nb.consumers.phrases import advice_for
from mozart_nb.consumers.progress import LIVE, Progress
from mozart_nb.engine.state import JobState
from mozart_nb.job.load import LoadedJob
from mozart_nb.looking.diagnosis.advice import mozart_of
from mozart_nb.looking.diagnosis.findings import ErrorGroup, Holder, NextStep, Trouble
from mozart_nb.words import moment, plural, roughly, spans

_LOOKED_AT_AGAIN: Final = frozenset({"E201", "E202", "E203", "E601"})
"""Failures of which `recover` may find that they are none any more."""
_MENDABLE: Final = frozenset({"E502", "E601", "E602"})
"""Failures that remedies are made for: missing folders and names; of others their causes are rarely the reason."""
_AND_GO_ON: Final = re.compile(r",? (?:then|and) (?:resume|go on)\b[^;]*$")
_UNLESS_THERE: Final = re.compile(r"^if [^;]+; else ")
_KEY_OF_JOB_FILE: Final = re.compile(r"\b(?:backend|parallel|retry|stale_detection|cost_limits|rate_limit)\.[a-z_]+")


@dataclass(frozen=True, slots=True)
class Standing:
    """What next steps depend on. `standing` are the groups of failures that are not mended, what matters first."""

    state: JobState
    progress: Progress
    standing: Sequence[ErrorGroup]
    troubles: Sequence[Trouble] = ()
    holder: Holder | None = None
    now: float = 0.0
    loaded: LoadedJob | None = None

    @property
    def mozart(self) -> str:
        """How a command begins that checks rules: those that are functions can be called in their notebook only."""
        return mozart_of(self.loaded.config if self.loaded is not None else None)

    @property
    def reloading(self) -> str:
        """The command that goes on with a changed description of the job, which may stand in a cell."""
        if self.loaded is not None and self.loaded.path is None:
            return "%%mozart --reload-config"
        return f"{self.mozart} resume {self.job_id} --reload-config"

    @property
    def job_id(self) -> str:
        return self.progress.job_id

    @property
    def advised(self) -> ErrorCode | None:
        """The code whose advice comes first: of the job as a whole, else of the failures that matter most."""
        if self.progress.code:
            code = lookup(self.progress.code)
            if not self.standing or code.pauses or self.standing[0].code == code.code:
                return code
        return lookup(self.standing[0].code) if self.standing else None

    @property
    def advice(self) -> str:
        """What to do first, once nothing is tried by itself any more: what fits this job, if that is known."""
        code = self.advised
        if code is None:
            return ""
        group = next((group for group in self.standing if group.code == code.code), None)
        return group.advice if group is not None and not code.passes else advice_for(code.code, is_over=True)


# --- the first thing --------------------------------------------------------------------------------------------------


def first_step(stand: Standing) -> str:
    """One sentence without a full stop; empty when there is nothing to do."""
    progress = stand.progress
    if progress.status in LIVE:
        return _while_it_runs(stand)
    if progress.status in ("completed", "pending"):
        return next((trouble.advice for trouble in stand.troubles if trouble.advice), "")
    resume = f"`{stand.mozart} resume {stand.job_id}`"
    code = stand.advised
    in_the_way = next((one.advice for one in stand.troubles if one.severity == "error" and one.advice), "")
    if in_the_way and code is None:
        return f"{in_the_way}, then {resume}"
    limit = stand.state.job.limit
    if progress.status == "paused" and limit is not None and limit.until > stand.now:
        until = moment(limit.until, stand.now)
        return f"if the limit is known to be over, `mozart limits --clear`; then {resume}: else it waits until {until}"
    if code is None and progress.parked:
        parked = plural(progress.parked, "answer")
        return f"{resume}: it fetches {parked} from the service and goes on; nothing of that is sent or paid again"
    if code is None:
        return f"{resume}: it goes on where it stopped, what is done stays done"
    advice = _before(stand.advice)
    if _needs_reload(code, stand.advice):
        where = "run the changed cell with " if stand.reloading.startswith("%%") else ""
        return f"{advice}, then {where}`{stand.reloading}`"
    if advice.startswith("a resume"):
        return f"{resume} tries it again"
    return f"{advice}, then {resume}"


def _while_it_runs(stand: Standing) -> str:
    limit, breaker = stand.state.job.limit, stand.state.job.breaker
    if stand.holder is not None and stand.holder.is_alive is None:
        return (
            f"see whether host {stand.holder.host} still runs it; if that machine is gone for certain: "
            f"`mozart resume {stand.job_id} --self-healing`"
        )
    if stand.progress.questions:
        count = plural(stand.progress.questions, "question")
        return f"`mozart questions {stand.job_id}` shows {count} that it waits for; `mozart reply` answers"
    if limit is not None:
        left = roughly(max(0.0, limit.until - stand.now))
        return (
            f"nothing: it goes on by itself at {moment(limit.until, stand.now)}, in {left}; "
            "if the limit is known to be over, `mozart limits --clear` ends the wait"
        )
    if breaker.status == "open":
        return f"nothing: one attempt tries again at {moment(breaker.until, stand.now)}"
    advised = next((group for group in stand.standing if group.unresolved_batches), None)
    if advised is not None and stand.progress.failed:
        return f"`mozart status {stand.job_id} --watch`; for what failed: {advised.advice}"
    in_the_way = next((one.advice for one in stand.troubles if one.advice), "")
    if in_the_way:
        return in_the_way
    if stand.standing and stand.standing[0].unresolved_batches:
        return f"nothing as long as another attempt helps; else {_before(stand.standing[0].advice)}"
    if stand.holder is not None:
        return f"`mozart status {stand.job_id} --watch` shows how it goes, `mozart pause {stand.job_id}` stops it"
    return ""


# --- commands ---------------------------------------------------------------------------------------------------------


def next_steps(stand: Standing) -> Iterator[NextStep]:
    """Commands that make sense now, in the order in which to try them."""
    job, progress = stand.job_id, stand.progress
    if progress.status in LIVE:
        if progress.questions:
            yield NextStep(f"mozart questions {job}", "job.questions()", "what it asks of a person, and how to answer")
        yield NextStep(f"mozart status {job}", "job", "it is being run; see how it stands")
        if stand.state.job.limit is not None:
            yield NextStep("mozart limits", "", "what all jobs of the account wait for; --clear opens the gate at once")
        return
    if progress.status in ("completed", "pending"):
        return
    yield from _looks(stand)
    if stand.progress.failed and any(group.code in _LOOKED_AT_AGAIN for group in stand.standing):
        yield NextStep(
            f"{stand.mozart} recover {job}", "", "check the rules of failed batches again; nothing is run or paid"
        )
    yield from _go_on(stand)
    mendable = [group.code for group in stand.standing if group.code in _MENDABLE]
    if mendable and not stand.state.job.options.self_healing:
        yield NextStep(
            f"{stand.mozart} resume {job} --self-healing",
            "job.resume(self_healing=True)",
            f"the same, mending what can be mended of {', '.join(mendable)} on the way",
        )


def _looks(stand: Standing) -> Iterator[NextStep]:
    job = stand.job_id
    if any(group.unresolved_batches for group in stand.standing):
        yield NextStep(f"mozart errors {job}", "job.errors()", "every failure, and what each rule expected and saw")
        example = next((group.example for group in stand.standing if group.example and group.example.batch), None)
        if example is not None:
            number = example.batch
            yield NextStep(
                f"mozart logs {job} --batch {number}", f"job.log(batch={number})", f"the story of batch {number}"
            )


def _go_on(stand: Standing) -> Iterator[NextStep]:
    """How the job is resumed, and what has to be done before."""
    job, progress, row = stand.job_id, stand.progress, stand.advised
    reloads, before = row is not None and _needs_reload(row, stand.advice), _after(stand.advice)
    if reloads:
        python = "" if stand.reloading.startswith("%%") else "job.resume(reload=Job.load(...))"
        yield NextStep(stand.reloading, python, before)
    if progress.failed and (row is None or row.retriable or not reloads):
        first = f"{before}; " if row is not None and not row.retriable else ""
        yield NextStep(f"{stand.mozart} resume {job}", "job.resume()", f"{first}{_again(stand)}")
    elif not reloads:
        yield NextStep(
            f"{stand.mozart} resume {job}", "job.resume()", "go on where it stopped; what is done stays done"
        )


def _again(stand: Standing) -> str:
    asked = sorted(n for n, batch in stand.state.batches.items() if batch.status == "failed")
    left = ", and what waits behind" if stand.progress.blocked else ""
    return f"ask batch{'es' if len(asked) > 1 else ''} {spans(asked, 6)} again with fresh budgets{left}"


def _after(advice: str) -> str:
    """What has to be done before a command. What another command does instead stands with that one."""
    to_do = _UNLESS_THERE.sub("", _before(advice))
    mended = to_do.removeprefix("mend ")
    return f"after this: {to_do}" if mended == to_do else f"after you have mended {mended}"


def _before(advice: str) -> str:
    """Advice without its last words, which say to go on: how is said with the command that does it."""
    return _AND_GO_ON.sub("", advice)


def _needs_reload(row: ErrorCode, advice: str) -> bool:
    """Whether what helps is a change of the job file, which a resume reads only when it is told to."""
    if row.code == "E506":
        return "credit" not in advice
    return "--reload-config" in advice or _KEY_OF_JOB_FILE.search(advice) is not None
