"""What is read of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mozart_nb.backends.session_memory import SessionMemory
from mozart_nb.hosts.conductor.memory import give_back
from mozart_nb.hosts.conductor.pressure import MB
from mozart_nb.hosts.conductor.resources import Resources, free_disk, within_container


def test_a_look_finds_memory_processors_and_free_disk(tmp_path: Path) -> None:
    sample = Resources().look(5.0, {"job": tmp_path, "gone": tmp_path / ("x" * 300)})

    assert sample.at == 5.0
    assert not sample.fault
    assert 0 < sample.memory_available <= sample.memory_total
    assert sample.own_bytes > 10 * MB
    assert set(sample.free) == {"job"}
    assert sample.free["job"] > 0


def test_the_memory_of_a_session_is_that_of_all_its_processes(tmp_path: Path) -> None:
    """Two levels of real processes, of which only the first is a child of ours."""
    grown, code = tmp_path / "grown", "import time, pathlib, sys; block = bytearray(40 << 20);"
    child = f"{code} pathlib.Path({str(grown)!r}).touch(); time.sleep(60)"
    parent = f"import subprocess, sys, time; {code[27:]} subprocess.run([sys.executable, '-c', {child!r}])"
    environ = {**os.environ, "MOZART_NB_MARKER": f"marker-{os.getpid()}"}
    memory = SessionMemory()
    memory.look()
    with subprocess.Popen([sys.executable, "-c", parent], env=environ, start_new_session=True) as process:
        try:
            end = time.monotonic() + 20
            while not grown.exists() and time.monotonic() < end:
                time.sleep(0.02)
            size, processes = memory.look()[f"marker-{os.getpid()}"]
            again = memory.look()[f"marker-{os.getpid()}"]
        finally:
            os.killpg(process.pid, 9)

    assert processes == 2
    assert size > 80 * MB
    assert again[1] == 2


def test_processes_that_belong_to_no_session_are_none() -> None:
    assert all(marker for marker in SessionMemory().look())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (1000, 900)),
        ({"memory.max": "max", "memory.current": "300"}, (1000, 900)),
        ({"memory.max": "500", "memory.current": "300", "memory.stat": "inactive_file 100\nanon 200"}, (500, 300)),
        ({"memory.max": "500", "memory.current": "600"}, (500, 0)),
        ({"memory.max": "5000", "memory.current": "600"}, (1000, 900)),
        (
            {"memory/memory.limit_in_bytes": "400", "memory/memory.usage_in_bytes": "100"},
            (400, 300),
        ),
    ],
)
def test_in_a_container_its_own_limit_counts(tmp_path: Path, files: dict[str, str], expected: tuple[int, int]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    assert within_container(1000, 900, tmp_path) == expected


def test_a_workspace_that_is_still_to_be_made_has_the_disk_of_the_folder_it_will_stand_in(tmp_path: Path) -> None:
    found = free_disk({"new": tmp_path / "not" / "yet", "here": tmp_path})
    assert found["new"] == pytest.approx(found["here"], rel=0.1)


def test_a_workspace_that_nobody_can_see_has_no_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert free_disk({"odd": tmp_path / "file" / "below"}) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the figures come from the system itself")
def test_figures_that_cannot_be_read_are_a_fault_and_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.PROCFS_PATH", str(tmp_path))  # where there is no /proc
    sample = Resources().look(1.0, {"job": tmp_path})

    assert "meminfo" in sample.fault
    assert sample.free["job"] > 0


def test_memory_that_jobs_left_behind_is_given_back():
    kept = [bytes(4096 + number % 64) for number in range(50_000)]
    held = kept[::100]  # what is in between goes
    process = psutil.Process()
    del kept
    before = process.memory_info().rss
    give_back()
    assert process.memory_info().rss <= before
    assert len(held) == 500
