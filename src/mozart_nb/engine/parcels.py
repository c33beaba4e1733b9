"""Requests on their way to a service that answers hours later: their names, and the parcels they travel in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Span = tuple[int, int, int]
"""First batch, last batch, and the number of their attempt."""

_CUSTOM_ID = re.compile(r"mz-([0-9a-f]+)-([0-9]+)-([0-9]+)", re.ASCII)


class Key(NamedTuple):
    """One attempt of one batch. Attempt numbers are never used again, so this names one request for ever."""

    batch: int
    attempt: int


def custom_id(seed: int, key: Key) -> str:
    """The request's name at the service: the job (by its seed), the batch and the attempt."""
    return f"mz-{seed:x}-{key.batch}-{key.attempt}"


def key_of(seed: int, name: str) -> Key | None:
    """The request that bears this name; None when it is not this job's."""
    found = _CUSTOM_ID.fullmatch(name)
    if found is None or int(found[1], 16) != seed:
        return None
    return Key(int(found[2]), int(found[3]))


def spans(keys: Iterable[Key]) -> tuple[Span, ...]:
    """The same as few ranges."""
    found: list[Span] = []
    for batch, attempt in sorted(keys):
        if found and found[-1][1:] == (batch - 1, attempt):
            found[-1] = (found[-1][0], batch, attempt)
        else:
            found.append((batch, batch, attempt))
    return tuple(found)


def keys_in(entries: Sequence[Span]) -> Iterator[Key]:
    """Every request of these ranges."""
    for first, last, attempt in entries:
        for batch in range(first, last + 1):
            yield Key(batch, attempt)


def is_in(key: Key, entries: Sequence[Span]) -> bool:
    return any(first <= key.batch <= last and key.attempt == attempt for first, last, attempt in entries)


@dataclass(frozen=True, slots=True)
class Parcel:
    """Requests that are sent together. `size` in bytes."""

    keys: Sequence[Key]
    documents: Sequence[bytes]
    size: int


class Outbox:
    """Collects requests until they are worth a parcel: it is full, or nothing has been added for a moment."""

    def __init__(self, most_requests: int, most_bytes: int) -> None:
        self._most_requests = most_requests
        self._most_bytes = most_bytes
        self._waiting: dict[Key, bytes] = {}
        self._size = 0
        self._added_at = 0.0
        self._news = asyncio.Event()
        self._space = asyncio.Event()
        self._space.set()

    def __contains__(self, batch: object) -> bool:
        return any(key.batch == batch for key in self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= self._most_requests or self._size >= self._most_bytes

    def add(self, key: Key, document: bytes) -> None:
        """Put a request in. What is in here when its host dies was never sent."""
        self._waiting[key] = document
        self._size += len(document)
        self._added_at = asyncio.get_running_loop().time()
        self._news.set()
        if self._is_full:
            self._space.clear()

    async def room(self) -> None:
        """Wait until another request may be made ready."""
        await self._space.wait()

    async def ripe(self, linger_seconds: float) -> None:
        """Wait until there is a parcel to take: the box is full, or nothing was added for so long."""
        while not self._is_full:
            self._news.clear()
            left = self._added_at + linger_seconds - asyncio.get_running_loop().time() if self._waiting else None
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                continue

    def take(self) -> Parcel | None:
        """The next parcel, as large as it may be; None when nothing waits."""
        keys: list[Key] = []
        documents: list[bytes] = []
        size = 0
        for key, document in self._waiting.items():
            if keys and (len(keys) >= self._most_requests or size + len(document) > self._most_bytes):
                break
            keys.append(key)
            documents.append(document)
            size += len(document)
        for key in keys:
            del self._waiting[key]
        self._size -= size
        if not self._is_full:
            self._space.set()
        return Parcel(keys, documents, size) if keys else None
