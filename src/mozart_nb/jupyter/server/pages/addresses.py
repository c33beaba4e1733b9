"""Addresses of pages, made and read in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

Given = Mapping[str, Iterable[str]]
"""Names and values of a query, as they came."""


@dataclass(frozen=True, slots=True)
class To:
    """Where each page is. `root` is where our pages begin, behind whatever prefix the server has."""

    root: str

    @property
    def home(self) -> str:
        return f"{self.root}/"

    @property
    def history(self) -> str:
        return f"{self.root}/history"

    @property
    def new(self) -> str:
        return f"{self.root}/new"

    def job(self, key: str) -> str:
        return f"{self.root}/jobs/{quote(key, safe='~')}"

    def run(self, key: str) -> str:
        return f"{self.job(key)}/run"

    def batches(self, key: str) -> str:
        return f"{self.job(key)}/batches"

    def batch(self, key: str, number: int) -> str:
        return f"{self.job(key)}/batches/{number}"

    def events(self, key: str) -> str:
        """The stream of a job's events."""
        return f"{self.root}/api/jobs/{quote(key, safe='~')}/events"

    def history_of(self, job_id: str) -> str:
        return with_query(self.history, {"job": job_id})


def with_query(path: str, values: Mapping[str, object]) -> str:
    """The address with what is not empty of `values`; a list gives its name several times."""
    kept = {name: value for name, value in values.items() if value not in ("", None, 0, (), [])}
    return f"{path}?{urlencode(kept, doseq=True)}" if kept else path


MOST: Final = 200
"""Characters of a value that are looked at."""


@dataclass(frozen=True, slots=True)
class Query:
    """What stands in the address after `?`. What cannot be read counts as not given: an old link still shows a page."""

    given: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, arguments: Mapping[str, list[bytes]]) -> Query:
        """From the arguments of a request."""

        def read(value: bytes) -> str:
            return value[: 4 * MOST].decode(errors="replace").strip()[:MOST]

        return cls({name: tuple(read(value) for value in values) for name, values in arguments.items()})

    def text(self, name: str) -> str:
        """The last value of that name, empty where there is none."""
        return (self.given.get(name) or ("",))[-1]

    def texts(self, name: str, allowed: Iterable[str]) -> tuple[str, ...]:
        """All values of that name that are allowed, each once."""
        wanted = {*allowed}
        return tuple(dict.fromkeys(value for value in self.given.get(name, ()) if value in wanted))

    def one_of(self, name: str, allowed: Iterable[str], otherwise: str) -> str:
        """The value where it is allowed."""
        value = self.text(name)
        return value if value in {*allowed} else otherwise

    def number(self, name: str, otherwise: int = 0, *, least: int = 0) -> int:
        """The value where it is a number that is not too small."""
        value = self.text(name)
        if value.isascii() and value.isdigit() and len(value) < 16:
            return max(least, int(value))
        return otherwise

    def has(self, name: str) -> bool:
        """Whether that name was given."""
        return name in self.given
