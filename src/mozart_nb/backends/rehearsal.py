"""The offline stand-in for Claude: any job can be tried for free, again and again with the same outcome.

A rehearsed session asks no model. It answers from the job's script or with a short sentence, makes up data where the
answer has a schema, writes the files that the rules ask for, reports tokens and cost, and fails when the `rehearsal`
section says so: by the script of its batch, or by chance drawn from the seeds, batch and attempt alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from mozart_nb.backends._made_up import made_up, spoiled
from mozart_nb.backends._offload import outlast
from mozart_nb.backends._rehearsed_files import Target, Written, matches, targets, text_for, write_all
from mozart_nb.backends._sample import UnsupportedError
from mozart_nb.backends._text import last_bytes, whole
from mozart_nb.engine.ports import Clock, Continuation, ExpectedFile, Health, Report, SessionRequest, SessionResult
from mozart_nb.events import Outcome, Usage
from mozart_nb.job.backends import RehearsalConfig, RehearsalFailures, RehearsalStep

DEFAULT_WAIT_SECONDS: Final = 1.0
"""What a rehearsed rate limit asks to wait when the script does not say."""

_CHANCES: Final = tuple(RehearsalFailures.model_fields)
_STEPS: Final = {kind: RehearsalStep.model_validate({"kind": kind}) for kind in ("ok", *_CHANCES)}
_NOTHING: Final = Written()


class _Failure(NamedTuple):
    """How a session that fails reports it."""

    outcome: Outcome
    error_text: str
    error_kind: str = ""
    api_status: int | None = None
    exit_code: int | None = 1
    signal: int = 0
    has_result: bool = True


_FAILURES: Final = {
    "rate_limit": _Failure("error", "Rehearsed: request rejected (429), rate limit reached.", "rate_limit", 429),
    "transient": _Failure("error", "Rehearsed: the service is overloaded (529).", "overloaded", 529),
    "connection": _Failure("error", "Rehearsed: Unable to connect to API (ConnectionRefused).", "server_error"),
    "timeout": _Failure("timeout", "Rehearsed: the session did not end in time.", exit_code=None, has_result=False),
    "crash": _Failure("error", "Rehearsed: the session crashed.", exit_code=-11, signal=11, has_result=False),
    "auth": _Failure("error", "Rehearsed: invalid API key (401).", "authentication_failed", 401),
}


class RehearsalBackend:
    """Plays sessions instead of running them.

    Nothing is written outside the request's workspace and working directory, nor outside `script.root` when that is
    set. Files that others made are added to, never replaced, unless the job's `rehearsal.writes` names them. A
    rehearsed time-out is told at once instead of being waited for; only a latency longer than the time limit takes
    that long.
    """

    name = "rehearsal"
    family = ""
    continues_by: Continuation = ""
    outlives_host = False
    is_free = True

    def __init__(self, config: RehearsalConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        chances = {kind: float(getattr(config.failures, kind)) for kind in _CHANCES}
        self._chances = [(_STEPS[kind], chance) for kind, chance in chances.items() if chance > 0]

    async def run(self, request: SessionRequest, report: Report) -> SessionResult:
        """Play the session. On cancellation no file is written any more once `CancelledError` leaves."""
        began = self._clock.fair()
        await report.opened(request.session_id)
        step = self._step(request)
        if not await self._latency(request):
            step = _STEPS["timeout"]
        if step.kind in _FAILURES:
            return self._failed(request, step, began)
        return await self._played(request, report, step, began)

    async def check(self) -> Health:
        """Always well: there is nothing that could be missing."""
        return Health(ok=True, message="rehearsal: no model is asked and nothing is paid")

    async def close(self) -> None:
        """Nothing is held."""

    # --- what happens -------------------------------------------------------------------------------------------------

    def _step(self, request: SessionRequest) -> RehearsalStep:
        """What this attempt does: as the script says, else by chance."""
        steps = self._config.script.get(request.batch)
        if steps is not None:
            return steps[request.attempt - 1] if request.attempt <= len(steps) else _STEPS["ok"]
        if self._chances:
            draw = self._draw(request)
            for step, chance in self._chances:
                draw -= chance
                if draw < 0:
                    return step
        return _STEPS["ok"]

    def _draw(self, request: SessionRequest) -> float:
        """A number from 0 to 1 that depends on nothing but seeds, batch and attempt."""
        facts = f"{self._config.seed}/{request.seed}/{request.batch}/{request.attempt}"
        digest = hashlib.blake2b(facts.encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64

    async def _latency(self, request: SessionRequest) -> bool:
        """Let the session take its time; False when that is more than it may take."""
        seconds = self._config.latency_seconds
        if not seconds:
            await asyncio.sleep(0)
            return True
        await self._clock.sleep(min(seconds, request.timeout_seconds))
        return seconds <= request.timeout_seconds

    def _failed(self, request: SessionRequest, step: RehearsalStep, began: float) -> SessionResult:
        broken_line = step.kind == "transient" and (request.batch + request.attempt) % 2 == 0
        failure = _FAILURES["connection" if broken_line else step.kind]
        wait = None
        if step.kind == "rate_limit":
            # A refusal that names no wait at all would be waited for as if the service had named none.
            wait = DEFAULT_WAIT_SECONDS if step.wait_seconds is None else max(step.wait_seconds, 0.01)
        text = step.message or failure.error_text
        return SessionResult(
            outcome=failure.outcome,
            error_text=text,
            error_kind=failure.error_kind,
            api_status=failure.api_status,
            exit_code=failure.exit_code,
            signal=failure.signal,
            has_result=failure.has_result,
            retry_after=wait,
            session_id=request.session_id,
            cost_usd=0.0,
            model=self.name,
            stderr_tail=last_bytes(text, request.capture_bytes),
            duration=self._clock.fair() - began,
        )

    async def _played(
        self, request: SessionRequest, report: Report, step: RehearsalStep, began: float
    ) -> SessionResult:
        files = _chosen(targets(request), step) if request.expects or request.script is not None else []
        written = await _write_all(request, files) if files else _NOTHING
        warnings = list(written.warnings)
        answer = whole(await self._answer(request, step, written, warnings))
        report.progress(len(answer.encode()), answer.count("\n") + 1, "rehearsed")
        return SessionResult(
            outcome="ok",
            text=answer,
            exit_code=0,
            has_result=True,
            stop_reason="end_turn",
            usage=self._usage(request, len(answer) + written.size),
            cost_usd=self._config.usage.cost_usd or 0.0,
            model=self.name,
            turns=1 + len(written.wrote),
            session_id=request.session_id,
            warnings=tuple(warnings),
            stdout_tail=last_bytes(answer, request.capture_bytes),
            duration=self._clock.fair() - began,
        )

    async def _answer(self, request: SessionRequest, step: RehearsalStep, written: Written, warnings: list[str]) -> str:
        """What the script says, data for a schema, or a sentence; with `invalid_output` nothing, or spoiled data."""
        is_spoiled = step.kind == "invalid_output"
        is_scripted = request.script is not None and bool(request.script.answer)
        if request.answer_schema is not None and not is_scripted:
            facts = f"{self._config.seed}/{request.seed}/{request.batch}"
            try:
                return await asyncio.to_thread(_data, request, facts, is_spoiled=is_spoiled)
            except UnsupportedError as error:
                warnings.append(f"{error.message}; give one as `rehearsal.answer`")
        return "" if is_spoiled else _answer(request, written, warnings)

    def _usage(self, request: SessionRequest, characters: int) -> Usage:
        """Tokens as configured, else estimated as one per four characters."""
        sent, received = self._config.usage.input_tokens, self._config.usage.output_tokens
        return Usage(
            input_tokens=(len(request.prompt) + 3) // 4 if sent is None else sent,
            output_tokens=(characters + 3) // 4 if received is None else received,
        )


def _data(request: SessionRequest, facts: str, *, is_spoiled: bool) -> str:
    """JSON that satisfies the schema of the answer, the same in every attempt of a batch; or some that does not."""
    schema = request.answer_schema or {}
    seed = int.from_bytes(hashlib.blake2b(facts.encode(), digest_size=6).digest())
    value = made_up(schema, seed)
    if is_spoiled:
        return spoiled(schema, value, request.batch + request.attempt)
    return msgspec.json.encode(value).decode()


async def _write_all(request: SessionRequest, files: Sequence[Target]) -> Written:
    """One hop to a thread. A cancellation waits until it is back, so that nothing is written afterwards."""
    work = asyncio.get_running_loop().run_in_executor(None, write_all, request, files)
    written, cancelled = await outlast(work)
    if cancelled is not None:
        raise cancelled
    return written


def _chosen(files: Sequence[Target], step: RehearsalStep) -> Sequence[Target]:
    """The files this attempt gets round to."""
    if step.kind == "invalid_output":
        return ()
    if step.kind != "partial":
        return files
    half = min((len(files) + 1) // 2, len(files) - 1)
    return files[: half if step.writes is None else step.writes]


def _answer(request: SessionRequest, written: Written, warnings: list[str]) -> str:
    """The script's answer as it stands, or a sentence made to satisfy the rules about answers."""
    if request.script is not None and request.script.answer:
        return request.script.answer
    text = _summary(request, written)
    for rule in _rules_about_answers(request.expects):
        if not matches(rule.pattern, text):
            line = text_for(rule.pattern)
            text = next((t for t in (f"{text}\n{line}", f"{line}\n{text}", line) if matches(rule.pattern, t)), text)
            if not matches(rule.pattern, text):
                warnings.append(f"no answer could be made up for the pattern {rule.pattern!r}")
    return text


def _rules_about_answers(expects: Sequence[ExpectedFile]) -> list[ExpectedFile]:
    return [expected for expected in expects if expected.type == "answer_matches"]


def _summary(request: SessionRequest, written: Written) -> str:
    text = f"Rehearsed batch {request.batch} of {request.job_id}, attempt {request.attempt}: no model was asked."
    if written.wrote:
        what = "Completed what was missing" if request.mode == "completion" else "Wrote"
        text += f"\n{what}: {', '.join(written.wrote)}."
    if written.kept:
        text += f"\nLeft as it was: {', '.join(written.kept)}."
    return text
