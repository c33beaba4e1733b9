"""The conductor with real jobs, on the loop of the test: what it takes up, what waits, what goes on later."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.conductor_here import conducting, job_file, until
from support.obedient import write_obedient

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events, read_state
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import ConductorError, JobBusyError, MisuseError, PlanMismatchError, UnknownJobError, WorldError
from mozart_nb.hosts import channel
from mozart_nb.hosts.conductor import asking, reading
from mozart_nb.hosts.conductor.carried import Carried, Register
from mozart_nb.hosts.conductor.faults import SHUTTING_DOWN
from mozart_nb.hosts.conductor.service import WAITS_FOR_WORD, Conductor
from mozart_nb.hosts.conductor.wanted import (
    Adopted,
    Answered,
    Listed,
    Modified,
    OfJob,
    Recovered,
    Resumed,
    Retried,
    Statuses,
    Wanted,
)
from mozart_nb.job_handle import Job


def layout_of(file: Path) -> Layout:
    return Layout(file.parent / "ws", file.parent.name)


def status_of(file: Path) -> str:
    return read_state(layout_of(file)).status


def done_in(file: Path) -> int:
    try:
        return read_state(layout_of(file)).count("completed")
    except UnknownJobError:
        return 0


def opened(file: Path) -> list[ev.SessionOpened]:
    return [event for event in read_events(layout_of(file)) if isinstance(event, ev.SessionOpened)]


def started(file: Path) -> Counter[int]:
    """How often each batch was begun."""
    return Counter(event.batch for event in read_events(layout_of(file)) if isinstance(event, ev.BatchStarted))


def noted(folder: Path) -> dict[str, dict[str, Any]]:
    """What the account on disk says, by job."""
    with contextlib.suppress(FileNotFoundError):
        return {one["job_id"]: one for one in json.loads((folder / "carried.json").read_text())["jobs"]}
    return {}


async def everything(bursts: AsyncIterator[Sequence[msgspec.Raw]]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(raw) async for burst in bursts for raw in burst]


async def over(conductor: Conductor) -> None:
    """Return once nothing runs and nothing is about to."""
    coming = ("queued", "running")
    await until(lambda: not conductor.running and not any(one.phase in coming for one in conductor.register))


# --- taking jobs up ---------------------------------------------------------------------------------------------------


async def test_a_job_is_noted_before_it_begins_and_forgotten_when_it_is_over(tmp_path: Path):
    file = job_file(tmp_path / "notes", latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        told = await conductor.submit(Wanted(file=str(file)))
        assert (told["job_id"], told["decision"], told["workspace"]) == ("notes", "run", str(file.parent / "ws"))
        assert noted(tmp_path / "c")["notes"]["phase"] == "running"
        await over(conductor)
        await until(lambda: noted(tmp_path / "c") == {})
    assert status_of(file) == "completed"
    assert set(started(file).values()) == {1}


async def test_a_job_may_come_as_text_with_the_folder_that_its_paths_start_in(tmp_path: Path):
    file = job_file(tmp_path / "notes")
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(text=file.read_text(), base_dir=str(file.parent)))
        await over(conductor)
    assert status_of(file) == "completed"


async def test_asking_twice_attaches_and_a_completed_job_is_left_alone(tmp_path: Path):
    file = job_file(tmp_path / "notes", latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        both = await asyncio.gather(*(conductor.submit(Wanted(file=str(file))) for _ in range(2)))
        assert sorted(told["decision"] for told in both) == ["attach", "run"]
        with pytest.raises(JobBusyError):
            await conductor.submit(Wanted(file=str(file), fresh=True))
        await over(conductor)
        assert (await conductor.submit(Wanted(file=str(file))))["decision"] == "nothing"
        assert (await conductor.submit(Wanted(job_id="notes")))["decision"] == "nothing"
        assert (await conductor.submit(Wanted(file=str(file), fresh=True)))["decision"] == "run"
        await over(conductor)
    assert set(started(file).values()) == {1}


async def test_jobs_beyond_the_limit_wait_in_a_queue_the_most_urgent_first(tmp_path: Path):
    files = [job_file(tmp_path / name, 2, latency=0.1) for name in ("one", "late", "soon")]
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        told = [
            await conductor.submit(Wanted(file=str(file), priority=priority))
            for file, priority in zip(files, (100, 100, 10), strict=True)
        ]
        assert [one["decision"] for one in told] == ["run", "queued", "queued"]
        for name, phase in (("one", "running"), ("soon", "queued")):
            document = await conductor.in_thread(reading.status, conductor, Statuses(job_id=name))
            assert document["conductor"]["phase"] == phase
        await over(conductor)
        begun = [told["job_id"] for told in conductor.log._kept if told["event"] == "job.running"]
    assert begun == ["one", "soon", "late"]
    assert {status_of(file) for file in files} == {"completed"}


async def test_a_queued_job_can_be_taken_out_of_the_queue(tmp_path: Path):
    first, second = (job_file(tmp_path / name, 2, latency=0.1) for name in ("one", "two"))
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await conductor.submit(Wanted(file=str(first)))
        await conductor.submit(Wanted(file=str(second)))
        told = await asking.pause(conductor, OfJob(job_id="two"))
        assert "does not carry it any more" in told["said"]
        await over(conductor)
    assert not layout_of(second).exists


async def test_a_rehearsal_runs_in_its_scratch_folder_and_does_not_wait(tmp_path: Path):
    file = job_file(tmp_path / "notes", latency=0.05)
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await conductor.submit(Wanted(file=str(file)))
        told = await conductor.submit(Wanted(file=str(file), rehearse=True))
        assert told["decision"] == "run"
        assert told["workspace"] != str(file.parent / "ws")
        await over(conductor)
    assert read_state(Layout(Path(told["workspace"]), "notes")).status == "completed"


async def test_a_mistake_in_a_job_file_is_told_and_nothing_is_carried(tmp_path: Path):
    file = job_file(tmp_path / "notes", batch={"size": 0})
    async with conducting(tmp_path / "c") as conductor:
        with pytest.raises(MisuseError, match="size"):
            await conductor.submit(Wanted(file=str(file)))
        assert len(conductor.register) == 0


async def test_a_relative_path_is_refused_for_the_conductor_is_nowhere(tmp_path: Path):
    async with conducting(tmp_path / "c") as conductor:
        with pytest.raises(MisuseError, match="must be an absolute path"):
            await conductor.submit(Wanted(file="job.yaml"))


async def test_a_key_that_the_conductor_does_not_have_is_named(tmp_path: Path):
    file = job_file(tmp_path / "notes", backend={"type": "anthropic_api", "api_key_env": "KEY_OF_MINE"})
    async with conducting(tmp_path / "c") as conductor:
        with pytest.raises(MisuseError, match="KEY_OF_MINE is not set"):
            await conductor.submit(Wanted(file=str(file)))
        assert len(conductor.register) == 0


async def test_a_job_with_functions_of_a_notebook_is_refused(tmp_path: Path):
    file = job_file(tmp_path / "notes", validations=[{"type": "python", "function": "looks_right"}])
    async with conducting(tmp_path / "c") as conductor:
        with pytest.raises(MisuseError, match="looks_right"):
            await conductor.submit(Wanted(file=str(file)))


async def test_an_orphan_that_needs_a_notebook_is_kept_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def looks_right(answer: str) -> bool:
        return True

    file = job_file(tmp_path / "notes", 40, latency=0.05, validations=[{"type": "python", "function": "looks_right"}])
    async with conducting(tmp_path / "c") as conductor:
        job = Job.load(file, namespace={"looks_right": looks_right}).start()
        await until(lambda: job.status == "running")
        job.pause()
        await job
        monkeypatch.setattr(asking, "orphans", lambda: [layout_of(file)])
        [told] = await asking.adopt_orphans(conductor, Adopted())
        assert told["decision"] == "queued"
        assert "waits for a notebook" in told["said"]
        assert noted(tmp_path / "c")["notes"]["phase"] == "notebook"


async def test_while_it_stops_nothing_new_is_taken(tmp_path: Path):
    file = job_file(tmp_path / "notes")
    async with conducting(tmp_path / "c") as conductor:
        await conductor.stop(1)
        with pytest.raises(ConductorError) as caught:
            await conductor.submit(Wanted(file=str(file)))
        assert caught.value.number == SHUTTING_DOWN


# --- the next conductor -----------------------------------------------------------------------------------------------


async def test_what_was_stopped_goes_on_with_the_next_one_and_no_batch_runs_twice(tmp_path: Path):
    files = [job_file(tmp_path / name, 40, latency=0.05) for name in ("one", "two")]
    async with conducting(tmp_path / "c") as conductor:
        for file in files:
            await conductor.submit(Wanted(file=str(file)))
        await until(lambda: all(done_in(file) > 2 for file in files))
    assert {name: one["was_stopped"] for name, one in noted(tmp_path / "c").items()} == {"one": True, "two": True}
    assert {status_of(file) for file in files} == {"paused"}
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
        assert len(conductor.register) == 0
    for file in files:
        assert status_of(file) == "completed"
        assert set(started(file).values()) == {1}


async def test_sessions_that_do_not_finish_in_time_are_ended_and_done_again(tmp_path: Path):
    file = job_file(tmp_path / "notes", 2, latency=0.6)
    async with conducting(tmp_path / "c", seconds=0.05) as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: started(file) if layout_of(file).exists else False)
    assert noted(tmp_path / "c").keys() == {"notes"}
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
    assert status_of(file) == "completed"


async def test_sessions_that_outlive_their_host_go_on_and_are_picked_up_by_the_next_one(tmp_path: Path):
    prompt = f"open_(); time.sleep(1.5); open('{tmp_path}/{{{{ batch_num }}}}.txt', 'x').close(); done('it is done')"
    file = job_file(
        tmp_path / "notes",
        2,
        backend={"type": "claude_cli", "cli_path": write_obedient(tmp_path), "timeout_seconds": 60},
        prompt={"template": prompt},
    )
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: layout_of(file).exists and len(opened(file)) == 2)
    assert read_state(layout_of(file)).agenda.running  # they were not waited for
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
    assert status_of(file) == "completed"
    assert len(opened(file)) == 2  # nothing was paid twice
    assert any(isinstance(event, ev.SessionAdopted) for event in read_events(layout_of(file)))


async def test_who_ran_it_meanwhile_has_the_last_word(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
    job = Job.at(layout_of(file)).resume()
    before = done_in(file)
    await until(lambda: done_in(file) > before)
    job.pause()
    await job
    before = done_in(file)
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
        assert len(conductor.register) == 0
    assert (status_of(file), done_in(file)) == ("paused", before)


async def test_a_job_in_a_long_wait_does_not_hold_up_the_end_and_waits_on_with_the_next_one(tmp_path: Path):
    file = job_file(tmp_path / "notes", 3, rehearsal={"failures": {"rate_limit": 1.0}}, rate_limit={"wait_minutes": 60})
    until_when = []
    for _ in range(2):
        async with conducting(tmp_path / "c") as conductor:
            if not until_when:
                await conductor.submit(Wanted(file=str(file)))
            await until(lambda: layout_of(file).exists and read_state(layout_of(file)).status == "waiting")
            until_when.append(read_state(layout_of(file)).job.limit.until)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        assert noted(tmp_path / "c").keys() == {"notes"}
    assert until_when[0] == until_when[1]


async def test_a_job_that_a_person_paused_stays_paused(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
        before = (tmp_path / "c" / "carried.json").read_bytes()
        await asking.pause(conductor, OfJob(job_id="notes", workspace=str(file.parent / "ws")))
        await over(conductor)
        await until(lambda: noted(tmp_path / "c") == {})
    # As if the conductor had died before it could note that.
    (tmp_path / "c" / "carried.json").write_bytes(before)
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
        assert len(conductor.register) == 0
    assert status_of(file) == "paused"


async def test_what_had_failed_stays_failed(tmp_path: Path):
    rule = {"type": "answer_matches", "pattern": "^[^3]$"}
    file = job_file(tmp_path / "notes", 9, latency=0.05, concurrent=1, validations=[rule])
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 4)
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
    state = read_state(layout_of(file))
    assert (state.status, state.count("failed"), state.count("completed")) == ("failed", 1, 8)
    assert started(file)[3] == 1


async def test_a_pilot_counts_what_it_had_done(tmp_path: Path):
    file = job_file(tmp_path / "notes", 30, latency=0.05, concurrent=1)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file), limit=8))
        await until(lambda: done_in(file) > 2)
    async with conducting(tmp_path / "c") as conductor:
        await over(conductor)
    assert (status_of(file), done_in(file)) == ("paused", 8)


async def test_where_the_settings_say_ask_jobs_are_held_until_somebody_says_so(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
    async with conducting(tmp_path / "c", resume="ask") as conductor:
        [one] = conductor.register
        assert (one.phase, one.reason, len(conductor.running)) == ("held", WAITS_FOR_WORD, 0)
        health = await conductor.in_thread(reading.health, conductor)
        assert health["jobs"] == {"held": 1}
        told = await asking.resume(conductor, Resumed(job_id="notes"))
        assert told["decision"] == "run"
        await over(conductor)
    assert status_of(file) == "completed"


async def test_where_the_settings_say_never_jobs_are_let_go(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
    async with conducting(tmp_path / "c", resume="never") as conductor:
        assert len(conductor.register) == 0
    assert status_of(file) == "paused"
    assert noted(tmp_path / "c") == {}


async def test_a_job_whose_workspace_is_gone_is_held_and_goes_on_when_it_is_back(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
    away = tmp_path / "unmounted"
    shutil.move(file.parent / "ws", away)
    (file.parent / "ws").mkdir()  # the place where it was mounted
    async with conducting(tmp_path / "c") as conductor:
        [one] = conductor.register
        assert one.phase == "held"
        assert "there is no job `notes`" in one.reason
        assert not any((file.parent / "ws").iterdir())
        (file.parent / "ws").rmdir()
        shutil.move(away, file.parent / "ws")
        await conductor.take_up(one)
        await over(conductor)
    assert status_of(file) == "completed"
    assert set(started(file).values()) == {1}


async def test_a_queued_job_is_still_queued_with_the_next_one(tmp_path: Path):
    first, second = (job_file(tmp_path / name, 4, latency=0.1) for name in ("one", "two"))
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await conductor.submit(Wanted(file=str(first)))
        await conductor.submit(Wanted(file=str(second)))
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await over(conductor)
    assert {status_of(file) for file in (first, second)} == {"completed"}


async def test_an_account_that_cannot_be_read_is_kept_aside_and_said(tmp_path: Path):
    path = tmp_path / "carried.json"
    path.write_text("{half")
    register = Register(path)
    [notice] = register.load()
    assert "cannot be read" in notice
    assert path.with_suffix(".unreadable").read_text() == "{half"
    assert len(register) == 0


async def test_a_job_that_cannot_be_noted_is_not_begun(tmp_path: Path):
    file = job_file(tmp_path / "notes")
    async with conducting(tmp_path / "c") as conductor:
        shutil.rmtree(tmp_path / "c")
        with pytest.raises(WorldError, match="cannot note what it carries"):
            await conductor.submit(Wanted(file=str(file)))
        assert len(conductor.register) == 0
        assert not layout_of(file).exists


def test_an_account_that_cannot_be_written_is_an_error_of_the_world(tmp_path: Path):
    register = Register(tmp_path / "missing" / "carried.json")
    register.put(Carried("notes", str(tmp_path), "running", 0.0))
    with pytest.raises(WorldError, match="cannot note what it carries"):
        register.write(register.packed())


# --- asking -----------------------------------------------------------------------------------------------------------


async def test_failed_batches_are_tried_again_and_rules_checked_again(tmp_path: Path):
    rule = {"type": "command_succeeds", "command": "test -e ready-{batch_num}"}
    file = job_file(tmp_path / "notes", 3, validations=[rule])
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await over(conductor)
        assert status_of(file) == "failed"
        for number in (1, 2):
            (file.parent / "ws" / f"ready-{number}").touch()
        tried = await asking.recover(conductor, Recovered(job_id="notes", dry_run=True))
        assert (tried["recovered"], tried["still_failed"]) == ([1, 2], [3])
        await asking.recover(conductor, Recovered(job_id="notes"))
        assert done_in(file) == 2
        told = await asking.retry(conductor, Retried(job_id="notes", batches=[3]))
        assert told["decision"] == "run"
        await over(conductor)
    assert started(file)[3] == 2


async def test_a_running_job_is_paused_for_its_new_config_and_goes_on_with_it(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.05)
    other = file.with_name("other.yaml")
    other.write_text(file.read_text().replace("Say {{", "Whisper {{"))
    longer = file.with_name("longer.yaml")
    longer.write_text(file.read_text().replace("total_items: 40", "total_items: 1"))
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 2)
        with pytest.raises(PlanMismatchError):
            await asking.modify(conductor, Modified(job_id="notes", config=str(longer)))
        told = await asking.modify(conductor, Modified(job_id="notes", config=str(other), resume=True))
        assert "goes on: run" in told["said"]
        await over(conductor)
        again = await asking.modify(conductor, Modified(job_id="notes", config=str(other)))
        assert "this config already" in again["said"]
    assert status_of(file) == "completed"
    assert "Whisper" in Job.at(layout_of(file)).config.prompt.template


async def test_a_new_config_alone_begins_nothing(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.05)
    other = file.with_name("other.yaml")
    other.write_text(file.read_text().replace("Say {{", "Whisper {{"))
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 2)
        await asking.modify(conductor, Modified(job_id="notes", config=str(other)))
        assert status_of(file) == "paused"
        assert len(conductor.register) == 0
    assert "Whisper" in Job.at(layout_of(file)).config.prompt.template


async def test_a_job_is_cancelled_whether_it_runs_or_not(tmp_path: Path):
    file = job_file(tmp_path / "notes", 40, latency=0.1)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) > 1)
        await asking.cancel(conductor, OfJob(job_id="notes"))
        await over(conductor)
        assert status_of(file) == "cancelled"
        with pytest.raises(MisuseError, match="cancelled already"):
            await asking.cancel(conductor, OfJob(job_id="notes"))
        with pytest.raises(UnknownJobError):
            await asking.cancel(conductor, OfJob(job_id="nobody"))


async def test_a_question_waits_for_an_answer_from_afar_and_holds_up_no_other_batch(tmp_path: Path):
    trigger = {"name": "second", "batch_nums": [2], "message": "Really?"}
    file = job_file(tmp_path / "notes", 4, checkpoints={"enabled": True, "triggers": [trigger]})
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(file) == 3)
        [question] = await conductor.in_thread(reading.questions, OfJob(job_id="notes"))
        assert (question["batch"], question["message"]) == (2, "Really?")
        await asking.answer(conductor, Answered(job_id="notes", batch=2, action="proceed"))
        await over(conductor)
    assert status_of(file) == "completed"


# --- looking ----------------------------------------------------------------------------------------------------------


async def test_a_watch_tells_every_event_from_a_number_on_and_ends_with_the_job(tmp_path: Path):
    file = job_file(tmp_path / "notes", 6, latency=0.05)
    async with conducting(tmp_path / "c") as conductor:
        await conductor.submit(Wanted(file=str(file)))
        seen = await everything(reading.watch(conductor, layout_of(file), 0))
        later = await everything(reading.watch(conductor, layout_of(file), 10))
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1]["kind"] == "job.completed"
    assert later == seen[10:]


async def test_the_list_has_what_runs_what_waits_and_what_is_over(tmp_path: Path):
    files = [job_file(tmp_path / name, 4, latency=0.1) for name in ("one", "two")]
    old = job_file(tmp_path / "old", 1)
    async with conducting(tmp_path / "c", max_jobs=1) as conductor:
        await conductor.submit(Wanted(file=str(old)))
        await over(conductor)
        for file in files:
            await conductor.submit(Wanted(file=str(file)))
        await until(lambda: done_in(files[0]) > 0)
        rows = {row["job_id"]: row for row in await conductor.in_thread(reading.listed, conductor, Listed())}
        carried = await conductor.in_thread(reading.listed, conductor, Listed(carried=True))
    assert {name: (row["status"], row["phase"]) for name, row in rows.items()} == {
        "one": ("running", "running"),
        "two": ("pending", "queued"),
        "old": ("completed", None),
    }
    assert sorted(row["job_id"] for row in carried) == ["one", "two"]


async def test_nothing_of_a_finished_job_is_kept_in_memory(tmp_path: Path):
    async with conducting(tmp_path / "c") as conductor:
        for number in range(12):
            await conductor.submit(Wanted(file=str(job_file(tmp_path / f"n{number}", 1))))
        await over(conductor)
        await until(lambda: not conductor._tasks)
        gc.collect()
        assert [key for key in channel._channels if str(tmp_path) in key] == []
        assert len(conductor.register) == 0
        assert len(conductor.ended) == 12
