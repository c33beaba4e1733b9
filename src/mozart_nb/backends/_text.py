"""Bytes of other programs made fit for people: decoded, bounded, without control characters."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mozart_nb.masking import MARGIN, masked_head, masked_tail

# Escape sequences (CSI, OSC, two-character ones) vanish as a whole, and so do other control characters.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?|[ -/]*[0-~])?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """`text` without anything a terminal would obey; line ends become newlines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def whole(text: str) -> str:
    """`text` that any encoder accepts: a lone half of a surrogate pair becomes the replacement character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clip(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, with an ellipsis where it was cut, and no half of a secret before that."""
    return text if len(text) <= limit else masked_head(text, limit - 1) + "…"


def decode_tail(data: bytes) -> str:
    """The end of some output as text; a character cut in half at the start is dropped."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:].decode("utf-8", "replace")


def last_bytes(text: str, limit: int) -> str:
    """The end of `text` that takes at most `limit` bytes in UTF-8, without half a secret at its beginning."""
    data = whole(masked_tail(text, limit) if len(text.encode("utf-8", "replace")) > limit else text).encode()
    return decode_tail(data[-limit:]) if len(data) > limit else data.decode()


def read_tail(path: Path, limit: int) -> str:
    """The last `limit` bytes of a file as text, without half a secret at its beginning; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit - MARGIN))
            data = file.read(limit + MARGIN)
    except OSError:
        return ""
    return last_bytes(decode_tail(data), limit) if size > limit else data.decode("utf-8", "replace")


def address_of(url: str) -> str:
    """A base URL as it may be shown: without a name and password in it."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
