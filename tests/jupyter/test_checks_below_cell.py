"""What the checks of a job find short of an error, below the cell that runs it or only asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.html_pages import Page
from support.notebook_cells import mozart_cell, rehearsed
from support.notebook_shell import Shell, notebook_shell

from mozart_nb.job.lint import Issue, Severity
from mozart_nb.jupyter.looks.checks import checks_html, checks_text, summary
from mozart_nb.jupyter.magics.checks import Checks

HOSTILE = "<img src=x onerror=alert(1)>`\u202e"


def issue(severity: Severity = Severity.WARNING, text: str = "unknown key `colour`", **more: object) -> Issue:
    facts = {"line": 7, "column": 3, "suggestion": "did you mean `color`?", "source": "  colour: red", **more}
    return Issue("V201", severity, text, **facts)  # type: ignore[arg-type]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with notebook_shell(tmp_path) as shell:
        yield shell


# --- how it looks -----------------------------------------------------------------------------------------------------


def test_the_block_names_line_and_advice_and_points_at_the_place() -> None:
    issues = [issue(auto_fixable=True), issue(Severity.INFO, "nothing checks the answer", suggestion="")]
    shown = Page(checks_html(issues, fix_hint="%%mozart --fix"))
    assert not shown.problems
    lines = shown.text.split("\n")
    assert lines[0] == "◔ 1 warning, 1 note %%mozart --fix mends 1 of them"
    assert "V201 line 7 unknown key colour did you mean color?" in lines[1]
    assert "7 | colour: red" in shown.text
    assert "^^^^^^" in shown.text
    assert shown.sanitised().text == shown.text


def test_it_is_folded_where_it_was_seen_before_and_absent_where_nothing_was_found() -> None:
    assert "open" in Page(checks_html([issue()])).tags("details")[0]
    assert "open" not in Page(checks_html([issue()], is_open=False)).tags("details")[0]
    assert checks_html([]) == ""
    assert Page(checks_html([], "job.yaml is valid")).text == "✓ job.yaml is valid"


def test_nothing_foreign_runs_and_hundreds_stay_small() -> None:
    hostile = issue(text=HOSTILE, suggestion=HOSTILE, source=HOSTILE, file=HOSTILE, line=0)
    shown = Page(checks_html([hostile] * 500, HOSTILE))
    assert not shown.problems
    assert not shown.tags("img")
    assert "\u202e" not in shown.text
    assert "and 480 more" in shown.text
    assert len(shown.source) < 60_000
    assert summary([hostile] * 500) == "500 warnings"


def test_as_text_it_says_the_same() -> None:
    text = checks_text([issue(auto_fixable=True, file="<cell>")], "it is valid", fix_hint="%%mozart --fix")
    assert text.split("\n") == [
        "it is valid",
        "warning: <cell>:7:3: V201 WARNING: unknown key `colour` (did you mean `color`?)",
        "  7 |   colour: red",
        "    |   ^^^^^^",
        "`%%mozart --fix` mends 1 of them",
    ]


# --- in a notebook ----------------------------------------------------------------------------------------------------


def odd(name: str) -> str:
    return mozart_cell({**rehearsed(name, 2), "colour": "red"})


def test_a_cell_says_a_warning_once_and_runs(shell: Shell) -> None:
    cell = odd("warned").replace("%%mozart", "%%mozart --wait")
    first = shell.fine(cell).shown
    assert "unknown key `colour`" in first
    assert "| colour: red" in first
    assert "unknown key" not in shell.fine(cell).shown
    assert shell["job"].status == "completed"


def test_check_says_everything_starts_nothing_and_writes_nothing(shell: Shell) -> None:
    ran = shell.fine(odd("checked").replace("%%mozart", "%%mozart --check"))
    assert isinstance(ran.value, Checks)
    assert str(ran.value).startswith("this cell is valid: job `checked`, 2 batches, 0 rules\n")
    assert "<cell>:" in str(ran.value)
    assert [one.code for one in ran.value.issues if one.severity is Severity.WARNING]
    assert "job" not in shell
    assert list(shell.folder.iterdir()) == []
    again = shell.fine(odd("checked").replace("%%mozart", "%%mozart --check"))
    assert "unknown key `colour`" in str(again.value)


def test_check_stops_at_an_error_with_a_caret(shell: Shell) -> None:
    said = shell.fails(mozart_cell({**rehearsed("wrong", 2), "batch": {"size": "two"}}, "--check"))
    assert "wrong value for `batch.size`" in said
    assert "^^^" in said


def test_a_dry_run_shows_checks_and_plan(shell: Shell) -> None:
    ran = shell.fine(odd("planned").replace("%%mozart", "%%mozart -n"))
    assert "unknown key `colour`" in ran.shown
    assert "planned" in str(ran.value)


def test_a_job_of_python_code_has_what_was_found(shell: Shell) -> None:
    text = yaml.safe_dump({**rehearsed("coded", 2), "colour": "red"})
    shell.fine(f"from mozart_nb import Job; found = Job.load({text!r}).issues")
    assert any("colour" in one.message for one in shell["found"])


# --- mending ----------------------------------------------------------------------------------------------------------


def misspelled(name: str, options: str) -> str:
    return mozart_cell(rehearsed(name, 2), options).replace("max_retries", "max_retrys")


def test_fix_corrects_the_cell_says_what_it_did_and_runs_it(shell: Shell) -> None:
    cell = misspelled("mended", "--fix --wait  -o fixed")
    said = shell.fine(cell).shown
    assert "fixed: `retry.max_retrys`: `max_retrys` is now `max_retries`" in said
    assert "+  max_retries: 0" in said
    assert shell["fixed"].status == "completed"
    assert not shell["fixed"].issues or "max_retrys" not in str(shell["fixed"].issues)


def test_the_corrected_cell_takes_the_place_of_what_was_typed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[tuple[str, bool]] = []
    monkeypatch.setattr(shell.ip, "kernel", object(), raising=False)
    monkeypatch.setattr(shell.ip, "set_next_input", lambda text, replace=False: put.append((text, replace)))
    cell = misspelled("replaced", "--fix --check")
    shell.fine(cell)
    assert put == [(cell.replace("--fix ", "").replace("max_retrys", "max_retries"), True)]


def test_without_fix_the_advice_names_it(shell: Shell) -> None:
    assert "`%%mozart --fix` mends 1 of them" in shell.fine(misspelled("advised", "--wait")).shown


def test_validate_fix_corrects_the_file(shell: Shell) -> None:
    file = shell.folder / "job.yaml"
    file.write_text(misspelled("filed", "").partition("\n")[2] + "\n", encoding="utf-8")
    ran = shell.fine("%mozart validate job.yaml --fix")
    assert "is now `max_retries`" in ran.shown
    assert str(ran.value).startswith("job.yaml is valid: job `filed`, 2 batches, 0 rules")
    assert [one.severity for one in ran.value.issues] == [Severity.INFO]
    assert "max_retries: 0" in file.read_text(encoding="utf-8")


def test_an_error_that_can_be_mended_names_the_way(shell: Shell) -> None:
    cell = mozart_cell({**rehearsed("placed", 2), "workspace": "./not/there/results"}, "--wait")
    assert "hint: `%%mozart --fix` corrects" in shell.fails(cell)
    assert "fixed: made" in shell.fine(cell.replace("%%mozart", "%%mozart --fix")).shown
    assert shell["job"].status == "completed"
