"""A run of this process, from the moment it was asked for: what it was told, and what begins when it is over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mozart_nb import events as ev
from mozart_nb.engine.driver import Driver
from mozart_nb.engine.ports import Request
from mozart_nb.hooks import CHAIN_VARIABLE
from mozart_nb.plans.prepared import Prepared

_UNFINISHED: Final = frozenset({"paused", "failed", "cancelled"})


@dataclass
class Wish:
    """A run that was asked for: with which config, told what, and `how` as `run_job` takes it.

    `chain` is the chain of jobs that it goes on with (`hooks.chain`), where that is not the one of this process.
    """

    prepared: Prepared
    options: ev.RunOptions
    how: Mapping[str, Any] = field(default_factory=dict)
    chain: str = ""

    @property
    def is_special(self) -> bool:
        """Whether somebody else's run of the job is not what was wanted."""
        return any(self.how.get(name) for name in ("fresh", "anew", "reload"))

    @property
    def environ(self) -> Mapping[str, str] | None:
        """What its hooks get as their environment; None for that of this process."""
        return {**os.environ, CHAIN_VARIABLE: self.chain} if self.chain else None

    @property
    def job(self) -> Prepared:
        """The job as it is run: with its new config, if it is to take one."""
        return self.how.get("reload") or self.prepared


class LocalRun:
    """A run of this process. Methods are called in the host's thread; the last word of a person counts."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.driver: Driver | None = None
        self._waiting: list[Request] = []
        self._is_cancelled = False
        self._next: Wish | None = None
        self._next_after: frozenset[str] = frozenset()
        self._hooks: asyncio.Future[Any] | None = None

    @property
    def is_to_stop(self) -> bool:
        """Whether it was asked to stop before it had begun."""
        return any(request.kind in ("pause", "cancel", "handover") for request in self._waiting)

    @property
    def is_over(self) -> bool:
        """Whether the job has settled: what is left to do is to put things away, and its hooks."""
        return self.driver is not None and self.driver.state.is_settled

    def takes(self, kind: str) -> bool:
        """Whether there is anything left of which somebody could ask that."""
        if self.driver is None or not self.is_over or self._next is not None:
            return True
        if self.driver.state.status == "completed":
            return kind == "cancel" and bool(self.wish.job.loaded.config.on_success)
        return kind == "cancel" and self.driver.state.status != "cancelled"

    # --- asking -------------------------------------------------------------------------------------------------------

    def attach(self, driver: Driver) -> None:
        """It has begun; what was asked of it meanwhile is asked now."""
        self.driver = driver
        for request in self.left():
            driver.request(request)

    def left(self) -> list[Request]:
        """What nobody has heard yet; it is forgotten here."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def request(self, request: Request) -> None:
        if request.kind in ("pause", "cancel", "handover"):
            self._next = None
        if request.kind == "cancel":
            self._is_cancelled = True
            if self._hooks is not None:
                self._hooks.cancel()
        if request.kind == "cancel" and self.is_over:
            # Too late for this run: one that only ends what is left open is told.
            self._next = Wish(self.wish.job, ev.RunOptions(keep_failed=True, recover=True))
            self._next_after = frozenset({"paused", "failed"})
            self._waiting = [request]
        elif self.driver is None:
            self._waiting.append(request)
        else:
            self.driver.request(request)

    def want_back(self, wish: Wish) -> None:
        """No pause, if that still can be; else `wish` begins once it has settled."""
        self._waiting = [request for request in self._waiting if request.kind != "pause"]
        self._next_after = self._what_is_lost()
        self._next = wish if self._next_after else None
        if self.driver is not None:
            # Also while nobody stops it: a pause may be on its way, and this comes behind it.
            self.driver.request(Request(kind="resume", by="notebook"))

    def _what_is_lost(self) -> frozenset[str]:
        """How it may settle although somebody wants it to go on."""
        if self._is_cancelled or self.is_over:
            return _UNFINISHED
        stop = self.driver.state.job.stop if self.driver is not None else None
        if stop is None:
            return frozenset()
        return frozenset({"paused"}) if stop.is_asked else _UNFINISHED

    def withdrawn(self) -> None:
        """The pause was withdrawn: nothing needs to begin again."""
        if self._next_after != _UNFINISHED:
            self._next = None

    # --- what comes next ----------------------------------------------------------------------------------------------

    def next(self, status: str) -> Wish | None:
        """What begins now that the job has settled with `status`; it is then about that."""
        found = self._next if status in self._next_after else None
        if found is not None:
            self.wish, self.driver = found, None
            self._next, self._is_cancelled = None, False
        return found

    async def finish(self, hooks: Coroutine[Any, Any, Any], say: Callable[[str], None]) -> None:
        """Run the hooks, which a cancel ends. Raises what they raise."""
        self._hooks = asyncio.ensure_future(hooks)
        if self._is_cancelled:
            self._hooks.cancel()
        try:
            await asyncio.wait([self._hooks])
        finally:
            self._hooks.cancel()
        if self._hooks.cancelled():
            job = self.wish.job.job_id
            say(f"the hooks are cancelled; `mozart resume {job}` in a terminal runs those that have not run")
        else:
            self._hooks.result()
