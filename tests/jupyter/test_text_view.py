"""Jobs as text: one line while somebody waits, and pages that display as they are."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from IPython.lib.pretty import pretty
from support.notebook_cells import rehearsed

from mozart_nb import Job
from mozart_nb.jupyter.magics.text_view import TextLine, progress_line, wait_in_terminal
from mozart_nb.words import Page, page


class Screen(io.StringIO):
    """A terminal that remembers all that was written."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tmp_path)
    return Job.load(rehearsed("lined", 4, latency=0.15, at_once=1))


def test_a_page_is_a_text_that_displays_as_it_is() -> None:
    shown = page(["one", "'two'"])
    assert shown == "one\n'two'"
    assert pretty(shown) == repr(shown) == "one\n'two'"
    assert isinstance(shown, Page)


def test_a_line_is_drawn_over_without_leaving_anything_behind() -> None:
    screen = Screen()
    line = TextLine(screen)
    for text in ("a long line", "short"):
        line.draw(lambda _, text=text: text)
    line.clear()
    assert screen.getvalue() == "\ra long line\rshort      \r     \r"


def test_nothing_is_drawn_where_nobody_could_draw_over_it() -> None:
    pipe = io.StringIO()
    line = TextLine(pipe)
    line.draw(lambda width: "x")
    line.clear()
    assert pipe.getvalue() == ""


def test_the_line_says_how_far_the_job_is_and_fits(job: Job) -> None:
    line = progress_line(job.progress())
    assert line.startswith("lined pending ░")
    assert "0/4" in line
    assert progress_line(job.progress(), 40) == f"{line[:39]}…"


def test_who_waits_in_a_terminal_sees_the_job_get_on(job: Job) -> None:
    screen = Screen()
    wait_in_terminal(job.start(), screen)
    assert job.status == "completed"
    drawn = [part for part in screen.getvalue().split("\r") if part.strip()]
    assert len(drawn) >= 2
    assert all(part.startswith("lined ") for part in drawn)
    assert screen.getvalue().endswith("\r")
