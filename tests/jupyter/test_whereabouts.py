"""A kernel links to the pages of the server that it belongs to, and to no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.jupyter.dashboard.controls import Controls
from mozart_nb.jupyter.whereabouts import announce, link_to_run, withdraw

_ASKS = "from mozart_nb.jupyter.whereabouts import pages_above; print(pages_above())"


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    yield tmp_path / "runtime"
    withdraw()


def asked_below(code: str = _ASKS) -> str:
    """What a program finds that this process has started."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_a_program_below_the_server_finds_its_pages_also_with_another_between_them() -> None:
    announce("/user/ann/mozart")
    assert asked_below() == "/user/ann/mozart"
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_ASKS!r}], check=True)"
    assert asked_below(between) == "/user/ann/mozart"


def test_nothing_is_found_before_the_server_says_so_and_after_it_has_gone() -> None:
    assert asked_below() == ""
    announce("/mozart")
    withdraw()
    assert asked_below() == ""


def test_what_another_process_with_the_same_number_has_left_is_not_believed(runtime: Path) -> None:
    path = announce("/mozart")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started_at": 1.0}))
    assert asked_below() == ""


@pytest.mark.parametrize("content", ["", "{", '{"pid": 1}', "[]", '{"pid": 1, "started_at": 0, "mozart_url": 7}'])
def test_a_file_that_makes_no_sense_is_no_notice(content: str) -> None:
    announce("/mozart").write_text(content)
    assert asked_below() == ""


def test_no_notice_leads_to_another_site() -> None:
    announce("https://elsewhere.example/mozart")
    assert asked_below() == ""


def test_the_file_is_for_the_user_alone_and_what_the_dead_left_is_taken_away(runtime: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    runtime.mkdir(mode=0o700)
    left = runtime / f"mozart_nb-{int(dead.stdout)}.json"
    left.write_text("{}")
    path = announce("/mozart")
    assert not left.exists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.name == f"mozart_nb-{os.getpid()}.json"


def test_without_pages_there_is_no_link_and_with_them_it_stands_behind_the_buttons(tmp_path: Path) -> None:
    assert link_to_run(Layout(tmp_path, "job")) == ""
    controls = Controls(lambda name, value: None, '/mozart/jobs/a~b1/run?x="y"')
    controls.put_verbs({"shown": ["pause"]})
    pause, link = controls.verbs.children
    assert pause.description == "Pause"
    assert 'href="/mozart/jobs/a~b1/run?x=&quot;y&quot;"' in link.value
    controls.close()
