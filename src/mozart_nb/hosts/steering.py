"""Asking something of a job from outside, wherever it runs: for the command line, REST, pages and notebooks alike.

A job that somebody runs is asked through its control folder, whoever that is. One that nobody runs is taken up by the
conductor, which is started for it where it is not there. Every function here blocks; call it in a thread where that
matters.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.control import drop
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner, owner
from mozart_nb.engine.ports import Request
from mozart_nb.errors import MisuseError
from mozart_nb.hooks import CHAIN_VARIABLE
from mozart_nb.hosts.carriage import Carriage
from mozart_nb.hosts.conductor.client import ensure_running
from mozart_nb.looking.finding import find
from mozart_nb.looking.logs import last_events
from mozart_nb.looking.questions import answer_to
from mozart_nb.words import plural

Action = Literal["pause", "resume", "cancel", "retry", "modify", "answer"]
Reply = Literal["proceed", "skip", "abort", "add", "retry"]
Via = Literal["host", "conductor"]

ACTIONS: Final[tuple[Action, ...]] = ("pause", "resume", "cancel", "retry", "modify", "answer")
REPLIES: Final[tuple[Reply, ...]] = ("proceed", "skip", "abort", "add", "retry")

REQUEST_SECONDS: Final = 600.0
"""How long a request that nobody has taken stays good: its host may be busy, but not for a night."""

_LET_GO_SECONDS: Final = 0.05
_LET_GO_TRIES: Final = 100

Say = Callable[[str], None]


def silently(text: str) -> None:
    """Nobody is told what is being done meanwhile."""


# --- from a description to the conductor ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What the conductor is to run: exactly one of `file`, `text` and `job_id`, and how.

    `text` is YAML whose relative paths start in `base_dir`; `job_id` is a job on disk, in `workspace` where the id is
    not enough. `priority` counts down: a lower one starts sooner; None is the conductor's usual one. `handover` has
    whoever runs the job now give it away first. The rest is what `mozart run` and `mozart resume` take.
    """

    file: Path | None = None
    text: str = ""
    base_dir: Path | None = None
    job_id: str = ""
    workspace: Path | None = None
    overrides: Sequence[str] = ()
    strict: bool = False
    rehearse: bool = False
    fresh: bool = False
    limit: int = 0
    batches: str = ""
    start_batch: int = 1
    max_concurrent: int = 0
    self_healing: bool = False
    escalation: bool = False
    yes: bool = False
    priority: int | None = None
    keep_failed: bool = False
    reload_config: bool = False
    config: Path | None = None
    infer: bool = False
    handover: bool = False

    @property
    def params(self) -> dict[str, Any]:
        """What the method `submit` takes: everything that is not as it is anyway, paths absolute."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        usual = {one.name: one.default for one in fields(self)}
        return {name: _plain(value) for name, value in given.items() if value != usual[name]}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    return [*value] if isinstance(value, (tuple, list)) else value


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What became of a submission. `said` is for people; `notices` are warnings about the job."""

    job_id: str
    workspace: Path
    decision: Literal["run", "attach", "nothing", "queued"]
    said: str = ""
    notices: Sequence[str] = field(default_factory=tuple)

    @property
    def document(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "job_id": self.job_id,
            "workspace": str(self.workspace),
            "decision": self.decision,
            "said": self.said,
            "notices": [*self.notices],
        }


def submit(wish: Submission, *, say: Say = silently) -> Submitted:
    """Have the conductor run a job, or go on with it; it is started where it is not there, which `say` is told.

    Returns once the job is accepted. Raises what the same `mozart run` would, and `WorldError` where no conductor can
    be started.
    """
    with ensure_running(say) as client:
        answer = client.call("submit", **wish.params, **_chain())
    return Submitted(
        job_id=str(answer["job_id"]),
        workspace=Path(answer["workspace"]),
        decision=answer["decision"],
        said=str(answer.get("said") or ""),
        notices=tuple(answer.get("notices") or ()),
    )


def _chain() -> dict[str, str]:
    """A hook hands on how far the chain has come: the conductor is no child of it and cannot know."""
    chain = os.environ.get(CHAIN_VARIABLE, "")
    return {"chain": chain} if chain else {}


# --- a job that is there ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Steered:
    """What was done about a request: `said` for people, and who was asked."""

    said: str
    via: Via


def steer(
    layout: Layout,
    action: Action,
    *,
    by: str,
    batches: Sequence[int] = (),
    action_text: str = "",
    reply: Reply | Literal[""] = "",
    config: Path | None = None,
    options: Mapping[str, Any] | None = None,
    attempt: int = 0,
    say: Say = silently,
) -> Steered:
    """Ask something of the job at `layout`; returns once it was asked, not once it was done.

    `by` names who asks, as people read it in the journal. `retry` tries failed `batches` again (none named: all of
    them). `answer` gives `reply` to the open question of the one batch in `batches`; `action_text` goes with it, and
    with an `attempt` only what was asked about that one is answered. `modify` gives it the job file `config`.
    `options` say how a job goes on that the conductor takes up: fields of `Submission`, and with `modify` also
    `resume`, whether it goes on at once.

    Raises `MisuseError` for what cannot be asked of the job as it stands, `UnknownJobError` where it is gone.
    """
    if action == "answer" and (len(batches) != 1 or not reply):
        raise MisuseError("an answer is to the question of one batch", job_id=layout.job_id)
    holder = _working(layout)
    if holder is not None and action == "answer":
        state = find(layout).state
        request = answer_to(state, batches[0], reply, action_text, by=by, attempt=attempt)
        drop(layout, msgspec.structs.replace(request, run_id=holder.run_id, expires_at=time.time() + REQUEST_SECONDS))
        return Steered(_asked(layout.job_id, action, tuple(batches), reply), "host")
    if holder is not None and action != "modify":
        return _ask_host(layout, holder, action, by, tuple(batches))
    about: dict[str, Any] = {"job_id": layout.job_id, "workspace": str(layout.workspace), **(options or {})}
    if action == "modify":
        about["config"] = str(_required(config, layout).absolute())
    elif action == "retry":
        about["batches"] = [*batches]
    else:
        _require_possible(layout, action)
    if action in ("resume", "modify"):
        about |= _chain()
    with ensure_running(say) as client:
        answer = client.call(action, **about)
    return Steered(str(answer["said"]), "conductor")


def living(layout: Layout) -> Owner | None:
    """Who runs the job at this moment, as the disk says it; hosts on other machines are believed."""
    found = owner(layout)
    return found if found is not None and found.alive is not False else None


def _working(layout: Layout) -> Owner | None:
    """Who runs the job. One whose job has just settled holds it only until all is put away, and takes no requests."""
    for _ in range(_LET_GO_TRIES):
        holder = living(layout)
        if holder is None or not _has_settled(layout):
            return holder
        time.sleep(_LET_GO_SECONDS)
    return living(layout)


def _has_settled(layout: Layout) -> bool:
    last = last_events(layout, 1)
    return bool(last) and isinstance(last[0], ev.JobPaused | ev.JobCompleted | ev.JobFailed | ev.JobCancelled)


def _ask_host(layout: Layout, holder: Owner, action: Action, by: str, batches: tuple[int, ...]) -> Steered:
    until = time.time() + REQUEST_SECONDS
    about: dict[str, Any] = {"by": by, "batches": batches, "run_id": holder.run_id, "expires_at": until}
    drop(layout, Request(kind=action, **about))  # type: ignore[arg-type]  # `modify` is not asked of a host
    return Steered(_asked(layout.job_id, action, batches, ""), "host")


def _asked(job: str, action: Action, batches: tuple[int, ...], reply: str) -> str:
    if action == "answer":
        return f"the answer `{reply}` for batch {batches[0]} of job `{job}` is on its way; the first one counts"
    if action == "retry":
        which = plural(len(batches), "batch") if batches else "all failed batches"
        return f"job `{job}` is asked to try {which} again"
    words = {"pause": "pause: running batches finish first", "resume": "go on", "cancel": "end at once"}
    return f"job `{job}` is asked to {words[action]}"


def _require_possible(layout: Layout, action: Action) -> None:
    """Nobody runs the job: it may wait in the conductor's queue, where it can be paused and ended as well."""
    if Carriage(layout).entry is not None and action != "answer":
        return
    found = find(layout)
    job, status = layout.job_id, found.progress.status
    if action in ("pause", "answer"):
        hint = f"`mozart resume {job}` goes on with it" if status != "completed" else ""
        raise MisuseError(f"job `{job}` is not running: it is {status}", hint=hint, job_id=job)
    if action == "cancel" and status in ("completed", "cancelled"):
        raise MisuseError(f"job `{job}` is {status} already", job_id=job)


def _required(config: Path | None, layout: Layout) -> Path:
    if config is None:
        raise MisuseError("a new config is wanted", job_id=layout.job_id)
    return config
