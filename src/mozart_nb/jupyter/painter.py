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

ENVELOPE_BYTES: Final = 900
"""What a comm message weighs beyond the state it carries: headers, ids, the message it answers (measured with
ipykernel 7.4: 780 to 880 bytes)."""

Content = Mapping[str, Any]
"""What a piece shows, as JSON data; for a widget, its traits."""


@dataclass(eq=False)
class Piece:
    """One thing that is sent as a whole: a widget, or an output of the cell.

    `make` says what should be shown now, None for nothing new; `put` sends it. `pulses`: it changes with time alone.
    `rest_seconds` pass between two of it, unless somebody asked for it at once.
    """

    name: str
    make: Callable[[], Content | None]
    put: Callable[[Content], None]
    pulses: bool = False
    rest_seconds: float = 0.0
    shown: Content | None = None
    shown_at: float = field(default=float("-inf"))
    is_dirty: bool = False
    is_urgent: bool = False
    turn: int = 0

    def is_due(self, now: float) -> bool:
        return self.is_dirty and (self.is_urgent or now - self.shown_at >= self.rest_seconds)


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
        self._pulse(now)
        for piece in self._waiting(now):
            if self._paint(piece, now):
                self._ticked_at = now
                break
        self._go_on(now)

    def _pulse(self, now: float) -> None:
        if now - self._pulsed_at >= PULSE_SECONDS and self._is_live():
            self._pulsed_at = now
            self._on_pulse()
            for piece in self._pieces.values():
                if piece.pulses:
                    self._soil(piece)

    def _waiting(self, now: float) -> list[Piece]:
        """What is due: what a person waits for, then what has been waiting longest."""
        due = [piece for piece in self._pieces.values() if piece.is_due(now)]
        return sorted(due, key=lambda piece: (not piece.is_urgent, piece.turn))

    def _go_on(self, now: float) -> None:
        waits = [
            0.0 if piece.is_urgent else piece.shown_at + piece.rest_seconds - now
            for piece in self._pieces.values()
            if piece.is_dirty
        ]
        if self._is_live():
            waits.append(self._pulsed_at + PULSE_SECONDS - now)
        if waits:
            self._schedule(max(TICK_SECONDS, min(waits)))

    # --- sending ------------------------------------------------------------------------------------------------------

    def _paint(self, piece: Piece, now: float, *, is_free: bool = False) -> bool:
        """Send `piece` if it has changed; whether this was the turn of this tick."""
        try:
            content = piece.make()
            if content is None or content == piece.shown:
                piece.is_dirty = piece.is_urgent = False
                return False
            size = ENVELOPE_BYTES + len(json.dumps(content, default=str))
            if not is_free and not self._budget.fits(now, size):
                return True  # the others wait too, or a large piece would wait for ever
            piece.is_dirty = piece.is_urgent = False
            piece.shown, piece.shown_at = content, now
            self._budget.spend(now, 0 if is_free else size)
            piece.put(content)
        except Exception as error:
            piece.is_dirty, piece.is_urgent = False, False
            piece.shown, piece.shown_at = None, now + MEND_SECONDS
            self._report(piece, error)
        return True
