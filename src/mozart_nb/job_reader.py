"""What is known of one job: how it stands, what became of it, as values, DataFrames and words. Reads only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.answers import input_columns
from mozart_nb.consumers.phrases import count_phrases, next_steps
from mozart_nb.consumers.progress import Progress, Pulse, progress_of, shown_status
from mozart_nb.engine.fold import fold
from mozart_nb.engine.state import JobState
from mozart_nb.errors import UnfinishedError, WorldError
from mozart_nb.hooks import hooks_of
from mozart_nb.hosts.channel import Channel, channel_of
from mozart_nb.hosts.kernel import host_for
from mozart_nb.hosts.loops import Host
from mozart_nb.job.answers import schema_of
from mozart_nb.job.given import Given
from mozart_nb.job.model import JobConfig
from mozart_nb.plans.prepared import Prepared, opened
from mozart_nb.words import Page, one_line, page

if TYPE_CHECKING:
    import pandas as pd

    from mozart_nb.consumers.history.rows import RunRow

    # Not at run time: what completes `job.` in a notebook cannot read a property whose type is a Literal (jedi 0.20).
    from mozart_nb.consumers.progress import ShownStatus
    from mozart_nb.frames import InputRows, Run
    from mozart_nb.looking.diagnosis import Diagnosis

T = TypeVar("T")

_ENDED: Final[Mapping[str, str]] = {"failed": "failed", "cancelled": "was cancelled", "interrupted": "was interrupted"}


class JobReader:
    """One job as it can be looked at, wherever it runs. `Job` adds what can be done with it."""

    def __init__(self, prepared: Prepared, inputs: InputRows | None = None) -> None:
        self._prepared = prepared
        self._inputs = inputs
        self._bound: Channel | None = None

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def job_id(self) -> str:
        return self._prepared.job_id

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def config(self) -> JobConfig:
        return self._prepared.loaded.config

    @property
    def prepared(self) -> Prepared:
        return self._prepared

    @property
    def layout(self) -> Layout:
        """Where its record is kept."""
        return self._prepared.layout

    @property
    def workspace(self) -> Path:
        """Where its results go."""
        return self._prepared.places.workspace

    @property
    def _channel(self) -> Channel:
        """Another one when its loop is gone: a program may run one `asyncio.run` after the other."""
        if self._bound is None or self._bound.host.is_gone:
            self._bound = channel_of(self.layout, host_for)
        return self._bound

    @property
    def host(self) -> Host:
        """The event loop on which it is heard of, and on which it runs if it runs in this process."""
        return self._channel.host

    # --- how it stands ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> JobState:
        """The state itself, for code on the host's loop; everything else uses `read`."""
        return self._shown(self._channel.state)

    def read(self, of: Callable[[JobState], T]) -> T:
        """What `of` makes of the state as it is now. `of` must neither change it nor keep it."""
        return self._channel.read(lambda state: of(self._shown(state)))

    def _shown(self, state: JobState) -> JobState:
        return state if state.job.seq else self._unborn

    @cached_property
    def _unborn(self) -> JobState:
        """What it will be at its first event: shows its plan before it has run."""
        planned = ev.JobPlanned(
            job_id=self.job_id, name=self.name, plan=self._prepared.plan.shape, seed=0, config_digest="", seq=1
        )
        return fold([planned])

    @property
    def status(self) -> ShownStatus:
        """`pending` before the first run; `interrupted` when whoever ran it is gone."""
        if begins := self._channel.beginning:
            return begins
        live = self.is_live
        return self.read(lambda state: shown_status(state, is_live=live))

    @property
    def is_live(self) -> bool:
        """Whether somebody runs it, here or in another process."""
        return self._channel.is_live

    @property
    def runs_here(self) -> bool:
        """Whether this very process runs it."""
        return self._channel.run is not None

    @property
    def is_settled(self) -> bool:
        """Whether it is over for now: completed, failed, cancelled or paused."""
        return not self.is_live and self.read(lambda state: state.is_settled)

    @property
    def has_hooks_left(self) -> bool:
        """Whether hooks of its completion have not run: their host died, or somebody ended them."""
        if not self.config.on_success:
            return False
        found = self.read(lambda state: hooks_of(self.layout, self.config, state))
        return any(hook.status == "pending" for hook in found)

    @property
    def pulses(self) -> Mapping[int, Pulse]:
        """Last signs of life of the sessions that run here."""
        return self._channel.pulses

    @property
    def error(self) -> Exception | None:
        """Why the last run in this process ended without settling; None if it did settle."""
        error = self._channel.error
        if error is None or isinstance(error, Exception):
            return error
        return WorldError(f"the run was ended by {type(error).__name__}", job_id=self.job_id)

    @property
    def blocked_seconds(self) -> float:
        """Seconds for which other code held up the loop on which the job runs."""
        return self._channel.clock.blocked_seconds

    def progress(self) -> Progress:
        """One look at it: counts, cost, time left, waits."""
        live, pulses = self.is_live, self.pulses
        begins = self._channel.beginning
        seen = self.read(lambda state: progress_of(state, self.config, time.time(), pulses=pulses, is_live=live))
        waits = "the conductor has it, and has not begun yet" if begins == "waiting" else ""
        return replace(seen, status=begins, reason=waits, code="") if begins else seen

    def observe(self, observer: Callable[[Sequence[ev.Event]], None]) -> Callable[[], None]:
        """Have `observer` called on the host's loop with every burst of events, whoever runs the job.

        Returns what ends that. An empty burst says that a run here is over.
        """
        return self._channel.observe(observer)

    def raise_for_status(self) -> None:
        """Raise `UnfinishedError`, or what ended its run, unless the job completed."""
        progress = self.progress()
        if progress.status == "completed":
            return
        if self.error is not None:
            raise self.error
        said = one_line(progress.reason) or ", ".join(count_phrases(progress))
        code = f"{progress.code} " if progress.code and progress.code not in said else ""
        ended = _ENDED.get(progress.status, f"is {progress.status}")
        raise UnfinishedError(
            f"job `{self.job_id}` {ended}{f': {code}{said}' if said else ''}",
            hint="; ".join(next_steps(progress, "%mozart")),
            job_id=self.job_id,
            code=progress.code or None,
        )

    # --- what became of it, as DataFrames -----------------------------------------------------------------------------

    def batches(self, status: str | Iterable[str] | None = None) -> pd.DataFrame:
        """One row per batch of the plan; `status` keeps those of one or several statuses."""
        from mozart_nb.frames import batches_frame

        return batches_frame(self._still(), status=status)

    def attempts(self) -> pd.DataFrame:
        """One row per attempt: kind, times, cost, tokens, what came of it."""
        from mozart_nb.frames import attempts_frame

        return attempts_frame(self._events())

    def errors(
        self,
        *,
        code: str = "",
        batch: int = 0,
        type: str = "",
        since: str | float | datetime = "",
        until: str | float | datetime = "",
    ) -> pd.DataFrame:
        """One row per failure, in order of time; with one of these, only those that fit (`mozart errors --help`)."""
        from mozart_nb.frames import failures_frame
        from mozart_nb.looking.failures import failure_filter, failures_at

        wanted = failure_filter(code=code, batch=batch, kind=type, since=since, until=until, dashes="")
        return failures_frame(failures_at(self.layout, wanted, state=self._still()))

    def validations(self, *, every: bool = False) -> pd.DataFrame:
        """One row per rule, for the last judgement of each batch; with `every` for every judgement."""
        from mozart_nb.frames import validations_frame

        asked, _ = self._asked(self.read(lambda state: state.job.config_digest))
        return validations_frame(self._events(), asked.loaded.config, every=every)

    def events(self) -> pd.DataFrame:
        """One row per event of its journal."""
        from mozart_nb.frames import events_frame

        return events_frame(self._events())

    def runs(self) -> pd.DataFrame:
        """One row per run, the last one first: success rate, duration, cost, retries; also of runs before a `fresh`."""
        from mozart_nb.frames import runs_frame

        return runs_frame(self._runs())

    def _runs(self) -> Sequence[RunRow]:
        from mozart_nb.looking.history import runs_at

        return runs_at([self.layout]) if self.layout.exists else ()

    def answers(self, *, inputs: bool = False) -> pd.DataFrame:
        """One row per item in input order, typed by the schema; joins on the index of the DataFrame it was given.

        `inputs` adds the columns of the input rows.
        """
        from mozart_nb.frames import answers_frame, reading_answers

        state = self._still()
        prepared, rows = self._asked(state.job.config_digest)
        with reading_answers(self.layout, prepared.frozen, prepared.plan) as read:
            beside = _input_names(prepared, rows) if not inputs else ()
            shown = input_columns(prepared.frozen.rows or ()) if inputs else ()
            known = _known_answers(prepared, rows)
            return answers_frame(state, prepared.loaded.config, read, beside=beside, inputs=shown, **known)

    def _asked(self, digest: str) -> tuple[Prepared, InputRows | None]:
        """The job as its answers were asked for: others may have given it another config, and other rows."""
        prepared = self._prepared
        if digest in ("", prepared.digest) or not self.layout.exists:
            return prepared, self._inputs
        return opened(self.layout, given=Given(namespace=prepared.loaded.given.namespace)), None

    def compare(
        self, other: JobReader, *, on: str | Sequence[str] = "auto", how: Literal["outer", "inner"] = "outer"
    ) -> pd.DataFrame:
        """Two runs side by side, one row per item: both answers, whether they agree, costs and durations.

        `on` and `how` are those of `frames.compare`; its `.attrs["summary"]` has the totals.
        """
        from mozart_nb.frames import compare

        return compare(self._side(), other._side(), on=on, how=how)

    def _side(self) -> Run:
        from mozart_nb.frames import reading_answers, run_of

        state = self._still()
        prepared, rows = self._asked(state.job.config_digest)
        with reading_answers(self.layout, prepared.frozen, prepared.plan) as read:
            return run_of(self.name, state, prepared.loaded.config, read, **_known_answers(prepared, rows))

    def plot(self, kind: str = "timeline", **options: Any) -> Any:
        """A matplotlib figure: `timeline`, `durations`, `costs`, `errors` or `trend`, which compares its runs.

        `options` are those of `frames.plot`.
        """
        from mozart_nb.frames import plot

        if kind == "trend":
            return plot(kind, self._still(), (), runs=self._runs(), **options)
        return plot(kind, self._still(), self._events(), **options)

    def _still(self) -> JobState:
        """The state of this moment, for as long as it takes to make something of it."""
        return self.read(JobState.still)

    def _events(self) -> Iterable[ev.Event]:
        return read_events(self.layout) if self.layout.exists else ()

    # --- what became of it, in words ----------------------------------------------------------------------------------

    def log(
        self,
        count: int = 50,
        *,
        level: str = "INFO",
        batch: int = 0,
        events: Sequence[str] | str = (),
        since: str | float | datetime = "",
        until: str | float | datetime = "",
    ) -> Page:
        """The last `count` events as lines of text; 0 means all.

        Of at least this level, of one batch, by name (`batch.*`), or of a time: `"14:00"`, `"2h"` (ago), `"2026-11-21
        07:05"`, a `datetime` or epoch seconds. Raises `MisuseError` for what is none of that.
        """
        from mozart_nb.looking.logs import log_filter, log_lines

        wanted = log_filter(level=level, batch=batch, events=events, since=since, until=until)
        return page(log_lines(self.layout, count, wanted) if self.layout.exists else ())

    def diagnose(self, *, include_output: bool = False) -> Diagnosis:
        """Why it is where it is, and what to do about it; on request with what sessions of failed batches printed."""
        from mozart_nb.looking.diagnosis import diagnose_prepared

        return diagnose_prepared(self._prepared, include_output=include_output)

    def __repr__(self) -> str:
        """From memory: a representation reads no files."""
        known = self._channel.known
        if known is None or not known.job.seq:
            return f"<Job {self.job_id}: {self._prepared.plan.count:,} batches>"
        done = known.count("completed") + known.count("skipped")
        return f"<Job {self.job_id}: {known.status}, {done:,} of {known.total:,} batches done>"


def _known_answers(prepared: Prepared, rows: InputRows | None) -> dict[str, Any]:
    """What answers are typed by and join on."""
    from mozart_nb.frames import index_of

    frozen = prepared.frozen
    index = rows.index if rows is not None else None
    if index is None and frozen.labels is not None:
        index = index_of(frozen.labels)
    return {"schema": schema_of(prepared.loaded.config.answer, frozen.texts), "rows": frozen.rows, "index": index}


def _input_names(prepared: Prepared, rows: InputRows | None) -> Sequence[str]:
    """Columns of the table that the items came from: the answers stand beside them."""
    if rows is not None:
        return rows.columns
    labels = prepared.frozen.labels
    return labels["columns"] if labels is not None else ()
