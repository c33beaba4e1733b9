"""Every write, sync and rename fails in turn: what was safe stays safe, and what was not is written or said."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checkpoints import Written, layout_in, load, open_store, write_history, write_job
from support.faulty_files import MUTATING, Fault, FaultyFiles, PowerCut, SmallDisk
from support.histories import History, Tee

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_answer
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.checkpoint.writer import RESERVE_BYTES
from mozart_nb.engine.fold import fold
from mozart_nb.errors import CheckpointUnwritableError

SMALL = {"snapshot_after_bytes": 1500, "segment_bytes": 4000}
"""Snapshots and segments small enough that a short history meets all of them."""


def live(
    layout: Layout, files: FaultyFiles, seed: int, count: int = 45
) -> tuple[Written, CheckpointUnwritableError | None]:
    """A history that ends with the first error of a commit, if there is one."""
    written = Written(layout)
    try:
        asyncio.run(write_history(layout, random.Random(seed), count, files=files, written=written, **SMALL))
    except CheckpointUnwritableError as error:
        return written, error
    return written, None


def check(written: Written, *, go_on: bool = True) -> None:
    """What a commit covered is there, nothing else than what was appended is, and the job can go on."""
    loaded = load(written.layout, holder=True)
    seq = loaded.state.job.seq
    assert seq >= written.safe
    assert loaded.state == fold(written.events[:seq])
    for answer, at, size in written.answers:
        if any(isinstance(e, ev.SessionFinished) and e.answer_at == at for e in written.events[:seq]):
            assert read_answer(written.layout, at, size).text == answer.text
    if not go_on:
        return
    after = write_job(written.layout, 99, 30)
    assert load(written.layout).state == fold([*written.events[:seq], *after.events])


def calls_of(seed: int, folder: Path) -> int:
    files = FaultyFiles()
    written, error = live(layout_in(folder), files, seed)
    assert error is None
    assert {"open_append", "open_fresh", "write", "sync", "replace", "sync_folder"} <= set(files.calls)
    assert len(list(written.layout.journal.iterdir())) > 1
    return sum(call in MUTATING for call in files.calls)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_any_call_may_fail_and_nothing_that_was_safe_is_lost(error: int, lasting: bool, tmp_path: Path) -> None:
    reported = survived = 0
    for at in range(1, calls_of(1, tmp_path / "whole") + 1):
        files = FaultyFiles(Fault(at, error, lasting=lasting, short=True))
        written, refusal = live(layout_in(tmp_path / str(at)), files, 1)
        assert files.failed, "the fault was never met"
        if refusal is None:
            survived += 1
            assert written.safe == len(written.events)
        else:
            reported += 1
            assert (refusal.code, bool(refusal.hint)) == ("E703", True)
            assert str(written.layout.root) in str(refusal)
        check(written, go_on=at % 5 == 0)
        shutil.rmtree(tmp_path / str(at))
    assert reported or (error == errno.ENOSPC and not lasting), "a passing lack of room is what the reserve is for"
    assert survived or lasting, "one fault at a time is mended wherever that can be done"


@pytest.mark.parametrize("seed", range(30))
def test_a_loss_of_power_at_any_moment_keeps_what_was_safe(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    files = PowerCut()
    written, _ = live(layout_in(tmp_path), files, seed, rng.randrange(1, 120))
    files.strike(rng)
    check(written)


@pytest.mark.parametrize("seed", range(60))
def test_a_failed_sync_and_then_a_loss_of_power_keep_what_was_safe(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    files = PowerCut(Fault(rng.randrange(1, 40), kinds=("sync",)))
    written, _ = live(layout_in(tmp_path), files, seed, 70)
    files.strike(rng)
    check(written)


def test_what_a_failed_sync_left_in_doubt_is_written_to_a_new_segment(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)

    async def write() -> Written:
        files = FaultyFiles()
        store, loaded = await open_store(layout, files=files)
        tee = Tee(store)
        life = History(random.Random(3), tee, state=loaded.state)
        for _ in life.play(10):
            continue
        await store.commit(life.state)
        safe = layout.segment(1).stat().st_size
        files.break_now(Fault(1, kinds=("sync",)))
        life.emit(ev.CostUpdated(cost_usd=1.0))
        await store.commit(life.state)
        await store.close()
        assert files.failed == ["sync " + files.failed[0].split()[1]]
        assert layout.segment(1).stat().st_size == safe
        assert layout.segment(2).stat().st_size > 0
        [warning] = store.warnings
        assert "written again and is safe" in warning
        return Written(layout, life.state, tee.events)

    written = asyncio.run(write())
    assert load(layout).state == written.state


def test_doubtful_lines_that_stayed_do_not_count_twice(tmp_path: Path) -> None:
    """Even the cut of the doubtful part fails, so both segments hold the same events."""
    layout = layout_in(tmp_path)

    async def write() -> Written:
        files = FaultyFiles()
        store, loaded = await open_store(layout, files=files)
        tee = Tee(store)
        life = History(random.Random(3), tee, state=loaded.state)
        for _ in life.play(10):
            continue
        await store.commit(life.state)
        files.break_now(Fault(1, kinds=("sync", "truncate")))
        files.truncate = _refuse  # type: ignore[method-assign]
        life.emit(ev.CostUpdated(cost_usd=1.0))
        await store.commit(life.state)
        await store.close()
        return Written(layout, life.state, tee.events)

    written = asyncio.run(write())
    with layout.segment(1).open("ab") as file:
        file.write(b"\0\0\0 what a failed sync may leave\n\0\0")
    assert b"job.cost_update" in layout.segment(1).read_bytes()
    assert b"job.cost_update" in layout.segment(2).read_bytes()
    assert load(layout, holder=True).state == written.state
    layout.snapshot.unlink(missing_ok=True)
    assert load(layout).state == written.state


def _refuse(handle: int, size: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_could_not_be_saved_is_saved_by_the_next_commit(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)

    async def write() -> Written:
        files = FaultyFiles()
        store, loaded = await open_store(layout, files=files)
        tee = Tee(store)
        life = History(random.Random(4), tee, state=loaded.state)
        for _ in life.play(20):
            continue
        files.break_now(Fault(1, lasting=True))
        for _ in range(3):
            with pytest.raises(CheckpointUnwritableError):
                await store.commit(life.state)
            life.emit(ev.CostUpdated(cost_usd=1.0))
        files.mend()
        await store.commit(life.state)
        await store.close()
        return Written(layout, life.state, tee.events, tee.answers, life.state.job.seq)

    check(asyncio.run(write()))


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [300, 900, 4000, 9000, 20_000])
def test_on_a_full_disk_the_reserve_makes_room_and_the_store_asks_for_a_pause(room: int, tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    layout.workspace.mkdir()
    disk = SmallDisk(layout.workspace, RESERVE_BYTES + room)
    written = Written(layout)
    asyncio.run(write_history(layout, random.Random(5), 150, files=disk, written=written, **SMALL))
    assert "the disk is full" in written.pressure
    assert written.safe == len(written.events) == 150
    assert not layout.reserve.exists()
    check(written)


def test_a_disk_with_no_room_for_a_reserve_says_so_with_the_first_event_that_does_not_fit(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    layout.workspace.mkdir()
    written = Written(layout)
    disk = SmallDisk(layout.workspace, 5000)
    with pytest.raises(CheckpointUnwritableError, match="the disk is full") as caught:
        asyncio.run(write_history(layout, random.Random(5), 150, files=disk, written=written))
    assert "make room" in caught.value.hint
    assert 0 < written.safe < 150
    check(written)


def test_a_snapshot_that_finds_no_room_is_a_warning(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    files = FaultyFiles(Fault(1, errno.ENOSPC, kinds=("open_fresh", "replace"), lasting=True))
    written = Written(layout)
    asyncio.run(write_history(layout, random.Random(6), 150, files=files, written=written, **SMALL))
    [warning] = written.warnings
    assert "nothing is lost" in warning
    assert not layout.snapshot.exists()
    assert not layout.snapshot_draft.exists()
    check(written)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_on_a_real_full_disk_the_job_is_asked_to_pause_and_goes_on_when_there_is_room(tiny_disk: Path) -> None:
    layout = Layout(tiny_disk / "ws", "job")
    written = Written(layout)
    filler = tiny_disk / "filler"

    async def live() -> None:
        store, loaded = await open_store(layout, **SMALL)
        tee = Tee(store)
        life = History(random.Random(7), tee, state=loaded.state)
        for number, _ in enumerate(life.play(400)):
            if number == 100:
                _fill(filler)
            await store.commit(life.state)
            written.safe = life.state.job.seq
            if store.pressure:
                break
        life.finish()
        await store.commit(life.state)
        await store.close()
        written.events, written.answers, written.pressure = tee.events, tee.answers, store.pressure

    asyncio.run(live())
    assert "the disk is full" in written.pressure
    assert load(layout).state == fold(written.events)
    filler.unlink()
    check(written)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            continue


# --- places that cannot be written to ---------------------------------------------------------------------------------


def test_a_workspace_that_is_a_file_is_refused_with_its_path(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    layout.workspace.write_text("not a folder")
    with pytest.raises(CheckpointUnwritableError, match="ws"):
        JobLock(layout).acquire()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "read-only"
    place.mkdir()
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("root may write anywhere, and this machine does not let us mount a read-only disk")
        yield place
        subprocess.run(["umount", str(place)], check=True)
    else:
        place.chmod(0o500)
        yield place
        place.chmod(0o700)


def test_a_read_only_workspace_is_refused_with_its_path_and_what_to_do(read_only: Path) -> None:
    layout = Layout(read_only / "ws", "job")
    with pytest.raises(CheckpointUnwritableError, match=r"read-only|permission denied") as caught:
        JobLock(layout).acquire()
    assert str(layout.root) in str(caught.value)
    assert "workspace" in caught.value.hint
