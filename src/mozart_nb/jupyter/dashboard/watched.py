"""What a dashboard needs of a job: `Job` has it, and so has any stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.progress import Progress, Pulse, ShownStatus
from mozart_nb.engine.ports import Confirmations
from mozart_nb.engine.state import JobState
from mozart_nb.events import Event, ReplyAction
from mozart_nb.healing import Ask
from mozart_nb.hosts.loops import Host
from mozart_nb.job.model import JobConfig
from mozart_nb.plans.prepared import Prepared


class Watched(Protocol):
    """A job, settled or running, here or in another process.

    `state` is only touched on the host's thread; the verbs return at once and may be called from any thread.
    """

    @property
    def job_id(self) -> str: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def config(self) -> JobConfig | None: ...
    @property
    def prepared(self) -> Prepared | None: ...
    @property
    def host(self) -> Host: ...
    @property
    def status(self) -> ShownStatus: ...
    @property
    def is_live(self) -> bool: ...
    @property
    def is_settled(self) -> bool: ...
    @property
    def state(self) -> JobState: ...
    @property
    def pulses(self) -> Mapping[int, Pulse]: ...
    @property
    def error(self) -> Exception | None: ...

    def progress(self) -> Progress: ...

    def observe(self, observer: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Hear bursts of events on the host's loop; returns what ends that."""

    def pause(self) -> Any: ...
    def resume(
        self, *, batches: str = "", confirmations: Confirmations | None = None, ask: Ask | None = None
    ) -> Any: ...
    def cancel(self) -> Any: ...
    def retry(self, batches: Iterable[int] = ()) -> Any: ...
    def answer(self, batch: int, action: ReplyAction, text: str = "", *, attempt: int = 0) -> Any: ...
