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
from mozart_nb.engine.ports import Request
from mozart_nb.errors import MisuseError
from mozart_nb.hosts.interrupts import interrupted, is_cell
from mozart_nb.hosts.kernel import shell
from mozart_nb.hosts.local_run import Wish
from mozart_nb.hosts.waiting import wait_for
from mozart_nb.job.given import Given
from mozart_nb.job.lint import Severity
from mozart_nb.job.load import LoadedJob, load_job, load_mapping, load_text
from mozart_nb.job_starting import JobStarter
from mozart_nb.looking.questions import OpenQuestion, answer_to, open_questions
from mozart_nb.plans.borrowing import given_for
from mozart_nb.plans.checking import require_valid
from mozart_nb.plans.outlook import plan_document
from mozart_nb.plans.prepared import opened, prepare
from mozart_nb.plans.starting import run_options

if TYPE_CHECKING:
    from mozart_nb.frames.inputs import InputRows
    from mozart_nb.jupyter.dashboard.dashboard import Dashboard

Source = str | Path | Mapping[str, Any]


class Job(JobStarter):
    """A handle on one job: everything that can be done with it and everything that is known of it.

    Handles of the same job share what this process knows, so none of them starts it twice. What changes a job returns
    at once and may be called from any thread. Errors of use are `MozartError`s with what to do about them.
    """

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

    # --- what else can be done with it --------------------------------------------------------------------------------

    def pause(self) -> Job:
        """No new attempts; running ones finish and are saved. Also for a job that another process runs."""
        self._channel.request(Request(kind="pause", by="notebook"))
        return self

    def cancel(self) -> Job:
        """End its sessions at once; it settles as cancelled and can still be resumed."""
        if self.runs_here or self._channel.look() is not None or self._channel.carried is not None:
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

    def answer(self, batch: int, action: str, text: str = "", *, attempt: int = 0) -> Job:
        """Answer the open question about a batch, whichever process runs the job. The first answer counts.

        `proceed`, `skip`, `abort`, or `add` with the `text` for the end of its prompt; `retry` for one that is about to
        fail, with `text` instead of its prompt if it is given. With an `attempt` it counts for that question only.
        Raises `MisuseError` for what is no answer, or when nothing is asked or nobody runs the job.
        """
        request = self.read(lambda state: answer_to(state, batch, action, text, by="notebook", attempt=attempt))
        self._channel.request(request)
        return self

    def questions(self) -> list[OpenQuestion]:
        """What the job asks of a person now, the longest waiting first; `answer` answers."""
        return self.read(open_questions)

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
