"""The conductor as a process: started twice, killed, asked by signals, found by clients; and its commands."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from jsonrpcclient import Ok, parse, request
from support.commands import mozart
from support.conductor import Conductor, conducted
from support.conductor_here import job_file
from support.kill9_conductor import jobs_in, kill_again_and_again

from mozart_nb.checkpoint.follow import read_state
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import (
    ConductorAbsentError,
    ConductorError,
    ConfigError,
    MisuseError,
    UnknownJobError,
    WorldError,
)
from mozart_nb.hosts.conductor.client import ConductorClient, async_call, ensure_running, is_running
from mozart_nb.hosts.conductor.main import run_conductor
from mozart_nb.hosts.conductor.place import LONGEST_SOCKET_PATH, Place
from mozart_nb.hosts.conductor.settings import settings_file

__all__ = ["conducted"]


def health(conductor: Conductor) -> dict[str, Any]:
    found = conductor.call("health")
    assert isinstance(found, dict)
    return found


def command_of(process: psutil.Process) -> str:
    """Empty for one that has ended and that nobody has waited for yet."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def wait_for(process: subprocess.Popen[bytes]) -> int:
    return process.wait(60)


def second(conductor: Conductor) -> subprocess.Popen[bytes]:
    """Somebody else who starts one for the same user."""
    return subprocess.Popen(
        [sys.executable, "-m", "mozart_nb", "start", "--foreground"], env=conductor.environ, stderr=subprocess.PIPE
    )


# --- being there ------------------------------------------------------------------------------------------------------


def test_of_two_that_start_at_once_one_runs_and_the_other_says_so(conducted: Conductor):
    starters = [second(conducted) for _ in range(2)]
    try:
        conducted.wait_until(lambda: any(one.poll() is not None for one in starters))
        [loser] = [one for one in starters if one.poll() is not None]
        assert loser.returncode == 2
        assert loser.stderr is not None
        assert b"is running already" in loser.stderr.read()
        conducted.wait_until(conducted._is_ready)
        assert health(conducted)["status"] == "running"
    finally:
        conducted.stop()
        for one in starters:
            wait_for(one)
            assert one.stderr is not None
            one.stderr.close()
    assert not conducted.place.socket.exists()


def test_many_who_need_one_at_once_get_the_same_one(conducted: Conductor):
    said: list[str] = []

    def ask(_: int) -> int:
        with ensure_running(said.append) as client:
            return int(client.call("ready")["pid"])

    with ThreadPoolExecutor(4) as pool:
        pids = set(pool.map(ask, range(4)))
    assert pids == {conducted.pid}
    assert is_running()
    mine = [one.pid for one in psutil.Process().children() if "--foreground" in command_of(one)]
    assert mine == [conducted.pid]  # whoever was slower has not left one behind that waits for its chance
    assert "in the background" in said[0]
    assert conducted.place.output.read_text() == "" or "is running already" in conducted.place.output.read_text()


def test_without_one_clients_say_what_to_do():
    with pytest.raises(ConductorAbsentError) as caught:
        ConductorClient.connect(0.1)
    assert caught.value.hint == "`mozart start` starts it"
    assert not is_running()


async def test_without_one_asynchronous_clients_say_so_too():
    with pytest.raises(ConductorAbsentError):
        await async_call("ready")


def test_one_that_cannot_start_says_why(conducted: Conductor):
    settings_file().write_text("max_sessions: many\n")
    with pytest.raises(ConductorAbsentError) as caught:
        ensure_running()
    assert "max_sessions" in caught.value.message
    assert "many" in caught.value.message


def test_a_socket_left_by_a_dead_one_is_replaced_and_a_link_is_not(conducted: Conductor):
    conducted.start()
    with conducted.client as client:
        conducted.kill()
        with pytest.raises(ConductorError, match="was gone before it answered"):
            client.call("health")
    assert conducted.place.socket.exists()
    conducted.start().stop()
    assert not conducted.place.socket.exists()
    conducted.place.socket.symlink_to(conducted.place.folder / "elsewhere")
    with pytest.raises(WorldError, match="is not a socket of this user"):
        run_conductor(print)
    assert conducted.place.identity() is None


def test_a_home_that_cannot_be_written_to_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MOZART_NB_HOME", "/proc/mozart")
    with pytest.raises(WorldError, match="cannot keep anything in"):
        run_conductor(print)


def test_a_home_with_a_long_path_has_its_socket_in_a_short_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / ("x" * 90) / "conductor"
    where = Place(folder)
    assert len(os.fsencode(where.socket)) <= LONGEST_SOCKET_PATH
    assert where.socket == Place(folder).socket
    assert where.socket != Place(folder.with_name("other")).socket
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("y" * 90)))
    assert len(os.fsencode(where.socket)) <= LONGEST_SOCKET_PATH


# --- carrying over ----------------------------------------------------------------------------------------------------


def test_killed_at_random_moments_it_loses_and_repeats_nothing(conducted: Conductor, tmp_path: Path):
    jobs = jobs_in(tmp_path, 3, 24, 0.15)
    storm = kill_again_and_again(conducted, jobs, random.Random(7), kills=2, lives=(0.2, 0.7))
    assert storm.problems == []
    assert storm.kills == 2
    assert max(storm.carried_at_kill) == 3


def test_a_signal_stops_it_gracefully_and_the_next_one_goes_on(conducted: Conductor, tmp_path: Path):
    file = job_file(tmp_path / "notes", 30, latency=0.1)
    conducted.start()
    conducted.call("submit", file=str(file))
    layout = Layout(file.parent / "ws", "notes")
    conducted.wait_until(lambda: layout.exists and read_state(layout).count("completed") > 3)
    conducted.stop()
    state = read_state(layout)
    assert state.status == "paused"
    assert not state.agenda.running  # what ran has finished
    assert not conducted.place.socket.exists()
    conducted.start()
    with conducted.client as client:
        events = list(client.watch("notes", since_seq=state.job.seq))
    assert events[-1]["kind"] == "job.completed"
    assert sum(event["kind"] == "batch.completed" for event in events) == 30 - state.count("completed")


def test_a_second_signal_does_not_wait_for_sessions(conducted: Conductor, tmp_path: Path):
    file = job_file(tmp_path / "notes", 2, latency=60)
    conducted.start()
    conducted.call("submit", file=str(file))
    layout = Layout(file.parent / "ws", "notes")
    conducted.wait_until(lambda: layout.exists and len(read_state(layout).agenda.running) == 2)
    pid = conducted.pid
    os.kill(pid, signal.SIGTERM)
    conducted.wait_until(lambda: health(conducted)["status"] == "stopping")
    os.kill(pid, signal.SIGTERM)
    conducted.wait_until(lambda: conducted.place.identity() is None, 15)
    assert json.loads(conducted.place.carried.read_bytes())["jobs"][0]["job_id"] == "notes"


def test_settings_are_read_again_on_sighup_and_wrong_ones_change_nothing(conducted: Conductor, tmp_path: Path):
    conducted.start("max_sessions: 7\n")

    def sessions() -> int:
        return int(health(conducted)["seats"]["most_sessions"])

    assert sessions() == 7
    conducted.call("submit", file=str(job_file(tmp_path / "notes", 1)))  # a job takes nobody's signals away
    conducted.wait_until(lambda: health(conducted)["ended"])
    settings_file().write_text("max_sessions: none at all\n")
    os.kill(conducted.pid, signal.SIGHUP)
    conducted.wait_until(lambda: "settings.refused" in conducted.log)
    assert sessions() == 7
    with pytest.raises(ConfigError, match="max_sessions"):
        conducted.call("config", reload=True)
    settings_file().write_text("max_sessions: 3\nsocket: /tmp/elsewhere.sock\n")
    os.kill(conducted.pid, signal.SIGHUP)
    conducted.wait_until(lambda: sessions() == 3)
    told = conducted.call("config", reload=True)
    assert isinstance(told, dict)
    assert told["after_restart"] == ["socket"]


def test_it_answers_a_public_library_raises_its_errors_here_and_tells_what_it_does(
    conducted: Conductor, tmp_path: Path
):
    conducted.start()
    the_socket_answers_a_public_library(conducted)
    errors_are_raised_as_what_they_are(conducted, tmp_path)
    with pytest.raises(MisuseError, match=r"is running already \(pid"):
        run_conductor(print)
    with conducted.client as client:
        stream = client.watch()
        assert next(stream)["event"] == "conductor.started"
        client.call("submit", file=str(job_file(tmp_path / "notes", 1)))
        told = []
        while "job.over" not in told:
            told.append(next(stream)["event"])
        assert told[0] == "job.running"
        client.call("shutdown")
        assert [event["event"] for event in stream][-1] == "conductor.stopped"


def the_socket_answers_a_public_library(conducted: Conductor) -> None:
    identity = conducted.place.identity()
    assert identity is not None
    assert Path(identity.socket).stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as stream:
        connection.connect(identity.socket)
        for message in (request("ready", id=1), request("daemon.status", id=2)):
            stream.write(json.dumps(message).encode() + b"\n")
            stream.flush()
            answer = parse(json.loads(stream.readline()))
            assert isinstance(answer, Ok)
            assert answer.result["pid"] == identity.pid


def errors_are_raised_as_what_they_are(conducted: Conductor, tmp_path: Path) -> None:
    with conducted.client as client:
        with pytest.raises(UnknownJobError) as unknown:
            client.call("status", job_id="nobody")
        assert unknown.value.job_id == "nobody"
        with pytest.raises(ConfigError) as wrong:
            client.call("submit", text="name: x\nbatch: {size: none}\n", base_dir=str(tmp_path))
        assert any(problem.line == 2 for problem in wrong.value.problems)
        with pytest.raises(ConductorError) as invalid:
            client.call("submit", file="/a", text="b")
        assert invalid.value.number == -32602
        with pytest.raises(ConductorError) as missing:
            client.call("fly")
        assert missing.value.number == -32601


def test_it_notes_how_hard_the_machine_is_pressed_and_goes_on_looking(conducted: Conductor, tmp_path: Path):
    conducted.start("max_memory_percent: 0.1\nmonitor_interval_seconds: 0.1\n")
    conducted.wait_until(lambda: health(conducted)["pressure"]["level"] == "critical")
    conducted.wait_until(lambda: '"event":"pressure"' in conducted.log)
    settings_file().write_text("min_free_disk_mb: 1000000000\nmonitor_interval_seconds: 0.1\n")
    conducted.call("config", reload=True)
    conducted.call("submit", file=str(job_file(tmp_path / "notes", 100, latency=0.1)))
    conducted.wait_until(lambda: health(conducted)["pressure"]["held"])
    conducted.wait_until(lambda: "waits for room on its disk" in mozart("conductor-status").stdout)
    assert conducted.call("cancel", job_id="notes")


# --- its commands -----------------------------------------------------------------------------------------------------


def test_it_is_started_shown_and_stopped_by_commands(conducted: Conductor, tmp_path: Path):
    assert mozart("conductor-status").exit_code == 1
    assert mozart("stop").exit_code == 1
    assert mozart("conductor", "reload").exit_code == 1
    started = mozart("start", "--json")
    assert started.exit_code == 0, started
    assert started.document["pid"] == conducted.pid
    assert mozart("start").exit_code == 0  # it runs already, which is what was wanted
    conducted.call("submit", file=str(job_file(tmp_path / "notes", 100, latency=0.2)), priority=7)
    shown = mozart("conductor-status")
    assert shown.exit_code == 0
    assert [word in shown.stdout for word in ("notes", "running", "pid", "7", "of 10 open")] == [True] * 5
    document = mozart("conductor-status", "--json").document
    assert document["carried"][0]["job_id"] == "notes"
    first = conducted.pid
    assert mozart("restart", "-t", "0").exit_code == 0
    assert conducted.pid not in (0, first)
    conducted.wait_until(lambda: health(conducted)["jobs"] == {"running": 1})
    stopped = mozart("stop", "--force", "--json")
    assert stopped.document["forced"] is True
    assert conducted.pid == 0
    assert json.loads(conducted.place.carried.read_bytes())["jobs"][0]["job_id"] == "notes"


def test_held_jobs_are_named_at_the_start_and_released_by_a_command(conducted: Conductor, tmp_path: Path):
    conducted.start("resume: ask\n")
    conducted.call("submit", file=str(job_file(tmp_path / "notes", 20, latency=0.1)))
    conducted.kill()
    told = mozart("start")
    assert "held: notes; `mozart conductor release` has them go on" in told.stderr
    assert "1 job released: notes" in mozart("conductor", "release").stderr
    conducted.wait_until(lambda: health(conducted)["ended"])
    assert read_state(Layout(tmp_path / "notes" / "ws", "notes")).status == "completed"


def test_settings_that_are_wrong_by_now_keep_nobody_from_stopping_it(conducted: Conductor):
    conducted.start("shutdown_seconds: 1\n")
    settings_file().write_text("max_session: 3\nresume: sometimes\n")
    assert mozart("conductor", "reload").exit_code == 2
    assert mozart("stop").exit_code == 0
    assert conducted.pid == 0


def test_jobs_that_it_holds_are_not_named_as_orphans_too(conducted: Conductor, tmp_path: Path):
    conducted.start("resume: ask\n")
    conducted.call("submit", file=str(job_file(tmp_path / "notes", 100, latency=0.2)))
    layout = Layout(tmp_path / "notes" / "ws", "notes")
    conducted.wait_until(lambda: layout.exists and read_state(layout).count("completed"))
    conducted.kill()
    conducted.start("resume: ask\n")
    conducted.wait_until(lambda: health(conducted)["jobs"] == {"held": 1})
    assert health(conducted)["orphans"] == []
    shown = mozart("conductor-status").stdout
    assert ("held" in shown, "its host died" in shown) == (True, False), shown


def test_jobs_with_ids_that_end_alike_are_told_apart_and_one_that_asks_says_so(conducted: Conductor, tmp_path: Path):
    conducted.start()
    conducted.call("submit", file=str(job_file(tmp_path / "a", 100, latency=0.2, concurrent=3, name="code-review")))
    trigger = {"name": "window", "batch_nums": [1]}
    asking = job_file(tmp_path / "b", 1, name="review", checkpoints={"enabled": True, "triggers": [trigger]})
    conducted.call("submit", file=str(asking))
    conducted.wait_until(lambda: [one["questions"] for one in health(conducted)["carried"]] == [0, 1])
    rows = {line.split()[0]: line for line in mozart("conductor-status").stdout.splitlines() if "review" in line}
    assert "3 (due 3)" in rows["code-review"]
    assert "0 (due" in rows["review"]
    assert "waits for you: `mozart questions review`" in rows["review"]


def test_orphans_are_named_and_adopted_by_a_command(conducted: Conductor, tmp_path: Path):
    file = job_file(tmp_path / "notes", 30, latency=0.1)
    host = subprocess.Popen(
        [sys.executable, "-m", "mozart_nb", "run", str(file)], env=conducted.environ, stderr=subprocess.DEVNULL
    )
    layout = Layout(file.parent / "ws", "notes")
    conducted.wait_until(lambda: layout.exists and read_state(layout).count("completed") > 2)
    host.kill()
    host.wait()
    conducted.start()
    assert "its host died: notes" in mozart("conductor-status").stdout
    strange = mozart("conductor", "adopt", "nots")
    assert (strange.exit_code, "nots: refused: it is not among the jobs whose host died" in strange.stderr) == (1, True)
    assert "notes: run" in mozart("conductor", "adopt", "notes").stderr
    conducted.wait_until(lambda: health(conducted)["ended"])
    assert read_state(layout).status == "completed"


def test_a_pilot_whose_host_died_is_adopted_as_one(conducted: Conductor, tmp_path: Path):
    file = job_file(tmp_path / "notes", 30, latency=0.1)
    layout = Layout(file.parent / "ws", "notes")
    with subprocess.Popen(
        [sys.executable, "-m", "mozart_nb", "run", str(file), "--limit", "12"],
        env=conducted.environ,
        stderr=subprocess.DEVNULL,
    ) as host:
        conducted.wait_until(lambda: layout.exists and read_state(layout).count("completed") > 2)
        host.kill()
    conducted.start()
    mozart("conductor", "adopt", "notes")
    conducted.wait_until(lambda: health(conducted)["ended"])
    state = read_state(layout)
    assert (state.status, state.count("completed")) == ("paused", 12)


def test_the_settings_are_shown_checked_and_written_by_commands():
    assert mozart("conductor", "config", "--json").document["settings"]["max_sessions"] == 10
    assert mozart("conductor", "check").exit_code == 0
    assert mozart("conductor", "config", "--init").exit_code == 0
    assert mozart("conductor", "config", "--init").exit_code == 1
    assert mozart("conductor", "check").exit_code == 0
    settings_file().write_text("max_sesions: 4\n")
    wrong = mozart("conductor", "check")
    assert wrong.exit_code == 2
    assert "did you mean `max_sessions`?" in wrong.stderr
