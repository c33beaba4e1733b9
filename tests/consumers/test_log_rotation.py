"""A log that begins anew at a certain size: its backups, several writers, and deaths at every moment."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.log_killers import LINES_AT_ONCE

import mozart_nb
from mozart_nb.consumers.log.files import backups, locked, parts
from mozart_nb.consumers.log.packing import pack
from mozart_nb.consumers.log.rotating import RotatingFile

KILLERS = Path(__file__).parent.parent / "support" / "log_killers.py"


def rotating(file: Path, *, limit: int = 100, keep: int = 5) -> RotatingFile:
    """One that packs at once, in this thread."""
    return RotatingFile(file, limit=limit, keep=keep, rotated=lambda: pack(file))


def lines(first: int, last: int) -> bytearray:
    """So many lines of ten bytes."""
    return bytearray(b"".join(b"line %04d\n" % number for number in range(first, last + 1)))


def write(log: RotatingFile, first: int, last: int) -> None:
    waiting = lines(first, last)
    log.write(waiting)
    assert not waiting


def content(file: Path) -> bytes:
    """Everything a log holds, from its oldest backup on."""
    texts = [
        gzip.decompress(one.path.read_bytes()) if one.is_packed else one.path.read_bytes()
        for one in reversed(backups(file))
    ]
    return b"".join([*texts, file.read_bytes() if file.exists() else b""])


# --- sizes and numbers ------------------------------------------------------------------------------------------------


def test_a_file_that_is_full_becomes_a_packed_backup_and_nothing_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    log = rotating(file)
    for begin in range(1, 45, 4):
        write(log, begin, begin + 3)
    assert [(one.number, one.is_packed) for one in backups(file)] == [(1, True), (2, True), (3, True), (4, True)]
    assert content(file) == lines(1, 44)
    assert file.stat().st_size == 40
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_only_so_many_backups_are_kept_and_fewer_when_fewer_are_wanted(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    write(rotating(file, keep=3), 1, 95)
    assert content(file) == lines(61, 95)
    write(rotating(file, keep=1), 96, 105)
    assert [one.number for one in backups(file)] == [1]
    write(rotating(file, keep=0), 106, 112)
    assert backups(file) == []
    assert content(file) == lines(111, 112)


def test_many_lines_at_once_fill_one_file_after_the_other_and_no_line_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    write(rotating(file, limit=35, keep=100), 1, 50)
    assert content(file) == lines(1, 50)
    assert all(len(gzip.decompress(one.path.read_bytes())) == 30 for one in backups(file))
    long = bytearray(b"x" * 200 + b"\n")
    rotating(file, limit=35, keep=100).write(long)
    assert file.read_bytes() == b"x" * 200 + b"\n"


def test_a_line_that_somebody_died_in_is_cut_but_text_of_others_stays(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    file.write_bytes(b'{"event":"job.started"}\n{"event":"job.')
    write(rotating(file), 1, 1)
    assert file.read_bytes() == b'{"event":"job.started"}\n' + lines(1, 1)
    file.write_bytes(b"my notes, without an end")
    write(rotating(file), 1, 1)
    assert file.read_bytes() == b"my notes, without an end\n" + lines(1, 1)


# --- several writers --------------------------------------------------------------------------------------------------


def test_two_writers_rotate_one_file_without_losing_a_line(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    writers = [rotating(file, keep=100), rotating(file, keep=100)]
    for number in range(1, 101):
        write(writers[number % 2], number, number)
    assert content(file) == lines(1, 100)


def test_a_file_or_a_lock_that_is_removed_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    log = rotating(file)
    write(log, 1, 3)
    file.unlink()
    write(log, 4, 5)
    with locked(file):
        (tmp_path / ".mozart.log.lock").unlink()
    write(log, 6, 6)
    assert file.read_bytes() == lines(4, 6)


def test_writers_that_are_killed_while_they_rotate_lose_no_line(tmp_path: Path) -> None:
    file = tmp_path / "mozart.jsonl"
    source = str(Path(mozart_nb.__file__).parent.parent)
    environ = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run(
        [sys.executable, str(KILLERS), str(file), "15", "7"], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 0, done.stderr
    known = json.loads(done.stdout)
    assert sum(known) > 1000
    rotating(file, limit=10**9, keep=100_000).write(bytearray(b'{"writer":-1,"number":1}\n'))  # whoever comes next
    pack(file)
    assert all(one.is_packed for one in backups(file))
    assert list(parts(file)) == []
    found: dict[int, list[int]] = {}
    for line in content(file).splitlines():
        document = json.loads(line)
        found.setdefault(document["writer"], []).append(document["number"])
    for writer, last in enumerate(known):
        numbers = found.get(writer, [])
        assert numbers == list(range(1, len(numbers) + 1)), "out of order, twice or missing"
        assert last <= len(numbers) <= last + LINES_AT_ONCE


# --- dying at each step -----------------------------------------------------------------------------------------------


class DiedError(BaseException):
    """The process is gone."""


@contextlib.contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[Callable[[], int]]:
    """From the call number `step` that changes a folder on, nothing more happens; yields how many there were."""
    calls = 0

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= step:
                raise DiedError
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "ftruncate", "write", "fsync"):
            patch.setattr(os, name, guarded(getattr(os, name)))
        yield lambda: calls


def test_dying_at_any_step_loses_nothing_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in count(1):
        file = tmp_path / str(step) / "mozart.log"
        file.parent.mkdir()
        log = rotating(file)
        write(log, 1, 25)
        with dying(monkeypatch, step) as calls, contextlib.suppress(DiedError):
            write(log, 26, 42)
        kept = content(file)
        assert kept == lines(1, len(kept) // 10), f"at step {step}"
        assert len(kept) >= 250
        again = rotating(file)
        write(again, len(kept) // 10 + 1, 45)
        pack(file)
        assert content(file) == lines(1, 45), f"after step {step}"
        assert all(one.is_packed for one in backups(file))
        assert not list(parts(file))
        if calls() < step:
            assert step > 10
            return
