"""Log files read with their backups, and followed through whatever happens to them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mozart_nb.consumers.log.packing import pack
from mozart_nb.consumers.log.rotating import RotatingFile
from mozart_nb.errors import MisuseError
from mozart_nb.looking.logs import FileFollower, LogFilter, last_lines, log_filter, read_lines

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
LEVELS = ("INFO", "WARNING", "ERROR")


def line(number: int) -> str:
    """A line a minute, of three levels in turn; batch 1 has all that are not errors."""
    moment = datetime.fromtimestamp(NOON + 60 * number, UTC).isoformat()
    level = LEVELS[number % 3]
    name = "batch.failed" if level == "ERROR" else "batch.retrying" if level == "WARNING" else "batch.started"
    batch = 2 if level == "ERROR" else 1
    return f"{moment} {level:<7} {name} job_id=notes run_id=r batch={batch} attempt=1 number={number}"


def numbers(lines: list[str]) -> list[int]:
    return [int(text.rpartition("=")[2]) for text in lines]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mozart.log"


class Log:
    """A log that is written to, ten lines a file."""

    def __init__(self, file: Path, *, packs: bool = True) -> None:
        self.file = file
        rotated = (lambda: pack(file)) if packs else (lambda: None)
        self._log = RotatingFile(file, limit=10 * (len(line(100)) + 1), keep=100, rotated=rotated)
        self._next = 100

    def write(self, count: int) -> list[int]:
        """Write so many more lines; returns their numbers."""
        written = range(self._next, self._next + count)
        self._next += count
        self._log.write(bytearray("".join(f"{line(number)}\n" for number in written).encode()))
        return list(written)


@pytest.fixture(params=["packed", "not packed"])
def log(file: Path, request: pytest.FixtureRequest) -> Log:
    return Log(file, packs=request.param == "packed")


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_last_lines_are_taken_from_as_many_backups_as_they_fill(log: Log) -> None:
    written = log.write(47)
    for count in (1, 7, 12, 46, 47, 90):
        assert numbers([one.text for one in last_lines(log.file, count)]) == written[-count:]
    assert numbers([one.text for one in read_lines(log.file)]) == written


@pytest.mark.parametrize(
    "wanted",
    [
        LogFilter(level="WARNING"),
        log_filter(batch=2),
        log_filter(events="batch.s*"),
        LogFilter(since=NOON + 60 * 112, until=NOON + 60 * 131),
    ],
)
def test_lines_are_chosen_like_events(log: Log, wanted: LogFilter) -> None:
    log.write(47)
    expected = [one.text for one in read_lines(log.file) if wanted.wants_line(one)]
    assert 0 < len(expected) < 47
    assert [one.text for one in read_lines(log.file, wanted)] == expected
    assert [one.text for one in last_lines(log.file, 6, wanted)] == expected[-6:]


def test_lines_that_say_nothing_about_themselves_are_shown_until_more_than_a_level_is_asked_for(file: Path) -> None:
    file.write_text(f"Traceback (most recent call last):\n{line(2)}\n")
    assert len(last_lines(file, 0)) == 2
    assert len(last_lines(file, 0, log_filter(level="ERROR"))) == 2
    assert len(last_lines(file, 0, log_filter(batch=2))) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 100_000,
        '{"event":"batch.failed","timestamp":"9999-12-31T23:59:59.9-23:59"}',
        "0001-01-01T00:00:00+00:00 INFO batch.failed batch=1",
    ],
    ids=["deep", "late", "early"],
)
def test_a_line_that_somebody_made_up_is_read_like_any_other(file: Path, text: str) -> None:
    file.write_text(f"{text}\n")
    [found] = last_lines(file, 1)
    assert found.text == text
    assert found.document
    assert not found.at


def test_the_batches_of_a_line_may_be_many(file: Path) -> None:
    file.write_text("INFO    batch.renewed batches=1-999999999\n")
    assert len(last_lines(file, 1, LogFilter(batch=77_000_000))) == 1
    assert last_lines(file, 1, LogFilter(batch=1_000_000_000)) == []


def test_lines_of_other_jobs_in_the_same_file_are_left_out(file: Path) -> None:
    file.write_text(f"{line(2)}\n{line(3).replace('notes', 'others')}\n")
    assert numbers([one.text for one in last_lines(file, 5, log_filter(job_id="others"))]) == [3]


def test_a_backup_can_be_read_by_itself_and_a_damaged_one_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    backup = tmp_path / "mozart.log.1.gz"
    whole = gzip.compress("".join(f"{line(number)}\n" for number in range(2000)).encode())
    backup.write_bytes(whole)
    assert numbers([one.text for one in last_lines(backup, 2)]) == [1998, 1999]
    backup.write_bytes(whole[: len(whole) // 2])
    *lines, last = last_lines(backup, 0)
    assert numbers([one.text for one in lines]) == list(range(len(lines)))
    assert "cannot be read" in last.text


def test_a_log_file_that_does_not_exist_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="there is no log file"):
        last_lines(tmp_path / "mozart.log", 5)


# --- following --------------------------------------------------------------------------------------------------------


@pytest.fixture
def follower(log: Log) -> Iterator[FileFollower]:
    log.write(13)
    with FileFollower(log.file, count=5) as found:
        assert numbers([one.text for one in found.poll()]) == [108, 109, 110, 111, 112]
        yield found


def new(follower: FileFollower) -> list[int]:
    return numbers([one.text for one in follower.poll()])


def test_following_goes_on_through_one_rotation_and_through_many(log: Log, follower: FileFollower) -> None:
    assert new(follower) == []
    for count in (3, 6, 10, 35, 1, 20):
        written = log.write(count)
        assert new(follower) == written
        assert new(follower) == []


def test_a_line_is_handed_out_when_it_is_whole(log: Log, follower: FileFollower) -> None:
    with log.file.open("a") as file:
        file.write(line(7)[:30])
        file.flush()
        assert new(follower) == []
        file.write(line(7)[30:] + "\n")
    assert new(follower) == [7]


def test_following_survives_truncation(log: Log, follower: FileFollower) -> None:
    os.truncate(log.file, 0)
    assert new(follower) == []
    written = log.write(2)
    assert new(follower) == written
    log.file.write_text(f"{line(1)}\n{line(2)}\n{line(3)}\n")  # emptied and filled again between two looks
    assert new(follower) == [1, 2, 3]


def test_following_survives_removal(log: Log, follower: FileFollower) -> None:
    written = log.write(2)
    log.file.unlink()
    assert new(follower) == written
    assert new(follower) == []
    written = log.write(3)
    assert new(follower) == written


def test_a_file_that_is_not_there_yet_is_waited_for(log: Log) -> None:
    with FileFollower(log.file) as follower:
        assert not follower.is_there
        assert follower.poll() == []
        written = log.write(3)
        assert new(follower) == written
        assert follower.is_there


def test_a_file_that_comes_and_is_rotated_between_two_looks_is_read_from_its_first_line(log: Log) -> None:
    with FileFollower(log.file) as follower:
        written = log.write(25)
        assert new(follower) == written
        assert new(follower) == []


def test_following_begins_with_the_backups_where_the_file_itself_is_gone(log: Log) -> None:
    log.write(23)
    log.file.unlink()
    with FileFollower(log.file, count=5) as follower:
        assert new(follower) == [115, 116, 117, 118, 119]
        written = log.write(2)
        assert new(follower) == written


def test_following_begins_where_the_last_lines_end_also_within_a_line(file: Path) -> None:
    file.write_text(f"{line(1)}\n{line(2)}\n{line(3)[:9]}")
    with FileFollower(file, count=1) as follower:
        assert new(follower) == [2]
        with file.open("a") as more:
            more.write(line(3)[9:] + "\n")
        assert new(follower) == [3]


def test_followed_lines_are_filtered(log: Log) -> None:
    log.write(13)
    with FileFollower(log.file, LogFilter(level="ERROR"), count=2) as follower:
        assert new(follower) == [107, 110]
        log.write(20)
        assert new(follower) == [113, 116, 119, 122, 125, 128, 131]
