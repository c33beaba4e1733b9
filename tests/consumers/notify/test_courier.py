"""The courier against a receiver that fails, hangs and recovers: nothing is lost, nothing overtakes, keys stay out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from support.notifying import (
    PATIENT,
    QUICK,
    channel,
    content,
    deliver,
    left_behind,
    message,
    modes,
    moved_away,
    put,
    until,
)
from support.receiver import HANGS, HANGS_UP, Receiver, status

from mozart_nb.consumers.notify import courier as at_work
from mozart_nb.consumers.notify import deliveries, unsent
from mozart_nb.consumers.notify.courier import ENDS_WITH, SUCCESSOR, Courier
from mozart_nb.consumers.notify.outbox import OUTBOX, GrowingFile
from mozart_nb.consumers.notify.spawn import is_at_work, release, start_courier, take_lock


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().in_thread() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "notify"


async def test_messages_arrive_in_order_each_with_its_id(folder: Path, receiver: Receiver) -> None:
    ids = put(folder, *(message(seq) for seq in range(1, 6)))
    await deliver(folder, channel(url=receiver.url))
    assert [one.id for one in receiver.got] == ids == [one.document["id"] for one in receiver.got]
    assert [one.status for one in deliveries(folder)] == ["delivered"] * 5
    assert unsent(folder) == []


@pytest.mark.parametrize("trouble", [status(500), status(503, retry_after=0.01), status(429), HANGS, HANGS_UP])
async def test_a_receiver_that_fails_and_recovers_gets_everything_in_order(
    folder: Path, receiver: Receiver, trouble: object
) -> None:
    receiver.answers(trouble, trouble)  # type: ignore[arg-type]
    ids = put(folder, message(1), message(2), message(3))
    await deliver(folder, channel(url=receiver.url, timeout=0.1))
    assert [one.id for one in receiver.accepted] == ids
    assert [one.id for one in receiver.got] == [ids[0], ids[0], *ids]
    assert deliveries(folder)[0].attempts == 3


async def test_slower_rounds_follow_the_quick_tries_and_are_in_the_record(folder: Path, receiver: Receiver) -> None:
    receiver.answers(*[status(500, body="overloaded")] * 6)
    put(folder, message(1))
    courier = asyncio.create_task(deliver(folder, channel(url=receiver.url, max_retries=1), pace=PATIENT))
    seen = await until(lambda: deliveries(folder))
    assert (seen[0].status, seen[0].error, seen[0].http_status) == ("retrying", "HTTP 500: overloaded", 500)
    await courier
    assert [(one.status, one.attempts) for one in deliveries(folder)] == [("delivered", 7)]


async def test_what_does_not_get_through_for_long_enough_has_failed_and_so_has_what_is_as_old(
    folder: Path, receiver: Receiver
) -> None:
    receiver.otherwise = status(502)
    put(folder, message(1, age=1), message(2, age=1), message(3, age=1))
    await deliver(folder, channel(url=receiver.url, max_retries=1))
    assert [(one.status, one.attempts, one.error) for one in deliveries(folder)] == [
        ("failed", 2, "HTTP 502"),
        ("failed", 0, "HTTP 502"),
        ("failed", 0, "HTTP 502"),
    ]


@pytest.mark.parametrize("code", [400, 403, 404, 410])
async def test_a_refusal_is_final_at_once_and_says_why(folder: Path, receiver: Receiver, code: int) -> None:
    receiver.answers(status(code, body="no_service"))
    put(folder, message(1), message(2))
    await deliver(folder, channel(url=receiver.url))
    assert [(one.status, one.error) for one in deliveries(folder)] == [
        ("failed", f"HTTP {code}: no_service"),
        ("delivered", ""),
    ]
    assert len(receiver.got) == 2


async def test_a_channel_that_is_stuck_holds_up_no_other(folder: Path, receiver: Receiver) -> None:
    stuck = channel(url="http://127.0.0.1:9/", max_retries=0)
    put(folder, message(1, 1), message(1, 2), message(2, 1), message(2, 2))
    courier = asyncio.create_task(deliver(folder, stuck, channel(url=receiver.url), pace=PATIENT))
    await until(lambda: {one.channel for one in unsent(folder)} == {1})
    courier.cancel()
    await asyncio.gather(courier, return_exceptions=True)
    assert len(receiver.got) == 2
    assert deliveries(folder)[0].error.startswith("cannot connect: ")


async def test_the_pause_that_a_receiver_asks_for_is_kept(folder: Path, receiver: Receiver) -> None:
    receiver.answers(status(429, retry_after=0.15))
    put(folder, message(1))
    began = asyncio.get_running_loop().time()
    await deliver(folder, channel(url=receiver.url))
    assert asyncio.get_running_loop().time() - began >= 0.15


async def test_a_pause_beyond_the_end_of_all_patience_is_a_failure(folder: Path, receiver: Receiver) -> None:
    receiver.answers(status(429, retry_after=9999))
    put(folder, message(1))
    await deliver(folder, channel(url=receiver.url))
    assert deliveries(folder)[0].status == "failed"


async def test_a_courier_killed_between_sending_and_recording_sends_again_with_the_same_id(
    folder: Path, receiver: Receiver
) -> None:
    ids = put(folder, message(1), message(2))
    await deliver(folder, channel(url=receiver.url))
    record = folder / "deliveries.jsonl"
    first, _ = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(first + b'{"id":"torn')
    await deliver(folder, channel(url=receiver.url))
    assert [one.id for one in receiver.got] == [*ids, ids[1]]
    assert [one.id for one in deliveries(folder)] == ids


async def test_one_courier_delivers_at_a_time(folder: Path, receiver: Receiver) -> None:
    put(folder, message(1))
    held = take_lock(folder)
    assert held is not None
    assert is_at_work(folder)
    assert not await Courier(folder, [channel(url=receiver.url)], {}, pace=QUICK).run()
    release(held)
    assert not is_at_work(folder)
    assert receiver.got == []


async def test_a_new_run_s_courier_takes_over_with_the_channels_as_they_are_now(
    folder: Path, receiver: Receiver
) -> None:
    ids = put(folder, message(1), message(2))
    old = asyncio.create_task(Courier(folder, [channel(url="http://127.0.0.1:9/")], {}, pace=PATIENT).run())
    await until(lambda: deliveries(folder))
    assert await Courier(folder, [channel(url=receiver.url)], {}, pace=QUICK, take_over=True).run()
    assert await old
    assert [one.id for one in receiver.got] == ids
    assert unsent(folder) == []


async def test_a_request_to_make_room_that_nobody_stands_behind_is_forgotten(folder: Path, receiver: Receiver) -> None:
    put(folder, message(1))
    left_behind(folder / SUCCESSOR)
    await deliver(folder, channel(url=receiver.url))
    assert len(receiver.got) == 1


async def test_a_courier_that_makes_room_for_one_that_never_comes_goes_on(folder: Path, receiver: Receiver) -> None:
    receiver.otherwise = status(500)
    ids = put(folder, message(1), message(2))
    courier = asyncio.create_task(deliver(folder, channel(url=receiver.url), pace=PATIENT))
    await until(lambda: deliveries(folder))
    left_behind(folder / SUCCESSOR)
    await until(lambda: not (folder / SUCCESSOR).exists() or courier.done())
    receiver.otherwise = status(200)
    await courier
    assert [one.id for one in deliveries(folder) if one.status == "delivered"] == ids


async def test_a_clock_that_was_set_back_does_not_make_the_hour_longer(folder: Path) -> None:
    put(folder, message(1, age=-3600))
    await asyncio.wait_for(deliver(folder, channel(url="http://127.0.0.1:9/")), 5)
    assert [one.status for one in deliveries(folder)] == ["failed"]


async def test_what_comes_while_a_courier_is_about_to_end_is_delivered(folder: Path, receiver: Receiver) -> None:
    put(folder, message(1))
    courier = asyncio.create_task(deliver(folder, channel(url=receiver.url)))
    for seq in range(2, 8):
        await asyncio.sleep(0.03)
        put(folder, message(seq))
        if not is_at_work(folder):
            break
    await courier
    if unsent(folder):  # it had ended before: whoever puts in sees that, and starts another one
        await deliver(folder, channel(url=receiver.url))
    assert unsent(folder) == []


class FullDisk(GrowingFile):
    """There is no room for what is to be written, the first few times."""

    left = 0

    def append(self, records: Iterable[msgspec.Struct]) -> None:
        if FullDisk.left:
            FullDisk.left -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().append(records)


@pytest.mark.parametrize(("failures", "is_recorded"), [(3, True), (1_000_000, False)])
async def test_what_cannot_be_recorded_for_want_of_room_is_not_sent_again(
    folder: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, failures: int, is_recorded: bool
) -> None:
    monkeypatch.setattr(FullDisk, "left", failures)
    monkeypatch.setattr(at_work, "GrowingFile", FullDisk)
    ids = put(folder, message(1), message(2))
    with contextlib.nullcontext() if is_recorded else pytest.raises(OSError, match="No space left"):
        await asyncio.wait_for(deliver(folder, channel(url=receiver.url)), 5)
    assert [one.id for one in receiver.got] == (ids if is_recorded else ids[:1])
    assert [one.id for one in deliveries(folder)] == (ids if is_recorded else [])
    assert not is_at_work(folder)


async def test_a_courier_ends_when_its_folder_is_deleted(folder: Path) -> None:
    put(folder, message(1))
    courier = asyncio.create_task(deliver(folder, channel(url="http://127.0.0.1:9/"), pace=PATIENT))
    await until(lambda: deliveries(folder))
    shutil.rmtree(folder)
    await asyncio.wait_for(courier, 5)


async def test_a_courier_whose_folder_is_moved_away_goes_on_there(folder: Path, receiver: Receiver) -> None:
    receiver.otherwise = status(500)
    put(folder, message(1))
    courier = asyncio.create_task(deliver(folder, channel(url=receiver.url), pace=PATIENT))
    await until(lambda: deliveries(folder))
    moved = moved_away(folder)
    receiver.otherwise = status(200)
    await courier
    assert [one.status for one in deliveries(moved)] == ["delivered"]


async def test_a_courier_ends_with_the_process_it_is_told_to_end_with(folder: Path) -> None:
    put(folder, message(1))
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    channels = [channel(url="http://127.0.0.1:9/")]
    assert await asyncio.wait_for(Courier(folder, channels, {ENDS_WITH: str(gone.pid)}, pace=PATIENT).run(), 5)


async def test_a_channel_that_is_no_longer_in_the_job_file_is_skipped(folder: Path, receiver: Receiver) -> None:
    put(folder, message(1, 2), message(2, 1, type_="slack"))
    await deliver(folder, channel(url=receiver.url))
    assert {(one.status, one.error) for one in deliveries(folder)} == {
        ("skipped", "the job file has no such channel any more")
    }


async def test_a_message_goes_to_no_channel_that_did_not_ask_for_its_event(folder: Path, receiver: Receiver) -> None:
    put(folder, message(1, name="job_failed"), message(2))
    await deliver(folder, channel(url=receiver.url, on_events=["job_complete"]))  # another one than it was made for
    assert [got.document["event_type"] for got in receiver.got] == ["job_complete"]
    assert [one.status for one in deliveries(folder)] == ["skipped", "delivered"]


async def test_lines_that_are_not_whole_are_passed_over(folder: Path, receiver: Receiver) -> None:
    put(folder, message(1))
    with (folder / OUTBOX).open("ab") as file:
        file.write(b'{"kind":"message","id":"to')
    put(folder, message(2))
    await deliver(folder, channel(url=receiver.url))
    assert [one.document["id"] for one in receiver.got] == [message(1).id, message(2).id]


async def test_files_are_for_the_user_alone(folder: Path, receiver: Receiver) -> None:
    put(folder, message(1))
    await deliver(folder, channel(url=receiver.url))
    assert modes(folder) == (0o700, {0o600})


async def test_addresses_and_headers_come_from_the_environment_and_are_on_no_disk(
    folder: Path, receiver: Receiver
) -> None:
    secret = "T0PSECRET-in-the-path-1234567890"
    environ = {"HOOK": f"{receiver.url}/{secret}", "TOKEN": "t0ken-of-the-header-42"}
    receiver.answers(status(500, body=f"cannot serve {secret} with t0ken-of-the-header-42"), status(404, body=secret))
    put(folder, message(1), message(2))
    await deliver(folder, channel(url_env="HOOK", headers={"X-Token": "Bearer ${TOKEN}"}), **environ)
    assert receiver.got[0].path == f"/{secret}"
    assert receiver.got[0].headers["x-token"] == "Bearer t0ken-of-the-header-42"
    written = content(folder)
    assert secret.encode() not in written
    assert b"t0ken-of-the-header" not in written
    assert b"127.0.0.1" not in written


async def test_the_disk_holds_no_address_of_a_receiver_that_is_not_there(folder: Path) -> None:
    put(folder, message(1))
    await deliver(folder, channel(url="http://localhost:9/secret-part-of-the-path"))
    assert deliveries(folder)[0].error == f"cannot connect: {os.strerror(111)}"


async def test_a_courier_process_killed_while_it_sends_is_made_up_for_by_the_next(
    folder: Path, receiver: Receiver
) -> None:
    receiver.answers(HANGS)
    ids = put(folder, message(1), message(2))
    channels = [channel(url=receiver.url)]
    first = start_courier(folder, channels, True)
    await until(lambda: receiver.got)
    assert is_at_work(folder)
    first.kill()
    first.wait()
    second = start_courier(folder, channels, False)
    await until(lambda: not unsent(folder))
    assert [one.id for one in receiver.got] == [ids[0], *ids]
    second.kill()
    second.wait()


async def test_a_courier_finds_what_the_process_that_starts_it_found(
    folder: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = tmp_path / "python"  # one that has no packages of its own
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(bare))
    put(folder, message(1))
    started = start_courier(folder, [channel(url=receiver.url)], True)
    await until(lambda: not unsent(folder) or started.poll())
    assert started.poll() is None
    assert len(receiver.got) == 1
    started.kill()
    started.wait()
