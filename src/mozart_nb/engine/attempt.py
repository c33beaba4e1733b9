"""One attempt, start to outcome: render → preflight → signatures → session → answer kept → rules → judgement.

An attempt changes nothing itself: it tells the driver what happened (`Desk.note`, `Desk.record`), and the driver
journals it. Nothing but `CancelledError` leaves `run`.

Where answers are kept by content and one is kept for this very request, it takes the place of the session. Where a
backend answers hours later, the attempt ends when its request is handed in, and goes on with `conclude`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from mozart_nb import events as ev
from mozart_nb.engine.asked import Answered, pause_reason
from mozart_nb.engine.classify import classify
from mozart_nb.engine.composed import Composed
from mozart_nb.engine.confirm import NOBODY, agreement, asked_text
from mozart_nb.engine.desk import Desk, Parts
from mozart_nb.engine.ids import new_marker, new_session_id, prompt_hash
from mozart_nb.engine.judge import judge, session_finished
from mozart_nb.engine.ports import Ailment, AnswerReading, Reattaches, Request, SessionResult
from mozart_nb.engine.preflight import Preflight
from mozart_nb.engine.state import BatchState
from mozart_nb.errors import PromptError
from mozart_nb.masking import masked_tail

TAIL_CHARACTERS = 10_000
"""How much of a kept answer goes into the state of a batch that is judged after a crash."""


class Attempt:
    """One attempt of one batch. `batch` is the live record; it is read, never written.

    `is_unsent`: nothing has been sent, and nothing will be if it is cancelled now.
    """

    def __init__(self, batch: BatchState, parts: Parts, desk: Desk, job_id: str = "") -> None:
        self.batch = batch
        self._job_id = job_id
        self.number = batch.attempts
        self.detaching = False
        self.is_unsent = True
        self._parts = parts
        self._desk = desk
        self._composed: Composed | None = None
        self._session: ev.SessionOpened | None = None
        self._request_hash = ""
        self._adopting = False
        self._followed = False
        self._agreed: Answered | None = None

    # --- the ways in -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the prompt to the judgement."""
        await self._guarded(self._run())

    async def reattach(self) -> None:
        """Pick up a session whose host died: follow it, read it, or say that it is gone."""
        await self._guarded(self._reattach())

    async def rejudge(self) -> None:
        """The session is over and its answer is kept, but the host died before the rules were checked."""
        await self._guarded(self._rejudge())

    async def collect(self, result: SessionResult) -> None:
        """The answer to a request that was handed in, by this host or one before it, has come."""
        self._session, self.is_unsent = self.batch.session, False
        await self._guarded(self.conclude(result))

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
        batch = self.batch
        agreed = self._parts.triggers.draft_of(batch)
        self._parts.triggers.forget(batch.number)
        if agreed is None and await self._is_needless():
            return
        continues = batch.mode == "completion" and self._can_continue()
        result = await self._session_result(continues=continues, agreed=agreed)
        if result is not None and result.lost_session:
            result = await self._session_result(continues=False)
        if result is not None:
            await self.conclude(result)

    async def _is_needless(self) -> bool:
        """Whether the batch is not to be run at all, or a remedy made what was done before good enough."""
        batch = self.batch
        if batch.mode == "first" and (reason := await self._parts.composer.skip_reason(batch.number)):
            self._desk.note(ev.BatchSkipped(batch=batch.number, reason=reason))
            return True
        return batch.mode == "healed" and await self._is_mended()

    def _can_continue(self) -> bool:
        how = self._parts.backend.continues_by
        return self.batch.continuable if how == "session" else bool(how) and self.batch.answer_at >= 0

    # --- the session --------------------------------------------------------------------------------------------------

    async def _session_result(self, *, continues: bool, agreed: Composed | None = None) -> SessionResult | None:
        """Run one session; None when preflight forbids it, a person is asked first, or its answer comes another way.

        `agreed` is what a person has agreed to: it needs not be composed.
        """
        batch, parts = self.batch, self._parts
        draft = self._composed = agreed or await parts.composer.compose(batch, continues=continues)
        if agreed is None and not self._passes_preflight(draft.preflight):
            return None
        if await self._is_kept(draft):
            return None
        composed = self._composed = await self._confirmed(draft, resumes=agreed is not None)
        if composed is None:
            return None
        before = await parts.checker.signatures(composed.values)
        self._session = self._announcement(composed, before, continues=continues)
        request = parts.composer.request(batch, composed, self._session)
        if not parts.post.takes_requests:
            return await parts.backend.run(request, self)
        await parts.post.room(batch.number)
        await self.opened(request.session_id)
        self.is_unsent = True  # until it is in a parcel, and that is no longer this attempt's concern
        await parts.post.hand_in(request)
        return None

    async def _is_kept(self, composed: Composed) -> bool:
        """Whether an answer that was accepted before stands for this very request: then nothing is sent."""
        if not composed.content:
            return False
        claim = await self._parts.kept.claim(self.batch.number, composed.content)
        self._request_hash = claim.request_hash
        if claim.answer is None or self.batch.mode != "first":
            return False
        finished = ev.SessionFinished(
            batch=self.batch.number,
            attempt=self.number,
            outcome="ok",
            cost_usd=0.0,
            model=claim.answer.finished.model,
            request_hash=claim.request_hash,
            reused=True,
            characters=len(claim.answer.text),
        )
        self.is_unsent = False  # there is something to keep now
        text, data = claim.answer.text, claim.answer.data
        await self._desk.record(finished, ev.Answer(finished=finished, text=text, data=data))
        reading = await self._parts.contract.read(text, data, composed.rows)
        await self._check(text, "", "", reading=reading)
        return True

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

    async def _confirmed(self, draft: Composed, *, resumes: bool) -> Composed | None:
        """What may be sent; None where a person has to agree first: the attempt goes on when they have answered.

        `resumes`: it is as it was shown then.
        """
        batch, triggers = self.batch, self._parts.triggers
        if self._agreed is not None or resumes:
            return self._as_agreed(draft, self._agreed or batch.answered)
        notices, question = triggers.look(batch, draft.prompt)
        for notice in notices:
            self._desk.tell(ev.JobNotice(message=notice))
        if question is None:
            return draft
        if (said := agreement(batch, question)) is not None or triggers.is_agreed:
            return self._as_agreed(draft, said)
        draft = draft.with_finding(f"needs a person's confirmation: {asked_text(question)}")
        await self._desk.record(self._noticed(draft.preflight))
        if triggers.is_deserted:
            self._stop_for(pause_reason(self._job_id, batch.number, asked_text(question), NOBODY))
        else:
            self._desk.note(triggers.asked(question, draft))
        return None

    def _stop_for(self, reason: str) -> None:
        """The safe answer, at once: nothing else begins meanwhile, and the batch goes back to the queue."""
        self._desk.request(Request(kind="pause", by="confirmation", reason=reason))
        self._desk.note(
            ev.SessionAbandoned(batch=self.batch.number, attempt=self.number, reason="not confirmed", cost_usd=0.0)
        )

    def _as_agreed(self, draft: Composed, said: Answered | None) -> Composed:
        self._agreed = said
        if said is None or said.action != "add":
            return draft
        longer = draft.with_addition(said.text).with_finding(f"a person added to the prompt: {said.text}")
        self._desk.note(self._noticed(longer.preflight))
        self._request_hash = ""  # what a person adds for once is nobody else's request
        return longer

    def _announcement(self, composed: Composed, before: dict[str, str], *, continues: bool) -> ev.SessionOpened:
        batch = self.batch
        session_id = batch.session_id if continues else new_session_id()
        return ev.SessionOpened(
            batch=batch.number,
            attempt=self.number,
            session_id=session_id,
            marker=new_marker(),
            log=self._parts.composer.log_name(batch.number, self.number),
            outlives=self._parts.backend.outlives_host,
            request_hash=self._request_hash if self._parts.post.takes_requests else "",
            parked=self._parts.post.takes_requests,
            continues=continues,
            prompt_tokens=composed.preflight.tokens,
            prompt_hash=prompt_hash(composed.prompt),
            files=before,
        )

    # the backend reports through the attempt itself (ports.Report)

    async def opened(self, session_id: str) -> None:
        """The backend is about to spawn or send, or has found the session still running."""
        if not self._adopting and self._desk.is_held(self.batch.number):
            raise asyncio.CancelledError("a limit was hit while the session waited for its turn")
        self.is_unsent = False
        if self._adopting:
            self._followed = True
            event = ev.SessionAdopted(batch=self.batch.number, attempt=self.number, how="running")
            await self._desk.record(event)
        elif self._session is not None and self._session.outlives:
            await self._desk.record(self._session)
        elif self._session is not None:
            # Nobody will ever look for a session that dies with its host: that the attempt began is durable already.
            self._desk.note(self._session)

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

    async def conclude(self, result: SessionResult) -> None:
        """Keep the answer first, then check what the session did."""
        verdict = classify(result, patterns=self._parts.patterns, wall=self._parts.clock.wall())
        reading = AnswerReading(result.data)
        if not verdict.code:
            reading = await self._parts.contract.read(result.text, result.data, await self._rows())
        session = self._session
        finished = session_finished(
            self.batch.number,
            self.number,
            result,
            verdict,
            session_id=session.session_id if session else self.batch.session_id,
            request_hash=self._request_hash or (session.request_hash if session else ""),
        )
        await self._desk.record(finished, ev.Answer(finished=finished, text=result.text, data=reading.data))
        tails = (result.stdout_tail, result.stderr_tail)
        await self._check(result.text, verdict.code, verdict.message, *tails, reading=reading, warnings=result.warnings)

    async def _rows(self) -> int:
        if not self._parts.contract.wants_data:
            return 0
        if self._composed is None:
            values = await self._parts.composer.values(self.batch.number)
            return int(values.get("end_item", 0)) - int(values.get("start_item", 1)) + 1
        return self._composed.rows

    async def _check(
        self,
        answer: str,
        code: str,
        message: str,
        stdout_tail: str = "",
        stderr_tail: str = "",
        *,
        reading: AnswerReading,
        warnings: Sequence[str] = (),
    ) -> None:
        batch, checker = self.batch, self._parts.checker
        session = self._session or batch.session
        before = session.files if session else {}
        values = self._composed.values if self._composed else await self._parts.composer.values(batch.number)
        results: tuple[ev.RuleResult, ...] = ()
        if not code or before != await checker.signatures(values):
            baseline = batch.baseline if batch.baseline is not None else before
            results = await checker.check(values, answer=answer, baseline=baseline, before=before, data=reading.data)
        self._desk.note(
            judge(
                batch.number,
                self.number,
                code=code,
                message=message,
                results=results,
                fault=reading.fault,
                warnings=warnings,
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
        self._adopting, self._session, self.is_unsent = True, session, False
        result = await backend.reattach(self._parts.composer.request(batch, None, session), self)
        if result is None:
            self._abandon("its host died and the session left no result")
            return
        if not self._followed:
            self._desk.note(ev.SessionAdopted(batch=batch.number, attempt=self.number, how="finished"))
        await self.conclude(result)

    def _abandon(self, reason: str) -> None:
        self._desk.note(self.abandoned(reason))

    def abandoned(self, reason: str) -> ev.SessionAbandoned:
        """What is journaled when the session is gone: its cost is unknown unless the backend is free."""
        cost = 0.0 if self._parts.backend.is_free or self.is_unsent else None
        return ev.SessionAbandoned(batch=self.batch.number, attempt=self.number, reason=reason, cost_usd=cost)

    async def _rejudge(self) -> None:
        batch = self.batch
        self.is_unsent = False
        answer = await self._desk.read_answer(batch) if not batch.is_silent else None
        text = answer.text if answer is not None else ""
        reading = AnswerReading(answer.data if answer is not None else None)
        if not batch.code:
            reading = await self._parts.contract.read(text, reading.data, await self._rows())
        # What the session printed besides is in its log; the end of the answer is what is left for the state.
        await self._check(
            text, batch.code, batch.message, stdout_tail=masked_tail(text, TAIL_CHARACTERS), reading=reading
        )

    async def _is_mended(self) -> bool:
        """Whether what the last session left is good enough after a remedy: then it need not be done again."""
        batch, parts = self.batch, self._parts
        if batch.code not in ("E201", "E203"):
            return False
        answer = await self._desk.read_answer(batch) if not batch.is_silent else None
        values = await parts.composer.values(batch.number)
        text, data = (answer.text, answer.data) if answer is not None else ("", None)
        baseline = batch.baseline or {}
        results = await parts.checker.check(values, answer=text, baseline=baseline, before={}, data=data)
        judgement = judge(batch.number, self.number, code="", message="", results=results)
        if isinstance(judgement, ev.ValidationPassed):
            self._desk.note(judgement)
            return True
        return False

    # --- when nothing else helps --------------------------------------------------------------------------------------

    async def heal(self) -> None:
        """Look for a remedy for what the batch died of, and tell what came of it."""
        batch = self.batch
        ailment = Ailment(
            job_id=self._job_id,
            batch=batch.number,
            attempt=batch.attempts,
            code=batch.code,
            message=batch.message,
            results=batch.validation_details,
            cycle=batch.heals,
        )
        healing = await self._parts.healer.heal(ailment)
        self._desk.note(
            ev.BatchHealed(batch=batch.number, attempt=batch.attempts, remedy=healing.remedy, guidance=healing.guidance)
        )
