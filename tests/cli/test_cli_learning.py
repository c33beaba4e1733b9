"""`learning`: what earlier jobs came to, for people and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import mozart, write_job
from support.lessons import WORDING, first_tries, judged, numbered, planned, teach

from mozart_nb.checkpoint.index import home


@pytest.fixture
def taught() -> Path:
    """A template of which 7 of 10 first tries passed; two failures were fixed by a completion, one by nothing."""
    path = home() / "history.db"
    again = [event for batch in (8, 9) for event in judged(2, "passed", mode="completion", batch=batch)]
    teach(path, [*first_tries(7, 3), *again], job_id="reviews")
    return path


def test_what_is_known_of_a_template_is_told_with_its_counts(taught: Path) -> None:
    ended = mozart("learning")
    assert ended.exit_code == 0
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("review.j2  tttttttttttt  last used ")
    assert lines[1] == "  1 job: 7 of 10 batches passed at the first try, 70 % (40 % to 89 %)"
    assert lines[2] == "  12 attempts: 2 completion attempts; $1.20"
    [rule] = [line for line in lines if "file_exists: a" in line]
    assert "3 of 10" in rule
    assert "completion 2, nothing yet 1" in rule


def test_nothing_is_suggested_from_few_outcomes_and_it_says_how_many_are_missing(taught: Path) -> None:
    stdout = mozart("learning").stdout
    assert "timeout_seconds: ?, no suggestion (88 outcomes missing)" in stdout
    assert "12 sessions whose time is known; nothing is said before 100" in stdout


@pytest.mark.parametrize("about", ["review.j2", "reviews", "tttttt"])
def test_a_template_is_found_by_its_name_its_job_and_the_begin_of_its_key(taught: Path, about: str) -> None:
    assert mozart("learning", about).stdout.startswith("review.j2")


def test_something_unknown_is_a_usage_error(taught: Path) -> None:
    ended = mozart("learning", "nobody")
    assert ended.exit_code == 2
    assert "nothing is known of a template or job `nobody`" in ended.stderr


def test_as_json_it_is_one_document_with_every_table(taught: Path) -> None:
    document = mozart("learning", "--json").document
    assert set(document) == {"templates", "rules", "times", "suggestions", "templates_left_out"}
    [template] = document["templates"]
    assert (template["batches"], template["first_try_success"]) == (10, 0.7)
    assert {row["measure"] for row in document["times"]} >= {"duration_seconds", "output_tokens", "cost"}
    assert {row["setting"] for row in document["suggestions"]} == {
        "timeout_seconds",
        "max_concurrent",
        "completion_threshold_percent",
    }


def test_only_some_templates_are_shown_unless_all_are_wanted(taught: Path) -> None:
    for number in range(3):
        other = WORDING.__class__(f"{number}" * 64, f"other-{number}.j2", WORDING.rules)
        teach(taught, numbered([planned(other), *judged(1, "passed")]), job_id=f"o{number}")
    ended = mozart("learning", "--limit", "1")
    assert "3 templates more: --limit 0 shows all" in ended.stderr
    assert len(mozart("learning", "--limit", "0", "--json").document["templates"]) == 4


def test_without_any_job_it_says_that_nothing_is_known() -> None:
    ended = mozart("learning")
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert "nothing is known yet" in ended.stderr


def test_made_up_answers_are_marked_and_suggest_nothing(tmp_path: Path) -> None:
    assert mozart("run", write_job(tmp_path)).exit_code == 0
    stdout = mozart("learning", "demo").stdout
    assert "1 job (rehearsal: counts for nothing below): 5 of 5 batches" in stdout
    assert "timeout_seconds" not in stdout
