"""The rate-limit gate: one small locked file per account, shared by all jobs and processes of the user.

A refusal closes the gate until the named time. After that time one owner at a time may probe; whoever gets through
clears it. Times are wall-clock, because processes share them; a clock that was set back cannot hold work up for
longer than the wait that was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
import portalocker

from mozart_nb.engine.ports import GateReading

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS: Final = 5.0
"""How long to wait for another process's update, which takes about a millisecond."""

CLOCK_SLACK_SECONDS: Final = 5.0
"""How far the clocks of two readings may differ before the clock counts as set back."""

_FRESH_NS: Final = 100_000_000
# A file written within this time may change again without a new modification time (coarse timestamps, reused inodes),
# so what was read from it is not kept.


class _Record(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="mozart-gate-1"):
    """The file: a reading and what is needed to survive a clock that is set back. `account` is for people."""

    reading: GateReading
    wait_seconds: float = 0.0
    lease_seconds: float = 0.0
    account: str = ""


_NOTHING = _Record(GateReading())
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Record).decode
_replace = msgspec.structs.replace


# --- what can happen to a gate: pure ----------------------------------------------------------------------------------


def _anchored(record: _Record, now: float) -> _Record:
    """`record` as it can be true at `now`: nothing lies further ahead than the wait or lease it was set with.

    It only does so when the clock was set back in between. The wait then begins again: how much of it had passed is
    not known.
    """
    reading = record.reading
    if reading.until - now > record.wait_seconds + CLOCK_SLACK_SECONDS:
        reading = _replace(reading, until=now + record.wait_seconds)
    if reading.probe_until - now > record.lease_seconds + CLOCK_SLACK_SECONDS:
        reading = _replace(reading, probe_until=now + record.lease_seconds)
    return record if reading is record.reading else _replace(record, reading=reading)


def _after_hit(record: _Record, hit: GateReading, now: float) -> _Record:
    standing = record.reading
    if standing.closed and standing.until >= hit.until:
        return record if not standing.probe_by else _replace(record, reading=_unprobed(standing))
    # Later than any clearing, also when the clock was set back since: else the gate would stay open.
    hit_at = max(now, math.nextafter(standing.cleared_at, math.inf))
    reading = _unprobed(_replace(hit, hit_at=hit_at, cleared_at=standing.cleared_at))
    return _replace(record, reading=reading, wait_seconds=max(0.0, hit.until - now))


def _unprobed(reading: GateReading) -> GateReading:
    # A refusal ends whatever probe was out: nobody may go before `until`, and then a new one is due.
    return _replace(reading, probe_by="", probe_until=0.0)


def _after_clear(record: _Record, by: str, now: float) -> _Record:
    reading = record.reading
    if not reading.closed:
        return record
    cleared = _replace(_unprobed(reading), cleared_at=max(now, reading.hit_at), by=by)
    return _replace(record, reading=cleared)


def _after_probe(record: _Record, owner: str, lease_seconds: float, now: float) -> tuple[_Record, bool]:
    reading = record.reading
    if not reading.closed:
        return record, True
    taken = reading.probe_by not in ("", owner) and now < reading.probe_until
    if now < reading.until or taken:
        return record, False
    probing = _replace(reading, probe_by=owner, probe_until=now + lease_seconds)
    return _replace(record, reading=probing, lease_seconds=lease_seconds), True


# --- the file ---------------------------------------------------------------------------------------------------------


class _GateFile:
    """Reads and changes one gate's file; every method may block for a moment, none raises.

    A file that cannot be read as a gate counts as open. Where nothing can be written the gate works within this
    object only. Either is said once.
    """

    def __init__(self, path: Path, account: str, wall: Callable[[], float]) -> None:
        self.path = path
        self._account = account
        self._wall = wall
        self._seen: tuple[tuple[int, int, int], _Record] | None = None
        self._unwritten: _Record | None = None
        self._said: set[str] = set()

    def known(self) -> _Record | None:
        """What the file says if that can be told without reading it, else None."""
        if self._unwritten is not None:
            return self._checked(self._unwritten)
        try:
            signature = _signature(self.path.stat())
        except FileNotFoundError:
            return _NOTHING
        except OSError:
            return None
        if self._seen is None or self._seen[0] != signature:
            return None
        return self._checked(self._seen[1])

    def load(self) -> _Record:
        """What the file says; puts it right on disk when the clock was set back."""
        record = self.known()
        if record is not None:
            return record
        record = self._unwritten or self._read()
        if self._checked(record) is None:
            return self.update(lambda old, _: (old, old))
        return record

    def update(self, change: Callable[[_Record, float], tuple[_Record, _T]]) -> _T:
        """Replace the record by what `change(record, now)` makes of it, alone among all processes."""
        try:
            with self._alone():
                return self._apply(self._unwritten or self._read(), change, self._write)
        except (OSError, portalocker.exceptions.BaseLockException) as error:
            self._say_once(f"the shared rate-limit gate cannot be written, this process waits on its own: {error}")
            return self._apply(self._unwritten or _NOTHING, change, self._keep)

    def _apply(
        self,
        found: _Record,
        change: Callable[[_Record, float], tuple[_Record, _T]],
        store: Callable[[_Record], None],
    ) -> _T:
        now = self._wall()
        changed, result = change(_anchored(found, now), now)
        if changed is not found or found is self._unwritten:
            store(changed)
        return result

    def _checked(self, record: _Record) -> _Record | None:
        return record if _anchored(record, self._wall()) is record else None

    def _read(self) -> _Record:
        try:
            with open(self.path, "rb") as file:
                signature = _signature(os.fstat(file.fileno()))
                record = _decode(file.read(65536))
        except FileNotFoundError:
            return _NOTHING
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            self._say_once(f"{self.path} is not a readable gate and counts as open: {error}")
            record = _NOTHING
        else:
            self._remember(signature, record)
        return record

    def _remember(self, signature: tuple[int, int, int], record: _Record) -> None:
        fresh = abs(time.time_ns() - signature[0]) < _FRESH_NS
        self._seen = None if fresh else (signature, record)

    def _write(self, record: _Record) -> None:
        record = _replace(record, account=record.account or self._account)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(fd, "wb") as file:
                file.write(_encode(record))
            temporary.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        self._unwritten = None
        self._seen = None

    def _keep(self, record: _Record) -> None:
        self._unwritten = record

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file of its own: the gate's file is replaced, and a lock on the old one would exclude nobody.
        lock = portalocker.Lock(
            self.path.with_name(self.path.name + ".lock"),
            timeout=LOCK_TIMEOUT_SECONDS,
            check_interval=0.005,
            opener=_open_private,
        )
        with lock:
            yield

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            _log.warning(message)


def _signature(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


# --- what the engine uses ---------------------------------------------------------------------------------------------


class FileGate:
    """The gate of one account, kept at `path` (see `account_key` and `GateBook.path`).

    Reading costs a `stat` while nothing changes; everything else happens in a thread. `wall` gives UTC epoch seconds;
    `account` is what `mozart limits` shows. Nothing here raises: a gate that cannot be shared still works within its
    own process, and says so once in the log.
    """

    def __init__(self, path: Path, *, account: str = "", wall: Callable[[], float] = time.time) -> None:
        self._file = _GateFile(Path(path), account, wall)

    async def read(self) -> GateReading:
        """The present state."""
        record = self._file.known()
        if record is None:
            record = await asyncio.to_thread(self._file.load)
        return record.reading

    async def hit(self, reading: GateReading) -> None:
        """Close the gate until `reading.until`; a later time that stands already wins. Ends a probe that is out."""
        record = self._file.known()
        # A burst of refusals brings many of these; all but the first change nothing.
        if record is not None and _after_hit(record, reading, 0.0) is record:
            return
        await asyncio.to_thread(self._file.update, lambda old, now: (_after_hit(old, reading, now), None))

    async def try_probe(self, owner: str, lease_seconds: float) -> bool:
        """Whether `owner` may send now: the gate is open, or its time has passed and no one else's probe is out.

        The right to probe lasts `lease_seconds`; asking again renews it.
        """
        record = self._file.known()
        if record is not None and not record.reading.closed:
            return True
        return await asyncio.to_thread(self._file.update, lambda old, now: _after_probe(old, owner, lease_seconds, now))

    async def clear(self, by: str) -> None:
        """Open the gate; nothing is written when it is open."""
        record = self._file.known()
        if record is None or record.reading.closed:
            await asyncio.to_thread(self._file.update, lambda old, now: (_after_clear(old, by, now), None))


class NullGate:
    """No limit is shared with anybody: rehearsals, and backends without an account."""

    async def read(self) -> GateReading:
        """Always open."""
        return GateReading()

    async def hit(self, reading: GateReading) -> None:
        """Nobody else is told."""

    async def try_probe(self, owner: str, lease_seconds: float) -> bool:
        """Always allowed."""
        return True

    async def clear(self, by: str) -> None:
        """There is nothing to open."""


class GateEntry(NamedTuple):
    """One account's gate as `mozart limits` lists it."""

    key: str
    account: str
    reading: GateReading


class GateBook:
    """All gates of the user: the files in one folder. Its methods read and write files directly."""

    def __init__(self, folder: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._folder = Path(folder)
        self._wall = wall

    def path(self, key: str) -> Path:
        """Where the gate of `key` is kept."""
        return self._folder / f"{key}.json"

    def entries(self) -> list[GateEntry]:
        """Every gate that was ever closed, by key; `reading.closed` tells which still are."""
        records = ((path.stem, self._gate(path).load()) for path in sorted(self._folder.glob("*.json")))
        return [GateEntry(key, record.account, record.reading) for key, record in records]

    def clear(self, key: str | None = None, *, by: str = "mozart limits") -> list[GateEntry]:
        """Open the gate of `key`, or all of them; returns those that were closed."""
        closed = [entry for entry in self.entries() if entry.reading.closed and key in (None, entry.key)]
        for entry in closed:
            self._gate(self.path(entry.key)).update(lambda old, now: (_after_clear(old, by, now), None))
        return closed

    def _gate(self, path: Path) -> _GateFile:
        return _GateFile(path, "", self._wall)


def account_key(backend: str, base_url: str, credential: str) -> str:
    """Name of an account's gate: the same for the same backend, address and key; the key cannot be read from it."""
    facts = "\0".join((backend, base_url.strip().rstrip("/").lower(), credential))
    digest = hashlib.blake2b(facts.encode(), digest_size=12, person=b"mozart-gate").hexdigest()
    return f"{backend}-{digest}"
