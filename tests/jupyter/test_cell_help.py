"""`%%mozart?` and `--help` show options, an example that runs, what the YAML holds, and what comes afterwards."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from mozart_nb import load_ipython_extension, unload_ipython_extension
from mozart_nb.job.fields import keys_of
from mozart_nb.job.lint import Severity, lint
from mozart_nb.job.load import DiskFiles, load_text
from mozart_nb.job.model import JobConfig
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.magics.cell_help import EXAMPLE, page, starting_cell
from mozart_nb.jupyter.magics.options import CELL, VERBS

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOZART_NB_HOME", str(tmp_path / "home"))


def body_of(cell: str) -> str:
    first, _, body = cell.partition("\n")
    assert first == "%%mozart"
    return body


@pytest.mark.parametrize("cell", [EXAMPLE, starting_cell()], ids=["example", "starting cell"])
async def test_the_cells_that_are_shown_run_as_they_stand(cell: str, tmp_path: Path) -> None:
    job = Job.from_text(body_of(cell), base_dir=tmp_path)
    assert job.notices == []
    assert job.config is not None
    assert job.config.backend.type == "rehearsal"
    await job.start()
    assert job.status == "completed"
    assert job.progress().completed == job.progress().total > 1


@pytest.mark.parametrize("cell", [EXAMPLE, starting_cell("another")], ids=["example", "starting cell"])
def test_the_checks_find_nothing_to_say_about_them(cell: str, tmp_path: Path) -> None:
    issues = lint(load_text(body_of(cell), base_dir=tmp_path), DiskFiles(), {})
    assert [issue for issue in issues if issue.severity is not Severity.INFO] == []


def test_what_is_commented_out_in_the_starting_cell_is_valid_too(tmp_path: Path) -> None:
    text = re.sub(r"^( *)# ((?:  )*[a-z_]+:)", r"\1\2", body_of(starting_cell()), flags=re.MULTILINE)
    assert "max_cost_per_job: 5" in text
    assert "\n# retry" not in text
    config = load_text(text, base_dir=tmp_path, strict=True).config
    assert config.cost_limits.max_cost_per_job == 5
    assert config.parallel.enabled


def test_the_starting_cell_has_the_name_that_is_wanted() -> None:
    assert "\nname: survey\n" in starting_cell("survey")


def test_the_page_names_every_option_verb_and_section() -> None:
    text = page()
    names = [name for option in CELL.options for name in option.names]
    wanted = [*names, *VERBS, *keys_of(JobConfig)]
    assert [one for one in wanted if not re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text)] == []


def test_the_page_says_how_to_wait_pause_resume_and_go_on() -> None:
    text = page()
    for words in ("await job", "--wait", "job.pause()", "job.resume()", "job.cancel()", "job.answers()"):
        assert words in text
    assert all(hasattr(Job, name) for name in re.findall(r"job\.(\w+)\(\)", text))


def test_the_page_fits_a_pager() -> None:
    lines = page().splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(line != line.rstrip() for line in lines)


def test_every_page_of_the_documentation_that_it_names_exists() -> None:
    named = re.findall(r"docs/[\w-]+\.md", page())
    assert "docs/notebook.md" in named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell()
    load_ipython_extension(shell)
    yield shell
    unload_ipython_extension(shell)
    shell.history_manager.end_session()  # type: ignore[union-attr]


@pytest.mark.parametrize("question", ["%%mozart?", "%mozart?"])
def test_a_question_mark_shows_the_page(
    shell: InteractiveShell, question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell(question)
    assert EXAMPLE.splitlines()[1] in capsys.readouterr().out


def test_help_of_the_cell_is_the_page(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%mozart --help")
    assert "Put a commented cell below" in capsys.readouterr().out
    shell.run_cell("%%mozart --help\nname: x")
    assert EXAMPLE.splitlines()[1] in capsys.readouterr().out


def test_init_puts_the_starting_cell_below(shell: InteractiveShell) -> None:
    assert shell.run_cell("%mozart init").success
    assert shell.rl_next_input == starting_cell()


def test_tab_completes_while_the_extension_is_loaded(shell: InteractiveShell) -> None:
    with provisionalcompleter():
        assert [one.text for one in shell.Completer.completions("%mozart diagn", 13)] == ["diagnose"]
        unload_ipython_extension(shell)
        assert "diagnose" not in [one.text for one in shell.Completer.completions("%mozart diagn", 13)]


def test_loading_the_extension_makes_no_page() -> None:
    code = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell as S\ns = S()\n"
        "from mozart_nb import load_ipython_extension as load\nload(s)\n"
        "print('mozart_nb.jupyter.magics.cell_help' in sys.modules, 'mozart_nb.job.model' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "False False\n"
