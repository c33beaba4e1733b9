"""What is told of a burst of events, however many there were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from mozart_nb import events as ev
from mozart_nb.consumers.documents import status_document
from mozart_nb.events import encode_event, without_secrets
from mozart_nb.looking.board.masks import masked_data
from mozart_nb.looking.board.watched import Reading

MOST_TOLD: Final = 100
"""Events that are told one by one in one piece of news."""

MOST_CHANGED: Final = 2_000
"""Batches that are named in one; of more it is said that it may be any."""

LONGEST_EVENT: Final = 16_384
"""Bytes of an event that is told whole; one that blocks 100,000 batches names all of them."""

MOST_BYTES: Final = 131_072
"""Bytes of events in one piece of news."""

_FAMILIES: Final = ("job", "limit", "breaker", "worktree", "remote")
_MATTERS: Final = frozenset(
    {
        kind
        for kind in map(ev.kind_of, ev.event_types())
        if kind.partition(".")[0] in _FAMILIES
        or kind in ("batch.failed", "batch.blocked", "batch.asked", "batch.answered", "batch.question_withdrawn")
    }
    - {"job.cost_update"}
)
"""Events that are told even when there are too many to tell all."""


class Digest:
    """Gathers events until they are told. Used under the lock of the job."""

    def __init__(self) -> None:
        self.count = 0
        self._all: list[ev.Event] = []
        self._main: list[ev.Event] = []
        self._changed: set[int] | None = set()

    def hear(self, events: Iterable[ev.Event]) -> None:
        """Take in a burst. A `job.planned` that is no first event begins a new journal: nothing before it counts."""
        for event in events:
            if event.seq == 1 and self.count:
                self.__init__()  # type: ignore[misc]  # as if nothing had been heard
            self.count += 1
            if len(self._all) <= MOST_TOLD:
                self._all.append(event)
            if ev.kind_of(event) in _MATTERS:
                self._main.append(event)
                del self._main[:-MOST_TOLD]
            self._note(event)

    @property
    def told(self) -> Sequence[ev.Event]:
        """All of them, or of many those that matter."""
        return self._all if self.count <= MOST_TOLD else self._main

    @property
    def changed(self) -> frozenset[int] | None:
        """Batches that look different now; None: it may be any."""
        return frozenset(self._changed) if self._changed is not None else None

    def lose_count(self) -> None:
        """Something happened that was not heard."""
        self._changed = None

    def _note(self, event: ev.Event) -> None:
        if self._changed is None:
            return
        numbers = batches_of(event)
        if numbers is None or len(self._changed) + len(numbers) > MOST_CHANGED:
            self._changed = None
        else:
            self._changed.update(numbers)


def batches_of(event: ev.Event) -> Sequence[int] | None:
    """The batches that an event is about; None when it may be any."""
    match event:
        case ev.JobPlanned() | ev.ConfigReloaded() | ev.JobStarted() | ev.JobResumed():
            return None
        case ev.BatchBlocked() | ev.BatchRenewed():
            return event.batches
        case ev.BatchSkipped() if event.last:
            return range(event.batch, event.last + 1)
        case ev.RemoteSubmitting() | ev.RemoteLost() | ev.RemoteEnded():
            return None
        case _:
            number = getattr(event, "batch", 0)
            return (number,) if number else ()


# --- as server-sent events --------------------------------------------------------------------------------------------

_encode: Final = msgspec.json.Encoder().encode


def pack(told: Iterable[ev.Event]) -> tuple[tuple[ev.Event, ...], bytes]:
    """As many of these events as one piece of news has room for, and the same as messages."""
    kept: list[ev.Event] = []
    parts: list[bytes] = []
    size = 0
    for event in told:
        part = _frame(event)
        size += len(part)
        if size > MOST_BYTES and kept:
            break
        kept.append(event)
        parts.append(part)
    return tuple(kept), b"".join(parts)


def _frame(event: ev.Event) -> bytes:
    """An event of a journal with its number as `id`; a message without a name of its own."""
    document = encode_event(without_secrets(event))
    if len(document) > LONGEST_EVENT:
        named = {"kind": ev.kind_of(event), "seq": event.seq, "at": event.at, "batch": getattr(event, "batch", 0)}
        document = _encode({**named, "cut": True})
    return b"id: %d\ndata: %s\n\n" % (event.seq, document)


def status_frame(reading: Reading, changed: frozenset[int] | None, skipped: int) -> bytes:
    """The job as it stands now: the document of its status, and which batches have changed."""
    state = reading.state
    document = status_document(
        state, reading.config, reading.now, is_live=reading.owner is not None, batches=(), **_place(reading)
    )
    document |= {
        "seq": state.job.seq,
        "record": reading.record,
        "version": reading.version,
        "changed": sorted(changed) if changed is not None else None,
        "skipped": skipped,
    }
    return named("status", masked_data(document), state.job.seq)


def _place(reading: Reading) -> dict[str, Any]:
    return {"workspace": str(reading.prepared.places.workspace)} if reading.prepared is not None else {}


def named(name: str, document: object, seq: int | None = None) -> bytes:
    """A message with a name of its own."""
    number = b"" if seq is None else b"id: %d\n" % seq
    return b"%sevent: %s\ndata: %s\n\n" % (number, name.encode(), _encode(document))
