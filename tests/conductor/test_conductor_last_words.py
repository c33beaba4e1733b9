"""Who has the last word about a job that the conductor carries, and what becomes of the others when one is broken."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from support.conductor_here import conducting, job_file, until

from mozart_nb.checkpoint.follow import read_state
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import UnknownJobError
from mozart_nb.hosts.conductor import asking
from mozart_nb.hosts.conductor.service import Conductor
from mozart_nb.hosts.conductor.wanted import OfJob, Wanted


def layout_of(file: Path) -> Layout:
    return Layout(file.parent / "ws", file.parent.name)


def status_of(file: Path) -> str:
    return read_state(layout_of(file)).status


def done_in(file: Path) -> int:
    try:
        return read_state(layout_of(file)).count("completed")
    except UnknownJobError:
        return 0


def of(file: Path) -> OfJob:
    return OfJob(job_id=file.parent.name, workspace=str(file.parent / "ws"))


async def over(conductor: Conductor) -> None:
    coming = ("queued", "running")
    await until(lambda: not conductor.running and not any(one.phase in coming for one in conductor.register))


async def test_a_pause_just_before_the_conductor_stops_still_counts_for_the_next_one(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.3)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
        await asking.pause(conductor, of(file))
        await until(lambda: status_of(file) == "pausing")
    assert status_of(file) == "paused"
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
        assert len(conductor.register) == 0
    assert status_of(file) == "paused"


async def test_a_pause_that_its_host_did_not_live_to_see_ends_with_the_next_one(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.3)
    layout = layout_of(file)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
        account = (tmp_path / "c" / "carried.json").read_bytes()
        await asking.pause(conductor, of(file))
        await until(lambda: status_of(file) == "pausing")
        journal = {path: path.read_bytes() for path in layout.journal.iterdir() if path.is_file()}
    done = done_in(file)
    # As if the conductor had been killed while the last sessions finished.
    for path, data in journal.items():
        path.write_bytes(data)
    (tmp_path / "c" / "carried.json").write_bytes(account)
    assert status_of(file) == "pausing"
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
        assert len(conductor.register) == 0
    assert status_of(file) == "paused"
    assert done_in(file) <= done


async def test_a_job_that_is_cancelled_while_it_is_taken_up_does_not_run_on(tmp_path: Path):
    first, second = (job_file(tmp_path / name, 40, latency=0.05) for name in ("first", "second"))
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await conductor.submit(Wanted(file=str(first)))
        await conductor.submit(Wanted(file=str(second)))
        conductor.settings = conductor.settings.model_copy(update={"max_jobs": 2})
        filling = asyncio.ensure_future(conductor.fill())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asking.cancel(conductor, of(second))
        await filling
        await asking.cancel(conductor, of(first))
        await over(conductor)
        assert len(conductor.register) == 0
    assert not layout_of(second).exists or status_of(second) == "cancelled"


async def test_a_job_that_cannot_be_loaded_is_held_and_the_others_go_on(tmp_path: Path):
    files = [job_file(tmp_path / name, 12, latency=0.05) for name in ("one", "two")]
    async with conducting(tmp_path / "c", seconds=5) as conductor:
        for file in files:
            await conductor.submit(Wanted(file=str(file)))
        await until(lambda: all(done_in(file) for file in files))
    account = json.loads((tmp_path / "c" / "carried.json").read_text())
    account["jobs"][0]["wish"] = {"max_concurrent": "as one of another version noted it"}
    account["jobs"][0]["since"] = 0
    (tmp_path / "c" / "carried.json").write_text(json.dumps(account))
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
        (held,) = conductor.register
        assert held.phase == "held"
        assert "max_concurrent" in held.reason
        other = next(file for file in files if file.parent.name != held.job_id)
        assert status_of(other) == "completed"
        conductor.register.drop(held)


async def test_a_job_whose_path_leads_elsewhere_by_now_holds_up_nobody(tmp_path: Path):
    files = [job_file(tmp_path / name, 12, latency=0.05) for name in ("one", "two")]
    (tmp_path / "link").symlink_to(tmp_path / "one")
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await conductor.submit(Wanted(file=str(files[1])))
        await conductor.submit(Wanted(file=str(tmp_path / "link" / "job.yaml")))
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        await over(conductor)
    assert status_of(files[1]) == "completed"


async def test_a_job_whose_path_leads_elsewhere_while_it_runs_is_over_when_it_is_over(tmp_path: Path):
    job_file(tmp_path / "one", 12, latency=0.05)
    job_file(tmp_path / "two", 1)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(tmp_path / "link" / "job.yaml")))
        await until(lambda: any(one.has_begun for one in conductor.register))
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to(tmp_path / "two")
        await over(conductor)
        assert (conductor.running, len(conductor.register)) == ({}, 0)


async def test_a_disk_that_is_full_for_the_account_ends_no_job_and_the_conductor_stops_in_order(tmp_path: Path):
    file = job_file(tmp_path / "notes", 30, latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
        (tmp_path / "c" / "carried.tmp").mkdir()  # nothing can be written beside it
    assert conductor.running == {}
    assert status_of(file) == "paused"
    (tmp_path / "c" / "carried.tmp").rmdir()
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
    assert status_of(file) == "completed"


async def test_a_job_that_is_asked_for_again_stays_carried_where_that_cannot_be_noted(tmp_path: Path):
    first, second = (job_file(tmp_path / name, 40, latency=0.05) for name in ("first", "second"))
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await conductor.submit(Wanted(file=str(first)))
        await conductor.submit(Wanted(file=str(second)))
        (tmp_path / "c" / "carried.tmp").mkdir()
        told = await asyncio.gather(conductor.submit(Wanted(file=str(second), priority=1)), return_exceptions=True)
        assert "cannot note" in str(told[0])
        known = conductor.register.get(layout_of(second))
        assert known is not None
        assert known.priority == 100
        (tmp_path / "c" / "carried.tmp").rmdir()
        for file in (second, first):
            await asking.cancel(conductor, of(file))
        await over(conductor)
