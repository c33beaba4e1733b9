"""The map of batches as one small picture: a cell per batch, coloured and shaped by its status.

A PNG with a palette, written with zlib alone: JupyterLab drops inline SVG from notebooks it does not trust, pictures in
`data:` URIs survive. The background is transparent, so one picture fits light and dark. Shapes differ beside colours:
a failed batch is a crossed square, a blocked one hollow, a pending one a dot.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from mozart_nb.engine.state import JobState
from mozart_nb.jupyter.looks.theme import look_of
from mozart_nb.words import plural

ORDER: Final = ("pending", "skipped", "completed", "cancelled", "waiting", "blocked", "running", "failed")
"""Statuses from the least to the most telling: of several batches in one cell the last one is shown."""

_INDEX: Final = {status: index for index, status in enumerate(ORDER, start=1)}
_EMPTY: Final = 0
_OTHER: Final = _INDEX["pending"]

_SIZES: Final = ((20, 25, 20), (100, 25, 18), (500, 50, 14), (4_000, 100, 8), (25_000, 200, 4))
"""Up to so many cells: cells per row, pixels per cell (its gap included).

Rows of round numbers can be counted, and 800 pixels fit beside the prompts of a notebook without being scaled.
"""
_MOST_CELLS: Final = _SIZES[-1][0]
_GROUPS: Final = (1, 2, 5)

_FAINT: Final = 0x66
"""Opacity of pending batches, which are most of a picture at the beginning and tell nothing."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the cells of `total` batches lie. `pitch` pixels from cell to cell, `per_cell` batches in each."""

    total: int
    per_cell: int
    columns: int
    pitch: int

    @property
    def cells(self) -> int:
        return -(-self.total // self.per_cell)

    @property
    def rows(self) -> int:
        return -(-self.cells // self.columns)

    @property
    def width(self) -> int:
        """Pixels."""
        return self.columns * self.pitch

    @property
    def height(self) -> int:
        """Pixels."""
        return self.rows * self.pitch

    def cell_at(self, x_fraction: float, y_fraction: float) -> int:
        """The first batch of the cell at that place (0–1 from the left, 0–1 from the top); 0 where there is none."""
        if not (0 <= x_fraction < 1 and 0 <= y_fraction < 1 and self.total):
            return 0
        cell = int(y_fraction * self.rows) * self.columns + int(x_fraction * self.columns)
        return cell * self.per_cell + 1 if cell < self.cells else 0

    def batches_at(self, x_fraction: float, y_fraction: float) -> range:
        """All batches of the cell at that place; empty where there is none."""
        first = self.cell_at(x_fraction, y_fraction)
        return range(first, min(first + self.per_cell, self.total + 1)) if first else range(0)


def grid_for(total: int) -> Grid:
    """Cells as big as fit into 800 × 500 pixels; beyond 25,000 batches several share a cell."""
    per_cell, step = 1, 0
    while -(-total // per_cell) > _MOST_CELLS:
        step += 1
        per_cell = _GROUPS[step % 3] * 10 ** (step // 3)
    cells = -(-total // per_cell)
    columns, pitch = next((columns, pitch) for most, columns, pitch in _SIZES if cells <= most)
    return Grid(total, per_cell, max(1, min(columns, cells)), pitch)


@dataclass(frozen=True, slots=True)
class Picture:
    """A map at one moment: a PNG, its words for people who do not see it, and where its cells lie."""

    png: bytes
    alt: str
    grid: Grid


class StatusMap:
    """The status of every batch, one byte each; a change costs as much as one cell holds batches.

    `set` and `update` are told of changes, `picture()` draws what is true now and keeps the drawing until something
    changes.
    """

    def __init__(self, total: int, statuses: Mapping[int, str] | None = None) -> None:
        self.grid = grid_for(total)
        self._batches = bytearray((_OTHER,)) * total
        self._cells = bytearray((_OTHER,)) * self.grid.cells
        self._drawn: Picture | None = None
        self.update((statuses or {}).items())

    @classmethod
    def of(cls, state: JobState) -> StatusMap:
        """The map of a job as it is now; looks at every batch that anything has happened to."""
        drawn = cls(state.total)
        for first, last in state.job.skipped:
            drawn.fill(first, last, "skipped")
        drawn.update((number, batch.status) for number, batch in state.batches.items())
        return drawn

    @property
    def total(self) -> int:
        return self.grid.total

    def set(self, number: int, status: str) -> None:
        """Batch `number` (from 1) has this status now; a number that is not of the plan is not drawn."""
        self.update(((number, status),))

    def update(self, changes: Iterable[tuple[int, str]]) -> None:
        """Several changes: pairs of batch and status."""
        batches, total, per_cell = self._batches, self.total, self.grid.per_cell
        changed = set()
        for number, status in changes:
            index = _INDEX.get(status, _OTHER)
            if 0 < number <= total and batches[number - 1] != index:
                batches[number - 1] = index
                changed.add((number - 1) // per_cell)
        self._look_at(changed)

    def fill(self, first: int, last: int, status: str) -> None:
        """All batches from `first` to `last` have this status now."""
        low, high = max(1, first) - 1, min(last, self.total)
        if low < high:
            self._batches[low:high] = bytes((_INDEX.get(status, _OTHER),)) * (high - low)
            self._look_at(range(low // self.grid.per_cell, (high - 1) // self.grid.per_cell + 1))

    def _look_at(self, cells: Collection[int]) -> None:
        """Take over what has changed in these cells. The words change even where the picture does not."""
        if not cells:
            return
        self._drawn = None
        per_cell = self.grid.per_cell
        for cell in cells:
            of_cell = self._batches[cell * per_cell : (cell + 1) * per_cell]
            self._cells[cell] = of_cell[0] if per_cell == 1 else max(of_cell)

    def counts(self) -> dict[str, int]:
        """How many batches have each status, the most telling first, none left out that occurs."""
        found = {status: self._batches.count(_INDEX[status]) for status in reversed(ORDER)}
        return {status: number for status, number in found.items() if number}

    def picture(self) -> Picture:
        """The map as it is now."""
        if self._drawn is None:
            self._drawn = Picture(_png(self.grid, bytes(self._cells)), self._words(), self.grid)
        return self._drawn

    def _words(self) -> str:
        if not self.total:
            return "Map of batches: there are none"
        counted = ", ".join(f"{number:,} {status}" for status, number in self.counts().items())
        shared = ""
        if self.grid.per_cell > 1:
            shared = f"; a cell stands for {self.grid.per_cell:,} batches and shows the most telling of their statuses"
        return f"Map of {plural(self.total, 'batch')}: {counted}{shared}"


def picture_html(picture: Picture, attributes: str = "", *, selected: int = 0) -> str:
    """The picture as an `img`. `attributes` (HTML, trusted) are added to it; `data-` attributes tell how cells lie.

    `selected`: a batch that is being looked at, said in words.
    """
    grid = picture.grid
    alt = picture.alt + (f"; batch {selected:,} is selected" if selected else "")
    facts = {
        "class": "mozart-map",
        "src": f"data:image/png;base64,{b64encode(picture.png).decode()}",
        "alt": alt,
        "style": "max-width:100%;height:auto",
        "width": grid.width,
        "height": grid.height,
        "data-total": grid.total,
        "data-columns": grid.columns,
        "data-rows": grid.rows,
        "data-per-cell": grid.per_cell,
    }
    written = " ".join(f'{name}="{escape(str(value))}"' for name, value in facts.items())
    return f"<img {written} {attributes}>" if attributes else f"<img {written}>"


# --- shapes -----------------------------------------------------------------------------------------------------------

_SHAPES: Final = {
    "pending": "full", "skipped": "dash", "completed": "full", "cancelled": "slash",
    "waiting": "frame", "blocked": "frame", "running": "core", "failed": "cross",
}  # fmt: skip


def _is_painted(shape: str, x: int, y: int, size: int) -> bool:
    """Whether the pixel of a cell of `size` × `size` pixels belongs to its shape."""
    thick = 1 if size < 8 else 2
    edge = min(x, y, size - 1 - x, size - 1 - y)
    if shape == "frame":
        return edge < thick
    if shape == "core":
        return not (size // 3 <= x < size - size // 3 and size // 3 <= y < size - size // 3)
    if shape == "dash":
        return abs(2 * y - size + 1) <= thick
    if shape == "slash":
        return x + y >= size - 1
    if shape == "cross":
        near = min(abs(x - y), abs(x + y - size + 1))
        return near >= thick or edge < 1
    return True


# --- PNG --------------------------------------------------------------------------------------------------------------

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_ABOVE: Final = 2
"""The PNG filter that tells how a line differs from the one above: equal lines become zeros."""


def _png(grid: Grid, cells: bytes) -> bytes:
    """The picture of `cells`, one palette index each. PNG, Third Edition: palette, 4 bits per pixel, tRNS."""
    header = struct.pack(">IIBBBBB", max(1, grid.width), max(1, grid.height), 4, 3, 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", _PALETTE),
            _chunk(b"tRNS", _OPACITY),
            _chunk(b"IDAT", zlib.compress(_lines(grid, cells), 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rgb(colour: str) -> bytes:
    return bytes.fromhex(colour.removeprefix("#"))


_PALETTE: Final = b"\0\0\0" + b"".join(_rgb(look_of(status).colour) for status in ORDER)
_OPACITY: Final = bytes((0, *(_FAINT if status == "pending" else 0xFF for status in ORDER)))


def _lines(grid: Grid, cells: bytes) -> bytes:
    """All lines of pixels, each with its filter byte, two pixels per byte.

    Whole planes at a time: the pixels at one place of every cell are the cells translated by one table, so that 10,000
    cells cost a few dozen operations and not a million.
    """
    if not cells:
        return bytes(1 + -(-grid.width // 2))  # a picture has at least one line
    padded = cells + bytes(grid.columns * grid.rows - len(cells))
    lines: list[bytes] = []
    distinct, order = _distinct_rows(grid.pitch)
    planes = [_plane(padded, tables, grid.pitch) for tables in distinct]
    bytes_per_line = -(-grid.width // 2)
    unchanged = bytes((_ABOVE,)) + bytes(bytes_per_line)
    for row in range(grid.rows):
        previous = -1
        for which in order:
            if which == previous:
                lines.append(unchanged)
                continue
            pixels = planes[which][row * grid.width : (row + 1) * grid.width]
            lines.append(b"\0" + _packed(pixels))
            previous = which
    return b"".join(lines)


def _distinct_rows(pitch: int) -> tuple[list[tuple[bytes, ...]], list[int]]:
    """The different lines of pixels that a cell has, and which of them each of its lines is."""
    distinct: list[tuple[bytes, ...]] = []
    order = []
    for y in range(pitch):
        tables = tuple(_table(pitch, x, y) for x in range(pitch))
        if tables not in distinct:
            distinct.append(tables)
        order.append(distinct.index(tables))
    return distinct, order


def _table(pitch: int, x: int, y: int) -> bytes:
    """Palette index of a cell → palette index of its pixel at (x, y); the last column and line are the gap."""
    table = bytearray(256)
    size = pitch - 1 if pitch < 12 else pitch - 2
    for status, index in _INDEX.items():
        shape = _SHAPES[status]
        if shape == "cross" and pitch < 8:
            table[index] = index  # too small for a cross: it covers the gap instead, to stand out of a crowd
        elif x < size and y < size and _is_painted(shape, x, y, size):
            table[index] = index
    return bytes(table)


def _plane(cells: bytes, tables: Sequence[bytes], pitch: int) -> bytes:
    """One line of pixels of every cell, side by side."""
    plane = bytearray(len(cells) * pitch)
    for x, table in enumerate(tables):
        plane[x::pitch] = cells.translate(table)
    return bytes(plane)


def _packed(pixels: bytes) -> bytes:
    """Two pixels per byte, the left one in the upper half."""
    left, right = pixels[::2], pixels[1::2].ljust(-(-len(pixels) // 2), b"\0")
    whole = int.from_bytes(left, "big") << 4 | int.from_bytes(right, "big")
    return whole.to_bytes(len(left), "big")
