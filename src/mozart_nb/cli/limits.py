"""The command `limits`: the rate limits that all jobs of an account wait for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from mozart_nb.cli.output import OK, Output, status_text
from mozart_nb.consumers.rows import iso
from mozart_nb.errors import MisuseError
from mozart_nb.gate import GateEntry
from mozart_nb.runtime import gate_book
from mozart_nb.words import clock, moment, one_line, time_of_day


def limits(output: Output, *, clear: bool, account: str | None) -> int:
    """Show the rate-limit gates that all jobs of an account share, or open them."""
    book = gate_book()
    if account is not None and account not in {entry.key for entry in book.entries()}:
        known = ", ".join(entry.key for entry in book.entries()) or "none"
        raise MisuseError(f"there is no gate `{account}`", hint=f"known: {known}")
    cleared = book.clear(account) if clear else []
    now = time.time()
    entries = [entry for entry in book.entries() if account in (None, entry.key)]
    if output.json:
        output.document({"gates": [_gate(entry, now) for entry in entries], "cleared": [e.key for e in cleared]})
        return OK
    for entry in cleared:
        output.say(f"opened {entry.key}: work goes on with one attempt that tries")
    if clear and not cleared:
        output.say("no gate was closed")
    _show_gates(output, entries, now)
    return OK


def _gate(entry: GateEntry, now: float) -> dict[str, Any]:
    reading = entry.reading
    return {
        "account": entry.key,
        "name": entry.account,
        "closed": reading.closed,
        "code": reading.code or None,
        "message": reading.message,
        "source": reading.source,
        "until": iso(reading.until),
        "seconds_left": round(max(0.0, reading.until - now), 1) if reading.closed else 0.0,
        "hit_at": iso(reading.hit_at),
        "cleared_at": iso(reading.cleared_at),
    }


def _show_gates(output: Output, entries: Sequence[GateEntry], now: float) -> None:
    if not entries:
        output.say("no rate limit has been hit yet")
        return
    output.table(["account", "gate", "until", "code", "message"], (_gate_row(entry, now) for entry in entries))


def _gate_row(entry: GateEntry, now: float) -> list[str | Text]:
    reading = entry.reading
    if not reading.closed:
        return [entry.key, status_text("ok"), "", "", f"open since {moment(reading.cleared_at, now)}"]
    left = max(0.0, reading.until - now)
    until = f"{time_of_day(reading.until)}, in {clock(left)}" if left else "over, one attempt tries"
    return [entry.key, status_text("waiting"), until, reading.code, one_line(reading.message, 200)]
