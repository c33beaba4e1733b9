"""The notebook as verbs see it: its variables, where they print, and the jobs it has had to do with."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

from mozart_nb.errors import MisuseError, OptionError, UnknownJobError
from mozart_nb.hosts.interrupts import MAGIC, interrupted
from mozart_nb.hosts.kernel import host_for
from mozart_nb.hosts.waiting import wait_for
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.magics.lines import nearest
from mozart_nb.jupyter.magics.rewriting import has_kernel
from mozart_nb.jupyter.magics.settings import Settings
from mozart_nb.jupyter.magics.text_view import wait_in_terminal
from mozart_nb.jupyter.magics.waiting import TICK_SECONDS, require_completed, until_done, until_settled
from mozart_nb.looking.finding import known_layouts

if TYPE_CHECKING:
    from mozart_nb.jupyter.dashboard.dashboard import Dashboard

REMEMBERED: Final = 50
"""Jobs that a notebook remembers by their id."""

APPEAR_SECONDS: Final = 1.0
"""How long a cell that waited gives a front end to show the dashboard of a job that was over before that."""

_jobs: WeakKeyDictionary[Any, dict[str, Job]] = WeakKeyDictionary()
"""Shell → the jobs that its magics have dealt with, the last one last, by their place. Outlives a reload of it all."""


class Notebook:
    """One IPython shell with the settings of its magics."""

    def __init__(self, shell: Any, settings: Settings) -> None:
        self.shell = shell
        self.settings = settings
        self.names: dict[str, Any] = shell.user_ns
        self.has_kernel = has_kernel(shell)

    # --- what it shows ------------------------------------------------------------------------------------------------

    def say(self, *lines: str) -> None:
        """Print below the cell."""
        for line in lines:
            sys.stdout.write(f"{line}\n")

    def display(self, view: Any) -> None:
        """Show an object below the cell, whatever comes after it."""
        from IPython.display import display

        display(view)  # type: ignore[no-untyped-call]

    # --- its variables ------------------------------------------------------------------------------------------------

    def bind(self, name: str, value: Any) -> None:
        self.names[name] = value

    def variable(self, name: str, option: str) -> Any:
        """The value of a variable that an option names. Raises `OptionError` with the nearest name."""
        if name in self.names:
            return self.names[name]
        near = nearest(name, [one for one in self.names if not one.startswith("_")])
        hint = f"did you mean `{near}`?" if near else "run the cell that defines it first"
        raise OptionError(f"{option} {name}: there is no variable `{name}` in this notebook", hint=hint)

    # --- its jobs -----------------------------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[Job]:
        """Those that the magics have dealt with, the last one first."""
        return [*reversed(_jobs.get(self.shell, {}).values())]

    def remember(self, job: Job) -> None:
        """`job` is now the one that is meant where none is named."""
        known = _jobs.setdefault(self.shell, {})
        place = str(job.layout.root)
        known.pop(place, None)
        known[place] = job
        for left in [*known][:-REMEMBERED]:
            del known[left]

    def job(self, given: str, workspace: str = "") -> Job:
        """The job of that id, or in the variable of that name; without either the last one, which is then said.

        Raises `UnknownJobError`, `AmbiguousJobError`.
        """
        found = self._named(given, workspace) if given else self._last(workspace)
        self.remember(found)
        return found

    def _named(self, given: str, workspace: str) -> Job:
        variable = self.names.get(given)
        if isinstance(variable, Job):
            return variable
        known = self._known(given)
        if known is not None and not workspace:
            return known
        try:
            return Job.open(given, workspace or None, namespace=self.names)
        except UnknownJobError as error:
            if Path(given).suffix in (".yaml", ".yml"):
                error.hint = f"an id is wanted here; `%mozart run {given}` takes the file"
            raise

    def _known(self, job_id: str) -> Job | None:
        """The job of that id that this notebook has dealt with: one that runs, and none that was only rehearsed."""
        named = [job for job in self.jobs if job.job_id == job_id]
        return min(named, key=lambda job: (not job.is_live, job.prepared.rehearsed), default=None)

    def _last(self, workspace: str) -> Job:
        if not workspace:
            for job in self.jobs:
                self.say(f"job `{job.job_id}`, the last one of this notebook")
                return job
        for layout in known_layouts(Path(workspace) if workspace else None):
            self.say(f"job `{layout.job_id}`, which did something last")
            return Job.at(layout, namespace=self.names)
        raise MisuseError("there are no jobs yet", hint="`%%mozart` starts one, `%mozart run FILE` too")

    # --- showing one --------------------------------------------------------------------------------------------------

    def show(self, job: Job) -> None:
        """Its live dashboard; in a terminal how it stands."""
        if self.has_kernel:
            job.dashboard()
        else:
            self.say(self.text_of(job))

    def text_of(self, job: Job) -> str:
        """How it stands, in a few lines."""
        from mozart_nb.jupyter.looks.static import static_text

        return static_text(job.progress(), hint=f"%mozart batches {job.job_id}")


# --- what a magic comes to --------------------------------------------------------------------------------------------


class Pending(Protocol):
    """Something that takes a while, and returns what is displayed."""

    def here(self) -> Any:
        """Wait for it where nothing can be awaited."""

    async def there(self) -> Any:
        """Wait for it in a cell that awaits."""


@dataclass
class Outcome:
    """What a magic returns, once what is `pending` is over."""

    value: Any = None
    pending: Pending | None = None

    def wait(self) -> None:
        """Wait for it where nothing can be awaited."""
        if self.pending is not None:
            self.value = self.pending.here()

    async def settled(self) -> None:
        """Wait for it in a cell that awaits."""
        if self.pending is not None:
            self.value = await self.pending.there()


@dataclass
class JobWait:
    """A job that is waited for, with the dashboard that shows it. `raises` where it does not complete; then `value`."""

    notebook: Notebook
    job: Job
    dashboard: Any = None
    raises: bool = True
    value: Any = None

    def here(self) -> Any:
        if self.notebook.has_kernel:
            self.job.wait()
        else:
            try:
                wait_in_terminal(self.job)
            except KeyboardInterrupt:
                raise interrupted(self.job, MAGIC) from None
        return self._over()

    async def there(self) -> Any:
        await until_settled(self.job)
        if self.dashboard is not None:
            try:
                await _shown_or_closed(self.dashboard)
            except asyncio.CancelledError:
                raise interrupted(self.job, MAGIC) from None
        return self._over()

    def _over(self) -> Any:
        if self.dashboard is None:
            self.notebook.say(self.notebook.text_of(self.job))
        if self.raises:
            require_completed(self.job)
        return self.value


async def _shown_or_closed(dashboard: Dashboard) -> None:
    """A dashboard that no front end shows leaves its last state in the cell before the cell ends.

    Else a notebook that is executed without anybody watching would be saved as it was a moment before the end.
    """
    for _ in range(round(APPEAR_SECONDS / TICK_SECONDS)):
        if dashboard.is_closed or dashboard.is_seen() or not dashboard.may_appear():
            break
        await asyncio.sleep(TICK_SECONDS)
    if not dashboard.is_seen():
        dashboard.close()


@dataclass
class Work:
    """Something that has to be awaited and takes a while. It returns what is displayed."""

    begin: Callable[[], Coroutine[Any, Any, Any]]

    def here(self) -> Any:
        results: list[Any] = []

        async def work() -> None:
            results.append(await self.begin())

        wait_for(work, host_for())
        return results[0]

    async def there(self) -> Any:
        return await until_done(self.begin())


@dataclass
class Look:
    """Reads something from disk that may be long. In a cell that awaits, in a thread: jobs of this kernel go on."""

    read: Callable[[], Any]

    def here(self) -> Any:
        return self.read()

    async def there(self) -> Any:
        return await until_done(asyncio.to_thread(self.read))
