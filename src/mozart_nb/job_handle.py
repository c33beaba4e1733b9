"""`Job`: one job, wherever it runs. The same in a script, in a notebook and in an asyncio program.

job = Job.load("job.yaml").start()      a file, YAML text or a dict
await job                               until it has settled; `job.wait()` where nothing can be awaited
job.batches(), job.answers()            what became of it, as DataFrames
Job.open("reviews")                     one that another process runs, or that ran last week
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mozart_nb import events as ev
from mozart_nb.checkpoint.index import resolve
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.ports import Confirmations, Request
from mozart_nb.errors import JobBusyError, JobChangedError, MisuseError, UnknownJobError
from mozart_nb.healing import Ask
from mozart_nb.hosts.interrupts import interrupted, is_cell
from mozart_nb.hosts.kernel import shell
from mozart_nb.hosts.local_run import Wish
from mozart_nb.hosts.waiting import wait_for
from mozart_nb.job.given import Given
from mozart_nb.job.lint import Issue, Severity
from mozart_nb.job.load import LoadedJob, load_job, load_mapping, load_text
from mozart_nb.job_reader import JobReader
from mozart_nb.parts import from_notebook
from mozart_nb.plans.borrowing import given_for
from mozart_nb.plans.checking import require_valid
from mozart_nb.plans.outlook import plan_document
from mozart_nb.plans.prepared import Prepared, opened, prepare, renewed, standing
from mozart_nb.plans.previews import require_first_prompt
from mozart_nb.plans.starting import Decision, decide, run_options

if TYPE_CHECKING:
    from mozart_nb.frames.inputs import InputRows
    from mozart_nb.jupyter.dashboard.dashboard import Dashboard

Source = str | Path | Mapping[str, Any]


class Job(JobReader):
    """A handle on one job: everything that can be done with it and everything that is known of it.

    Handles of the same job share what this process knows, so none of them starts it twice. What changes a job returns
    at once and may be called from any thread. Errors of use are `MozartError`s with what to do about them.
    """

    def __init__(self, loaded: LoadedJob, prepared: Prepared, inputs: InputRows | None = None) -> None:
        """Not for users: `Job.load`, `Job.from_text` and `Job.open` make jobs."""
        super().__init__(prepared, inputs)
        self._loaded = loaded
        self._is_recorded = prepared.as_frozen
        self.notices: list[str] = []
        """What was said about the job file, and about the last start."""
        self.issues: Sequence[Issue] = ()
        """What the checks of the job file found short of an error."""

    # --- where jobs come from -----------------------------------------------------------------------------------------

    @classmethod
    def load(
        cls,
        source: Source,
        *,
        workspace: str | Path | None = None,
        rehearse: bool = False,
        items: Any = None,
        variables: Mapping[str, Any] | None = None,
        namespace: Mapping[str, Any] | None = None,
        overrides: Sequence[str] = (),
        strict: bool = False,
        base_dir: str | Path | None = None,
    ) -> Job:
        """A job from a job file, YAML text (several lines) or a mapping. Nothing is started, nothing written.

        `items` is a DataFrame, a Series or a list of rows, `variables` join those of the prompt, `namespace` is where
        names of classes and functions are looked up that the job file mentions. `rehearse` has a stand-in answer,
        free of charge and in a scratch folder. `overrides` are `key.path=value`. Relative paths of text and mappings
        start in `base_dir`, by default the current folder. Raises `ConfigError` with every mistake.
        """
        inputs, given = given_for(items, variables, namespace)
        kind: dict[str, Any] = {"overrides": overrides, "strict": strict, "given": given}
        place = Path(base_dir) if base_dir is not None else Path.cwd()
        if isinstance(source, Mapping):
            loaded = load_mapping(source, base_dir=place, **kind)
        elif isinstance(source, str) and "\n" in source.strip():
            loaded = load_text(source, base_dir=place, **kind)
        else:
            loaded = load_job(source, **kind)
        return cls._made(loaded, workspace, rehearse, inputs)

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        file_name: str = "<cell>",
        first_line: int = 1,
        workspace: str | Path | None = None,
        rehearse: bool = False,
        items: Any = None,
        variables: Mapping[str, Any] | None = None,
        namespace: Mapping[str, Any] | None = None,
        overrides: Sequence[str] = (),
        strict: bool = False,
        base_dir: str | Path | None = None,
    ) -> Job:
        """The same from YAML text whose first line is line `first_line` of `file_name`, as mistakes name it."""
        inputs, given = given_for(items, variables, namespace)
        loaded = load_text(
            text,
            base_dir=Path(base_dir) if base_dir is not None else Path.cwd(),
            file_name=file_name,
            first_line=first_line,
            overrides=overrides,
            strict=strict,
            given=given,
        )
        return cls._made(loaded, workspace, rehearse, inputs)

    @classmethod
    def _made(cls, loaded: LoadedJob, workspace: str | Path | None, rehearse: bool, inputs: InputRows | None) -> Job:
        place = Path(workspace) if workspace is not None else None
        issues = require_valid(loaded, place, rehearse=rehearse)
        job = cls(loaded, prepare(loaded, workspace=place, rehearse=rehearse), inputs)
        job.issues = issues
        job.notices = [issue.shown() for issue in issues if issue.severity is Severity.WARNING]
        return job

    @classmethod
    def open(
        cls, job_id: str, workspace: str | Path | None = None, *, namespace: Mapping[str, Any] | None = None
    ) -> Job:
        """A job that has been planned before, wherever it ran or runs.

        `namespace` holds the functions and the class it was planned with, if it has any. Raises `UnknownJobError`,
        `AmbiguousJobError`, `CheckpointCorruptError`.
        """
        layout = resolve(job_id, Path(workspace) if workspace is not None else None)
        return cls.at(layout, namespace=namespace)

    @classmethod
    def at(cls, layout: Layout, *, namespace: Mapping[str, Any] | None = None) -> Job:
        """The job that stands at `layout`."""
        prepared = opened(layout, given=Given(namespace=namespace))
        return cls(prepared.loaded, prepared)

    def reread(self, file: str | Path | None = None, *, namespace: Mapping[str, Any] | None = None) -> Job:
        """The same job as its file, or `file`, describes it now, with the rows and variables it was planned with.

        Raises as `load`, and `MisuseError` when that describes another job or this one was not described in a file.
        """
        loaded, job = self._prepared.loaded, self.job_id
        if file is None:
            file = loaded.base_dir / Path(loaded.file).name
            if not loaded.file or not file.is_file():
                raise MisuseError(f"the file that describes job `{job}` is not there", job_id=job)
        given = replace(self._prepared.frozen.given, namespace=namespace)
        new = self._made(load_job(file, given=given), self.workspace, rehearse=False, inputs=self._inputs)
        if new.job_id != job:
            hint = f"a job keeps its name; `%mozart run {file}` starts another one"
            raise MisuseError(f"{file} describes job `{new.job_id}`, not `{job}`", hint=hint, job_id=job)
        return new

    # --- what can be done with it -------------------------------------------------------------------------------------

    def start(
        self,
        *,
        limit: int = 0,
        batches: str = "",
        start_batch: int = 1,
        fresh: bool = False,
        max_concurrent: int = 0,
        self_healing: bool = False,
        confirmations: Confirmations | None = None,
        ask: Ask | None = None,
    ) -> Job:
        """Run it, or go on with it: as `mozart run` does. What was decided is the last of `notices`.

        A job that runs already is attached to, an unfinished one goes on, a completed one is left alone. `limit` runs
        so many batches, `batches` those of `3,7-9`; `fresh` archives what was there. Raises `MisuseError`, and
        `JobChangedError` when its config is not the one it was planned with.
        """
        if not fresh:
            self._follow_its_record()
        self._require_same_here()
        options = run_options(
            self._prepared.plan.count,
            batches=batches,
            limit=limit,
            start_batch=start_batch,
            max_concurrent=max_concurrent,
            fresh=fresh,
            self_healing=self_healing,
        )
        decision = self._decide(fresh)
        if decision.said:
            self.notices.append(decision.said)
        if decision.kind == "nothing" and self.has_hooks_left:
            self.notices.append("what it starts when it is completed was cut short and is done now")
            self._channel.begin(Wish(self._prepared, ev.RunOptions(keep_failed=True, recover=True)))
        if decision.kind == "run":
            self.notices += from_notebook(self._prepared)
            begins_at_first = start_batch == 1 and (not options.only or options.only[0][0] == 1)
            if begins_at_first and not self_healing and (fresh or self.status == "pending"):
                require_first_prompt(self._prepared)
            how: dict[str, Any] = {"fresh": decision.fresh, "anew": decision.anew}
            self._channel.begin(Wish(self._prepared, options, {**how, "confirmations": confirmations, "ask": ask}))
            self._is_recorded = True
        return self

    def _decide(self, fresh: bool) -> Decision:
        run = self._channel.run
        if run is not None and run.is_over and self.status != "completed":
            return Decision("run", f"job `{self.job_id}` goes on as soon as its last run is put away", fresh=fresh)
        if run is not None:
            if fresh:
                raise JobBusyError(self.job_id, "in this notebook")
            return Decision("attach", f"job `{self.job_id}` runs here already")
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
        reload: Job | None = None,
        infer: bool = False,
        self_healing: bool = False,
        max_concurrent: int = 0,
        confirmations: Confirmations | None = None,
        ask: Ask | None = None,
    ) -> Job:
        """Go on with everything that is not completed or skipped; failed batches get fresh budgets.

        A pause that has not settled yet is withdrawn. `keep_failed` leaves failed batches, `batches` names the only
        ones to run, `reload` is the same job with a new config, `infer` takes batches for completed whose rules pass.
        Raises `MisuseError` when the config of a running job is to change, `UnknownJobError` when its record is gone.
        """
        self._require_record()
        if reload is None:
            self._follow_its_record()
        elif self._channel.run is not None or self._channel.look() is not None:
            hint = f"`%mozart pause {self.job_id}` first"
            raise MisuseError(f"job `{self.job_id}` is {self.status}: its config cannot change now", hint=hint)
        options = run_options(
            self._prepared.plan.count, batches=batches, max_concurrent=max_concurrent, self_healing=self_healing
        )
        options = ev.RunOptions(
            only=options.only, max_concurrent=max_concurrent, self_healing=self_healing, keep_failed=keep_failed
        )
        how: dict[str, Any] = {"confirmations": confirmations, "ask": ask, "infer": infer}
        now = renewed(self._prepared, reload._loaded) if reload is not None else self._prepared
        self.notices += from_notebook(now)
        if reload is not None:
            how["reload"] = now
        wish = Wish(self._prepared, options, how)
        if self._channel.want_back(wish):
            return self
        if self._channel.look() is not None:
            self._ask_other_process()
            return self
        if reload is not None:
            self._prepared, self._loaded, self._inputs, self._is_recorded = now, reload._loaded, reload._inputs, True
        self._channel.begin(wish)
        return self

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

    def pause(self) -> Job:
        """No new attempts; running ones finish and are saved. Also for a job that another process runs."""
        self._channel.request(Request(kind="pause", by="notebook"))
        return self

    def cancel(self) -> Job:
        """End its sessions at once; it settles as cancelled and can still be resumed."""
        if self.runs_here or self._channel.look() is not None:
            self._channel.request(Request(kind="cancel", by="notebook"))
            return self
        if self.status in ("completed", "cancelled", "pending"):
            raise MisuseError(f"job `{self.job_id}` is {self.status} already", job_id=self.job_id)
        self._follow_its_record()
        # Nobody runs it: take it up for as long as it takes to end what its host left running.
        self._channel.begin(Wish(self._prepared, ev.RunOptions(keep_failed=True, recover=True)))
        self._channel.request(Request(kind="cancel", by="notebook"))
        return self

    def retry(self, batches: Iterable[int] = ()) -> Job:
        """Try these failed batches again, with fresh budgets; without numbers all that failed."""
        numbers = tuple(batches)
        run = self._channel.run
        if (run is not None and not run.is_over) or self._channel.look() is not None:
            self._channel.request(Request(kind="retry", by="notebook", batches=numbers))
            return self
        return self.resume(batches=",".join(str(number) for number in numbers))

    def plan(self, *, show: int = 0, **options: Any) -> dict[str, Any]:
        """What a run would do, with estimated tokens and cost; `show` renders the prompt of that batch."""
        return plan_document(self._prepared, run_options(self._prepared.plan.count, **options), show=show)

    # --- waiting ------------------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Job]:
        """Until nobody runs it any more; look at `status` then.

        Cancelling the wait leaves the job alone; interrupting a cell that waits pauses it.
        """
        return self._settled().__await__()

    async def _settled(self) -> Job:
        try:
            await self._channel.settled()
        except asyncio.CancelledError:
            if not is_cell():
                raise
            raise interrupted(self) from None  # the kernel was interrupted
        return self

    def wait(self, timeout: float | None = None) -> Job:
        """The same for code that cannot await; at most `timeout` seconds. An interrupt (Ctrl-C) pauses the job.

        Raises `TimeoutError`, and `MozartInterrupted` at once in IPython, in a script when the job has paused. In an
        asyncio program outside notebooks use `await job`: a `MisuseError` says so.
        """
        try:
            wait_for(self._channel.settled, self.host, timeout)
        except KeyboardInterrupt:
            said = interrupted(self)
            if shell() is None and self.runs_here:
                # The program ends with this, and the job with it: running batches are given the time they need.
                wait_for(self._channel.settled, self.host)
            raise said from None
        return self

    def dashboard(self) -> Dashboard:
        """Show it live below this cell, with buttons. Needs a notebook."""
        from mozart_nb.jupyter.dashboard.dashboard import Dashboard  # the door to the notebook, opened here only

        return Dashboard(self).show()

    def _repr_html_(self) -> str | None:
        """How it stood when it was last looked at; nothing for a job that has not been."""
        from mozart_nb.jupyter.looks.job import job_html

        known = self._channel.known
        return job_html(known, self.config, is_live=self._channel.run is not None) if known is not None else None
