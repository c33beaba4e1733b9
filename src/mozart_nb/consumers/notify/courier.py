"""The courier: a process that delivers what is in a job's outbox, for as long as it takes, and then ends.

    python -m mozart_nb.consumers.notify.courier FOLDER [--take-over]     (the channels come through stdin)

It is in nobody's way: a run starts it and forgets it. There is one per outbox. Each channel gets its messages in
order; one that does not get through holds up its own channel alone: some quick further tries, then slower ones, and an
hour after the message was made it is recorded as failed. A message is recorded after it was sent, so a courier that
is killed in between leaves one that is sent a second time, with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import psutil

from mozart_nb.consumers.notify.messages import Delivery, DeliveryStatus, Message
from mozart_nb.consumers.notify.outbox import DELIVERIES, OUTBOX, GrowingFile, LineReader, deliveries, read_messages
from mozart_nb.consumers.notify.sending import Answer, Sender
from mozart_nb.consumers.notify.spawn import TAKE_OVER, release, take_lock, unpacked
from mozart_nb.job.notifications import NotificationConfig

ENDS_WITH: Final = "MOZART_NB_COURIER_ENDS_WITH"
"""Environment variable with a process id: a courier ends when that process has ended."""

SUCCESSOR: Final = "successor"
"""File that asks the courier at work to make room for one that knows the channels as they are now."""

_OUTCOMES: Final[Mapping[str, DeliveryStatus]] = {
    "delivered": "delivered",
    "refused": "failed",
    "skipped": "skipped",
    "again": "failed",
}


@dataclass(frozen=True)
class Pace:
    """How patient a courier is; all in seconds. `rounds` are the pauses of the slower tries, the last one repeats."""

    rounds: Sequence[float] = (15.0, 30.0, 60.0, 120.0, 240.0, 300.0)
    give_up: float = 3600.0
    linger: float = 2.0
    look: float = 0.25
    handover: float = 5.0


class Courier:
    """Delivers what is in `folder` on `channels`, in this process, until nothing is left.

    `environ` holds the variables that the channels name.
    """

    def __init__(
        self,
        folder: Path,
        channels: Sequence[NotificationConfig],
        environ: Mapping[str, str],
        *,
        pace: Pace | None = None,
        take_over: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._pace = pace or Pace()
        self._take_over = take_over
        self._now = now
        self._senders = {number: Sender(channel, environ) for number, channel in enumerate(channels, 1)}
        self._queues: dict[int, deque[Message]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._pausing: set[int] = set()
        self._broken: dict[int, Answer] = {}
        self._known: set[str] = set()
        self._lock: BinaryIO | None = None
        self._record: GrowingFile | None = None
        self._outbox = LineReader(folder / OUTBOX)
        guard = environ.get(ENDS_WITH, "")
        self._guard = int(guard) if guard.isdecimal() else 0

    async def run(self) -> bool:
        """Deliver until nothing is left; False when another courier is at work. Raises `OSError`."""
        if not await self._acquire():
            return False
        try:
            self._record = GrowingFile(self._folder / DELIVERIES)
            self._known = {one.id for one in deliveries(self._folder) if one.is_final}
            while await self._work():
                # Whoever puts something into the outbox from now on sees that nobody has the lock; what came before
                # is seen here.
                self._release()
                if not self._take_in() or not await self._acquire():
                    break
                self._leave_out_what_others_delivered()
        finally:
            await self._close()
        return True

    # --- the right to be the one --------------------------------------------------------------------------------------

    async def _acquire(self) -> bool:
        patience = self._pace.handover * 3 if self._take_over else 0.5
        ends = time.monotonic() + patience
        while (lock := take_lock(self._folder)) is None:
            if time.monotonic() > ends:
                return False
            if self._take_over:
                (self._folder / SUCCESSOR).touch(mode=0o600)
            await asyncio.sleep(min(0.05, self._pace.look))
        self._lock = lock
        self._take_over = False
        (self._folder / SUCCESSOR).unlink(missing_ok=True)  # whoever still waits asks again
        return True

    def _release(self) -> None:
        if self._lock is not None:
            release(self._lock)
            self._lock = None

    async def _close(self) -> None:
        await self._stop()
        for sender in self._senders.values():
            await sender.close()
        self._outbox.close()
        if self._record is not None:
            self._record.close()
        self._release()

    @property
    def _is_unwanted(self) -> bool:
        """Whether the folder is gone, or the process whose end is to be ours."""
        assert self._record is not None
        return self._record.is_deleted or (self._guard > 0 and not psutil.pid_exists(self._guard))

    # --- the work -----------------------------------------------------------------------------------------------------

    async def _work(self) -> bool:
        """Deliver until nothing has been left for a while. False when that was not to be waited for."""
        idle_since = time.monotonic()
        while True:
            self._take_in()
            for task in self._tasks.values():
                if task.done():
                    task.result()  # a disk that stays full ends the courier: nothing could be recorded
            for number, queue in self._queues.items():
                if queue and (number not in self._tasks or self._tasks[number].done()):
                    self._tasks[number] = asyncio.create_task(self._serve(number, queue))
            if self._is_unwanted:
                return False
            if (self._folder / SUCCESSOR).exists():
                if await self._let_go():
                    return False
                continue
            if any(not task.done() for task in self._tasks.values()):
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= self._pace.linger:
                return True
            await asyncio.sleep(self._pace.look)

    def _take_in(self) -> bool:
        """Queue what is new in the outbox; whether there was anything."""
        new = [one for one in read_messages(self._outbox.lines()) if isinstance(one, Message)]
        new = [one for one in {one.id: one for one in new}.values() if one.id not in self._known]
        for message in new:
            self._known.add(message.id)
            self._queues.setdefault(message.channel, deque()).append(message)
        return bool(new)

    async def _let_go(self) -> bool:
        """Another courier waits: what is under way may come to an end, what waits is for the other one.

        False when nobody came: whoever asked for room has died or given up, and this one goes on.
        """
        running = [task for number, task in self._tasks.items() if not task.done() and number not in self._pausing]
        if running:
            await asyncio.wait(running, timeout=self._pace.handover)
        await self._stop()
        self._release()
        await asyncio.sleep(self._pace.handover / 5)
        self._lock = take_lock(self._folder)
        if self._lock is None:
            return True
        (self._folder / SUCCESSOR).unlink(missing_ok=True)
        self._leave_out_what_others_delivered()
        return False

    async def _stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def _leave_out_what_others_delivered(self) -> None:
        done = {one.id for one in deliveries(self._folder) if one.is_final}
        for number, queue in self._queues.items():
            self._queues[number] = deque(message for message in queue if message.id not in done)

    async def _serve(self, number: int, queue: deque[Message]) -> None:
        while queue:
            await self._deliver(number, queue[0])
            queue.popleft()

    async def _deliver(self, number: int, message: Message) -> None:
        """Try until it is delivered, refused, or too old; and say so in the record."""
        sender = self._senders.get(number)
        if sender is None or not _is_for(sender, message):
            await self._note(message, Answer("skipped", "the job file has no such channel any more"), 0)
            return
        # A clock that was set back must not make an hour longer.
        deadline = min(message.created_at, self._now()) + self._pace.give_up
        if number in self._broken and self._now() > deadline:
            # The one before it has been tried for long enough, and this one is as old.
            await self._note(message, self._broken[number], 0)
            return
        attempts = 0
        while True:
            answer = await _try(sender, message)
            attempts += 1
            if answer.status != "again":
                break
            wait = self._wait_after(sender, answer, attempts)
            is_quick = attempts <= _quick_tries(sender)
            if self._now() + wait > deadline and not (is_quick and not answer.retry_after):
                self._broken[number] = answer
                break
            if attempts == _quick_tries(sender) + 1:
                await self._note(message, answer, attempts, "retrying")
            await self._pause(number, wait)
        if answer.status == "delivered":
            self._broken.pop(number, None)
        await self._note(message, answer, attempts)

    def _wait_after(self, sender: Sender, answer: Answer, attempts: int) -> float:
        """Seconds until the next try; what the receiver itself asks for is the least."""
        quick = _quick_tries(sender)
        if attempts <= quick:
            delay = sender.settings.retry_delay
            wait = (1.0 if delay is None else delay) * 2.0 ** (attempts - 1)
        else:
            wait = self._pace.rounds[min(attempts - quick, len(self._pace.rounds)) - 1]
        return max(wait, answer.retry_after)

    async def _pause(self, number: int, seconds: float) -> None:
        self._pausing.add(number)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._pausing.discard(number)

    async def _note(
        self, message: Message, answer: Answer, attempts: int, status: DeliveryStatus | None = None
    ) -> None:
        """Record it. While that fails (a full disk) the channel waits, or what was sent would be sent again.

        Raises `OSError` when it has failed for as long as a message is tried.
        """
        assert self._record is not None
        one = Delivery(
            message.id,
            message.channel,
            message.type,
            message.event,
            status or _OUTCOMES[answer.status],
            self._now(),
            attempts,
            answer.error,
            answer.http_status,
        )
        ends = time.monotonic() + self._pace.give_up
        while True:
            try:
                self._record.append([one])
            except OSError:
                if time.monotonic() > ends:
                    raise
                await self._pause(message.channel, self._pace.rounds[0])
            else:
                return


async def _try(sender: Sender, message: Message) -> Answer:
    try:
        return await sender.send(message)
    except Exception as error:  # whatever it is, the messages behind this one have their turn
        return Answer("refused", f"the message cannot be sent ({type(error).__name__})")


def _is_for(sender: Sender, message: Message) -> bool:
    """Whether this is still the channel that the message was made for, as far as its number alone can be checked."""
    return sender.channel.type == message.type and message.event in sender.channel.on_events


def _quick_tries(sender: Sender) -> int:
    tries = sender.settings.max_retries
    return 2 if tries is None else tries


def main(arguments: Sequence[str]) -> int:
    """The process. Whatever happens to it stays in it: it has nobody to tell but the record."""
    folder = Path(arguments[0])
    channels = unpacked(sys.stdin.buffer.read())
    courier = Courier(folder, channels, os.environ, take_over=TAKE_OVER in arguments)
    with contextlib.suppress(OSError):
        asyncio.run(courier.run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
