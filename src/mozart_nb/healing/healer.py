"""Looks for remedies, one ailment after the other, and applies those that apply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from mozart_nb.engine.ports import Ailment, Healing
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MozartError
from mozart_nb.healing.remedy import Case, Finding, Remedy, Site
from mozart_nb.healing.table import REMEDIES

Ask = Callable[[str], Awaitable[bool]]
"""Puts a question to a person and waits for yes or no."""

Outputs = Callable[[int], Awaitable[Sequence[str]]]
"""Absolute paths of the files that rules want of a batch. Raises `MozartError`."""

_NOBODY: Final = "nobody was there to ask; `-y` agrees"
_REFUSED: Final = "it was not done, because the answer was no"


async def always(question: str) -> bool:
    """Agrees to everything (`-y`)."""
    return True


class JobHealer:
    """The remedies of one job and one run (`engine.ports.Healer`).

    `ask` puts questions to a person; None: nobody is there, and remedies that ask become guidance. The same question is
    asked once. `state` is the live state of the job; it is read, never written. In a run that does not allow remedies
    (`RunOptions.self_healing`) nothing is looked for, also when an earlier run died while it did.
    """

    def __init__(
        self,
        site: Site,
        state: JobState,
        *,
        outputs: Outputs,
        ask: Ask | None = None,
        remedies: Sequence[Remedy] = REMEDIES,
    ) -> None:
        self._site = site
        self._state = state
        self._outputs = outputs
        self._ask = ask
        self._remedies = remedies
        self._turn = asyncio.Lock()
        self._answers: dict[str, bool] = {}
        self._mended_at: dict[str, float] = {}

    async def heal(self, ailment: Ailment) -> Healing:
        """Apply every remedy that applies; without any, say what a person should do. Never raises."""
        return await self._safely(ailment, [one for one in self._remedies if ailment.code in one.codes])

    async def begin(self) -> Healing:
        """End sessions of earlier runs that nobody follows, before the first attempt of this one. Never raises."""
        ailment = Ailment(job_id=self._state.job.job_id, batch=0, attempt=0, code="", message="")
        return await self._safely(ailment, [one for one in self._remedies if one.at_start])

    async def _safely(self, ailment: Ailment, remedies: Sequence[Remedy]) -> Healing:
        if not self._state.job.options.self_healing:
            return Healing()
        async with self._turn:
            try:
                return await self._heal(ailment, remedies)
            except Exception as error:
                return Healing("", f"looking for a remedy failed: {type(error).__name__}: {error}")

    async def _heal(self, ailment: Ailment, remedies: Sequence[Remedy]) -> Healing:
        applied: list[str] = []
        said: list[str] = []
        for remedy in remedies:
            # Anew for each: a remedy may have changed what the next one sees.
            case = await self._case(ailment)
            finding = await asyncio.to_thread(remedy.find, case) if remedy.find is not None else None
            if finding is not None:
                was_applied, text = await self._treat(remedy, finding)
                applied += [remedy.name] if was_applied else []
                said.append(text)
        if not applied and (earlier := self._mended_meanwhile(ailment, remedies)):
            return Healing(earlier, "mended while the attempt was under way")
        return Healing(", ".join(applied), " ".join(said))

    async def _case(self, ailment: Ailment) -> Case:
        outputs: Sequence[str] = ()
        if ailment.batch and ailment.code != "E502":
            try:
                outputs = await self._outputs(ailment.batch)
            except MozartError:
                outputs = ()  # a batch whose variables cannot be filled in has no files yet
        return Case(ailment, self._site, outputs, self._session_id(ailment.batch), self._followed())

    def _session_id(self, number: int) -> str:
        batch = self._state.batches.get(number)
        return batch.session_id if batch is not None else ""

    def _followed(self) -> frozenset[str]:
        batches = (self._state.batches[number] for number in self._state.agenda.running)
        return frozenset(b.session.marker for b in batches if b.session is not None and b.phase == "opened")

    async def _treat(self, remedy: Remedy, finding: Finding) -> tuple[bool, str]:
        """Whether the remedy was applied, and what people read about it."""
        if finding.effect is None:
            return False, guidance(finding)
        if remedy.manner == "asks" and not await self._agrees(finding.question):
            return False, guidance(finding, _NOBODY if self._ask is None else _REFUSED)
        try:
            await finding.effect()
        except OSError as error:
            return False, guidance(finding, f"that could not be mended: {error}")
        self._mended_at[remedy.name] = self._state.job.at
        return True, guidance(finding, finding.deed)

    async def _agrees(self, question: str) -> bool:
        if question not in self._answers and self._ask is not None:
            self._answers[question] = await self._ask(question)
        return self._answers.get(question, False)

    def _mended_meanwhile(self, ailment: Ailment, remedies: Sequence[Remedy]) -> str:
        """The remedy that somebody else's ailment had applied while this attempt was under way, if there is one."""
        batch = self._state.batches.get(ailment.batch)
        if batch is None:
            return ""
        times: Mapping[str, float] = self._mended_at
        shared = (one.name for one in remedies if one.shared and times.get(one.name, 0.0) >= batch.attempt_at > 0)
        return next(shared, "")


def guidance(finding: Finding, outcome: str = "") -> str:
    """What people read of a finding, and of what came of it."""
    facts = "; ".join(part for part in (finding.cause, outcome) if part)
    return f"{facts}. {finding.advice}".strip()
