"""Which batches can run, are due, or want a decision.

Derived from the records and kept up to date by `apply`, so that `step` looks at the next few batches and never at all
of them. Everything here can be rebuilt from the records (`rebuild`), which is what a load does.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mozart_nb.engine.state import BatchState, JobState
    from mozart_nb.job.plan import Edge


class Agenda:
    """The small sets that scheduling looks at.

    `fresh` holds ranges of untouched batches without dependencies, highest first; `queued` are other batches that may
    start at once; `due` batches with a time to wait for; `running` have a live attempt; of those, `parked` wait for an
    answer that comes hours later, the session of those `concluding` is over, `judged` want a decision and `healing`
    wait for a remedy; `blocking` failed and still have dependents that do not know; `unasked` are to be asked about
    before they fail. Batches with an open question are in none of them, but in `JobRecord.questions`.
    """

    __slots__ = (
        "_left",
        "_queue",
        "_state",
        "blocking",
        "concluding",
        "due",
        "due_times",
        "fresh",
        "healing",
        "judged",
        "parked",
        "queued",
        "running",
        "unasked",
    )

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._clear()

    def _clear(self) -> None:
        self.fresh: list[tuple[int, int]] = []
        self.queued: set[int] = set()
        self._queue: list[int] = []
        self.due: list[tuple[float, int]] = []
        self.due_times: dict[int, float] = {}
        self.running: set[int] = set()
        self.judged: set[int] = set()
        self.parked: set[int] = set()
        self.concluding: set[int] = set()
        self.healing: set[int] = set()
        self.blocking: set[int] = set()
        self.unasked: set[int] = set()
        self._left: dict[int, int] = {}

    def view(self) -> object:
        """What two equal states agree on, whatever way they came about."""
        return (
            self.fresh,
            self.queued,
            self.due_times,
            self.running,
            self.judged,
            self.parked,
            self.concluding,
            self.healing,
            self.blocking,
            self.unasked,
        )

    @property
    def attended(self) -> int:
        """How many batches somebody here works on right now."""
        return len(self.running) - len(self.parked)

    @property
    def in_session(self) -> int:
        """How many of these have a session open, or are about to."""
        return len(self.running) - len(self.parked) - len(self.concluding)

    # --- what step asks -----------------------------------------------------------------------------------------------

    def next_ready(self) -> int | None:
        """The lowest batch that may start now."""
        while self._queue and self._queue[0] not in self.queued:
            heappop(self._queue)
        fresh = self.fresh[-1][0] if self.fresh else None
        if self._queue and (fresh is None or self._queue[0] < fresh):
            return self._queue[0]
        return fresh

    def next_due(self) -> tuple[float, int] | None:
        """The batch that is due first, and when (epoch seconds)."""
        while self.due and self.due_times.get(self.due[0][1]) != self.due[0][0]:
            heappop(self.due)
        return self.due[0] if self.due else None

    def pass_over_due(self) -> None:
        """The batch that is due first does not begin in this run any more, however long that goes on."""
        heappop(self.due)

    def downstream(self, number: int) -> list[int]:
        """Every pending batch that waits, at any distance, for `number`."""
        found: set[int] = set()
        whole_stages: set[int] = set()
        frontier = [number]
        while frontier:
            for edge in self._state.plan.downstream(frontier.pop()):
                if edge.stage in whole_stages:
                    continue
                if edge.match == "all":
                    whole_stages.add(edge.stage)
                new = [n for n in edge.batches if n not in found and self._is_unsettled(n)]
                found.update(new)
                frontier += new
        return sorted(found)

    def _is_unsettled(self, number: int) -> bool:
        return self._state.status_of(number) in ("pending", "waiting")

    def has_dependents(self, number: int) -> bool:
        return bool(self._state.plan.downstream(number))

    # --- what apply says ----------------------------------------------------------------------------------------------

    def take(self, number: int) -> None:
        """`number` begins, or is settled without beginning: it is no longer to be started."""
        self.queued.discard(number)
        self.due_times.pop(number, None)
        self.unasked.discard(number)
        self._take_fresh(number, number)

    def take_range(self, low: int, high: int) -> None:
        """The untouched batches `low..high` are settled."""
        self._take_fresh(low, high)

    def queue(self, batch: BatchState) -> None:
        """A touched batch may start at once, or at `batch.due`."""
        if not self._selected(batch.number) or batch.question is not None:
            return
        if batch.phase == "asked":
            self.unasked.add(batch.number)
        elif batch.due:
            self.due_times[batch.number] = batch.due
            heappush(self.due, (batch.due, batch.number))
        else:
            self._enqueue(batch.number)

    def satisfied(self, number: int) -> None:
        """`number` is completed or skipped: whoever waited only for it becomes ready."""
        edges = self._state.plan.downstream(number)
        if not edges:
            return
        stage = self._state.plan.stage_of(number)
        self._left[stage] -= 1
        for edge in edges:
            if edge.match == "instance" or self._left[stage] == 0:
                for waiting in edge.batches:
                    self._release(waiting)

    def rebuild(self) -> None:
        """Derive everything anew from the records: O(number of touched batches)."""
        self._clear()
        state = self._state
        self._count_left()
        for batch in state.batches.values():
            self._place(batch)
        if self._open():
            self._spread_untouched()
        for batch in state.batches.values():
            if batch.status == "failed" and self.downstream(batch.number):
                self.blocking.add(batch.number)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _place(self, batch: BatchState) -> None:
        if batch.status == "running":
            self.running.add(batch.number)
            if batch.phase in ("finished", "judged", "healing"):
                self.concluding.add(batch.number)
            if batch.phase == "judged":
                self.judged.add(batch.number)
            elif batch.phase == "healing":
                self.healing.add(batch.number)
            elif batch.phase == "opened" and batch.session is not None and batch.session.parked:
                self.parked.add(batch.number)
        elif batch.status in ("pending", "waiting") and self._dependencies_met(batch.number) and self._open():
            self.queue(batch)

    def _open(self) -> bool:
        """Before the first run nothing is selected; the first `job.started` rebuilds."""
        return self._state.job.runs > 0

    def _count_left(self) -> None:
        state = self._state
        sources = {source for needs in state.job.plan.dependencies.values() for source in needs}
        if not sources:
            return
        self._left = {stage: len(state.plan.batches_of(stage)) for stage in sources}
        ended = [batch.number for batch in state.batches.values() if batch.status in ("completed", "skipped")]
        for low, high in state.job.skipped:
            ended.extend(range(low, high + 1))
        for number in ended:
            stage = state.plan.stage_of(number)
            if stage in self._left:
                self._left[stage] -= 1

    def _spread_untouched(self) -> None:
        """Untouched batches without dependencies as ranges, released ones one by one."""
        dependencies = self._state.job.plan.dependencies
        for low, high in self._untouched():
            if not dependencies:
                self.fresh.extend(self._selected_parts(low, high))
                continue
            for number in range(low, high + 1):
                if self._state.plan.stage_of(number) in dependencies:
                    self._release(number)
                elif self._selected(number):
                    self.fresh.append((number, number))
        self.fresh = list(_merged(iter(self.fresh)))[::-1]

    def _untouched(self) -> Iterator[tuple[int, int]]:
        """Gaps between touched batches."""
        taken = [(number, number) for number in self._state.batches]
        taken.extend(self._state.job.skipped)
        taken.sort()
        expected = 1
        for low, high in taken:
            if low > expected:
                yield expected, low - 1
            expected = max(expected, high + 1)
        if expected <= self._state.total:
            yield expected, self._state.total

    def _selected(self, number: int) -> bool:
        options = self._state.job.options
        if options.recover:
            return False
        return not options.only or any(low <= number <= high for low, high in options.only)

    def _selected_parts(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        options = self._state.job.options
        if options.recover:
            return
        for first, last in options.only or ((low, high),):
            if max(low, first) <= min(high, last):
                yield max(low, first), min(high, last)

    def _take_fresh(self, low: int, high: int) -> None:
        if not self.fresh:
            return
        first, last = self.fresh[-1]
        if first == low and high <= last:  # the usual case: the next one in order
            self.fresh.pop()
            if high < last:
                self.fresh.append((high + 1, last))
        elif low <= self.fresh[0][1] and high >= first:
            self.fresh = [part for span in self.fresh for part in _without(span, low, high)]

    def _release(self, number: int) -> None:
        """Start `number` if nothing holds it back any more."""
        if not self._dependencies_met(number) or number in self.queued or number in self.due_times:
            return
        batch = self._state.batches.get(number)
        if batch is None:
            if self._state.status_of(number) == "pending" and self._selected(number):
                self._enqueue(number)
        elif batch.status in ("pending", "waiting"):
            self.queue(batch)

    def _enqueue(self, number: int) -> None:
        self.queued.add(number)
        heappush(self._queue, number)

    def _dependencies_met(self, number: int) -> bool:
        plan = self._state.plan
        return not plan.shape.dependencies or all(self._met(edge) for edge in plan.upstream(number))

    def _met(self, edge: Edge) -> bool:
        return self._state.is_satisfied(edge.first) if edge.match == "instance" else self._left[edge.stage] == 0


def _merged(parts: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges in rising order, neighbours joined."""
    current: tuple[int, int] | None = None
    for low, high in parts:
        if current is not None and low == current[1] + 1:
            current = (current[0], high)
            continue
        if current is not None:
            yield current
        current = (low, high)
    if current is not None:
        yield current


def _without(span: tuple[int, int], low: int, high: int) -> Iterator[tuple[int, int]]:
    """What is left of `span` when `low..high` is taken out, higher part first."""
    first, last = span
    if high < first or low > last:
        yield span
        return
    if high < last:
        yield high + 1, last
    if first < low:
        yield first, low - 1
