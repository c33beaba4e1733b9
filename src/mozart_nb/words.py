"""Numbers and foreign text made fit to be shown to people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from mozart_nb.masking import masked

# Escape sequences vanish as a whole; so do other control characters, and those that turn the direction of writing.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?|[ -/]*[0-~])?")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")

ELLIPSIS: Final = "…"


def clean(text: str) -> str:
    """`text` without anything a terminal would obey, and without secrets. Lines and tabs stay."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return masked(_SURROGATES.sub("\ufffd", _CONTROLS.sub("", text)))


def one_line(text: str, width: int = 200) -> str:
    """The same as a single line of at most `width` characters."""
    flat = " ".join(clean(text[: width * 20]).split())
    return flat if len(flat) <= width else flat[: max(0, width - 1)] + ELLIPSIS


def last_lines(text: str, count: int) -> str:
    """The last `count` lines, cleaned."""
    return "\n".join(clean(text).strip("\n").splitlines()[-count:])


class Page(str):
    """Lines for people: shown as they are instead of as a quoted Python text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def page(lines: Iterable[str]) -> Page:
    """Lines as one text that displays as it is."""
    return Page("\n".join(lines))


# --- numbers ----------------------------------------------------------------------------------------------------------


def clock(seconds: float) -> str:
    """A running time or countdown: `0:07`, `12:34`, `1:02:03`, `2 d 1:02:03`."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    text = f"{hours}:{minutes:02}:{secs:02}" if hours or days else f"{minutes}:{secs:02}"
    return f"{days} d {text}" if days else text


def roughly(seconds: float) -> str:
    """A length of time as people say it: `0.4 s`, `12 s`, `3 min`, `1 h 5 min`, `2 d 3 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def rough_eta(seconds: float | None) -> str:
    """The same for what is only a guess."""
    if seconds is None:
        return "–"
    return f"{max(1, round(seconds))} s" if seconds < 100 else roughly(seconds)


def dollars(amount: float) -> str:
    """US dollars with as many digits as small sums need: `$0.0042`, `$0.04`, `$12.50`."""
    if not 0 < amount < 0.1:
        return f"${amount:,.2f}"
    text = f"${amount:.4f}"
    return text[:-2] + text[-2:].rstrip("0")


def cost(amount: float, unknown: int) -> str:
    """The known part of a cost, and whether that is all."""
    if not unknown:
        return dollars(amount)
    return f"{dollars(amount)} + unknown" if amount else "cost unknown"


def count(number: float) -> str:
    """A number of tokens or bytes: `950`, `12.3k`, `4.5M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def amount(size: float) -> str:
    """A number of bytes: `950 B`, `12.3 kB`, `4.5 GB`."""
    text = count(size)
    return f"{text} B" if text[-1].isdigit() else f"{text[:-1]} {text[-1]}B"


def percent(share: float) -> str:
    """A part of a whole (0 to 1): `80 %`."""
    return f"{100 * share:.0f} %"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """`1 batch`, `2 batches`."""
    several = nouns or (f"{noun}es" if noun.endswith(("ch", "s", "x")) else f"{noun}s")
    return f"{number:,} {noun if number == 1 else several}"


def time_of_day(at: float) -> str:
    """Epoch seconds as this machine's time of day."""
    return _time_of_second(int(at))


@lru_cache(maxsize=256)
def _time_of_second(at: int) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"


def moment(at: float, now: float) -> str:
    """Epoch seconds as people read them, with the date where it is not today's."""
    if not at:
        return "never"
    when, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    return f"{when:%H:%M:%S}" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M}"


def spans(numbers: Iterable[int], most: int = 12) -> str:
    """Numbers as people write them, `1-3, 7`, at most so many parts."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    parts = [str(low) if low == high else f"{low}-{high}" for low, high in runs]
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more
