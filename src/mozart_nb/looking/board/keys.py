"""How jobs are named in addresses: by their id, and where two workspaces have the id by `id~6hex`. Never by a path."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import AmbiguousJobError, UnknownJobError
from mozart_nb.looking.finding import known_layouts

SEPARATOR: Final = "~"
"""Stands in no job id, and needs no escape in an address."""

DIGITS: Final = 6

REFRESH_SECONDS: Final = 2.0
"""How long the list of places is believed; a key that is not in it is looked for at once."""

MOST_REMEMBERED: Final = 100

LEAST_SECONDS: Final = 0.25
"""However often unknown keys are asked for, the disk is not asked more often than that."""


def key_for(layout: Layout, *, is_unique: bool = False) -> str:
    """The key of a job; it goes on being valid when a second workspace gets a job with this id."""
    return layout.job_id if is_unique else f"{layout.job_id}{SEPARATOR}{_digest(layout)}"


def _digest(layout: Layout) -> str:
    place = str(layout.workspace.resolve())
    return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:DIGITS]


class Places:
    """Where the user's jobs are, and their keys. Safe in any thread; blocks while it looks."""

    def __init__(
        self,
        layouts: Callable[[], Sequence[Layout]] = lambda: known_layouts(None),
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._layouts = layouts
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._keys: dict[str, Layout] = {}
        self._full: dict[str, Layout] = {}
        self._shared: dict[str, list[str]] = {}
        self._more: OrderedDict[Layout, None] = OrderedDict()

    def remember(self, layout: Layout) -> None:
        """A job that no list may have: a rehearsal in its scratch folder. The last hundred are known."""
        with self._lock:
            self._more[layout] = None
            self._more.move_to_end(layout)
            while len(self._more) > MOST_REMEMBERED:
                self._more.popitem(last=False)
            self._looked_at = float("-inf")

    def all(self) -> dict[str, Layout]:
        """Key → place of every known job, the one that did something last first."""
        with self._lock:
            self._look(REFRESH_SECONDS)
            return self._keys

    def find(self, key: str) -> Layout:
        """The place of a job.

        Raises `UnknownJobError`, and `AmbiguousJobError` for an id that two workspaces have: its hint names the keys.
        """
        with self._lock:
            for age in (REFRESH_SECONDS, LEAST_SECONDS):
                self._look(age)
                found = self._keys.get(key) or self._full.get(key)
                if found is not None:
                    return found
                if key in self._shared:
                    raise self._ambiguous(key)
        raise UnknownJobError("no such job is known here", hint="the list of jobs has the keys of all that are")

    def key_of(self, layout: Layout) -> str:
        """The shortest key of a job that may have just come into being."""
        with self._lock:
            for age in (REFRESH_SECONDS, 0.0):
                self._look(age)
                for key, known in self._keys.items():
                    if known.job_id == layout.job_id and known.workspace.resolve() == layout.workspace.resolve():
                        return key
        return key_for(layout)

    def _ambiguous(self, job_id: str) -> AmbiguousJobError:
        keys = self._shared[job_id]
        error = AmbiguousJobError(job_id, [str(self._full[key].workspace) for key in keys])
        error.hint = f"ask for {' or '.join(f'`{key}`' for key in keys)}"
        return error

    def _look(self, age: float) -> None:
        now = self._monotonic()
        if now - self._looked_at < age:
            return
        found = list(self._layouts())
        places = {(layout.workspace.resolve(), layout.job_id) for layout in found}
        more = [layout for layout in self._more if (layout.workspace.resolve(), layout.job_id) not in places]
        found += [layout for layout in more if layout.exists]
        often = Counter(layout.job_id for layout in found)
        self._keys = {key_for(layout, is_unique=often[layout.job_id] == 1): layout for layout in found}
        self._full = {key_for(layout): layout for layout in found}
        self._shared = {
            job_id: sorted(key for key, layout in self._full.items() if layout.job_id == job_id)
            for job_id, times in often.items()
            if times > 1
        }
        self._looked_at = now
