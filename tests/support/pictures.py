"""Reads a PNG with a palette back: what a browser makes of it, without the code that wrote it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Drawing:
    """`pixels[y][x]` is (red, green, blue, opacity)."""

    width: int
    height: int
    pixels: list[list[tuple[int, int, int, int]]]


def read_png(data: bytes) -> Drawing:
    """A PNG of 4 bits per pixel with palette and transparency, filters 0 and 2; anything else is refused."""
    chunks = _chunks(data)
    width, height, depth, kind, *methods = struct.unpack(">IIBBBBB", chunks["IHDR"])
    assert (depth, kind, methods) == (4, 3, [0, 0, 0])
    palette, opacity = chunks["PLTE"], chunks["tRNS"]
    colours = [(*palette[3 * i : 3 * i + 3], opacity[i]) for i in range(len(palette) // 3)]
    raw = zlib.decompress(chunks["IDAT"])
    size = (width + 1) // 2
    assert len(raw) == height * (size + 1)
    lines, above = [], bytes(size)
    for y in range(height):
        method, line = raw[y * (size + 1)], raw[y * (size + 1) + 1 : (y + 1) * (size + 1)]
        assert method in (0, 2)
        above = line if method == 0 else bytes((a + b) % 256 for a, b in zip(line, above, strict=True))
        lines.append([colours[half] for byte in above for half in (byte >> 4, byte & 15)][:width])
    return Drawing(width, height, lines)


def _chunks(data: bytes) -> dict[str, bytes]:
    assert data.startswith(_SIGNATURE)
    found, at = {}, len(_SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", data[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + body)
        found[kind.decode()] = body
        at += 12 + size
    assert [*found] == ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"]
    return found
