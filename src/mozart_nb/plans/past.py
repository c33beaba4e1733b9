"""What sessions took so far: lengths of answers, costs and times of batches that are completed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.index import layouts_in
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.errors import MozartError
from mozart_nb.job.estimates import Span, measured
from mozart_nb.job.prices import same_model
from mozart_nb.plans.prepared import Prepared
from mozart_nb.plans.previews import spread

MOST_JOBS = 10
MOST_BATCHES = 2000
"""Batches of one job that are looked at, evenly spread."""

_API = ("anthropic_api", "anthropic_batches")


@dataclass
class Past:
    """Completed batches, all attempts of each together: tokens answered, US dollars, seconds.

    `source` says whose they are. Batches whose answer was kept from before, and rehearsals, do not count.
    """

    source: str = ""
    answers: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def answer(self) -> Span | None:
        return measured(self.answers)

    @property
    def cost(self) -> Span | None:
        return measured(self.costs)

    @property
    def duration(self) -> Span | None:
        return measured(self.seconds)

    def take(self, batch: BatchState) -> None:
        """Add a completed batch."""
        if batch.usage.output_tokens:
            self.answers.append(batch.usage.output_tokens)
        if batch.cost_known and batch.cost_usd:
            self.costs.append(batch.cost_usd)
        if batch.duration:
            self.seconds.append(batch.duration)


def past_of(prepared: Prepared, model: str) -> Past:
    """What batches like those of `prepared` took: of the job itself if it has any, else of jobs in its workspace.

    Alike are batches of the same model through the API, or of the same model through the `claude` program (an empty
    `model` there stands for whatever the program chose).
    """
    past = _collected([prepared.layout], prepared, model)
    if past.answers:
        past.source = f"{len(past.answers):,} completed batches of this job"
        return past
    others = [layout for layout in layouts_in(prepared.places.workspace) if layout.root != prepared.layout.root]
    past = _collected(others[:MOST_JOBS], prepared, model)
    past.source = f"{len(past.answers):,} completed batches of other jobs in this workspace" if past.answers else ""
    return past


def _collected(layouts: list[Layout], prepared: Prepared, model: str) -> Past:
    past = Past()
    kinds = _API if prepared.loaded.config.backend.type in _API else (prepared.loaded.config.backend.type,)
    for layout in layouts:
        for batch in _completed(layout, kinds):
            if not model or same_model(batch.model, model):
                past.take(batch)
    return past


def _completed(layout: Layout, kinds: tuple[str, ...]) -> Iterator[BatchState]:
    state = _state_of(layout)
    if state is None or state.job.backend not in kinds:
        return
    numbers = sorted(number for number, batch in state.batches.items() if batch.status == "completed")
    for place in spread(len(numbers), MOST_BATCHES):
        batch = state.batches[numbers[place - 1]]
        if not batch.reused:
            yield batch


def _state_of(layout: Layout) -> JobState | None:
    """The job's state; None when there is none that could be read: history is a help, not a condition."""
    if not layout.exists:
        return None
    try:
        return look(layout).state
    except (MozartError, OSError):
        return None
