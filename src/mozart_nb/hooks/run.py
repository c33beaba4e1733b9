"""Runs what a completed job starts, hook by hook, and remembers each step before the next."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.commands import CommandResult, run_command
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MozartError
from mozart_nb.hooks.actions import Action, action_of, start_detached
from mozart_nb.hooks.chain import Chain
from mozart_nb.hooks.log import ConcertLog
from mozart_nb.hooks.record import HookRecord, HookResult, HookStatus, read_hooks
from mozart_nb.job.model import JobConfig
from mozart_nb.job.outputs import HookConfig
from mozart_nb.masking import masked, masked_tail
from mozart_nb.plans.prepared import Prepared

KEPT_CHARACTERS: Final = 2000
"""How much of a hook's output is kept, from its end."""

Say = Callable[[str], None]
T = TypeVar("T")

_JOB_ENDS: Final = {1: "the job failed", 2: "the job could not be started", 3: "the job paused", 4: "it was cancelled"}
_FAILED: Final = ("failed", "interrupted", "unknown")


async def run_hooks(
    prepared: Prepared, state: JobState, *, environ: Mapping[str, str] | None = None, say: Say
) -> list[HookResult]:
    """Run the hooks of a job that has completed, in order, and return what became of those that were dealt with now.

    Nothing happens when the job has not completed, when all its hooks have run for this completion, or when another
    process runs them at the moment. So hosts may call it whenever they find a job completed: what the death of an
    earlier host left undone is done now. A hook that had started then and whose end nobody knows is reported and not
    started again, unless it only goes on with a job. A rehearsal (`--rehearse`) starts nothing and says so.

    `environ` is what hooks get as their environment, by default ours; `say` hears a line per step. A failed hook is a
    result, not an exception. On cancellation the running hook is ended, with everything it started. Raises
    `CheckpointUnwritableError` when it cannot be remembered that a hook starts, which then does not start.
    """
    hooks, layout = prepared.loaded.config.on_success, prepared.layout
    if not hooks or state.status != "completed":
        return []
    if prepared.rehearsed:
        say(f"a rehearsal starts no hooks: {len(hooks)} of `on_success` left out")
        return []
    completion = await asyncio.to_thread(completion_of, layout, state)
    record = HookRecord(layout)
    try:
        if not await _surely(record.open):
            say(f"the hooks of job `{prepared.job_id}` are being run by another process")
            return []
        return await _Hooks(prepared, completion, record, os.environ if environ is None else environ, say).run()
    finally:
        record.close()


def hooks_of(layout: Layout, config: JobConfig | None, state: JobState) -> list[HookResult]:
    """How the hooks of a job's last completion stand, those that have not run yet as `pending`. Reads only."""
    found = read_hooks(layout)
    if config is None or not config.on_success or state.status != "completed":
        return found
    completion = completion_of(layout, state)
    known = {result.hook: result for result in found if result.completion == completion}
    return [
        known.get(number) or HookResult(completion, number, hook.type, "pending", what=named(hook))
        for number, hook in enumerate(config.on_success, start=1)
    ]


def named(hook: HookConfig) -> str:
    """What a hook is for, as its job file says it."""
    return masked(hook.description or hook.command or hook.job_path or "")


def ends_chain(config: JobConfig, results: list[HookResult]) -> bool:
    """Whether a hook failed in a job that wants the whole chain to end with that."""
    concert = config.concert
    return concert.enabled and concert.abort_concert_on_hook_failure and any(r.status == "failed" for r in results)


def completion_of(layout: Layout, state: JobState) -> str:
    """The run in which a completed job got its work done; later runs may have found nothing to do."""
    job = state.job
    if job.runs <= 1 or job.run_completed:
        return job.run_id
    completion, run_id, has_news = job.run_id, "", True
    for event in read_events(layout):
        match event:
            case ev.JobStarted() | ev.JobResumed():
                run_id = event.run_id
            case ev.BatchCompleted():
                has_news = True
            case ev.JobCompleted() if has_news:
                completion, has_news = run_id, False
    return completion


class _Hooks:
    """The hooks of one completion, while they run. The record is held."""

    def __init__(
        self, prepared: Prepared, completion: str, record: HookRecord, environ: Mapping[str, str], say: Say
    ) -> None:
        self._prepared = prepared
        self._config = prepared.loaded.config
        self._completion = completion
        self._record = record
        self._environ = environ
        self._say = say
        self._results: list[HookResult] = []
        self._log = ConcertLog(prepared, completion, environ, say)

    async def run(self) -> list[HookResult]:
        known = await asyncio.to_thread(self._record.of, self._completion)
        stopped = ""
        for number, hook in enumerate(self._config.on_success, start=1):
            result = known.get(number)
            if result is None or _goes_on(hook, result):
                result = await self._skip(number, hook, stopped) if stopped else await self._run(number, hook)
            elif result.status == "started":
                result = await self._report_unknown(number, hook)
            stopped = stopped or self._stops(hook, result)
        return self._results

    def _stops(self, hook: HookConfig, result: HookResult) -> str:
        """Why the hooks after this one do not run; empty when they do."""
        if result.status == "failed" and ends_chain(self._config, [result]):
            return f"hook {result.hook} failed, and `concert.abort_concert_on_hook_failure` ends the chain"
        if result.status in _FAILED and hook.on_failure == "abort":
            return f"hook {result.hook} did not succeed, and its `on_failure` is `abort`"
        return ""

    # --- one hook -----------------------------------------------------------------------------------------------------

    async def _run(self, number: int, hook: HookConfig) -> HookResult:
        try:
            action = action_of(hook, self._prepared)
            chain = Chain.of(self._environ).through(self._prepared.job_id, self._config.concert)
        except MozartError as error:
            return await self._settle(self._result(number, hook, "failed", message=error.message))
        if hook.type == "run_job":
            if chain.is_too_long:
                return await self._skip(number, hook, chain.refusal)
            await self._cool_down(number)
        started = self._result(number, hook, "started", what=action.what)
        try:
            await self._add(started)
        except asyncio.CancelledError:
            self._record.add(_after(started, "pending"))
            raise
        self._say(f"hook {self._of(number)} ({hook.type}): {started.what}")
        environ = chain.environ(self._environ)
        if hook.detached:
            return await self._detach(started, action, environ)
        return await self._attend(started, action, environ)

    async def _cool_down(self, number: int) -> None:
        concert = self._config.concert
        if concert.enabled and concert.cooldown_between_jobs_seconds:
            self._say(f"hook {self._of(number)} starts in {concert.cooldown_between_jobs_seconds:g} s")
            await asyncio.sleep(concert.cooldown_between_jobs_seconds)

    async def _detach(self, started: HookResult, action: Action, environ: Mapping[str, str]) -> HookResult:
        layout = self._prepared.layout
        log = layout.logs / f"hook-{started.hook}-{started.completion}.log"
        try:
            pid = await asyncio.to_thread(start_detached, action, environ, log)
        except OSError as error:
            return await self._settle(_after(started, "failed", message=f"it could not be started: {error}"))
        return await self._settle(
            _after(started, "detached", log=log.relative_to(layout.workspace).as_posix(), pid=pid)
        )

    async def _attend(self, started: HookResult, action: Action, environ: Mapping[str, str]) -> HookResult:
        began = time.monotonic()
        try:
            ended = await run_command(
                action.command,
                cwd=str(action.folder),
                timeout_seconds=action.timeout_seconds,
                environment=environ,
                grace_seconds=action.grace_seconds,
            )
        except asyncio.CancelledError:
            took = time.monotonic() - began
            interrupted = _after(started, "interrupted", message="it was ended from outside", seconds=round(took, 3))
            self._record.add(interrupted)
            self._log.add(interrupted)
            self._tell(interrupted)
            raise
        took = round(time.monotonic() - began, 3)
        return await self._settle(_judged(started, ended, took))

    async def _skip(self, number: int, hook: HookConfig, reason: str) -> HookResult:
        return await self._settle(self._result(number, hook, "skipped", message=reason))

    async def _report_unknown(self, number: int, hook: HookConfig) -> HookResult:
        message = "it had started when its host died; how it ended is not known, and it is not started again"
        return await self._settle(self._result(number, hook, "unknown", message=message))

    # --- remembering and telling --------------------------------------------------------------------------------------

    def _result(
        self, number: int, hook: HookConfig, status: HookStatus, *, what: str = "", message: str = ""
    ) -> HookResult:
        what = masked(what) or named(hook)
        at = round(time.time(), 3)
        return HookResult(self._completion, number, hook.type, status, what=what, at=at, message=masked(message))

    async def _add(self, result: HookResult) -> None:
        await _surely(self._record.add, result)
        await _surely(self._log.add, result)

    async def _settle(self, result: HookResult) -> HookResult:
        await self._add(result)
        self._tell(result)
        return result

    def _tell(self, result: HookResult) -> None:
        self._results.append(result)
        self._say(f"hook {self._of(result.hook)} {words(result)}")

    def _of(self, number: int) -> str:
        return f"{number} of {len(self._config.on_success)}"


async def _surely(work: Callable[..., T], *args: object) -> T:
    """`work(*args)` in a thread, to its end, also when whoever waits for it is cancelled."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def words(result: HookResult) -> str:
    """How a hook stands, in one line."""
    took = f" after {result.seconds:.1f} s" if result.seconds else ""
    where = f" (pid {result.pid}, output in {result.log})" if result.log else ""
    why = f": {result.message}" if result.message else ""
    last = result.output.strip().splitlines()[-1:] if result.status == "failed" else []
    said = f" ({last[0].strip()[:200]})" if last else ""
    return f"{result.status}{took}{where}{why}{said}"


def _goes_on(hook: HookConfig, earlier: HookResult) -> bool:
    """Whether starting a hook again that did not come to its end only goes on where it was: `mozart run JOB` does."""
    is_open = earlier.status in ("started", "interrupted")
    return is_open and hook.type == "run_job" and not hook.fresh and not hook.detached


def _after(started: HookResult, status: HookStatus, **more: object) -> HookResult:
    return msgspec.structs.replace(started, status=status, **more)


def _judged(started: HookResult, ended: CommandResult, took: float) -> HookResult:
    output = masked_tail(ended.output, KEPT_CHARACTERS)
    if ended.exit_code == 0:
        return _after(started, "succeeded", exit_code=0, seconds=took, output=output)
    why = masked(ended.problem) or f"exit code {ended.exit_code}"
    if started.type == "run_job" and ended.exit_code in _JOB_ENDS:
        why = f"{_JOB_ENDS[ended.exit_code]} (exit code {ended.exit_code})"
    return _after(started, "failed", exit_code=ended.exit_code, seconds=took, output=output, message=why)
