"""The composition root: the only place that names concrete classes.

prepared = prepare(load_job("job.yaml"))         reads, writes nothing
state = await run_job(prepared, RunOptions())    runs it, or goes on with it, until it settles
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

from mozart_nb import events as ev
from mozart_nb.checkpoint.control import ControlFolder
from mozart_nb.checkpoint.files import DiskFiles, Files, unwritable
from mozart_nb.checkpoint.index import register
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.load import Loaded, load_state
from mozart_nb.checkpoint.lock import JobLock, forget_owner, is_unheld
from mozart_nb.checkpoint.plan import archive
from mozart_nb.checkpoint.store import JobStore
from mozart_nb.clock import SystemClock
from mozart_nb.engine.bus import Observer
from mozart_nb.engine.compose import JobComposer
from mozart_nb.engine.confirm import Triggers, WithoutAsking
from mozart_nb.engine.desk import Parts
from mozart_nb.engine.driver import Driver
from mozart_nb.engine.off import FreeTurns, NothingKept
from mozart_nb.engine.ports import AnswerContract, Confirmations, Healing, KeptAnswers, Turns
from mozart_nb.engine.run import Run
from mozart_nb.engine.state import JobState
from mozart_nb.errors import JobChangedError, PlanMismatchError
from mozart_nb.healing import Ask, Finding, find_stale_lock
from mozart_nb.job.plan import compatible
from mozart_nb.onlookers import from_any_thread, onlookers
from mozart_nb.parts import (
    backend_for,
    checker_for,
    composer_for,
    contract_for,
    from_notebook,
    gate_book,
    gate_for,
    healer_for,
    post_for,
)
from mozart_nb.plans.hints import Learned, learned
from mozart_nb.plans.isolating import Workplace, workplace
from mozart_nb.plans.kept_answers import earlier_record
from mozart_nb.plans.prepared import Prepared, Standing, open_job, opened, prepare, renewed, standing
from mozart_nb.starting_over import old_results, require_no_sessions, require_quiet_workspace
from mozart_nb.validation import RuleChecker
from mozart_nb.workspace_archive import Archived

__all__ = [
    "OnStart",
    "Prepared",
    "Revalidated",
    "Standing",
    "find_stale",
    "gate_book",
    "open_job",
    "opened",
    "prepare",
    "recover_job",
    "renewed",
    "run_job",
    "standing",
]

OnStart = Callable[[Driver], None]

_FREE: Final = FreeTurns()


class _Company(NamedTuple):
    """Who is around the job: whoever confirms attempts, whoever is asked about remedies, and the other jobs here."""

    confirmations: Confirmations | None = None
    ask: Ask | None = None
    turns: Turns = _FREE


_ALONE: Final = _Company()


@dataclass(frozen=True)
class Revalidated:
    """What re-validating a batch found."""

    batch: int
    passed: bool
    results: tuple[ev.RuleResult, ...] = ()


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass
class _Opened:
    """A job whose lock is held, with everything its driver works with."""

    prepared: Prepared
    store: JobStore
    driver: Driver
    composer: JobComposer
    checker: RuleChecker
    contract: AnswerContract
    orphans: Sequence[ev.Answer]
    warnings: Sequence[str] = field(default_factory=list)
    learned: Learned = field(default_factory=Learned)
    isolated: ev.JobIsolated | None = None

    @property
    def state(self) -> JobState:
        return self.driver.state


async def run_job(
    prepared: Prepared,
    options: ev.RunOptions,
    *,
    observers: Sequence[Observer] = (),
    fresh: bool = False,
    anew: bool = False,
    reload: Prepared | None = None,
    infer: bool = False,
    on_start: OnStart | None = None,
    confirmations: Confirmations | None = None,
    ask: Ask | None = None,
    healings: Sequence[Healing] = (),
    turns: Turns = _FREE,
    files: Files | None = None,
    clock: SystemClock | None = None,
) -> JobState:
    """Run a job, or go on with it, until it settles. Takes the job's lock for that long.

    `fresh` archives what was there and starts over; `anew` archives only the job's record and plans it with its present
    config, so that kept answers serve what has not changed; `reload` is the same job with a new config whose plan must
    be compatible; `infer` marks batches as completed whose rules pass before anything runs; `on_start` gets the driver,
    to send it requests; `confirmations` asks a person where the job's `checkpoints` want it (by default nobody is there
    and the job pauses); `ask` puts the questions of remedies to a person (None: nobody is there), and `healings` are
    those that had to come before; `turns` says whose session is next among the jobs of this host; `files` and `clock`
    stand in for this machine's. Raises `JobBusyError`, `PlanMismatchError`, `MisuseError` where a rule's function is
    not here, and the `WorldError`s of the checkpoint.
    """
    run, now = Run(options, pid=os.getpid()), reload or prepared
    unchecked = from_notebook(now) if not options.recover else []
    async with AsyncExitStack() as stack:
        clock = await stack.enter_async_context(clock or SystemClock())
        company = _Company(WithoutAsking() if now.rehearsed else confirmations, ask, turns)
        opened_job = await _open(
            stack, now, clock, run.run_id, observers, company, fresh=fresh, anew=anew, infer=infer, files=files
        )
        notices = [*opened_job.warnings, *unchecked]
        run = replace(run, orphans=opened_job.orphans, notices=notices, healings=healings, isolated=opened_job.isolated)
        run = _with_plan(run, opened_job, reloaded=reload is not None)
        if infer:
            numbers = await _passing(opened_job, range(1, opened_job.prepared.plan.count + 1))
            run = replace(run, inferred=[found.batch for found in numbers if found.passed])
        if on_start is not None:
            on_start(opened_job.driver)
        return await opened_job.driver.run(run)


async def recover_job(
    prepared: Prepared, *, dry_run: bool = False, observers: Sequence[Observer] = ()
) -> list[Revalidated]:
    """Check the rules of every failed batch again, without executing anything; those that pass become completed.

    Returns one entry per failed batch.
    """
    from_notebook(prepared)
    run = Run(ev.RunOptions(keep_failed=True, recover=True), pid=os.getpid())
    async with AsyncExitStack() as stack:
        clock = await stack.enter_async_context(SystemClock())
        job = await _open(stack, prepared, clock, run.run_id, observers)
        failed = [number for number, batch in job.state.batches.items() if batch.status == "failed"]
        found = await _passing(job, failed)
        passed = [entry.batch for entry in found if entry.passed]
        if passed and not dry_run:
            await job.driver.run(replace(run, orphans=job.orphans, inferred=passed, isolated=job.isolated))
        return found


async def _open(
    stack: AsyncExitStack,
    prepared: Prepared,
    clock: SystemClock,
    run_id: str,
    observers: Sequence[Observer],
    company: _Company = _ALONE,
    *,
    fresh: bool = False,
    anew: bool = False,
    infer: bool = False,
    files: Files | None = None,
) -> _Opened:
    layout, disk = prepared.layout, files or DiskFiles()
    lock = JobLock(layout)
    await asyncio.to_thread(lock.acquire, run_id)
    stack.callback(lock.release)
    results = old_results(prepared)
    if fresh or anew:
        await asyncio.to_thread(require_no_sessions, layout, disk)
    if fresh:
        await asyncio.to_thread(require_quiet_workspace, prepared, results)
        await asyncio.to_thread(results.begin)
    if fresh or anew:
        await asyncio.to_thread(archive, layout)
    # Also when the host died after the job's record was archived, and this run is not a fresh one.
    moved = Archived() if layout.exists else await asyncio.to_thread(results.finish, clock.wall())
    await asyncio.to_thread(_make_workspace, prepared)
    loaded = await asyncio.to_thread(load_state, layout, disk, holder=True)
    store = JobStore(layout, loaded, files=disk)
    stack.push_async_callback(store.close)
    if not loaded.state.job.seq:
        await asyncio.to_thread(prepared.frozen.write, layout)
    if not prepared.rehearsed:
        await asyncio.to_thread(register, layout, prepared.loaded.config.name, prepared.places.workspace)
    warnings, knows = [*moved.notices, *loaded.warnings], Learned()
    if loaded.state.job.config_digest != prepared.digest:
        knows = await asyncio.to_thread(learned, prepared, anew=anew)
        warnings += [knows.notice] if knows.notice else []
    place = await workplace(prepared, loaded.state, clock, takes_over=infer)
    stack.push_async_callback(place.isolation.close)
    warnings += place.warnings
    job = await _equipped(stack, place, clock, loaded, store, observers, warnings, company, fresh=fresh)
    return replace(job, learned=knows, isolated=place.event)


async def _equipped(
    stack: AsyncExitStack,
    place: Workplace,
    clock: SystemClock,
    loaded: Loaded,
    store: JobStore,
    observers: Sequence[Observer],
    warnings: list[str],
    company: _Company,
    *,
    fresh: bool,
) -> _Opened:
    """The job's driver with everything it works with."""
    prepared, state, config = place.prepared, loaded.state, place.prepared.loaded.config
    checker, contract = checker_for(prepared, clock), contract_for(prepared, clock)
    backend = backend_for(prepared, clock)
    stack.push_async_callback(backend.close)
    kept: KeptAnswers = NothingKept()

    def tell(warning: str) -> None:
        driver.tell(ev.JobNotice(message=warning))

    observers = [*observers, *_listening(stack, prepared, state, tell, warnings)]
    if backend.family:
        kept, observe = await _kept_answers(stack, prepared.layout, state, warnings, tell, fresh=fresh)
        observers = [*observers, observe]
    requests, gate = ControlFolder(prepared.layout), gate_for(prepared)
    driver = Driver(state, config, store=store, requests=requests, gate=gate, observers=observers)
    composer = composer_for(prepared, state, checker, driver, clock, contract, backend.family)
    driver.equip(
        Parts(
            backend,
            checker,
            composer,
            clock,
            config.rate_limit.detection_patterns,
            Triggers(config.checkpoints, company.confirmations, prepared.job_id),
            contract,
            kept,
            healer=healer_for(prepared, state, checker, composer, company.ask),
            post=post_for(backend, clock),
            turns=company.turns,
            isolation=place.isolation,
        )
    )
    return _Opened(prepared, store, driver, composer, checker, contract, loaded.orphans, warnings)


def _listening(
    stack: AsyncExitStack, prepared: Prepared, state: JobState, tell: Callable[[str], None], warnings: list[str]
) -> list[Observer]:
    """How the onlookers of the run hear of its events."""
    found = onlookers(prepared, state, from_any_thread(tell), warnings)
    for onlooker in found:
        stack.push_async_callback(onlooker.close)
    return [onlooker.observe for onlooker in found]


async def _kept_answers(
    stack: AsyncExitStack,
    layout: Layout,
    state: JobState,
    warnings: list[str],
    tell: Callable[[str], None],
    *,
    fresh: bool,
) -> tuple[KeptAnswers, Observer]:
    """Where accepted answers are looked up, and who has to be told of new ones."""
    from mozart_nb.checkpoint.kept import open_kept  # only now: a job that is not asked anything needs no database

    kept = await asyncio.to_thread(open_kept, layout, state, asks_anew=fresh or state.job.asks_anew)
    stack.push_async_callback(asyncio.to_thread, kept.close)
    warnings += kept.warnings
    kept.tell = tell
    return kept, kept.observe


def find_stale(prepared: Prepared, found: Standing) -> Finding | None:
    """What can be done about the lock of a job that seems to run on another machine; None where that is not so."""
    layout, holder = prepared.layout, found.owner
    if found.kind != "running" or holder is None or holder.alive is not None or not is_unheld(layout):
        return None
    return find_stale_lock(layout.job_id, str(holder), partial(forget_owner, layout, holder))


def _make_workspace(prepared: Prepared) -> None:
    """The state's folder is there by now; the workspace may be another one."""
    workspace = prepared.places.workspace
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, workspace, prepared.job_id) from error


def _with_plan(run: Run, job: _Opened, *, reloaded: bool) -> Run:
    """The first event of a new job, or the one that changes the config of an old one."""
    prepared, state = job.prepared, job.state
    config, shape = prepared.loaded.config, prepared.plan.shape
    if not state.job.seq:
        earlier = earlier_record(prepared.layout)
        planned = ev.JobPlanned(
            job_id=prepared.job_id,
            name=config.name,
            description=config.description or "",
            plan=shape,
            seed=_seed(prepared),
            config_digest=prepared.digest,
            backend="rehearsal" if prepared.is_rehearsal else config.backend.type,
            replaces=earlier.replaces,
            earlier_usd=earlier.cost_usd,
            wording=job.learned.wording,
        )
        return replace(run, planned=planned)
    if state.job.config_digest != prepared.digest:
        if not reloaded and not prepared.as_frozen:
            raise JobChangedError(
                f"the config of job `{prepared.job_id}` has changed since it was planned",
                hint="`resume --reload-config` goes on with the new one, `run --fresh` starts over",
                job_id=prepared.job_id,
            )
        if not reloaded and opened(prepared.layout, given=prepared.loaded.given).digest != prepared.digest:
            text = f"the config of job `{prepared.job_id}` was changed after it was opened here"
            raise JobChangedError(text, hint="open it again", job_id=prepared.job_id)
        # A frozen plan that the journal does not know: the host died while it reloaded, and this finishes it.
        conflicts = compatible(state.plan, prepared.plan, state.batches)
        if conflicts:
            text = f"the new config would change batches that have run: {'; '.join(conflicts)}"
            raise PlanMismatchError(text, hint="start over with `run --fresh`", job_id=prepared.job_id)
        prepared.frozen.write(prepared.layout)
        wording = job.learned.wording
        return replace(run, reloaded=ev.ConfigReloaded(config_digest=prepared.digest, plan=shape, wording=wording))
    return run


def _seed(prepared: Prepared) -> int:
    given = prepared.loaded.config.rehearsal.seed
    return given if prepared.is_rehearsal and given is not None else random.SystemRandom().getrandbits(32)


async def _passing(job: _Opened, numbers: Iterable[int]) -> list[Revalidated]:
    """Which of these batches pass every rule, and the form of the answer; with neither, nothing is proven."""
    found = []
    for number in numbers:
        values = await job.composer.values(number)
        batch = job.state.batches.get(number)
        answer = await job.driver.read_answer(batch) if batch is not None else None
        baseline = (batch.baseline or {}) if batch is not None else {}
        text, data = (answer.text, answer.data) if answer is not None else ("", None)
        results = await job.checker.check(values, answer=text, baseline=baseline, before={}, data=data)
        if job.contract.wants_data:
            first, last = job.prepared.plan.items_of(number)
            fault = (await job.contract.read(text, data, last - first + 1)).fault
            results = (fault or ev.RuleResult(rule=0, type="answer", status="passed"), *results)
        passed = bool(results) and all(result.status in ("passed", "rehearsed") for result in results)
        found.append(Revalidated(number, passed, results))
    return found
