"""A conductor whose files are deleted or replaced while it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
from support.conductor import Conductor, conducted
from support.conductor_here import job_file

from mozart_nb.checkpoint.follow import read_state
from mozart_nb.checkpoint.layout import Layout

__all__ = ["conducted"]


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_socket_that_somebody_deleted_is_made_again(conducted: Conductor):
    conducted.start()
    pid = conducted.pid
    conducted.place.socket.unlink()
    conducted.wait_until(conducted.place.socket.exists)
    answer = conducted.call("ready")
    assert isinstance(answer, dict)
    assert answer["pid"] == pid
    assert conducted.place.socket.stat().st_mode & 0o777 == 0o600
    conducted.stop()
    assert not conducted.place.socket.exists()


def test_a_conductor_whose_home_is_deleted_stops_and_leaves_the_next_one_alone(conducted: Conductor, tmp_path: Path):
    conducted.start()
    first = conducted.pid
    file = job_file(tmp_path / "notes", 400, latency=0.05)
    conducted.call("submit", file=str(file))
    layout = Layout(tmp_path / "notes" / "ws", "notes")
    conducted.wait_until(lambda: layout.exists and read_state(layout).count("completed"))
    shutil.rmtree(conducted.place.folder)
    conducted.start()
    second = conducted.pid
    assert second != first
    conducted.wait_until(lambda: not lives(first))
    assert read_state(layout).status == "paused"
    answer = conducted.call("health")
    assert isinstance(answer, dict)
    assert (answer["pid"], answer["carried"]) == (second, [])
