"""One job as it can be begun and gone on with. `Job` adds where jobs come from, and the wait for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from mozart_nb import events as ev
from mozart_nb.engine.ports import Confirmations, Request
from mozart_nb.errors import JobBusyError, JobChangedError, MisuseError, UnknownJobError
from mozart_nb.healing import Ask
from mozart_nb.hosts.local_run import Wish
from mozart_nb.hosts.sending import send, staying_behind
from mozart_nb.job.given import Given
from mozart_nb.job.lint import Issue
from mozart_nb.job.load import LoadedJob
from mozart_nb.job_reader import JobReader
from mozart_nb.parts import from_notebook
from mozart_nb.plans.prepared import Prepared, opened, renewed, standing
from mozart_nb.plans.previews import require_first_prompt
from mozart_nb.plans.starting import Decision, decide, run_options

if TYPE_CHECKING:
    from mozart_nb.frames.inputs import InputRows

FIRST_EVENT_SECONDS: Final = 5.0
"""How long a run that was just asked for may take until it has begun."""


class JobStarter(JobReader):
    """One job as it can be begun and gone on with, in this process. `Job` adds the rest."""

    def __init__(self, loaded: LoadedJob, prepared: Prepared, inputs: InputRows | None = None) -> None:
        """`inputs` is the table that its items came from, if there is one."""
        super().__init__(prepared, inputs)
        self._loaded = loaded
        self._is_recorded = prepared.as_frozen
        self._goes_there = False
        self.notices: list[str] = []
        """What was said about the job file, and about the last start."""
        self.issues: Sequence[Issue] = ()
        """What the checks of the job file found short of an error."""

    def start(
        self,
        *,
        limit: int = 0,
        batches: str = "",
        start_batch: int = 1,
        fresh: bool = False,
        max_concurrent: int = 0,
        self_healing: bool = False,
        escalation: bool = False,
        conductor: bool | None = None,
        confirmations: Confirmations | None = None,
        ask: Ask | None = None,
    ) -> Self:
        """Run it, or go on with it: as `mozart run` does. What was decided is the last of `notices`.

        A job that runs already is attached to, an unfinished one goes on, a completed one is left alone. `limit` runs
        so many batches, `batches` those of `3,7-9`; `fresh` archives what was there; `escalation` asks before a batch
        fails whose retries are used up. With `conductor` it is the conductor that runs it, which is started where it is
        not there, and the job outlives this process; None: as this handle did it last. Raises `MisuseError`, and
        `JobChangedError` when its config is not the one it was planned with.
        """
        conductor = self._goes_there if conductor is None else conductor
        if not fresh:
            self._follow_its_record()
        self._require_same_here()
        asked: dict[str, Any] = {"limit": limit, "batches": batches, "start_batch": start_batch}
        asked |= {"max_concurrent": max_concurrent, "self_healing": self_healing, "escalation": escalation}
        options = run_options(self._prepared.plan.count, fresh=fresh, **asked)
        decision = self._decide(fresh)
        if decision.said:
            self.notices.append(decision.said)
        if decision.kind == "attach" and conductor and self._channel.run is not None:
            self.notices.append("`job.hand_over()` gives it to the conductor")
        if decision.kind == "nothing" and self.has_hooks_left:
            self.notices.append("what it starts when it is completed was cut short and is done now")
            self._channel.begin(Wish(self._prepared, ev.RunOptions(keep_failed=True, recover=True)))
        if decision.kind != "run":
            return self
        self._look_over(options, fresh=fresh)
        how: dict[str, Any] = {"fresh": decision.fresh, "anew": decision.anew}
        if conductor:
            self._send(self._prepared, plants=self._is_unplanned, **how, **asked)
        else:
            self._channel.begin(Wish(self._prepared, options, {**how, "confirmations": confirmations, "ask": ask}))
        self._goes_there, self._is_recorded = conductor, True
        return self

    def _look_over(self, options: ev.RunOptions, *, fresh: bool) -> None:
        """Say what will not be checked here, and refuse a first prompt that cannot be made."""
        self.notices += from_notebook(self._prepared)
        begins_at_first = options.start_batch == 1 and (not options.only or options.only[0][0] == 1)
        if begins_at_first and not options.self_healing and (fresh or self.status == "pending"):
            require_first_prompt(self._prepared)

    @property
    def _is_unplanned(self) -> bool:
        return not self.read(lambda state: state.job.config_digest)

    def _send(self, prepared: Prepared, **how: Any) -> None:
        """Have the conductor run it; `how` as for `send`."""
        self.notices += staying_behind(how.get("reload") or prepared)
        sent = send(prepared, say=self.notices.append, **how)
        self._channel.look()  # whoever waits now waits for that
        said = sent.said if sent.decision != "run" else f"the conductor runs job `{self.job_id}`"
        self.notices += [one for one in (*sent.notices, said) if one and one not in self.notices]

    def _decide(self, fresh: bool) -> Decision:
        run = self._channel.run
        if run is not None and run.is_over and self.status != "completed":
            return Decision("run", f"job `{self.job_id}` goes on as soon as its last run is put away", fresh=fresh)
        if run is not None:
            if fresh:
                raise JobBusyError(self.job_id, "in this notebook")
            return Decision("attach", f"job `{self.job_id}` runs here already")
        carried = self._channel.carried
        if carried is not None and not carried.has_begun and not fresh:
            return Decision("attach", f"the conductor has job `{self.job_id}` already, and has not begun yet")
        found = standing(self._prepared, fresh=fresh)
        if found.kind == "running" and not fresh and found.state is not None:
            self._require_same(found.state.job.config_digest, str(found.owner))
        return decide(self._prepared, found, fresh=fresh)

    def _require_same_here(self) -> None:
        """A job that runs here must not be taken for another version of it."""
        run = self._channel.run
        if run is not None:
            self._require_same(run.wish.job.digest, "here")

    def _require_same(self, digest: str, where: str) -> None:
        """`digest` is that of the config with which it runs."""
        if digest != self._prepared.digest:
            raise JobChangedError(
                f"job `{self.job_id}` runs with another config ({where}); nothing was started",
                hint=f"`%mozart pause {self.job_id}` first, then run this again, or give it another name",
                job_id=self.job_id,
            )

    def _follow_its_record(self) -> None:
        """Go on with the config that others have given the job since this handle last had to do with it.

        Not so for a job that was described anew: whether its change is wanted is for a person to say.
        """
        digest = self.read(lambda state: state.job.config_digest)
        if digest == self._prepared.digest:
            self._is_recorded = True
        elif digest and self._is_recorded and self.layout.exists:
            self._prepared = opened(self.layout, given=Given(namespace=self._loaded.given.namespace))
            self._loaded, self._inputs = self._prepared.loaded, None

    def resume(
        self,
        *,
        keep_failed: bool = False,
        batches: str = "",
        reload: JobStarter | None = None,
        infer: bool = False,
        self_healing: bool = False,
        escalation: bool = False,
        max_concurrent: int = 0,
        conductor: bool | None = None,
        confirmations: Confirmations | None = None,
        ask: Ask | None = None,
    ) -> Self:
        """Go on with everything that is not completed or skipped; failed batches get fresh budgets.

        A pause that has not settled yet is withdrawn. `keep_failed` leaves failed batches, `batches` names the only
        ones to run, `reload` is the same job with a new config, `infer` takes batches for completed whose rules pass.
        With `conductor` it goes on there, and is handed over if it runs here; None: as this handle did it last.

        Raises `MisuseError` when the config of a running job is to change, `UnknownJobError` when its record is gone.
        """
        if conductor and self._channel.run is not None and reload is None:
            return self.hand_over()
        self._require_record()
        if reload is None:
            self._follow_its_record()
        else:
            self._require_idle()
        asked: dict[str, Any] = {
            "max_concurrent": max_concurrent,
            "self_healing": self_healing,
            "escalation": escalation,
        }
        chosen = run_options(self._prepared.plan.count, batches=batches, **asked)
        options = ev.RunOptions(only=chosen.only, keep_failed=keep_failed, **asked)
        how: dict[str, Any] = {"confirmations": confirmations, "ask": ask, "infer": infer}
        if reload is not None:
            how["reload"] = renewed(self._prepared, reload._loaded)
        wish = Wish(self._prepared, options, how)
        self.notices += from_notebook(wish.job)
        if self._channel.want_back(wish):
            return self
        if self._channel.look() is not None:
            self._ask_other_process()
            return self
        conductor = self._goes_there if conductor is None else conductor
        self._goes_there = conductor or self._channel.carried is not None
        if self._goes_there:
            there = {"batches": batches, "keep_failed": keep_failed, "infer": infer, **asked}
            self._send(self._prepared, reload=how.get("reload"), **there)
        if reload is not None:
            self._prepared, self._loaded, self._inputs = wish.job, reload._loaded, reload._inputs
            self._is_recorded = True
        if not self._goes_there:
            self._channel.begin(wish)
        return self

    def _require_idle(self) -> None:
        """A job takes a new config while nobody runs it."""
        if self._channel.run is not None or self._channel.look() is not None:
            hint = f"`%mozart pause {self.job_id}` first"
            raise MisuseError(f"job `{self.job_id}` is {self.status}: its config cannot change now", hint=hint)

    def hand_over(self) -> Self:
        """Give it to the conductor, whoever runs it now, so that it outlives this process. Returns at once.

        Where its sessions outlive their host they go on; else running batches finish first. A job that nobody runs
        goes on there. Raises `MisuseError` for one whose rules need functions of this notebook.
        """
        self._require_record()
        self._await_first_event()
        self._follow_its_record()
        self._send(self._prepared, plants=self._is_unplanned, handover=True)
        self._goes_there = True
        return self

    def _await_first_event(self) -> None:
        """A run of this process that was only just asked for has nothing on disk yet that could go on elsewhere."""
        end = time.monotonic() + FIRST_EVENT_SECONDS
        while self._channel.run is not None and not self.layout.exists:
            if self.host.is_here or time.monotonic() > end:
                raise MisuseError(f"job `{self.job_id}` is only just beginning", hint="try again in a moment")
            time.sleep(0.02)

    def _ask_other_process(self) -> None:
        if self.read(lambda state: state.is_settled):
            raise MisuseError(f"job `{self.job_id}` is {self.status}, its host is still at it", hint="try again soon")
        self._channel.request(Request(kind="resume", by="notebook"))

    def _require_record(self) -> None:
        """To go on with a job whose record was deleted would be to do, and to pay, everything again."""
        known = self._channel.known
        if known is not None and known.job.seq and not self.is_live and not self.layout.exists:
            hint = "`start` begins it anew"
            raise UnknownJobError(f"the record of job `{self.job_id}` is gone", hint=hint, job_id=self.job_id)
