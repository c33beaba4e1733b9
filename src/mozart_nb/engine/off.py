"""What stands in where something is not wanted: ports that do nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mozart_nb import events as ev
from mozart_nb.engine.ports import Ailment, AnswerReading, Claim, Ending, Healing, SessionRequest


class FreeText:
    """Any answer will do (`engine.ports.AnswerContract`)."""

    wants_data = False

    def schema(self, rows: int) -> Mapping[str, Any] | None:
        """There is none."""
        return None

    def instructions(self, rows: int) -> str:
        """Nothing is said about the form."""
        return ""

    async def read(self, text: str, data: Any, rows: int) -> AnswerReading:
        """Nothing is wrong with any text."""
        return AnswerReading()


class NothingKept:
    """No answer is ever kept (`engine.ports.KeptAnswers`)."""

    async def claim(self, batch: int, content: str) -> Claim:
        """Nothing is known of any request."""
        return Claim("")


class NoHealer:
    """Nothing is ever mended (`engine.ports.Healer`)."""

    async def begin(self) -> Healing:
        """Nothing is looked for."""
        return Healing()

    async def heal(self, ailment: Ailment) -> Healing:
        """There is no remedy."""
        return Healing()


class FreeTurns:
    """It is always one's turn (`engine.ports.Turns`): no other job is on this host, or none that matters."""

    def begin(self, wake: Callable[[], None]) -> None:
        """Nobody is ever refused, so nobody is woken."""

    def may_start(self, open_sessions: int, batch: int) -> bool:
        """Always."""
        return True

    def settle(self, open_sessions: int, wanting: bool) -> None:
        """Nobody counts."""

    def close(self) -> None:
        """Nothing was kept."""


class NoPost:
    """Every request is answered while somebody waits (`engine.desk.Post`)."""

    takes_requests = False

    def begin(self, *_: object) -> None:
        """Nothing was left by earlier hosts."""

    async def room(self, batch: int) -> None:
        """There is always room."""

    async def hand_in(self, request: SessionRequest) -> None:
        """Nobody hands anything in here."""

    def stop(self, *, cancel: bool) -> None:
        """Nothing is on its way."""

    def go_on(self) -> None:
        """Nothing was stopped."""

    async def close(self) -> None:
        """Nothing is at work."""


class NotIsolated:
    """Sessions work in the working directory itself (`engine.ports.Isolation`), whatever those of earlier runs did."""

    def __init__(self, worktree: str = "", branch: str = "") -> None:
        self._worktree = worktree
        self._branch = branch

    def wind_up(self, ending: Ending, note: Callable[[ev.Event], None]) -> None:
        """A worktree of earlier runs stays as it is."""
        reason = "the job is not isolated any more"
        note(ev.WorktreeKept(worktree=self._worktree, branch=self._branch, reason=reason))

    async def close(self) -> None:
        """Nothing is held."""
