"""What a batch's next session is sent: variables, prompt, preflight and the request itself."""

from __future__ import annotations

import asyncio
import os.path
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from mozart_nb import events as ev
from mozart_nb.codes import Category, lookup
from mozart_nb.engine.composed import Composed
from mozart_nb.engine.off import FreeText
from mozart_nb.engine.places import Places
from mozart_nb.engine.ports import AnswerContract, Checker, Materials, Script, SessionRequest, Turn
from mozart_nb.engine.preflight import Preflight, preflight
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.engine.wire import Wire, common_prefix
from mozart_nb.job.expressions import Condition, LazyBatches, compile_condition
from mozart_nb.job.model import JobConfig, SkipCommand
from mozart_nb.job.names import SKIP_NAMES
from mozart_nb.job.placeholders import expand
from mozart_nb.job.plan import Plan, expand_keyed
from mozart_nb.job.prompt import (
    BatchContext,
    PromptRenderer,
    completion_prompt,
    context_for,
    known_names,
    retry_prompt,
    with_hints,
)
from mozart_nb.job.templates import CompiledTemplate

ReadAnswer = Callable[[BatchState], Awaitable[ev.Answer | None]]
Succeeds = Callable[[str, float], Awaitable[bool]]
"""Runs a shell command with a time limit (seconds) and says whether it ended with exit code 0."""


class JobComposer:
    """Composes what the batches of one job are sent. Compiled once; raises `PromptError` for what does not compile."""

    def __init__(
        self,
        config: JobConfig,
        plan: Plan,
        state: JobState,
        places: Places,
        *,
        options: Mapping[str, Any],
        materials: Materials,
        checker: Checker,
        read_answer: ReadAnswer,
        succeeds: Succeeds,
        log_name: Callable[[int, int], str],
        rehearses: bool = False,
        contract: AnswerContract | None = None,
        family: str = "",
    ) -> None:
        self.log_name = log_name
        self._config = config
        self._state = state
        self._places = places
        self._job_folder, self._workspace = str(places.job_folder), str(places.workspace)
        self._working_directory = str(places.working_directory)
        self._materials = materials
        self._checker = checker
        self._read_answer = read_answer
        self._succeeds = succeeds
        self._plan = plan
        self._prefix: str | None = None
        self._renderer = PromptRenderer(config, plan, read_text=materials.read_text)
        self._skip_when = expand_keyed(_conditions(config), plan)
        self._skip_commands: Mapping[int, SkipCommand] = expand_keyed(config.batch.skip_when_command, plan)
        self._timeouts = expand_keyed(config.backend.timeout_overrides, plan)
        self._overrides = expand_keyed(config.backend.batch_overrides, plan)
        self._options = options
        self._contract = contract or FreeText()
        self._wire = Wire(config, options, family, self._contract.schema(plan.shape.size))
        self._captures = [
            CompiledTemplate(text, "cross_batch.capture_files") for text in config.cross_batch.capture_files
        ]
        self._stage_directions = _StageDirections(config, plan) if rehearses else None

    # --- variables ----------------------------------------------------------------------------------------------------

    async def values(self, number: int) -> BatchContext:
        """The template variables of a batch."""
        outputs = await self._previous_outputs(number)
        rows: list[Any] = []
        if self._config.items is not None:
            rows = self._materials.rows(*self._plan.rows_of(number))
        context = self._context(number, rows, outputs, {})
        if self._captures:
            patterns = [capture.render(context, batch=number) for capture in self._captures]
            files = await asyncio.to_thread(self._read_files, patterns)
            context = self._context(number, rows, outputs, files)
        return context

    def _context(
        self, number: int, rows: list[Any], outputs: Mapping[int, str], files: Mapping[str, str]
    ) -> BatchContext:
        return context_for(
            self._plan,
            number,
            workspace=self._workspace,
            job_name=self._config.name,
            prompt=self._config.prompt,
            rows=rows,
            previous_outputs=outputs,
            previous_files=files,
        )

    async def _previous_outputs(self, number: int) -> dict[int, str]:
        """The end of what earlier batches answered, where the conclusions are."""
        policy = self._config.cross_batch
        if not policy.auto_capture_stdout:
            return {}
        first = max(1, number - policy.lookback_batches) if policy.lookback_batches else 1
        outputs = {}
        for earlier in range(first, number):
            batch = self._state.batches.get(earlier)
            if batch is not None and batch.status == "completed" and batch.answer_at >= 0:
                answer = await self._read_answer(batch)
                outputs[earlier] = answer.text[-policy.max_output_chars :] if answer is not None else ""
        return outputs

    def _read_files(self, patterns: list[str]) -> dict[str, str]:
        longest = self._config.cross_batch.max_output_chars
        paths = [path for pattern in patterns for path in self._materials.glob(pattern)]
        texts = {path: self._materials.read_text(path) for path in paths}
        return {path: text[-longest:] for path, text in texts.items() if text is not None}

    def alias(self, name: str, known: str) -> None:
        """From now on prompts may use `name` for the variable `known`."""
        self._renderer.aliases[name] = known

    # --- skipping -----------------------------------------------------------------------------------------------------

    async def skip_reason(self, number: int) -> str:
        """Why the batch is not to be run; empty when it is. `skip_when` is asked first, then the command."""
        condition = self._skip_when.get(number)
        if condition is not None and condition(self._skip_context(number)):
            return f"skip_when: {condition.text}"
        command = self._skip_commands.get(number)
        if command is None:
            return ""
        text = expand(command.command, await self.values(number), "command")
        if await self._succeeds(text, command.timeout_seconds):
            return f"skip_when_command: {command.description or command.command}"
        return ""

    def _skip_context(self, number: int) -> dict[str, Any]:
        state = self._state
        batches = LazyBatches(state.total, lambda other: _batch_view(state, other))
        return {**self._context(number, [], {}, {}), "batches": batches, "sheets": batches, "job": _Job(state)}

    # --- the prompt ---------------------------------------------------------------------------------------------------

    async def compose(self, batch: BatchState, *, continues: bool) -> Composed:
        """What the attempt that just started sends."""
        values = await self.values(batch.number)
        original = self._original(values, batch.edited)
        prompt = next_prompt(
            batch,
            original,
            continues=continues,
            has_form=self._contract.wants_data,
            most=self._config.retry.max_completion_attempts,
        )
        expects = self._checker.expected_files(values)
        findings = await self._look_over(prompt, [expected.path for expected in expects])
        script = self._stage_directions.script(values, self._places) if self._stage_directions else None
        rows = self._row_count(batch.number)
        composed = Composed(
            prompt, values, findings, expects, script, rows=rows, answer_schema=self._contract.schema(rows)
        )
        if not self._wire.is_used:
            return composed
        return await self._for_the_wire(batch, composed, original, continues=continues)

    def _original(self, values: BatchContext, edited: str = "") -> str:
        """The prompt of a first attempt, or what a person wrote instead of it."""
        prompt = edited or with_hints(self._renderer.render(values), self._state.job.wording.hints, values)
        instructions = self._contract.instructions(self._row_count(values.number))
        return f"{prompt.rstrip()}\n\n{instructions}" if instructions and instructions not in prompt else prompt

    def _row_count(self, number: int) -> int:
        first, last = self._plan.items_of(number)
        return last - first + 1

    async def _for_the_wire(self, batch: BatchState, composed: Composed, original: str, *, continues: bool) -> Composed:
        """What a request needs that goes out as messages: its identity, files, and the conversation before it."""
        wire, number = self._wire, batch.number
        files = wire.attachments(composed.values, self._places.files)
        digests = await asyncio.to_thread(self._materials.digests, files) if files else ()
        earlier: tuple[Turn, ...] = ()
        if continues and (answer := await self._read_answer(batch)) is not None:
            earlier = (Turn("user", original), Turn("assistant", answer.text))
        return replace(
            composed,
            content=wire.content(self._overrides.get(number), self._options_of(number), original, digests),
            earlier=earlier,
            attachments=files,
            shared_prefix=self._shared_prefix(original) if wire.shares_prefix else 0,
        )

    def _shared_prefix(self, original: str) -> int:
        """How many characters this prompt has in common with those of a few other batches, spread over the job."""
        if self._prefix is None:
            self._prefix = common_prefix(self._samples())
        return len(self._prefix) if original.startswith(self._prefix) else 0

    def _samples(self) -> Iterator[str]:
        count = self._plan.count
        for number in sorted({1, 2, 3, (count + 1) // 2, count - 1, count} & set(range(1, count + 1))):
            rows = self._materials.rows(*self._plan.rows_of(number)) if self._config.items is not None else []
            yield self._original(self._context(number, rows, {}, {}))

    async def _look_over(self, prompt: str, expected: list[str]) -> Preflight:
        """Preflight asks the disk, off the loop, only when the prompt names a file at all."""
        named: list[str] = []

        def assume(path: str) -> bool:
            named.append(path)
            return True

        found = preflight(prompt, exists=assume, expected=expected)
        if not named:
            return found
        return await asyncio.to_thread(preflight, prompt, exists=self._exists, expected=expected)

    def _exists(self, path: str) -> bool:
        return self._materials.exists(str(self._places.working_directory / path))

    # --- the request --------------------------------------------------------------------------------------------------

    def request(self, batch: BatchState, composed: Composed | None, session: ev.SessionOpened) -> SessionRequest:
        """The request of that session; without `composed`, one to pick it up again."""
        stale = self._config.stale_detection
        return SessionRequest(
            job_id=self._state.job.job_id,
            batch=batch.number,
            attempt=batch.attempts,
            mode=batch.mode,
            prompt=composed.prompt if composed else "",
            session_id=session.session_id,
            marker=session.marker,
            log=os.path.join(self._job_folder, session.log),  # noqa: PTH118 (ten times a path object's speed)
            working_directory=self._working_directory,
            workspace=self._workspace,
            timeout_seconds=self._timeout(batch.number),
            continues=session.continues,
            idle_timeout_seconds=stale.idle_timeout_seconds if stale.enabled else 0.0,
            capture_bytes=self._config.backend.max_output_capture_bytes,
            seed=self._state.job.seed,
            options=self._options_of(batch.number),
            expects=composed.expects if composed else (),
            script=composed.script if composed else None,
            earlier=composed.earlier if composed else (),
            attachments=composed.attachments if composed else (),
            answer_schema=composed.answer_schema if composed else None,
            shared_prefix=composed.shared_prefix if composed else 0,
            prompt_tokens=session.prompt_tokens,
        )

    def _timeout(self, number: int) -> float:
        override = self._overrides.get(number)
        if override is not None and override.timeout_seconds is not None:
            return override.timeout_seconds
        return self._timeouts.get(number, self._config.backend.timeout_seconds)

    def _options_of(self, number: int) -> Mapping[str, Any]:
        override = self._overrides.get(number)
        if override is None:
            return self._options
        return {**self._options, **override.model_dump(mode="json", exclude_none=True)}


def next_prompt(batch: BatchState, original: str, *, continues: bool, has_form: bool, most: int) -> str:
    """What the next attempt sends, when `original` is the prompt of the first one.

    `continues`: in the session of the last one; `has_form`: answers must be JSON; `most` completion attempts are
    allowed.
    """
    results = batch.validation_details
    failed = [result for result in results if result.status in ("failed", "skipped")]
    if batch.mode == "completion":
        passed = [result for result in results if result.status in ("passed", "rehearsed")]
        return completion_prompt(
            original, passed, failed, batch.completions, most, continues=continues, has_form=has_form
        )
    if batch.mode == "healed" and batch.code:
        # What the rules found was found before the remedy, which may have changed what they look for.
        return retry_prompt(original, (), batch.code, "")
    if batch.mode == "retry" and batch.code:
        if failed and lookup(batch.code).category is Category.RATE_LIMIT:
            return retry_prompt(original, failed, "E201", "")  # the refusal in between is nobody's concern
        return retry_prompt(original, failed, batch.code, batch.message)
    return original


class _StageDirections:
    """Renders what a rehearsed session answers and writes."""

    def __init__(self, config: JobConfig, plan: Plan) -> None:
        rehearsal = config.rehearsal
        self._form = config.answer
        self._plan = plan
        self._answer = CompiledTemplate(rehearsal.answer, "rehearsal.answer") if rehearsal.answer else None
        self._writes = [
            (path, CompiledTemplate(text, f"rehearsal.writes.{path}")) for path, text in rehearsal.writes.items()
        ]

    def script(self, values: BatchContext, places: Places) -> Script:
        answer = self._answer.render(values, batch=values.number) if self._answer else self._any_json(values.number)
        writes = {
            str(places.working_directory / expand(path, values, "path")): text.render(values, batch=values.number)
            for path, text in self._writes
        }
        return Script(answer=answer, writes=writes, root=places.root)

    def _any_json(self, number: int) -> str:
        """JSON where any will do; an answer that has a schema is made up by whoever is asked for it."""
        if not self._form.wants_json or self._form.json_schema is not None:
            return ""
        first, last = self._plan.items_of(number)
        rows = [{"item": item, "answer": "rehearsed"} for item in range(first, last + 1)]
        return msgspec.json.encode(rows if self._form.per_item else {"batch": number, "answer": "rehearsed"}).decode()


def _batch_view(state: JobState, number: int) -> dict[str, Any]:
    """`batches[3].status` in a `skip_when` expression; batches nothing has happened to are pending."""
    batch = state.batches.get(number) or BatchState(number)
    return {
        "status": state.status_of(number),
        "validation_passed": batch.validation_passed,
        "attempts": batch.attempts,
        "attempt_count": batch.attempts,
        "error_code": batch.code,
        "exit_code": batch.exit_code,
        "cost": batch.cost_usd,
        "stdout_tail": batch.stdout_tail,
        "stderr_tail": batch.stderr_tail,
    }


class _Job:
    """`job.status` and the like in a `skip_when` expression."""

    def __init__(self, state: JobState) -> None:
        job = state.job
        self.job_id, self.name, self.status, self.cost = job.job_id, job.name, job.status, job.cost_usd
        self.total_batches = self.total_sheets = state.total
        self.completed, self.failed = state.count("completed"), state.count("failed")


def _conditions(config: JobConfig) -> dict[int, Condition]:
    names = known_names(config.prompt) | SKIP_NAMES
    return {number: compile_condition(text, names) for number, text in config.batch.skip_when.items()}
