"""One attempt, start to outcome: render → preflight → signatures → session → answer kept → rules → judgement.

An attempt changes nothing itself: it tells the driver what happened (`Desk.note`, `Desk.record`), and the driver
journals it. Nothing but `CancelledError` leaves `run`.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from mozart_nb import events as ev
from mozart_nb.engine.classify import Verdict, classify
from mozart_nb.engine.confirm import Triggers, asked_text, pause_reason, skip_reason
from mozart_nb.engine.judge import judge
from mozart_nb.engine.ports import (
    Backend,
    Checker,
    Clock,
    ExpectedFile,
    Question,
    Reattaches,
    Reply,
    Request,
    Script,
    SessionRequest,
    SessionResult,
)
from mozart_nb.engine.preflight import Preflight, estimate_tokens
from mozart_nb.engine.state import BatchState
from mozart_nb.errors import PromptError

TAIL_CHARACTERS = 10_000
"""How much of a kept answer goes into the state of a batch that is judged after a crash."""


@dataclass(frozen=True, slots=True)
class Composed:
    """What a batch's next session is sent. `values` are its template variables."""

    prompt: str
    values: Mapping[str, Any]
    preflight: Preflight
    expects: Sequence[ExpectedFile] = ()
    script: Script | None = None

    def with_finding(self, message: str) -> Composed:
        """The same with one more thing to know about its prompt."""
        findings = (*self.preflight.findings, ev.Finding(message))
        return replace(self, preflight=msgspec.structs.replace(self.preflight, findings=findings))

    def with_addition(self, text: str) -> Composed:
        """The same with `text` at the end of its prompt."""
        prompt = f"{self.prompt.rstrip()}\n\n{text}"
        sizes = {"tokens": estimate_tokens(prompt), "characters": len(prompt), "lines": prompt.count("\n") + 1}
        return replace(self, prompt=prompt, preflight=msgspec.structs.replace(self.preflight, **sizes))


class Composer(Protocol):
    """Makes prompts and requests out of config, plan and state."""

    async def values(self, number: int) -> Mapping[str, Any]:
        """The template variables of a batch."""

    async def compose(self, batch: BatchState, *, continues: bool) -> Composed:
        """The prompt of the attempt that just started. Raises `PromptError`."""

    async def skip_reason(self, number: int) -> str:
        """Why the batch is not to be run at all; empty when it is. Raises `PromptError`."""

    def request(self, batch: BatchState, composed: Composed | None, session: ev.SessionOpened) -> SessionRequest:
        """The request of that session; without `composed`, one to pick it up again."""

    def log_name(self, number: int, attempt: int) -> str:
        """Where raw output goes, relative to the job's folder, without suffix."""


class Desk(Protocol):
    """Where attempts report to: the driver's inbox."""

    def note(self, event: ev.Event) -> None:
        """Journal this in its turn."""

    async def record(self, event: ev.Event, answer: ev.Answer | None = None) -> None:
        """Journal this; returns once it is durable."""

    def tell(self, event: ev.Event) -> None:
        """Tell observers something that is not journaled."""

    def request(self, request: Request) -> None:
        """Ask something of the job as a whole."""

    async def read_answer(self, batch: BatchState) -> str:
        """The text of the batch's last answer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What attempts work with."""

    backend: Backend
    checker: Checker
    composer: Composer
    clock: Clock
    patterns: Sequence[str] = ()
    triggers: Triggers = field(default_factory=Triggers)


class Attempt:
    """One attempt of one batch. `batch` is the live record; it is read, never written.

    `is_asking`: it waits, or waited to its end, for a person to confirm it; nothing has been sent then.
    """

    def __init__(self, batch: BatchState, parts: Parts, desk: Desk) -> None:
        self.batch = batch
        self.number = batch.attempts
        self.detaching = False
        self.is_asking = False
        self._parts = parts
        self._desk = desk
        self._composed: Composed | None = None
        self._session: ev.SessionOpened | None = None
        self._adopting = False
        self._followed = False
        self._reply: Reply | None = None

    # --- the three ways in --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the prompt to the judgement."""
        await self._guarded(self._run())

    async def reattach(self) -> None:
        """Pick up a session whose host died: follow it, read it, or say that it is gone."""
        await self._guarded(self._reattach())

    async def rejudge(self) -> None:
        """The session is over and its answer is kept, but the host died before the rules were checked."""
        await self._guarded(self._rejudge())

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except PromptError as error:
            self._fail("E502", error.message)
        except OSError as error:
            self._fail("E601", f"{type(error).__name__}: {error}")
        except Exception as error:
            self._fail("E999", f"{type(error).__name__}: {error}")

    def _fail(self, code: str, message: str) -> None:
        self._desk.note(ev.ValidationFailed(batch=self.batch.number, attempt=self.number, code=code, message=message))

    async def _run(self) -> None:
        batch, parts = self.batch, self._parts
        if batch.mode == "first" and (reason := await parts.composer.skip_reason(batch.number)):
            self._desk.note(ev.BatchSkipped(batch=batch.number, reason=reason))
            return
        continues = batch.mode == "completion" and batch.continuable and parts.backend.outlives_host
        result = await self._session_result(continues=continues)
        if result is not None and result.lost_session:
            result = await self._session_result(continues=False)
        if result is not None:
            await self._conclude(result)

    # --- the session --------------------------------------------------------------------------------------------------

    async def _session_result(self, *, continues: bool) -> SessionResult | None:
        """Run one session; None when preflight or a person forbids it."""
        batch, parts = self.batch, self._parts
        draft = await parts.composer.compose(batch, continues=continues)
        if not self._passes_preflight(draft.preflight):
            return None
        composed = self._composed = await self._confirmed(draft)
        if composed is None:
            return None
        before = await parts.checker.signatures(composed.values)
        self._session = self._announcement(composed, before, continues=continues)
        request = parts.composer.request(batch, composed, self._session)
        return await parts.backend.run(request, self)

    def _passes_preflight(self, preflight: Preflight) -> bool:
        """Journal what preflight found; the first finding with a code forbids the session."""
        if preflight.findings:
            self._desk.note(self._noticed(preflight))
        error = next((finding for finding in preflight.findings if finding.code), None)
        if error is not None:
            self._fail(error.code, error.message)
        return error is None

    def _noticed(self, preflight: Preflight) -> ev.BatchPreflight:
        return ev.BatchPreflight(
            batch=self.batch.number,
            attempt=self.number,
            prompt_tokens=preflight.tokens,
            findings=preflight.findings,
        )

    async def _confirmed(self, composed: Composed) -> Composed | None:
        """What is sent once a person has agreed, where a trigger wants that; None when nothing is to be sent."""
        batch, triggers = self.batch, self._parts.triggers
        notices, question = triggers.look(batch, composed.prompt)
        if self._reply is None:
            for notice in notices:
                self._desk.tell(ev.JobNotice(message=notice))
        if question is None:
            return composed
        if self._reply is None:
            # Others can see now what the batch waits for, and a job that stops withdraws the question unasked.
            composed = composed.with_finding(f"needs a person's confirmation: {asked_text(question)}")
            self.is_asking = True
            await self._desk.record(self._noticed(composed.preflight))
            self._reply = await triggers.ask(question, batch)
            self.is_asking = False
        return self._obeying(self._reply, question, composed)

    def _obeying(self, reply: Reply, question: Question, composed: Composed) -> Composed | None:
        number = self.batch.number
        match reply.action:
            case "proceed":
                return composed
            case "add":
                longer = composed.with_addition(reply.text).with_finding(f"a person added to the prompt: {reply.text}")
                self._desk.note(self._noticed(longer.preflight))
                return longer
            case "skip":
                self._desk.note(ev.BatchSkipped(batch=number, reason=skip_reason(question, reply)))
            case "abort":
                reason = pause_reason(question, reply)
                # In this order: the batch goes back to the queue of a job that starts nothing any more.
                self._desk.request(Request(kind="pause", by="confirmation", reason=reason))
                self._desk.note(
                    ev.SessionAbandoned(batch=number, attempt=self.number, reason="not confirmed", cost_usd=0.0)
                )
        return None

    def _announcement(self, composed: Composed, before: dict[str, str], *, continues: bool) -> ev.SessionOpened:
        batch = self.batch
        session_id = batch.session_id if continues else str(uuid.uuid4())
        return ev.SessionOpened(
            batch=batch.number,
            attempt=self.number,
            session_id=session_id,
            marker=uuid.uuid4().hex,
            log=self._parts.composer.log_name(batch.number, self.number),
            outlives=self._parts.backend.outlives_host,
            continues=continues,
            prompt_tokens=composed.preflight.tokens,
            prompt_hash=hashlib.sha256(composed.prompt.encode(errors="replace")).hexdigest()[:16],
            files=before,
        )

    # the backend reports through the attempt itself (ports.Report)

    async def opened(self, session_id: str) -> None:
        """The backend is about to spawn or send, or has found the session still running."""
        if self._adopting:
            self._followed = True
            event = ev.SessionAdopted(batch=self.batch.number, attempt=self.number, how="running")
            await self._desk.record(event)
        elif self._session is not None:
            await self._desk.record(self._session)

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None:
        """The session printed something."""
        self._desk.tell(
            ev.SessionProgress(
                batch=self.batch.number,
                attempt=self.number,
                bytes_received=bytes_received,
                lines_received=lines_received,
                note=note,
            )
        )

    # --- afterwards ---------------------------------------------------------------------------------------------------

    async def _conclude(self, result: SessionResult) -> None:
        """Keep the answer first, then check what the session did."""
        verdict = classify(result, patterns=self._parts.patterns, wall=self._parts.clock.wall())
        finished = self._finished(result, verdict)
        await self._desk.record(finished, ev.Answer(finished=finished, text=result.text))
        await self._check(result.text, verdict.code, verdict.message, result.stdout_tail, result.stderr_tail)

    def _finished(self, result: SessionResult, verdict: Verdict) -> ev.SessionFinished:
        session_id = self._session.session_id if self._session else self.batch.session_id
        return ev.SessionFinished(
            batch=self.batch.number,
            attempt=self.number,
            outcome=result.outcome,
            code=verdict.code,
            message=verdict.message,
            exit_code=result.exit_code,
            signal=result.signal,
            duration=round(result.duration, 3),
            usage=result.usage,
            cost_usd=result.cost_usd,
            model=result.model,
            turns=result.turns,
            session_id=result.session_id or session_id,
            retry_after=verdict.retry_after,
            retry_source=verdict.source,
            warnings=result.warnings,
        )

    async def _check(self, answer: str, code: str, message: str, stdout_tail: str = "", stderr_tail: str = "") -> None:
        batch, checker = self.batch, self._parts.checker
        session = self._session or batch.session
        before = session.files if session else {}
        values = self._composed.values if self._composed else await self._parts.composer.values(batch.number)
        results: tuple[ev.RuleResult, ...] = ()
        if not code or before != await checker.signatures(values):
            baseline = batch.baseline if batch.baseline is not None else before
            results = await checker.check(values, answer=answer, baseline=baseline, before=before)
        self._desk.note(
            judge(
                batch.number,
                self.number,
                code=code,
                message=message,
                results=results,
                stdout_tail=stdout_tail,
                stderr_tail=stderr_tail,
            )
        )

    # --- after a crash ------------------------------------------------------------------------------------------------

    async def _reattach(self) -> None:
        batch, backend = self.batch, self._parts.backend
        session = batch.session
        if session is None or not session.outlives or not isinstance(backend, Reattaches):
            self._abandon("its host died")
            return
        self._adopting, self._session = True, session
        result = await backend.reattach(self._parts.composer.request(batch, None, session), self)
        if result is None:
            self._abandon("its host died and the session left no result")
            return
        if not self._followed:
            self._desk.note(ev.SessionAdopted(batch=batch.number, attempt=self.number, how="finished"))
        await self._conclude(result)

    def _abandon(self, reason: str) -> None:
        self._desk.note(self.abandoned(reason))

    def abandoned(self, reason: str) -> ev.SessionAbandoned:
        """What is journaled when the session is gone: its cost is unknown unless the backend is free."""
        cost = 0.0 if self._parts.backend.is_free or self.is_asking else None
        return ev.SessionAbandoned(batch=self.batch.number, attempt=self.number, reason=reason, cost_usd=cost)

    async def _rejudge(self) -> None:
        batch = self.batch
        answer = await self._desk.read_answer(batch)
        # What the session printed besides is in its log; the end of the answer is what is left for the state.
        await self._check(answer, batch.code, batch.message, stdout_tail=answer[-TAIL_CHARACTERS:])


def task_name(batch: BatchState) -> str:
    """Name of the asyncio task of a batch's running attempt."""
    return f"mozart batch {batch.number} attempt {batch.attempts}"


async def gather_quietly(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until every task is over, however it ended."""
    if tasks:
        await asyncio.wait(tasks)
