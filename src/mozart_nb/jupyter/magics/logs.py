"""`%mozart logs`: what happened, as lines; with `-f` as it happens."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mozart_nb.consumers.lines import line_of
from mozart_nb.errors import MisuseError
from mozart_nb.hosts.interrupts import MozartInterrupted
from mozart_nb.hosts.kernel import host_for
from mozart_nb.hosts.waiting import wait_for
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.magics.notebook import Notebook, Outcome
from mozart_nb.jupyter.magics.waiting import until_done
from mozart_nb.looking.logs import LogFilter, LogFollower, log_filter, log_lines, raw_output
from mozart_nb.words import clean, last_lines, page

POLL_SECONDS: Final = 0.2

MOST_LINES: Final = 500
"""Lines that are printed at once while following; a front end has to draw every one of them."""

_RAW_CHARACTERS: Final = 2_000_000


def logs(notebook: Notebook, given: Namespace) -> Outcome:
    """The lines that were asked for; while they are followed, what is printed is all there is."""
    job = notebook.job(given.job, given.workspace)
    if given.raw:
        return Outcome(_raw(job, given))
    wanted = log_filter(level=given.level, batch=given.batch, events=given.events, since=given.since, until=given.until)
    if given.follow:
        return Outcome(pending=Following(notebook, job, wanted, given.lines))
    lines = log_lines(job.layout, given.lines, wanted) if job.layout.exists else []
    return Outcome(page(lines or ["no events"]))


def _raw(job: Job, given: Namespace) -> Any:
    if not given.batch or given.follow:
        raise MisuseError("--raw: what the last session of one batch printed", hint="`%mozart logs ID --raw --batch N`")
    found = raw_output(job.layout, given.batch)
    texts = [file.read_text(encoding="utf-8", errors="replace")[-_RAW_CHARACTERS:] for file in found.files]
    shown = [clean(last_lines(text, given.lines) if given.lines else text) for text in texts if text.strip()]
    return page(shown or [found.kept or "it printed nothing that was kept"])


@dataclass
class Following:
    """Prints what happens until nobody runs the job any more. An interrupt ends that, and is no error."""

    notebook: Notebook
    job: Job
    wanted: LogFilter
    count: int
    value: Any = None
    _is_over: bool = field(default=False, init=False)

    def here(self) -> Any:
        """Where nothing can be awaited."""
        try:
            wait_for(self._follow, host_for())
        except KeyboardInterrupt:
            self._interrupted()
        finally:
            self._is_over = True
        return None

    async def there(self) -> Any:
        """In a cell that awaits, while everything else in the kernel goes on."""
        try:
            await until_done(self._follow())
        except MozartInterrupted:
            self._interrupted()
        return None

    def _interrupted(self) -> None:
        goes_on = "; the job goes on" if self.job.is_live else ""
        self.notebook.say(f"no longer followed{goes_on}")

    async def _follow(self) -> None:
        while self.job.is_live and not self.job.layout.exists:  # noqa: ASYNC110 - just started; a folder tells nobody
            await asyncio.sleep(POLL_SECONDS / 4)
        follower = await asyncio.to_thread(LogFollower, self.job.layout, self.wanted, self.count)
        while not self._is_over:
            lines = [line_of(event) for event in await asyncio.to_thread(follower.poll)]
            self._say(lines)
            if follower.is_over:
                self.notebook.say(f"job `{self.job.job_id}` is {self.job.status}")
                return
            await asyncio.sleep(POLL_SECONDS)

    def _say(self, lines: Sequence[str]) -> None:
        left = len(lines) - MOST_LINES
        if left > 0:
            self.notebook.say(f"… {left:,} lines left out: `%mozart logs {self.job.job_id} -n 0` has all of them")
        if lines:
            self.notebook.say("\n".join(lines[-MOST_LINES:]))
