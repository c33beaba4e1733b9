"""Lines that say themselves whether they are whole: `{"crc":"xxxxxxxx","event":…}`.

The checksum is CRC-32 (`zlib.crc32`) of the bytes of the inner document, in eight hexadecimal digits. A line is plain
JSON for people and tools; we check it by slicing, without parsing the envelope.
"""

from __future__ import annotations

from zlib import crc32

_HEAD = b'{"crc":"'
_DIGITS = slice(8, 16)


class Frame:
    """The envelope of one file; `key` names what is inside."""

    __slots__ = ("_body", "_middle", "_template", "overhead")

    def __init__(self, key: str) -> None:
        self._middle = b'","' + key.encode() + b'":'
        self._template = _HEAD + b"%08x" + self._middle + b"%b}\n"
        self._body = 16 + len(self._middle)
        self.overhead = self._body + 2
        """Bytes of a line beyond its document, the newline included."""

    def wrap(self, document: bytes) -> bytes:
        """A whole line."""
        return self._template % (crc32(document), document)

    def unwrap(self, line: bytes) -> bytes | None:
        """The document in a line (without its newline), or None when the line is not whole."""
        if line[:8] != _HEAD or line[16 : self._body] != self._middle or line[-1:] != b"}":
            return None
        document = line[self._body : -1]
        return document if line[_DIGITS] == b"%08x" % crc32(document) else None


EVENTS = Frame("event")
ANSWERS = Frame("answer")
