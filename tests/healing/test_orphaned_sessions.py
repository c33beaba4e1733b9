"""Sessions that go on although their job knows nothing of them any more."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.commands import wait_for
from support.healing import Ward

LINGERS = """
import pathlib
open_()
if not pathlib.Path("started").exists():
    tool = child("sleep 600", start_new_session=True)
    pathlib.Path("started.new").write_text(f"{os.getpid()} {tool.pid}")
    os.rename("started.new", "started")
    time.sleep(600)
done()
"""


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def reaped(tmp_path: Path) -> Iterator[None]:
    """Whatever a test leaves behind, by the ids that its session wrote down."""
    yield
    for pid in (tmp_path / "started").read_text().split() if (tmp_path / "started").exists() else ():
        try:
            psutil.Process(int(pid)).kill()
        except psutil.NoSuchProcess:
            continue


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def orphan(ward: Ward) -> list[int]:
    """Start a job, kill its host without mercy, and take its record away; ids of what still runs."""
    ward.write(LINGERS)
    host = subprocess.Popen(
        [sys.executable, "-m", "mozart_nb", "run", str(ward.file)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    started = ward.folder / "started"
    wait_for(started.exists)
    host.send_signal(signal.SIGKILL)
    host.wait()
    shutil.rmtree(ward.folder / "state")
    return [int(pid) for pid in started.read_text().split()]


def test_a_session_whose_record_was_lost_is_ended_when_a_run_begins(ward: Ward, reaped: None) -> None:
    pids = orphan(ward)
    assert all(is_alive(pid) for pid in pids)
    batch = ward.run(ward.write(LINGERS))
    assert (ward.state.status, batch.heals) == ("completed", 0)
    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    (healing,) = ward.healings
    assert healing.remedy == "orphaned-session"
    assert f"(pid {pids[0]}); it was ended" in healing.guidance
    assert ward.state.job.remedies == (f"orphaned-session: {healing.guidance}",)


def test_without_self_healing_nothing_is_ended(ward: Ward, reaped: None) -> None:
    pids = orphan(ward)
    ward.run(ward.write(LINGERS), heals=False)
    assert (ward.state.status, all(is_alive(pid) for pid in pids)) == ("completed", True)


def test_a_session_that_the_job_knows_is_followed_and_not_ended(ward: Ward, reaped: None) -> None:
    quick = LINGERS.replace("time.sleep(600)", "time.sleep(1)")
    ward.write(quick)
    host = subprocess.Popen(
        [sys.executable, "-m", "mozart_nb", "run", str(ward.file)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for((ward.folder / "started").exists)
    host.send_signal(signal.SIGKILL)
    host.wait()
    batch = ward.run(ward.again())
    assert (batch.status, batch.attempts, ward.healings) == ("completed", 1, [])


def test_a_tool_that_escaped_the_clean_up_is_ended_before_the_batch_is_tried_again(ward: Ward, reaped: None) -> None:
    """It drops its environment, so that nobody finds it when the session ends, and shows it again a moment later."""
    (ward.folder / "tool.sh").write_text('sleep 0.2\nexec env CLAUDE_CODE_SESSION_ID="$1" sleep 600\n')
    template = """
import pathlib
open_()
if pathlib.Path("started").exists():
    pathlib.Path("report.md").write_text("report")
else:
    tool = child(f"env -i /bin/sh tool.sh {named('--session-id')}", start_new_session=True)
    pathlib.Path("started").write_text(str(tool.pid))
done()
"""
    # Without a report the rule takes until the tool shows whose it is, or is gone.
    shows = "while test -d /proc/$(cat started) && ! tr '\\0' ' ' < /proc/$(cat started)/cmdline | grep -q '^sleep 600'"
    shows += "; do sleep 0.02; done"
    command = f"test -f report.md || {{ {shows}; false; }}"
    rules = [{"type": "command_succeeds", "command": command, "working_directory": ".", "timeout_seconds": 20}]
    batch = ward.run(ward.write(template, validations=rules))
    tool = int((ward.folder / "started").read_text())
    assert (batch.status, batch.heals, batch.attempts) == ("completed", 1, 2)
    assert not is_alive(tool)
    (healing,) = ward.healings
    assert healing.remedy == "orphaned-session"
    assert f"(pid {tool}); it was ended" in healing.guidance
