"""What earlier jobs teach a later one: hints in its prompts where it asks for them, frozen with its plan."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.lessons import first_tries, teach

import mozart_nb
from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.index import home
from mozart_nb.errors import MisuseError, WorldError
from mozart_nb.job.load import load_job
from mozart_nb.job.wording import wording_of
from mozart_nb.looking.details import Facts, read_details
from mozart_nb.looking.finding import find
from mozart_nb.looking.learning import find_insights
from mozart_nb.looking.recording import rebuild
from mozart_nb.plans.hints import NOTHING_KNOWN
from mozart_nb.plans.outlook import plan_document
from mozart_nb.plans.previews import Preview
from mozart_nb.runtime import Prepared, open_job, opened, prepare, renewed, run_job

RULES = [{"type": "file_exists", "path": "r/{batch_num:02d}.md", "description": "the report is there"}]
SENTENCE = (
    "In earlier runs, the rule `the report is there` failed at the first try in {} of {} batches: make sure that the "
    "file `r/01.md` is there when you are done."
)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Prepared]:
    """Writes a job file and prepares it."""

    def job(**sections: Any) -> Prepared:
        config = {
            "name": "learner",
            "backend": {"type": "rehearsal"},
            "batch": {"size": 1, "total_items": 3},
            "prompt": {"template": "Write report {{ batch_num }}."},
            "validations": RULES,
            "rehearsal": {"latency_seconds": 0},
            **sections,
        }
        file = tmp_path / "job.yaml"
        file.write_text(yaml.safe_dump(config))
        return prepare(load_job(file))

    return job


def teach_template(prepared: Prepared, *, passed: int, failed: int, **more: Any) -> None:
    """So many first tries of the job's template, in an earlier job."""
    wording = wording_of(prepared.loaded.config, prepared.frozen.texts)
    teach(home() / "history.db", first_tries(passed, failed, wording), **more)


def run(prepared: Prepared, notices: list[str] | None = None, **more: Any) -> None:
    async def observe(events: Any) -> None:
        for event in events:
            if isinstance(event, ev.JobNotice) and notices is not None:
                notices.append(event.message)

    options = ev.RunOptions(limit=more.pop("limit", 0))
    asyncio.run(run_job(prepared, options, observers=[observe], **more))


def sent(prepared: Prepared, number: int = 1) -> str:
    """What the last attempt of a batch was sent: composed anew and recognised by the hash of what was sent."""
    found = read_details(prepared, Facts.of(find(prepared.layout).state, number))
    assert found.prompt_source == "sent", found.prompt_note
    return found.prompt.text


APPLY = {"learning": {"apply": True}}


# --- in the prompt ----------------------------------------------------------------------------------------------------


def test_without_being_asked_for_nothing_of_earlier_jobs_gets_into_a_prompt(make: Callable[..., Prepared]) -> None:
    prepared = make()
    teach_template(prepared, passed=50, failed=50)
    assert Preview(prepared).prompt(1) == "Write report 1."
    run(prepared)
    assert sent(prepared) == "Write report 1."


def test_what_first_tries_fail_most_stands_at_the_end_of_the_prompt_when_asked_for(
    make: Callable[..., Prepared],
) -> None:
    prepared = make(**APPLY)
    teach_template(prepared, passed=69, failed=31)
    wanted = f"Write report 1.\n\nWhat earlier runs of this task have shown:\n- {SENTENCE.format(31, 100)}"
    assert plan_document(prepared, ev.RunOptions(), show=1)["show"]["prompt"] == wanted
    notices: list[str] = []
    run(prepared, notices)
    assert sent(prepared) == wanted
    assert "r/02.md" in sent(prepared, 2)
    assert NOTHING_KNOWN not in notices


def test_hints_stay_as_they_were_planned_when_a_job_goes_on(make: Callable[..., Prepared]) -> None:
    prepared = make(**APPLY)
    teach_template(prepared, passed=69, failed=31)
    run(prepared, limit=1)
    teach_template(prepared, passed=0, failed=100, job_id="k")
    again = open_job("learner", prepared.layout.workspace)
    assert again.digest == prepared.digest == make(**APPLY).digest
    run(again)
    assert "in 31 of 100 batches" in sent(again, 3)
    assert "in 31 of 100 batches" in Preview(make(**APPLY)).prompt(3)


@pytest.mark.parametrize("how", ["fresh", "reload"])
def test_starting_over_and_a_new_config_work_hints_out_anew(make: Callable[..., Prepared], how: str) -> None:
    prepared = make(**APPLY)
    teach_template(prepared, passed=69, failed=31)
    run(prepared, limit=1)
    teach_template(prepared, passed=0, failed=100, job_id="k")
    if how == "fresh":
        run(make(**APPLY), fresh=True)
    else:
        changed = make(**APPLY, retry={"max_retries": 5})
        run(prepared, reload=renewed(opened(prepared.layout), changed.loaded))
    # What the job itself adds was made up by a rehearsal.
    assert "in 131 of 200 batches" in sent(opened(prepared.layout), 3)


def test_taking_the_key_back_takes_the_hints_away(make: Callable[..., Prepared]) -> None:
    prepared = make(**APPLY)
    teach_template(prepared, passed=69, failed=31)
    run(prepared, limit=1)
    run(prepared, reload=renewed(opened(prepared.layout), make().loaded))
    assert sent(opened(prepared.layout), 3) == "Write report 3."


def test_where_nothing_is_known_the_job_says_so_and_prompts_stay_as_they_are(make: Callable[..., Prepared]) -> None:
    notices: list[str] = []
    prepared = make(**APPLY)
    run(prepared, notices)
    assert notices.count(NOTHING_KNOWN) == 1
    assert sent(prepared) == "Write report 1."


def test_a_history_that_cannot_be_read_holds_up_no_job(make: Callable[..., Prepared]) -> None:
    (home() / "history.db").write_bytes(b"no database" * 1000)
    notices: list[str] = []
    run(make(**APPLY), notices)
    assert any("prompts get no hints, because" in notice for notice in notices)


def test_counts_that_cannot_be_read_hold_up_no_job_either(make: Callable[..., Prepared]) -> None:
    prepared = make(**APPLY)
    teach_template(prepared, passed=69, failed=31)
    with contextlib.closing(sqlite3.connect(home() / "history.db")) as database, database:
        database.execute('UPDATE outcomes SET tally = \'{"first_tries": "many"}\'')
    notices: list[str] = []
    run(prepared, notices)
    assert any("prompts get no hints, because the counts" in notice for notice in notices)
    assert sent(prepared) == "Write report 1."
    with pytest.raises(WorldError, match="counts of earlier outcomes cannot be read"):
        find_insights()


def test_answers_kept_by_content_keep_their_prompts_when_the_job_file_changes(make: Callable[..., Prepared]) -> None:
    prepared = make(**APPLY)
    teach_template(prepared, passed=69, failed=31)
    run(prepared)
    teach_template(prepared, passed=0, failed=100, job_id="k")
    run(make(**APPLY, retry={"max_retries": 5}), anew=True)
    assert "in 31 of 100 batches" in sent(opened(prepared.layout))


def test_hints_are_in_the_journal(make: Callable[..., Prepared]) -> None:
    prepared = make(**APPLY)
    teach_template(prepared, passed=69, failed=31)
    run(prepared, limit=1)
    [planned] = [event for event in read_events(prepared.layout) if isinstance(event, ev.JobPlanned)]
    assert planned.wording.name == "learner"
    assert planned.wording.rules == ("file_exists: the report is there",)
    assert len(planned.wording.hints) == 1


# --- what is counted --------------------------------------------------------------------------------------------------


def test_a_job_counts_when_it_runs_and_is_marked_where_its_answers_are_made_up(make: Callable[..., Prepared]) -> None:
    run(make(), limit=2)
    run(open_job("learner", make().layout.workspace))
    frame = mozart_nb.insights()
    [row] = frame.to_dict("records")
    assert (row["template"], row["batches"], row["passed_first"], row["rehearsal"]) == ("learner", 3, 3, True)
    assert mozart_nb.insights("learner", what="rules")["judged_first"].tolist() == [3]
    assert mozart_nb.insights(what="suggestions").empty


def test_nothing_is_counted_where_that_is_not_wanted(make: Callable[..., Prepared]) -> None:
    run(make(learning={"enabled": False}))
    assert mozart_nb.insights().empty


def test_a_rehearsed_run_teaches_nothing(make: Callable[..., Prepared]) -> None:
    prepared = make()
    run(dataclasses.replace(prepare(prepared.loaded, rehearse=True)))
    assert mozart_nb.insights().empty


def test_insights_of_something_unknown_are_a_misuse(make: Callable[..., Prepared]) -> None:
    with pytest.raises(MisuseError, match="nothing is known of a template or job `nobody`"):
        mozart_nb.insights("nobody")
    with pytest.raises(MisuseError, match="no insights called `all`"):
        mozart_nb.insights(what="all")  # type: ignore[arg-type]


def test_suggestions_name_the_present_setting_of_the_newest_job(make: Callable[..., Prepared]) -> None:
    prepared = make()
    run(prepared, limit=1)
    teach_template(
        prepared, passed=200, failed=0, job_id="learner", state_workspace=str(prepared.layout.workspace) + "/"
    )
    rows = mozart_nb.insights("learner", what="suggestions").set_index("setting")
    assert rows.loc["timeout_seconds", "present"] == 1800
    assert rows.loc["timeout_seconds", "suggested"] == 60
    assert rows.loc["max_concurrent", "present"] == 1
    assert rows.loc["completion_threshold_percent", "missing"] == 40


def test_the_history_made_anew_from_the_journals_tells_the_same(make: Callable[..., Prepared]) -> None:
    retry = {"max_retries": 3, "base_delay_seconds": 0.01, "completion_delay_seconds": 0}
    script = {1: ["invalid_output", "transient"], 2: ["transient"], 3: ["invalid_output"] * 2}
    sections = {"retry": retry, "rehearsal": {"latency_seconds": 0, "seed": 1, "script": script}}
    run(make(**sections), limit=2)
    run(opened(make(**sections).layout))
    run(make(**sections), fresh=True)
    live = find_insights().document()
    (home() / "history.db").unlink()
    assert rebuild(pytest.fail).jobs == 1
    assert find_insights().document() == live
    assert rebuild(pytest.fail).jobs == 1
    assert find_insights().document() == live
    [template] = live["templates"]
    assert (template["batches"], template["jobs"]) == (6, 1)
    [rule] = live["rules"]
    assert (rule["failures"], rule["not_fixed"]) == (2, 0)  # the reports were still there when the job started over


def test_outcomes_that_a_dead_host_left_uncounted_are_counted_when_somebody_asks(make: Callable[..., Prepared]) -> None:
    run(make())
    (home() / "history.db").unlink()
    assert mozart_nb.insights()["batches"].tolist() == [3]
