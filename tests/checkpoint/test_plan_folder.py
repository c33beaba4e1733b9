"""What a job needs is frozen as a whole; starting over moves everything away and deletes nothing."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from support.checkpoints import layout_in, load, write_job
from support.faulty_files import Fault, FaultyFiles

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.checkpoint.plan import archive, freeze_plan, read_plan
from mozart_nb.errors import CheckpointUnwritableError, JobBusyError, MisuseError, UnknownJobError

OLD = {"config.json": b"{}", "templates/main.md": b"Do {{ item }}", "items.jsonl": b"\x00\xff\n" * 100}
NEW = {"config.json": b'{"a": 1}', "templates/deep/er.md": b""}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


def test_a_frozen_plan_is_read_back_as_it_was(layout: Layout) -> None:
    freeze_plan(layout, OLD)
    assert read_plan(layout) == OLD
    assert read_plan(layout, previous=True) == {}


def test_a_new_plan_takes_the_place_of_the_old_one_which_stays_readable(layout: Layout) -> None:
    freeze_plan(layout, OLD)
    freeze_plan(layout, NEW)
    assert read_plan(layout) == NEW
    assert read_plan(layout, previous=True) == OLD


def test_a_job_without_a_plan_says_so(layout: Layout) -> None:
    with pytest.raises(UnknownJobError, match="holds no plan"):
        read_plan(layout)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", ".", "a\\b", "a\0b"])
def test_a_plan_cannot_reach_outside_its_folder(layout: Layout, name: str) -> None:
    with pytest.raises(MisuseError, match="cannot be part of a plan"):
        freeze_plan(layout, {name: b""})
    assert not layout.plan.exists()


def test_whatever_fails_while_a_plan_is_replaced_one_of_the_two_is_whole(tmp_path: Path) -> None:
    clean = FaultyFiles()
    first = layout_in(tmp_path / "0")
    freeze_plan(first, OLD)
    freeze_plan(first, NEW, clean)
    found = []
    for at in range(1, len(clean.calls) + 1):
        layout = layout_in(tmp_path / str(at))
        freeze_plan(layout, OLD)
        files = FaultyFiles(Fault(at, errno.ENOSPC, lasting=at % 2 == 0))
        with pytest.raises(CheckpointUnwritableError, match="the disk is full"):
            freeze_plan(layout, NEW, files)
        found.append(read_plan(layout))
        assert not (layout.root / "plan.tmp").exists()
        freeze_plan(layout, NEW)
        assert read_plan(layout) == NEW
    assert OLD in found
    assert all(plan in (OLD, NEW) for plan in found)


def test_a_host_that_died_between_the_two_renames_leaves_the_old_plan(layout: Layout) -> None:
    freeze_plan(layout, OLD)
    layout.plan.rename(layout.previous_plan)
    assert read_plan(layout) == OLD
    freeze_plan(layout, NEW)
    assert (read_plan(layout), read_plan(layout, previous=True)) == (NEW, OLD)


# --- starting over ----------------------------------------------------------------------------------------------------


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def job_with_everything(layout: Layout) -> dict[str, bytes]:
    """Writes a job and returns what must be found in the archive afterwards."""
    freeze_plan(layout, OLD)
    write_job(layout, 1, 120, checkpoint=True)
    log = layout.log_stem(7, 1).with_suffix(".out")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"raw output")
    inside = {f".mozart/job/{name}": content for name, content in files_below(layout.root).items() if name != "lock"}
    return {"job.json": layout.snapshot.read_bytes(), **inside}


def test_starting_over_moves_all_of_it_and_the_lock_stays_held(layout: Layout) -> None:
    expected = job_with_everything(layout)
    report = layout.workspace / "report.md"
    report.write_bytes(b"paid work")
    with JobLock(layout):
        place = archive(layout)
        assert place is not None
        assert place.parent == layout.archive
        assert files_below(place) == expected
        assert not layout.exists
        with pytest.raises(JobBusyError):
            JobLock(layout).acquire()
    assert report.read_bytes() == b"paid work"
    fresh = write_job(layout, 2, 30)
    assert load(layout).state == fresh.state
    assert load(Layout(place, "job")).warnings == []


def test_two_archives_in_one_second_do_not_meet(layout: Layout) -> None:
    places = set()
    for seed in range(3):
        write_job(layout, seed, 10)
        with JobLock(layout):
            places.add(archive(layout))
    assert len(places) == 3


def test_a_job_that_left_nothing_is_not_archived(layout: Layout) -> None:
    with JobLock(layout):
        assert archive(layout) is None
    assert not layout.archive.exists()


def test_an_archive_whose_host_died_is_finished_by_the_next_one(tmp_path: Path) -> None:
    clean = FaultyFiles()
    first = layout_in(tmp_path / "0")
    job_with_everything(first)
    with JobLock(first):
        archive(first, clean)
    for at in range(1, len(clean.calls) + 1):
        layout = layout_in(tmp_path / str(at))
        expected = job_with_everything(layout)
        lock = JobLock(layout)
        lock.acquire()
        with pytest.raises(CheckpointUnwritableError):
            archive(layout, FaultyFiles(Fault(at, lasting=True)))
        lock.release()
        with JobLock(layout):
            if layout.exists:  # the archive had not begun
                archive(layout)
        assert not layout.exists
        found = [files_below(place) for place in layout.archive.iterdir()]
        assert expected in found
        assert load(layout, holder=True).state.job.seq == 0
        shutil.rmtree(layout.workspace)
