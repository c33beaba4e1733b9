"""One host per job: real processes race, die and look."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import portalocker
import pytest
from support.checkpoints import layout_in, write_job

from mozart_nb.checkpoint.follow import look
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock, Owner, is_running, owner
from mozart_nb.errors import JobBusyError

HOST = """
    import sys, time
    from pathlib import Path
    from mozart_nb.checkpoint.layout import Layout
    from mozart_nb.checkpoint.lock import JobLock
    from mozart_nb.errors import JobBusyError
    begin, layout = Path(sys.argv[2]), Layout(Path(sys.argv[1]), "job")
    while not begin.exists():
        time.sleep(0.001)
    lock = JobLock(layout)
    try:
        lock.acquire("run-1")
    except JobBusyError as error:
        print("busy", error, flush=True)
    else:
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(layout: Layout, tmp_path: Path) -> Iterator[Start]:
    """Starts a host that waits for the file `begin`, takes the lock and keeps it until its stdin closes."""
    hosts: list[subprocess.Popen[str]] = []

    def start_one() -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", textwrap.dedent(HOST), str(layout.workspace), str(tmp_path / "begin")]
        host = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        hosts.append(host)
        return host

    yield start_one
    for host in hosts:
        host.kill()
        host.communicate()


def begin(tmp_path: Path) -> None:
    (tmp_path / "begin").touch()


def said_by(host: subprocess.Popen[str]) -> str:
    assert host.stdout is not None
    return host.stdout.readline()


def test_of_two_hosts_that_race_one_gets_the_job(layout: Layout, start: Start, tmp_path: Path) -> None:
    hosts = [start() for _ in range(4)]
    begin(tmp_path)
    said = sorted((said_by(host), host.pid) for host in hosts)
    assert [line.split()[0] for line, _ in said] == ["busy"] * 3 + ["held"]
    found = owner(layout)
    assert found is not None
    assert (found.pid, found.run_id, found.alive) == (said[-1][1], "run-1", True)


def test_a_second_host_is_told_who_has_the_job(layout: Layout, start: Start, tmp_path: Path) -> None:
    host = start()
    begin(tmp_path)
    assert said_by(host) == "held\n"
    with pytest.raises(JobBusyError) as caught:
        JobLock(layout).acquire()
    assert f"pid {host.pid}, since 20" in caught.value.owner
    assert caught.value.owner.startswith(f"host {socket.gethostname()}")


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a matter of POSIX")
def test_a_lock_goes_with_its_process_however_that_dies(layout: Layout, start: Start, tmp_path: Path) -> None:
    host = start()
    begin(tmp_path)
    assert said_by(host) == "held\n"
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    found = owner(layout)
    assert found is not None
    assert (found.pid, found.alive) == (host.pid, False)
    assert not is_running(layout)
    lock = JobLock(layout)
    lock.acquire("run-2")
    assert owner(layout) != found
    lock.release()


@pytest.mark.skipif(os.name != "posix", reason="zombies are a matter of POSIX")
def test_a_zombie_runs_nothing(layout: Layout, start: Start, tmp_path: Path) -> None:
    host = start()
    begin(tmp_path)
    said_by(host)
    host.kill()
    os.waitid(os.P_PID, host.pid, os.WEXITED | os.WNOWAIT)
    found = owner(layout)
    assert found is not None
    assert (found.alive, is_running(layout)) == (False, False)


def test_a_lock_that_was_given_back_has_no_owner(layout: Layout) -> None:
    with JobLock(layout) as lock:
        found = owner(layout)
        assert found is not None
        assert (found.pid, found.alive, found.is_here) == (os.getpid(), True, True)
        with pytest.raises(JobBusyError):
            JobLock(layout).acquire()
    assert not lock.is_held
    assert owner(layout) is None
    with lock:
        assert lock.is_held
    lock.release()


def test_looking_never_takes_the_lock(layout: Layout) -> None:
    with JobLock(layout):
        for _ in range(50):
            assert is_running(layout)
    for _ in range(50):
        assert owner(layout) is None
        JobLock(layout).__enter__().release()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere open files cannot be removed")
def test_a_lock_on_a_file_that_is_no_longer_there_is_none(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_file = portalocker.lock

    def remove_first(file: Any, flags: Any) -> None:
        layout.lock.unlink()
        layout.lock.touch()
        lock_file(file, flags)

    monkeypatch.setattr(portalocker, "lock", remove_first)
    with pytest.raises(JobBusyError, match="just being started or stopped"):
        JobLock(layout).acquire()


def test_a_host_on_another_machine_is_believed(layout: Layout) -> None:
    JobLock(layout).__enter__().release()
    layout.lock.write_bytes(msgspec.json.encode(Owner("elsewhere", 12, 1_700_000_000.0, process="x")))
    found = owner(layout)
    assert found is not None
    assert found.alive is None
    assert is_running(layout)
    assert "host elsewhere, pid 12" in str(found)


def test_another_process_with_the_pid_of_a_dead_host_is_not_taken_for_it(layout: Layout) -> None:
    JobLock(layout).__enter__().release()
    me = Owner(socket.gethostname(), os.getpid(), time.time(), process="an earlier process")
    layout.lock.write_bytes(msgspec.json.encode(me))
    assert not is_running(layout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux shows who holds a lock")
def test_a_process_that_let_go_of_the_lock_is_not_taken_for_its_owner(layout: Layout) -> None:
    with JobLock(layout):
        content = layout.lock.read_bytes()
    layout.lock.write_bytes(content)
    assert owner(layout) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\x01", b'{"host": 1}', b"[]"])
def test_a_lock_file_with_anything_in_it_harms_nobody(layout: Layout, content: bytes) -> None:
    JobLock(layout).__enter__().release()
    layout.lock.write_bytes(content)
    assert owner(layout) is None
    with JobLock(layout):
        assert is_running(layout)


def test_a_job_whose_host_died_looks_interrupted(layout: Layout) -> None:
    written = write_job(layout, 1, 20)
    assert written.state.status == "running"
    assert (look(layout).status, look(layout).owner) == ("interrupted", None)
    with JobLock(layout):
        assert look(layout).status == "running"
    settled = write_job(layout, 1, 2000)
    assert look(layout).status == (settled.state.status if settled.state.is_settled else "interrupted")
