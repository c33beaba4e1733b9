"""A job that is told what happens to it, and comms that write down what is sent: a dashboard without an engine.

    job = ToldJob(batches=10_000)
    job.happen(ev.BatchStarted(batch=1, attempt=1))

`lives` is all that a `Watched` has besides the fold of its events; what the dashboard asks of it is in `asked`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comm
import msgspec
from support.virtual_time import EPOCH

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.progress import Progress, Pulse, ShownStatus, progress_of, shown_status
from mozart_nb.engine.fold import apply
from mozart_nb.engine.state import JobState
from mozart_nb.hosts.loops import Host


class ToldJob:
    """A `jupyter.watched.Watched` without an engine; must be made on a running loop."""

    def __init__(self, batches: int = 3, workspace: Path = Path("/nowhere"), *, starts: bool = True) -> None:
        self.job_id = "told"
        self.layout = Layout(workspace, "told")
        self.config = None
        self.prepared = None
        self.host = Host(asyncio.get_running_loop(), threading.get_ident(), "test")
        self.state = JobState()
        self.pulses: dict[int, Pulse] = {}
        self.error: Exception | None = None
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.answered: list[tuple[int, str, str, int]] = []
        self.has_host = True
        self._observers: list[Callable[[Sequence[ev.Event]], None]] = []
        shape = ev.PlanShape(total=batches, total_items=batches)
        self.happen(ev.JobPlanned(job_id="told", name="told", plan=shape, seed=1, config_digest="d"))
        if starts:
            self.happen(ev.JobStarted(run_id="r1"))

    @property
    def observers(self) -> int:
        return len(self._observers)

    @property
    def now(self) -> float:
        return EPOCH + self.host.loop.time()

    @property
    def is_settled(self) -> bool:
        return self.state.is_settled

    @property
    def is_live(self) -> bool:
        return self.has_host and self.state.status in ("running", "waiting", "pausing")

    @property
    def status(self) -> ShownStatus:
        return shown_status(self.state, is_live=self.has_host)

    def progress(self) -> Progress:
        return progress_of(self.state, None, self.now, pulses=self.pulses, is_live=self.has_host)

    def happen(self, *events: ev.Event) -> None:
        """These events become true and are told, in one burst."""
        numbered = [
            msgspec.structs.replace(event, seq=self.state.job.seq + number, at=self.now)
            for number, event in enumerate(events, 1)
        ]
        for event in numbered:
            apply(self.state, event)
        for observer in list(self._observers):
            observer(numbered)

    def observe(self, observer: Callable[[Sequence[ev.Event]], None]) -> Callable[[], None]:
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def pause(self) -> None:
        self.asked.append(("pause", ()))

    def resume(self, *, batches: str = "", confirmations: Any = None, ask: Any = None) -> None:
        self.asked.append(("resume", tuple(int(number) for number in batches.split(",") if number)))

    def cancel(self) -> None:
        self.asked.append(("cancel", ()))

    def retry(self, batches: Iterable[int] = ()) -> None:
        self.asked.append(("retry", tuple(batches)))

    def answer(self, batch: int, action: ev.ReplyAction, text: str = "", *, attempt: int = 0) -> None:
        self.answered.append((batch, action, text, attempt))

    # --- whole stories ------------------------------------------------------------------------------------------------

    def start(self, *numbers: int) -> None:
        self.happen(*(ev.BatchStarted(batch=number, attempt=self._attempts(number) + 1) for number in numbers))

    def complete(self, *numbers: int) -> None:
        for number in numbers:
            self.happen(*self._session(number, ""), ev.BatchCompleted(batch=number))

    def fail(self, *numbers: int, code: str = "E201", message: str = "report.md is missing") -> None:
        for number in numbers:
            failed = ev.BatchFailed(batch=number, code=code, message=message)
            self.happen(*self._session(number, code, message), failed)

    def _session(self, number: int, code: str, message: str = "") -> Iterator[ev.Event]:
        attempt = self._attempts(number)
        if self.state.status_of(number) != "running":
            attempt += 1
            yield ev.BatchStarted(batch=number, attempt=attempt)
        yield ev.SessionOpened(batch=number, attempt=attempt)
        yield ev.SessionFinished(
            batch=number, attempt=attempt, outcome="ok", duration=1.5, cost_usd=0.01, usage=ev.Usage(1_000, 200)
        )
        if code:
            yield ev.ValidationFailed(batch=number, attempt=attempt, code=code, message=message)
        else:
            yield ev.ValidationPassed(batch=number, attempt=attempt)

    def _attempts(self, number: int) -> int:
        record = self.state.batches.get(number)
        return record.attempts if record is not None else 0


class Comms:
    """What was sent to the browser, and when: `(time, comm id, message)`; the size is that of its JSON."""

    def __init__(self) -> None:
        self.opened: dict[str, RecordedComm] = {}
        self.sent: list[tuple[float, str, dict[str, Any]]] = []
        self.clock: Callable[[], float] = lambda: 0.0

    def between(self, start: float, end: float) -> list[dict[str, Any]]:
        return [message for at, _, message in self.sent if start <= at < end]

    @staticmethod
    def size(messages: Iterable[dict[str, Any]], envelope: int = 900) -> int:
        return sum(envelope + len(json.dumps(message, default=str)) for message in messages)


class RecordedComm:
    """Stands where a comm of a kernel would."""

    kernel = "there is one"

    def __init__(self, comms: Comms, number: int) -> None:
        self.comm_id = f"comm-{number}"
        self.is_open = True
        self._comms = comms
        self._receive: Callable[[dict[str, Any]], None] = lambda message: None

    def on_msg(self, callback: Callable[[dict[str, Any]], None]) -> None:
        self._receive = callback

    def send(self, data: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self._comms.sent.append((self._comms.clock(), self.comm_id, data))

    def close(self, *args: Any, **kwargs: Any) -> None:
        self.is_open = False

    def hear(self, **state: Any) -> None:
        """A front end says that these traits have changed."""
        self._receive({"content": {"data": {"method": "update", "state": state}}, "buffers": []})


@contextmanager
def recorded_comms() -> Iterator[Comms]:
    """Widgets made inside talk to nobody; what they say is written down."""
    comms = Comms()

    def create(**_: Any) -> RecordedComm:
        made = RecordedComm(comms, len(comms.opened))
        comms.opened[made.comm_id] = made
        return made

    before, comm.create_comm = comm.create_comm, create
    try:
        yield comms
    finally:
        comm.create_comm = before


class Publisher:
    """Stands where IPython's display publisher would: the outputs of a cell by display id; updates with their time."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.outputs: dict[str, dict[str, Any]] = {}
        self.updates: list[tuple[float, str, dict[str, Any]]] = []
        self._clock = clock

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        name = (transient or {})["display_id"]
        assert update == (name in self.outputs), "an output is shown once and updated afterwards"
        self.outputs[name] = data
        if update:
            self.updates.append((self._clock(), name, data))

    @property
    def live(self) -> dict[str, Any]:
        return next(iter(self.outputs.values()))

    @property
    def static(self) -> dict[str, Any]:
        return list(self.outputs.values())[1]
