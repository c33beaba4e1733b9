"""The map of batches for pages: kept per job, so that a look costs what has changed since the last one."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mozart_nb.jupyter.looks.picture import Picture, StatusMap

MOST_MAPS: Final = 24
"""Maps that are kept, two bytes per batch each."""

_STRIDE: Final = 512


@dataclass(frozen=True, slots=True)
class MapView:
    """A picture of the batches, and how its cells lie."""

    src: str
    alt: str
    width: int
    height: int
    total: int
    columns: int
    rows: int
    per_cell: int


def map_view(picture: Picture) -> MapView:
    """What a page shows of a picture."""
    grid = picture.grid
    return MapView(
        src=f"data:image/png;base64,{b64encode(picture.png).decode()}",
        alt=picture.alt,
        width=grid.width,
        height=grid.height,
        total=grid.total,
        columns=grid.columns,
        rows=grid.rows,
        per_cell=grid.per_cell,
    )


class Maps:
    """The maps of the jobs that were looked at last. Safe in any thread."""

    def __init__(self, letters: Mapping[str, str]) -> None:
        self._statuses = {ord(letter): status for status, letter in letters.items()}
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[bytes, StatusMap]] = OrderedDict()

    def view(self, key: str, codes: bytes) -> MapView:
        """The map of a job whose batches have these statuses, one letter each."""
        with self._lock:
            before, drawn = self._kept.get(key, (b"", StatusMap(0)))
            if len(before) != len(codes):
                before, drawn = b"", StatusMap(len(codes))
            drawn.update((place + 1, self._statuses.get(codes[place], "pending")) for place in changed(before, codes))
            self._kept[key] = (codes, drawn)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_MAPS:
                self._kept.popitem(last=False)
            return map_view(drawn.picture())


def changed(before: bytes, after: bytes) -> Iterator[int]:
    """Places where two texts differ; whole stretches that are equal are passed over at once."""
    for start in range(0, len(after), _STRIDE):
        one, other = before[start : start + _STRIDE], after[start : start + _STRIDE]
        if one != other:
            for place, code in enumerate(other):
                if place >= len(one) or one[place] != code:
                    yield start + place
