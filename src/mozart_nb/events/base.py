"""What all events have in common."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Base of all events. The driver fills in `seq` (from 1, without gaps) and `at`."""

    seq: int = 0
    at: float = 0.0
