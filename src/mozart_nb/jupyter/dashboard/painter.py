"""When what is sent to the browser.

A running job changes hundreds of times per second; a browser, the message queue of the kernel and a person want to hear
of it a few times. The painter is asked to look at pieces of the display again (`touch`) as often as anybody likes, and
sends at most one of them per tick, the one that has waited longest, within a budget of bytes. What has not changed is
not sent.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

TICK_SECONDS: Final = 0.25
BYTES_PER_SECOND: Final = 16_000
PULSE_SECONDS: Final = 1.0
"""How often what changes with time alone (durations, countdowns) is looked at."""

MEND_SECONDS: Final = 5.0
"""How long a piece that broke is left alone."""

LATE_SECONDS: Final = 1.0
"""A tick that comes so much too late tells of a loop that did something else."""

ENVELOPE_BYTES: Final = 1_000
"""What a comm message weighs beyond the state it carries: headers, ids, the message it answers (measured with
ipykernel 7.4: 780 to 880 bytes), rounded up."""

Content = Mapping[str, Any]
"""What a piece shows, as JSON data; for a widget, its traits."""


@dataclass(eq=False)
class Piece:
    """One thing that is sent as a whole: a widget, or an output of the cell.

    `make` says what should be shown now, None for nothing new; `put` sends it. `pulses`: it changes with time alone.
    `rest_seconds` pass between two of it, unless somebody asked for it at once. `is_eager`: it may have every second
    turn. When it does not fit into the budget, others go first until it has waited for `patience_seconds`.
    """

    name: str
    make: Callable[[], Content | None]
    put: Callable[[Content], None]
    pulses: bool = False
    rest_seconds: float = 0.0
    is_eager: bool = False
    patience_seconds: float = 1.0
    shown: Content | None = None
    shown_at: float = field(default=float("-inf"))
    is_dirty: bool = False
    is_urgent: bool = False
    turn: int = 0
    refused_at: float | None = None

    def is_due(self, now: float) -> bool:
        return self.is_dirty and (self.is_urgent or now - self.shown_at >= self.rest_seconds)

    def is_impatient(self, now: float) -> bool:
        """It has been too large for what was left of the budget for too long."""
        return self.refused_at is not None and now - self.refused_at >= self.patience_seconds


class Budget:
    """How many bytes may be sent in any second. What is larger than that alone goes out after a silent second."""

    def __init__(self, bytes_per_second: int = BYTES_PER_SECOND) -> None:
        self._limit = bytes_per_second
        self._sent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def fits(self, now: float, size: int) -> bool:
        while self._sent and now - self._sent[0][0] >= 1.0:
            self._sum -= self._sent.popleft()[1]
        return not self._sent or self._sum + size <= self._limit

    def spend(self, now: float, size: int) -> None:
        self._sent.append((now, size))
        self._sum += size


class Painter:
    """Sends pieces from a timer on one event loop; every method is called on that loop's thread.

    `is_live` says whether time alone changes anything; when it does not and no piece is dirty, no timer runs.
    `pulse` is called about once a second while it does. `report(piece, error)` hears of a piece that cannot be made or
    sent: nothing is ever raised into the loop. `late_seconds` is how long the loop kept the last late tick waiting, at
    `late_at` (the loop's time).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pieces: Sequence[Piece],
        *,
        is_live: Callable[[], bool],
        report: Callable[[Piece, Exception], None],
        pulse: Callable[[], None] = lambda: None,
        budget: Budget | None = None,
    ) -> None:
        self._loop = loop
        self._pieces = {piece.name: piece for piece in pieces}
        self._is_live = is_live
        self._report = report
        self._on_pulse = pulse
        self._budget = budget or Budget()
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = float("-inf")
        self._pulsed_at = float("-inf")
        self._is_closed = False
        self._turns = 0
        self.late_seconds, self.late_at = 0.0, float("-inf")
        # Timers inherit the context they were made in, and with it the cell whose output they would belong to.
        self._context = contextvars.Context()

    @property
    def is_idle(self) -> bool:
        """Nothing is to be sent and nothing is waited for."""
        return self._timer is None

    def touch(self, *names: str, at_once: bool = False, is_rested: bool = False) -> None:
        """These pieces (all, when none is named) may have changed. Their turns come in this order.

        `at_once`: a person waits for it, so that it goes before others; `is_rested`: no rest is needed before it.
        """
        for name in names or self._pieces:
            piece = self._pieces[name]
            if is_rested:
                piece.shown_at, piece.is_dirty = float("-inf"), False
            self._soil(piece, at_once=at_once)
        self._schedule(0.0)

    def _soil(self, piece: Piece, *, at_once: bool = False) -> None:
        if not piece.is_dirty or (at_once and not piece.is_urgent):
            self._turns += 1
            piece.turn = self._turns
        piece.is_dirty = True
        piece.is_urgent = piece.is_urgent or at_once

    def forget(self, *names: str) -> None:
        """What was sent of these pieces (all, when none is named) may be gone: send them again, changed or not."""
        for name in names or self._pieces:
            self._pieces[name].shown = None
        self.touch(*names)

    def close(self) -> None:
        """Send nothing more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def flush(self, name: str) -> None:
        """Send one piece now and outside of the budget: the first word before anything is shown, or the last one."""
        self._paint(self._pieces[name], self._loop.time(), is_free=True)

    # --- ticking ------------------------------------------------------------------------------------------------------

    def _schedule(self, delay: float) -> None:
        if self._is_closed:
            return
        due = max(self._loop.time() + delay, self._ticked_at + TICK_SECONDS)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick, context=self._context)

    def _tick(self) -> None:
        now = self._loop.time()
        if self._timer is not None and now - self._timer.when() >= LATE_SECONDS:
            self.late_seconds, self.late_at = now - self._timer.when(), now
        self._timer = None
        delay = MEND_SECONDS
        try:
            self._pulse(now)
            for piece in self._waiting(now):
                if self._paint(piece, now):
                    self._ticked_at = now
                    break
            delay = self._delay(now)
        except Exception as error:  # the job could not be looked at: perhaps it can be later
            self._report(next(iter(self._pieces.values())), error)
        if delay < float("inf"):
            self._schedule(delay)

    def _pulse(self, now: float) -> None:
        if now - self._pulsed_at >= PULSE_SECONDS and self._is_live():
            self._pulsed_at = now
            self._on_pulse()
            for piece in self._pieces.values():
                if piece.pulses:
                    self._soil(piece)

    def _waiting(self, now: float) -> list[Piece]:
        """What is due: what waits impatiently or a person waits for, then what has been waiting longest."""

        def order(piece: Piece) -> tuple[bool, bool, bool, int]:
            is_eager = piece.is_eager and now - piece.shown_at >= 2 * TICK_SECONDS
            return not piece.is_impatient(now), not piece.is_urgent, not is_eager, piece.turn

        return sorted((piece for piece in self._pieces.values() if piece.is_due(now)), key=order)

    def _delay(self, now: float) -> float:
        """Seconds until the next tick; infinite when there is nothing to wait for."""
        waits = [
            0.0 if piece.is_urgent else piece.shown_at + piece.rest_seconds - now
            for piece in self._pieces.values()
            if piece.is_dirty
        ]
        if self._is_live():
            waits.append(self._pulsed_at + PULSE_SECONDS - now)
        return max(TICK_SECONDS, min(waits, default=float("inf")))

    # --- sending ------------------------------------------------------------------------------------------------------

    def _paint(self, piece: Piece, now: float, *, is_free: bool = False) -> bool:
        """Send `piece` if it has changed; whether the others have to wait, because it was sent or must be next."""
        try:
            content = piece.make()
            if content is None or content == piece.shown:
                piece.is_dirty = piece.is_urgent = False
                piece.refused_at = None
                return False
            size = ENVELOPE_BYTES + len(json.dumps(content, default=str, ensure_ascii=False).encode())
            if not is_free and not self._budget.fits(now, size):
                piece.refused_at = now if piece.refused_at is None else piece.refused_at
                return piece.is_impatient(now)
            piece.is_dirty = piece.is_urgent = False
            piece.refused_at = None
            piece.shown, piece.shown_at = content, now
            self._budget.spend(now, 0 if is_free else size)
            piece.put(content)
        except Exception as error:
            piece.is_dirty, piece.is_urgent = False, False
            piece.shown, piece.shown_at = None, now + MEND_SECONDS
            self._report(piece, error)
        return True
