"""`%mozart errors`, `%mozart diagnose` and `%mozart history` as a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.html_pages import Page
from support.notebook_cells import mozart_cell, rehearsed
from support.notebook_shell import Shell, notebook_shell

from mozart_nb.consumers.documents import error_groups
from mozart_nb.consumers.history.rows import RunRow
from mozart_nb.consumers.history.tally import RunTally
from mozart_nb.consumers.rows import ErrorRecord
from mozart_nb.events import RuleResult
from mozart_nb.jupyter.looks.failures import failures_html
from mozart_nb.jupyter.looks.history import runs_html
from mozart_nb.jupyter.magics.failures import Failures
from mozart_nb.jupyter.magics.history import Runs
from mozart_nb.looking.diagnosis import Diagnosis

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>`\u202e"
NOW = 1_790_000_000.0


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with notebook_shell(tmp_path) as shell:
        yield shell


@pytest.fixture
def broken(shell: Shell) -> Shell:
    """A notebook with a job of three batches of which none is good enough."""
    job = rehearsed("broken", 3, latency=0.0)
    job["validations"] = [{"type": "command_succeeds", "command": "test -f given.txt", "description": "it is given"}]
    shell.run(mozart_cell(job, "--wait --no-raise"))
    return shell


def record(text: str = "no report", batch: int = 3, **more: object) -> ErrorRecord:
    rule = RuleResult(1, "file_exists", "failed", text, text, text, text, text)
    facts = {"job_id": text, "at": NOW, "code": "E201", "message": text, "batch": batch, "attempt": 1, **more}
    return ErrorRecord(**facts, results=(rule,), stdout_tail=text, stderr_tail=text)  # type: ignore[arg-type]


# --- pages ------------------------------------------------------------------------------------------------------------


def test_failures_are_told_by_code_and_one_by_one_where_asked() -> None:
    found = [record(), record(batch=4, batch_status="completed"), record(batch=3, attempt=2)]
    short = Page(failures_html(error_groups(found), now=NOW))
    assert "E201" in short.text
    assert "One by one" not in short.text
    page = Page(failures_html(error_groups(found), found, now=NOW, names_jobs=True, notes=["old: cannot be read"]))
    assert not page.problems
    assert "One by one 2 failures" in page.text  # of each batch the last
    assert "no report, batch 3, attempt 2" in page.text
    assert "mended since" in page.text
    assert "end of stderr" in page.text
    assert "old: cannot be read" in page.text
    assert page.sanitised().text == page.text


def test_runs_stand_side_by_side_with_what_changed() -> None:
    rows = [_run(2, 19, 1, 120.0, 1.0), _run(1, 10, 10, 480.0, 4.0)]
    page = Page(runs_html(rows, job_id="reviews", now=NOW))
    assert not page.problems
    assert "reviews 2 runs" in page.text
    assert "success 50 % → 95 %" in page.text
    assert len(page.tags("i")) == 8
    assert "no such runs" in Page(runs_html([], job_id="reviews", now=NOW)).text
    assert "run 2" in str(Runs("reviews", rows))


def _run(number: int, completed: int, failed: int, seconds: float, cost: float) -> RunRow:
    tally = RunTally(
        journal="j",
        number=number,
        status="completed",
        started_at=NOW + number,
        finished_at=NOW + number + seconds,
        total=20,
        completed=completed,
        failed=failed,
        first_try=completed,
        attempts=completed + failed,
        cost_usd=cost,
    )
    return RunRow("reviews", "reviews", "/somewhere", tally)


def test_nothing_foreign_runs_however_much_there_is() -> None:
    found = [record(HOSTILE, batch=number) for number in range(1, 400)]
    page = Page(failures_html(error_groups(found), found, now=NOW, names_jobs=True, notes=[HOSTILE]))
    assert not page.problems
    assert not {tag for tag, _ in page.elements} & {"script", "img", "a"}
    assert "\u202e" not in page.text
    assert "and 374 more in the frame" in page.text
    assert len(page.source) < 200_000
    named = Page(runs_html([_run(1, 1, 0, 1.0, 0.0)] * 99, job_id=HOSTILE, now=NOW, notes=[HOSTILE]))
    assert not named.problems
    assert not named.tags("script")


# --- verbs ------------------------------------------------------------------------------------------------------------


def test_errors_have_a_page_a_text_and_a_frame(broken: Shell) -> None:
    view = broken.fine("%mozart errors").value
    assert isinstance(view, Failures)
    assert isinstance(view.frame, pd.DataFrame)
    assert sorted(view.frame["batch"]) == [1, 2, 3]
    assert len(view) == 3
    assert "not mended: batches 1-3" in str(view)
    assert "One by one" not in view._repr_html_()
    assert "it is given" in Page(broken.fine("%mozart errors -v").value._repr_html_()).text


def test_errors_are_filtered_and_may_be_of_all_jobs(broken: Shell) -> None:
    def count(options: str) -> int:
        return len(broken.fine(f"%mozart errors {options}").value)

    assert count("--batch 2") == 1
    assert count("--code e999") == 0
    assert count("--type timeout") == 0
    assert count("--since 1h") == 3
    assert count("--until 1h") == 0
    assert count("--all") == 3
    for none in (broken.fine("%mozart errors --code E999").value, broken.fine("%mozart errors --all --until 1h").value):
        assert (str(none), Page(none._repr_html_()).text) == ("no such errors", "no such errors")
    assert "there is no such type" in broken.fails("%mozart errors --type weather")
    assert "--all shows every job" in broken.fails("%mozart errors broken --all")


def test_a_diagnosis_is_a_page_in_a_notebook_and_text_in_a_terminal(broken: Shell) -> None:
    ran = broken.fine("%mozart diagnose broken")
    assert isinstance(ran.value, Diagnosis)
    assert "%mozart resume broken" in ran.shown
    page = Page(ran.value._repr_html_())
    assert not page.problems
    assert "%mozart resume broken" in page.text
    assert broken["job"].diagnose()._repr_html_().startswith("<style>")
    with_output = broken.fine("%mozart diagnose broken --include-output").value
    assert with_output.outputs
    assert "Output of batch 1" in with_output._repr_html_()


def test_a_job_that_cannot_be_opened_and_a_file_are_diagnosed_as_well(broken: Shell) -> None:
    Path("other.yaml").write_text("name: other\nbatch: {size: two}\n", encoding="utf-8")
    assert "other" in str(broken.fine("%mozart diagnose other.yaml").value)
    assert "no job `nobody` is known" in broken.fails("%mozart diagnose nobody")


def test_history_compares_the_runs_of_a_job_and_lists_all_jobs_without_one(broken: Shell) -> None:
    Path("broken-results/given.txt").write_text("here", encoding="utf-8")
    broken.run("%mozart resume broken --wait --no-raise")
    view = broken.fine("%mozart history broken").value
    assert isinstance(view, Runs)
    assert len(view.frame) == 2
    assert len(broken.fine("%mozart history broken --limit 1").value) == 1
    assert len(broken.fine("%mozart history broken -n 1").value) == 1
    jobs = broken.fine("%mozart history").value
    assert list(jobs["job_id"]) == ["broken"]
    assert jobs.query("failed > 5").empty
    assert len(jobs.frame.columns) == 25
    page = Page(jobs._repr_html_())
    assert not page.problems
    heads, row = page.text.splitlines()
    assert heads == "job runs last start status took success first try cost of all workspace"
    assert row.startswith("broken 2 ")
    assert "there is no status" in broken.fails("%mozart history broken --status lost")


def test_jobs_are_lines_of_text_that_fit_a_terminal(broken: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    for verb, begin in (("history", "job     runs  last start"), ("list", "job     status  done  failed  cost")):
        view = broken.fine(f"%mozart {verb}").value
        heads, row = str(view).splitlines()
        assert heads.startswith(begin)
        assert row.startswith("broken  ")
        assert len(row) <= 90
        assert "..." not in row
    assert str(broken.fine("%mozart list --name else").value) == "no such jobs"


def test_the_list_is_filtered_by_backend_name_and_time(broken: Shell) -> None:
    def listed(options: str) -> list[str]:
        return list(broken.fine(f"%mozart list {options}").value["job_id"])

    assert listed("--backend rehearsal --name 'BRO*' --since 1h") == ["broken"]
    assert listed("--backend claude_cli") == []
    assert listed("--name else") == []
