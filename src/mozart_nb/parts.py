"""Which concrete parts a job works with: backend, checker, composer, healer, gate."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mozart_nb.backends._claude_environment import environment_of
from mozart_nb.backends._paced import PacedBackend
from mozart_nb.backends.claude_cli import ClaudeCliBackend
from mozart_nb.backends.rehearsal import RehearsalBackend
from mozart_nb.backends.strays import LoggedSessions
from mozart_nb.checkpoint.index import home
from mozart_nb.clock import SystemClock
from mozart_nb.commands import run_command
from mozart_nb.engine.compose import JobComposer
from mozart_nb.engine.desk import Post
from mozart_nb.engine.driver import Driver
from mozart_nb.engine.off import FreeText, NoPost
from mozart_nb.engine.ports import AnswerContract, Backend, Gate, Pace, Remote
from mozart_nb.engine.remote import Dispatch
from mozart_nb.engine.state import JobState
from mozart_nb.gate import FileGate, GateBook, NullGate, account_key
from mozart_nb.healing import Ask, JobHealer, Site
from mozart_nb.isolation.git import REDIRECTING
from mozart_nb.job.borrowed import left_out, require_functions
from mozart_nb.job.prices import table_for
from mozart_nb.masking import masked
from mozart_nb.pace import NoPace, configured_pace, minute_pace
from mozart_nb.plans.frozen import PlanMaterials
from mozart_nb.plans.prepared import Prepared
from mozart_nb.validation import RuleChecker
from mozart_nb.validation.answer import JsonContract


def backend_for(prepared: Prepared, clock: SystemClock) -> Backend:
    """Who runs the sessions, at the pace that the job file and the service allow. Call it on the job's loop."""
    config = prepared.loaded.config
    if prepared.is_rehearsal:
        return _paced(RehearsalBackend(config.rehearsal, clock), configured_pace(config.rate_limit))
    if config.backend.type == "claude_cli":
        pace = configured_pace(config.rate_limit, account_of(prepared).key)
        return _paced(ClaudeCliBackend(clock, _environ(prepared), options_of(prepared)), pace)
    if config.backend.type == "anthropic_batches":
        from mozart_nb.backends.anthropic_batches import AnthropicBatchesBackend  # for jobs that use it, as below

        price = table_for(config).charge
        return AnthropicBatchesBackend(clock, environ=os.environ, options=options_of(prepared), price=price)
    from mozart_nb.backends.anthropic_api import AnthropicApiBackend  # for jobs that use it, and for no others

    return AnthropicApiBackend(
        clock,
        environ=os.environ,
        options=options_of(prepared),
        pace=minute_pace(config.rate_limit, account_of(prepared).key),
        price=table_for(config).charge,
    )


def post_for(backend: Backend, clock: SystemClock) -> Post:
    """Where requests go: together with others, where the backend takes them so."""
    return Dispatch(backend, clock) if isinstance(backend, Remote) else NoPost()


def _paced(backend: Backend, pace: Pace) -> Backend:
    return backend if isinstance(pace, NoPace) else PacedBackend(backend, pace)


def options_of(prepared: Prepared) -> dict[str, Any]:
    """The backend section as plain data, its paths made absolute."""
    options = prepared.loaded.config.backend.model_dump(mode="json")
    for key in ("system_prompt_file",):
        if options.get(key):
            options[key] = str(prepared.loaded.resolve(options[key]))
    if options.get("cli_path") and os.sep in options["cli_path"]:
        options["cli_path"] = str(prepared.loaded.resolve(options["cli_path"]))
    if prepared.loaded.config.backend.type != "claude_cli":
        options["base_url"] = options.get("base_url") or os.environ.get("ANTHROPIC_BASE_URL")
    return options


def checker_for(prepared: Prepared, clock: SystemClock) -> RuleChecker:
    return RuleChecker(
        prepared.loaded.config.validations,
        workspace=prepared.places.workspace,
        working_directory=prepared.places.working_directory,
        rehearsed_commands=prepared.rehearsed,
        functions=prepared.loaded.borrowed.functions,
        root=Path(prepared.places.root) if prepared.places.root else None,
        fair=clock.fair,
        environ=_environ(prepared),
    )


def _environ(prepared: Prepared) -> Mapping[str, str] | None:
    """What sessions and commands inherit; None: what this process sees.

    In a worktree nothing may lead git elsewhere, as the variables do that a hook of git has.
    """
    if not prepared.places.worktree:
        return None
    return {name: value for name, value in os.environ.items() if name not in REDIRECTING}


def composer_for(
    prepared: Prepared,
    state: JobState,
    checker: RuleChecker,
    driver: Driver,
    clock: SystemClock,
    contract: AnswerContract,
    family: str,
) -> JobComposer:
    """What makes prompts and requests."""
    return JobComposer(
        prepared.loaded.config,
        prepared.plan,
        state,
        prepared.places,
        options=options_of(prepared),
        materials=PlanMaterials(prepared.frozen, prepared.places.workspace),
        checker=checker,
        read_answer=driver.read_answer,
        succeeds=_never if prepared.rehearsed else _shell(prepared, clock),
        log_name=prepared.layout.log_name,
        rehearses=prepared.is_rehearsal,
        contract=contract,
        family=family,
    )


def from_notebook(prepared: Prepared) -> list[str]:
    """Make sure that what a run needs of a notebook is here; what will only not be checked is returned, in sentences.

    Raises `MisuseError`. A rehearsal calls nothing of a notebook and needs nothing of it.
    """
    if prepared.rehearsed:
        return []
    require_functions(prepared.loaded.config, prepared.loaded.borrowed)
    return left_out(prepared.loaded.borrowed)


def contract_for(prepared: Prepared, clock: SystemClock | None = None) -> AnswerContract:
    """What answers must look like. A rehearsal makes them up from the schema and cannot know what a class checks."""
    answer = prepared.loaded.config.answer
    if not answer.wants_json:
        return FreeText()
    answer_class = None if prepared.rehearsed else prepared.loaded.borrowed.answer_class
    fair = clock.fair if clock is not None else time.monotonic
    return JsonContract.of(answer, prepared.frozen.texts, answer_class, fair)


def healer_for(
    prepared: Prepared, state: JobState, checker: RuleChecker, composer: JobComposer, ask: Ask | None
) -> JobHealer:
    """What applies remedies. `ask` puts questions to a person; None: nobody is there."""

    async def outputs(number: int) -> list[str]:
        expected = checker.expected_files(await composer.values(number))
        return [file.path for file in expected if file.path]

    site = Site(
        config=prepared.loaded.config,
        workspace=prepared.places.workspace,
        working_directory=prepared.places.working_directory,
        environ=_seen_by_sessions(prepared),
        strays=LoggedSessions(prepared.layout.logs),
        where=prepared.loaded.place_of,
        respell=checker.respell,
        alias=composer.alias,
        worktree=Path(prepared.places.worktree) if prepared.places.worktree else None,
    )
    return JobHealer(site, state, outputs=outputs, ask=ask)


def _seen_by_sessions(prepared: Prepared) -> dict[str, str]:
    if prepared.loaded.config.backend.type == "claude_cli":
        return environment_of(options_of(prepared), _environ(prepared) or os.environ)
    return {**os.environ, **prepared.loaded.config.backend.env}


def _shell(prepared: Prepared, clock: SystemClock) -> Callable[[str, float], Awaitable[bool]]:
    async def run(command: str, timeout_seconds: float) -> bool:
        folder = str(prepared.places.workspace)
        ended = await run_command(
            command, cwd=folder, timeout_seconds=timeout_seconds, environment=_environ(prepared), fair=clock.fair
        )
        return ended.exit_code == 0

    return run


async def _never(command: str, timeout_seconds: float) -> bool:
    """A rehearsal executes no commands: nothing is skipped because of one."""
    return False


class Account(NamedTuple):
    """Who pays: `key` is the same for all jobs that do so with one login at one address, `label` is for people."""

    key: str
    label: str


def account_of(prepared: Prepared) -> Account:
    """The account that the job's sessions are charged to."""
    backend = prepared.loaded.config.backend
    environ = {**os.environ, **backend.env}
    login = environ.get("CLAUDE_CONFIG_DIR") or str(Path.home())
    name = "ANTHROPIC_API_KEY" if backend.type == "claude_cli" else backend.api_key_env
    credential = environ.get(name) or environ.get("ANTHROPIC_AUTH_TOKEN") or f"login:{login}"
    address = options_of(prepared).get("base_url") or environ.get("ANTHROPIC_BASE_URL", "")
    return Account(account_key(backend.type, address, credential), masked(f"{backend.type} {address}".strip()))


def gate_for(prepared: Prepared) -> Gate:
    """The gate of the account that pays; a rehearsal has none."""
    if prepared.is_rehearsal:
        return NullGate()
    account = account_of(prepared)
    return FileGate(gate_book().path(account.key), account=account.label)


def gate_book() -> GateBook:
    """All shared gates of this user."""
    return GateBook(home() / "gates")
