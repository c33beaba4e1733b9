"""What a page shows of a job's past, without waiting for a long journal to be read: what is known, meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass, field
from typing import Final

from mozart_nb.errors import MozartError
from mozart_nb.jupyter.server.pages.charts import Settled
from mozart_nb.looking.board import Board, StillReadingError
from mozart_nb.looking.timeline import Moments

PATIENCE_SECONDS: Final = 0.4
"""How long a page waits for the past before it is shown without."""

_THREADS: Final = 2
_MOST_KEPT: Final = 32
_CHART_SECONDS: Final = 2.0
_CHART_SHARE: Final = 20
"""A chart is used for so many times as long as it took to make."""


@dataclass(frozen=True, slots=True)
class Known:
    """The past as far as it is known. `is_whole` False: more of it is being read."""

    moments: Moments
    settled: Settled | None
    is_whole: bool


@dataclass(slots=True)
class _Job:
    moments: Moments = field(default_factory=Moments)
    settled: Settled | None = None
    charted: int = -1
    good_until: float = 0.0
    under_way: Future[None] | None = None


class Past:
    """The past of the jobs that were looked at last; each is read by one thread at a time, whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[tuple[str, str], _Job] = OrderedDict()  # one that is started over has another record
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="mozart-pages-past")

    def of(self, board: Board, key: str, record: str, seq: int) -> Known:
        """What is known of a job whose last event is `seq` of this `record`. Waits a moment for what is not."""
        with self._lock:
            job = self._jobs.setdefault((key, record), _Job())
            self._jobs.move_to_end((key, record))
            while len(self._jobs) > _MOST_KEPT:
                self._jobs.popitem(last=False)
            if job.under_way is None or job.under_way.done():
                is_known = job.charted == seq or (job.settled is not None and time.monotonic() < job.good_until)
                job.under_way = None if is_known else self._pool.submit(_read, board, key, job)
            under_way = job.under_way
        if under_way is not None:
            with contextlib.suppress(NotYetError, MozartError, OSError):
                under_way.result(PATIENCE_SECONDS if job.settled is None else 0.0)
        return Known(job.moments, job.settled, job.settled is not None)

    def close(self) -> None:
        """Read nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _read(board: Board, key: str, job: _Job) -> None:
    """Read it to its end, however long that takes. Raises what the board raises."""
    while True:
        try:
            moments = board.moments(key)
            break
        except StillReadingError:
            continue
    began = time.monotonic()
    if moments.last_seq > 1:
        state = board.frame(key, moments.last_seq).state
        ends = ((one.status, one.finished_at) for one in state.batches.values())
        job.settled = Settled.of(ends, moments.first_at, moments.last_at)
        took = time.monotonic() - began
        job.good_until = began + max(_CHART_SECONDS, _CHART_SHARE * took)
    job.moments, job.charted = moments, moments.last_seq
