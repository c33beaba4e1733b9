"""What all events have in common."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", gc=False):
    """Base of all events. The driver fills in `seq` (from 1, without gaps) and `at`.

    Like all records that exist by the thousand, events are kept from the cyclic garbage collector (`gc=False`): none
    can be part of a cycle, and walking 100,000 of them would hold up the event loop for hundreds of milliseconds.
    """

    seq: int = 0
    at: float = 0.0
