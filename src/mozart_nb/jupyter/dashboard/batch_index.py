"""Which batches have which status, kept up to date from events.

The table and the map of a dashboard are asked for again and again while a job runs; with this index no look at them
walks over all batches, however many there are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, get_args

from mozart_nb import events as ev
from mozart_nb.codes import lookup
from mozart_nb.engine.state import BatchState, BatchStatus, JobState
from mozart_nb.jupyter.looks.picture import StatusMap

STATUSES: Final[tuple[BatchStatus, ...]] = get_args(BatchStatus)
"""Every status of a batch."""

Filter = Literal["all"] | BatchStatus

CODE: Final[dict[str, int]] = {status: code for code, status in enumerate(STATUSES)}


_ANYTHING_MAY_CHANGE: Final = (
    ev.JobPlanned,
    ev.JobStarted,
    ev.JobResumed,
    ev.JobPaused,
    ev.JobFailed,
    ev.JobCancelled,
    ev.ConfigReloaded,
)
"""Events that may give many batches another status at once."""


class Troubles:
    """The batches that failed, by error code."""

    def __init__(self) -> None:
        self._code_of: dict[int, str] = {}
        self._numbers: dict[str, list[int]] = {}
        self._message: dict[str, str] = {}

    def look(self, number: int, batch: BatchState | None) -> None:
        """Take a batch as it is now."""
        code = batch.code if batch is not None and batch.status == "failed" else ""
        before = self._code_of.pop(number, "")
        if before and before != code:
            numbers = self._numbers[before]
            del numbers[bisect_left(numbers, number)]
        if code and batch is not None:
            self._code_of[number] = code
            if before != code:
                insort(self._numbers.setdefault(code, []), number)
            self._message[code] = batch.message

    def groups(self) -> list[dict[str, Any]]:
        """One group per code, the most frequent first, as `jupyter.looks.errors` shows them; `count` is of batches."""
        found = [(code, numbers) for code, numbers in self._numbers.items() if numbers]
        return [self._group(code, numbers) for code, numbers in sorted(found, key=lambda pair: -len(pair[1]))]

    def _group(self, code: str, numbers: list[int]) -> dict[str, Any]:
        row = lookup(code)
        return {
            "code": code,
            "meaning": row.meaning,
            "advice": row.advice,
            "count": len(numbers),
            "unresolved": len(numbers),
            "unresolved_batches": numbers,
            "last_message": self._message[code],
        }


class BatchIndex:
    """The batches of one job by status.

    `hear` costs O(1) per event but for the few that concern the job as a whole. `map` is drawn from it.
    """

    def __init__(self, state: JobState) -> None:
        self.map = StatusMap(0)
        self._codes = bytearray()
        """One byte per batch, batch 1 first: the place of its status in `STATUSES`."""
        self._numbers: dict[str, list[int]] = {}
        self.troubles = Troubles()
        self.rebuild(state)

    @property
    def total(self) -> int:
        return len(self._codes)

    def rebuild(self, state: JobState) -> None:
        """Take everything anew from the state: O(number of batches)."""
        codes = bytearray([CODE["pending"]]) * state.total
        for low, high in state.job.skipped:
            codes[low - 1 : high] = bytes([CODE["skipped"]]) * (high - low + 1)
        for number, batch in state.batches.items():
            if number <= len(codes):
                codes[number - 1] = CODE[batch.status]
        numbers: list[list[int]] = [[] for _ in STATUSES]
        for number, code in enumerate(codes, 1):
            numbers[code].append(number)
        self._codes = codes
        self._numbers = dict(zip(STATUSES, numbers, strict=True))
        self.map = StatusMap(len(codes))
        for status in STATUSES:
            if status != "pending":
                self.map.update((number, status) for number in self._numbers[status])
        self.troubles = Troubles()
        for number, batch in state.batches.items():
            self.troubles.look(number, batch)

    def hear(self, state: JobState, events: Iterable[ev.Event]) -> set[int]:
        """Take in what happened; the batches it happened to. `state` may know more than the events say."""
        touched: set[int] = set()
        for event in events:
            if isinstance(event, _ANYTHING_MAY_CHANGE):
                self.rebuild(state)
            elif isinstance(event, ev.BatchBlocked):
                touched.update(event.batches)
            elif isinstance(event, ev.BatchRenewed):
                touched.update(event.batches, self._numbers["blocked"])
            elif isinstance(event, ev.BatchSkipped) and event.last:
                touched.update(range(event.batch, event.last + 1))
            elif number := getattr(event, "batch", 0):
                if isinstance(event, ev.BatchCompleted) and self._has("failed", number):
                    touched.update(self._numbers["blocked"])  # those behind it may be free now
                touched.add(number)
        for number in touched:
            if number <= len(self._codes):
                self._move(number, state.status_of(number))
                self.troubles.look(number, state.batches.get(number))
        return touched

    def agrees(self, state: JobState) -> bool:
        """Whether the counts are those of `state`; not so while events are still on their way."""
        return len(self._codes) == state.total and all(
            len(self._numbers[status]) == state.count(status) for status in STATUSES
        )

    def count(self, which: Filter) -> int:
        """How many batches a filter lets through."""
        return len(self._of(which))

    def window(self, which: Filter, first: int, size: int) -> list[int]:
        """At most `size` batches that a filter lets through, from the `first`th (0-based) on, in their order."""
        return list(self._of(which)[first : first + size])

    def place(self, which: Filter, number: int) -> int:
        """How many batches that the filter lets through come before `number`."""
        return bisect_left(self._of(which), number)

    def _of(self, which: Filter) -> Sequence[int]:
        return range(1, len(self._codes) + 1) if which == "all" else self._numbers[which]

    def _has(self, status: BatchStatus, number: int) -> bool:
        return number <= len(self._codes) and self._codes[number - 1] == CODE[status]

    def _move(self, number: int, status: BatchStatus) -> None:
        before = STATUSES[self._codes[number - 1]]
        if before == status:
            return
        numbers = self._numbers[before]
        del numbers[bisect_left(numbers, number)]
        insort(self._numbers[status], number)
        self._codes[number - 1] = CODE[status]
        self.map.set(number, status)
