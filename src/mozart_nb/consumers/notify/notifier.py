"""The observer of a run that puts messages into the outbox. It delivers nothing and waits for nobody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from mozart_nb import events as ev
from mozart_nb.consumers.notify.messages import WINDOW_SECONDS, Message, Stream, wanted_kinds
from mozart_nb.consumers.notify.outbox import (
    DELIVERIES,
    OUTBOX,
    Covered,
    GrowingFile,
    LineReader,
    covered,
    read_deliveries,
    unsent,
)
from mozart_nb.consumers.notify.spawn import Launch, Running, is_at_work, start_courier
from mozart_nb.engine.state import BatchState, JobRecord, JobState
from mozart_nb.job.notifications import NOT_KEPT, NotificationConfig, is_kept_out

GATHER_SECONDS: Final = 0.2
"""How long messages are gathered, so that many of them share one write that waits for the disk."""
CLOSE_SECONDS: Final = 2.0
"""How long `close` waits, at most, for the last messages to be on disk and a courier to be started.

That takes milliseconds; where it takes longer, the last message of a job, which no later run would send, is worth it.
"""
WATCH_SECONDS: Final = 2.0
"""How often the run looks whether its messages get through, while some are under way."""
OLDEST_NEWS_SECONDS: Final = 3600.0
"""What happened longer ago, in a run that left no outbox, is no news."""
MOST_UNWRITTEN: Final = 1000
"""Messages kept while the outbox cannot be written; beyond that the next start makes them again from the journal."""
_RETRY_SECONDS: Final = 5.0


class Notifier:
    """Turns what happens into messages, in the outbox of the job.

    `channels` are the job's `notifications`; `outbox` is a folder for this alone in the job's folder; `state` is the
    driver's, read inside `observe` only; `read_since` gives the events of the journal after a `seq`, of which only
    those of `wanted_kinds(channels)` count; `tell` gets a sentence for people, from any thread. Cheap to make: the
    folder is touched by a thread that starts with the first event.

    A message is made once for each event and channel however often a host dies: whoever starts next reads in the
    outbox how far it goes, and makes what is missing from the journal.
    """

    def __init__(
        self,
        *,
        channels: Sequence[NotificationConfig],
        outbox: Path,
        state: JobState,
        read_since: Callable[[int], Iterator[ev.Event]],
        tell: Callable[[str], None],
        launch: Launch = start_courier,
    ) -> None:
        self._channels = tuple(channels)
        self._folder = outbox
        self._state = state
        self._read_since = read_since
        self._tell = tell
        self._launch = launch
        self._before: JobRecord = state.job.still()
        kinds = wanted_kinds(channels)
        self._types = frozenset(one for one in ev.event_types() if ev.kind_of(one) in kinds)
        host = socket.gethostname()
        self._streams = [
            Stream(number, channel, host, self._before.seq) for number, channel in enumerate(self._channels, 1)
        ]
        self._host = host
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread: threading.Thread | None = None
        self._said: set[str] = set()
        # The thread's own:
        self._file: GrowingFile | None = None
        self._answers: LineReader | None = None
        self._unwritten: list[Message] = []
        self._marked: dict[int, int] = {}
        self._under_way: set[str] = set()
        self._has_launched = False
        self._courier: Running | None = None

    # --- on the loop --------------------------------------------------------------------------------------------------

    async def observe(self, events: Sequence[ev.Event]) -> None:
        """Take a burst into account; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mozart-notify", daemon=True)
            self._thread.start()
        if not self._thread.is_alive():
            return
        now, job, batches = time.time(), self._state.job, self._state.batches
        with self._changed:
            for event in events:
                if type(event) in self._types:
                    for stream in self._streams:
                        stream.add(event, job, batches, now)
            last = max((event.seq for event in events), default=0)
            for stream in self._streams:
                stream.saw(last)
            if any(stream.is_ready for stream in self._streams):
                self._changed.notify()

    async def close(self) -> None:
        """Put what is left into the outbox; waits for that no longer than `CLOSE_SECONDS`."""
        if self._thread is None:
            return
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join, CLOSE_SECONDS)

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._open()
            while not self._turn():
                continue
        except Exception as error:  # whatever it is, the run goes on
            self._say(f"notifications stopped working ({type(error).__name__}: {error}); the job goes on without them")
        finally:
            for file in (self._file, self._answers):
                if file is not None:
                    file.close()

    def _open(self) -> None:
        """Make the messages that a host before this one did not get to make, and have the rest of them delivered."""
        for number, channel in enumerate(self._channels, 1):
            if is_kept_out(channel):
                name = f"notifications of channel {number} (`{channel.type}`)"
                self._say(f"{name} are not sent: {NOT_KEPT}", about=name)
        known = covered(self._folder)
        self._file = GrowingFile(self._folder / OUTBOX)
        self._answers = LineReader.at_end(self._folder / DELIVERIES)
        try:
            self._unwritten += self._missed(known)
        except Exception as error:  # a journal that cannot be read is told by whoever needs it
            self._say(f"what happened before this run is not told ({type(error).__name__}: {error})")
        if self._unwritten or known is None:
            self._write({stream.number: self._before.seq for stream in self._streams})
        left = unsent(self._folder)
        self._under_way |= {message.id for message in left}
        if left and not self._has_launched:
            self._dispatch()

    def _missed(self, known: Mapping[int, int] | None) -> list[Message]:
        """What the journal tells and the outbox does not."""
        before = self._before
        if not before.seq:
            return []
        since = {one.number: known.get(one.number, before.seq) for one in self._streams} if known is not None else {}
        oldest = 0.0
        if known is None:  # the last run left no outbox: either it had no channels, or it died before it made one
            if before.status in ("paused", "completed", "failed", "cancelled"):
                return []
            since = {one.number: 0 for one in self._streams}
            oldest = max(before.run_started_at, time.time() - OLDEST_NEWS_SECONDS)
        streams = [
            Stream(number, channel, self._host, since[number]) for number, channel in enumerate(self._channels, 1)
        ]
        nothing: Mapping[int, BatchState] = {}
        now = time.time()
        for event in self._read_since(min(since.values())):
            if event.seq > before.seq:
                break
            if type(event) in self._types and event.at >= oldest:
                for stream in streams:
                    if event.seq > since[stream.number]:
                        stream.add(event, before, nothing, now)
        for stream in streams:
            stream.flush(now)
        return sorted((message for stream in streams for message in stream.take()), key=lambda message: message.seq)

    def _turn(self) -> bool:
        """Wait for something to do, and do it. True when that was the last time."""
        with self._changed:
            if not self._is_closing and not any(stream.is_ready for stream in self._streams):
                self._changed.wait(self._pause())
            if any(stream.is_ready for stream in self._streams):
                self._changed.wait_for(lambda: self._is_closing, GATHER_SECONDS)
            closing, now = self._is_closing, time.time()
            for stream in self._streams:
                if closing or stream.is_due(now):
                    stream.flush(now)
            self._unwritten += [message for stream in self._streams for message in stream.take()]
            marks = {stream.number: stream.covered for stream in self._streams}
        if self._unwritten or (closing and marks != self._marked):
            self._write(marks)
        self._watch()
        return closing

    def _pause(self) -> float | None:
        """Seconds until something has to be done unasked; None when nothing has."""
        dues = [stream.due for stream in self._streams if stream.due is not None]
        waits = [min(max(0.0, min(dues) - time.time()), WINDOW_SECONDS)] if dues else []
        if self._unwritten:
            waits.append(_RETRY_SECONDS)
        if self._under_way:
            waits.append(WATCH_SECONDS)
        return min(waits, default=None)

    def _write(self, marks: dict[int, int]) -> None:
        assert self._file is not None
        records = [*self._unwritten, Covered({str(number): seq for number, seq in marks.items()})]
        try:
            self._file.append(records)
        except OSError as error:
            if len(self._unwritten) > MOST_UNWRITTEN:
                raise
            self._say(f"notifications cannot be put into {self._folder} ({error.strerror}); they follow when they can")
            return
        self._marked = marks
        self._under_way |= {message.id for message in self._unwritten}
        if self._unwritten:
            self._unwritten = []
            self._dispatch()

    def _dispatch(self) -> None:
        """Have somebody deliver what is in the outbox.

        The first time in a run that is a courier with the channels as they are now. Later the one that is at work will
        do: it looks into the outbox once more after it has given back its lock.
        """
        try:
            if self._has_launched and is_at_work(self._folder):
                return
            self._courier = self._launch(self._folder, self._channels, not self._has_launched)
            self._has_launched = True
        except OSError as error:
            self._say(f"no process to deliver notifications could be started ({error}); the next run of the job tries")

    def _watch(self) -> None:
        """Say once for each channel that it does not work."""
        if self._answers is None or not self._under_way:
            return
        if self._courier is not None and self._courier.poll():
            said = f"the process that delivers notifications cannot work here (exit code {self._courier.poll()})"
            self._say(f"{said}; `mozart notify-test` shows whether they arrive, the next run of the job tries again")
            self._courier = None
        for one in read_deliveries(self._answers.lines()):
            if one.is_final:
                self._under_way.discard(one.id)
            if one.status == "delivered" or not 0 < one.channel <= len(self._channels):
                continue
            name = f"notifications of channel {one.channel} (`{one.type}`)"
            if one.status == "skipped":
                self._say(f"{name} are not shown: {one.error}", about=name)
            elif one.status == "retrying":
                self._say(f"{name} do not arrive: {one.error}; this is tried again for an hour", about=name)
            else:
                self._say(f"{name} do not arrive: {one.error}; `mozart notify-test` shows more", about=name)

    def _say(self, text: str, *, about: str = "") -> None:
        """Tell people, once about each thing."""
        if (about or text) not in self._said:
            self._said.add(about or text)
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens any more
                self._tell(text)
