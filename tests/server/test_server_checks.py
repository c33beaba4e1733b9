"""Job files that name what takes for ever: whoever checks them waits, and nobody else."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import pytest
from support.web import Web, running_web

from mozart_nb.jupyter.server.workers import CHECKERS, CHECKS_WAITING

ENDLESS = """\
name: maze
workspace: ./maze-results
backend: {type: rehearsal}
batch: {size: 1}
items: {glob: "maze/**/*.none"}
prompt: {template: "{{ items }}"}
"""


def test_checks_that_never_end_hold_up_no_page_and_are_bounded(tmp_path: Path) -> None:
    with running_web(tmp_path, "standalone") as web:
        maze = web.folder / "maze"
        maze.mkdir()
        for name in ("one", "other"):
            (maze / name).symlink_to(".", target_is_directory=True)  # 2 ** 40 ways to walk
        answers: list[int] = []
        for _ in range(CHECKERS + CHECKS_WAITING + 2):
            threading.Thread(target=_check, args=(web, answers), daemon=True).start()
        deadline = time.monotonic() + 60
        while answers != [503, 503]:
            assert time.monotonic() < deadline, answers
            time.sleep(0.05)
        for path in ("/mozart/", "/mozart/api/jobs", "/mozart/history", "/mozart/health"):
            assert web.ask(path).status == 200


def _check(web: Web, answers: list[int]) -> None:
    with contextlib.suppress(OSError):  # the server is ended before it has an answer
        answers.append(web.ask("/mozart/api/validate", "POST", document={"config": ENDLESS}).status)


@pytest.fixture(autouse=True)
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that ask end with the server."""
    monkeypatch.setattr(threading, "excepthook", lambda told: None)
