"""What the conductor does is told in its log, and to whoever watches: bounded, masked, and in order."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

from mozart_nb.hosts.conductor.log import MOST_KEPT, Log
from mozart_nb.masking import know


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_event_is_one_line_of_a_file_for_the_user_alone(tmp_path: Path):
    log = Log()
    log.write_to(tmp_path / "c.log", max_mb=1, backups=1)
    log.tell("job.running", job_id="notes")
    log.tell("job.over", job_id="notes", status="completed", reason="two\nlines")
    log.close()
    assert [(line["seq"], line["event"]) for line in lines(tmp_path / "c.log")] == [(1, "job.running"), (2, "job.over")]
    assert stat.S_IMODE((tmp_path / "c.log").stat().st_mode) == 0o600


def test_what_is_below_its_level_is_left_out():
    heard: list[str] = []
    log = Log(level="warning", echo=heard.append)
    log.tell("job.running")
    log.tell("settings.refused", "error", message="no")
    assert len(heard) == 1
    assert "settings.refused message=no" in heard[0]


def test_secrets_are_blotted_out(tmp_path: Path):
    know(["s3cr3t-in-the-log"])
    heard: list[str] = []
    log = Log(echo=heard.append)
    log.write_to(tmp_path / "c.log", max_mb=1, backups=1)
    log.tell("conductor.error", message="the key is s3cr3t-in-the-log")
    log.close()
    assert "s3cr3t" not in (tmp_path / "c.log").read_text() + "".join(heard)


def test_a_log_that_grows_begins_anew_and_keeps_so_many_older_ones(tmp_path: Path):
    log = Log()
    log.write_to(tmp_path / "c.log", max_mb=1, backups=2)
    for _ in range(35):
        log.tell("job.over", reason="x" * 100_000)
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.log", "c.log.1", "c.log.2"]
    assert all(path.stat().st_size <= 1 << 20 for path in tmp_path.iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


async def test_who_watches_gets_what_is_kept_then_what_happens_then_the_end():
    log = Log()
    log.tell("one")
    log.tell("two")
    seen: list[str] = []

    async def watch() -> None:
        async for burst in log.watch(since_seq=1):
            seen.extend(told["event"] for told in burst)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    log.tell("three")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    log.tell("four")
    log.close()
    await watching
    assert seen == ["two", "three", "four"]


def test_only_so_many_events_are_kept():
    log = Log()
    for number in range(MOST_KEPT + 50):
        log.tell("tick", number=number)
    assert log.seq == MOST_KEPT + 50
    assert len(log._kept) == MOST_KEPT
