"""Backslashes in the paths of rules, and variables that are nearly spelled right: whole jobs that fail of them."""

from __future__ import annotations

import asyncio
import os

import pytest
from support.healing import Ward

from mozart_nb.checkpoint.follow import read_events
from mozart_nb.engine.driver import Driver
from mozart_nb.engine.fold import fold
from mozart_nb.engine.ports import Request, RequestKind
from mozart_nb.engine.state import JobState
from mozart_nb.events import RunOptions, ValidationFailed
from mozart_nb.runtime import Prepared, run_job

WRITES = """
import pathlib
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/report-{{ batch_num }}.md").write_text("report")
open_(); done()
"""

posix = pytest.mark.skipif(os.name == "nt", reason="there backslashes are separators")


@posix
def test_backslashes_of_a_rule_are_read_as_slashes_for_this_run(ward: Ward) -> None:
    rules = [{"type": "file_exists", "path": r"out\report-{batch_num}.md"}]
    prepared = ward.write(WRITES, validations=rules)
    batch = ward.run(prepared)
    assert (batch.status, batch.heals) == ("completed", 1)
    assert (batch.attempts, ward.sessions) == (2, 1), "the file was there: nothing was asked again"
    (healing,) = ward.healings
    assert healing.remedy == "backslashes"
    lines = ward.file.read_text().splitlines()
    line = 1 + next(number for number, text in enumerate(lines) if "out\\report" in text)
    assert f"{ward.file}, line {line}: `out/report-{{batch_num}}.md`" in healing.guidance
    assert [result.path for result in batch.validation_details] == [str(ward.folder / "out" / "report-1.md")]


@posix
def test_all_batches_of_the_run_profit_and_the_next_run_does_not(ward: Ward) -> None:
    rules = [{"type": "file_exists", "path": r"out\report-{batch_num}.md"}]
    prepared = ward.write(WRITES, validations=rules, batch={"size": 1, "total_items": 3})
    ward.run(prepared)
    assert (ward.state.status, [ward.state.batches[n].heals for n in (1, 2, 3)]) == ("completed", [1, 0, 0])

    (ward.folder / "second").mkdir()
    second = Ward(ward.folder / "second")
    second.run(second.write(WRITES, validations=rules, batch={"size": 1, "total_items": 3}), heals=False)
    assert second.state.status == "failed"
    second.run(second.again())
    # The line of the job file is named although only the frozen plan was read.
    assert second.state.status == "completed"
    assert f"{second.file}, line " in second.healings[0].guidance


@posix
def test_slashes_whose_folder_is_missing_are_mended_in_one_go(ward: Ward) -> None:
    template = 'import pathlib\nif pathlib.Path("out").is_dir(): pathlib.Path("out/a.md").touch()\nopen_(); done()'
    batch = ward.run(ward.write(template, validations=[{"type": "file_exists", "path": r"out\a.md"}]))
    assert (batch.status, [healing.remedy for healing in ward.healings]) == (
        "completed",
        ["backslashes, missing-folders"],
    )


@posix
def test_a_session_after_the_remedy_is_not_told_the_wrong_name(ward: Ward) -> None:
    template = """
import pathlib
open_()
if pathlib.Path("again").exists():
    pathlib.Path("out").mkdir(exist_ok=True)
    pathlib.Path("out/a.md").touch()
pathlib.Path("again").touch()
done()
"""
    prepared = ward.write(template, validations=[{"type": "file_exists", "path": r"out\a.md"}])
    assert ward.run(prepared).status == "completed"
    prompts = sorted(prepared.layout.logs.rglob("*.prompt"))
    said = prompts[-1].read_text().partition("# that is all")[2]
    assert len(prompts) == 2
    assert "An earlier attempt at this task did not succeed (output validation failed)" in said
    assert "\\" not in said


@posix
@pytest.mark.parametrize("path", [r"C:\out\a.md", r"\\server\share\a.md", r"{{ 'a\\b.md' }}"])
def test_paths_of_other_systems_and_expressions_are_left_alone(ward: Ward, path: str) -> None:
    batch = ward.run(ward.write("open_(); done()", validations=[{"type": "file_exists", "path": path}]))
    assert (batch.status, [healing.remedy for healing in ward.healings]) == ("failed", [""])


@posix
def test_a_file_whose_name_has_a_backslash_is_meant_as_it_is(ward: Ward) -> None:
    template = r'open(r"out\a.md", "w").write("short"); open_(); done()'
    rules = [{"type": "content_contains", "path": r"out\a.md", "pattern": "long"}]
    batch = ward.run(ward.write(template, validations=rules))
    assert (batch.status, [healing.remedy for healing in ward.healings]) == ("failed", [""])


# --- variables --------------------------------------------------------------------------------------------------------

MISSPELLED = 'open_(); done("this is batch {{ bacth_num }}")'
RULE = [{"type": "answer_matches", "pattern": "this is batch {batch_num}"}]


def test_a_misspelled_variable_stands_for_the_nearest_one_when_a_person_agrees(ward: Ward) -> None:
    prepared = ward.write(MISSPELLED, validations=RULE, batch={"size": 1, "total_items": 3})
    batch = ward.run(prepared, answer=True)
    assert (ward.state.status, batch.status, batch.heals, ward.state.batches[2].heals) == (
        "completed",
        "completed",
        1,
        0,
    )
    assert ward.asked == ["The prompt uses `bacth_num`, which does not exist. Use `batch_num` for it in this run?"]
    (healing,) = ward.healings
    assert healing.remedy == "misspelled-variable"
    assert "prompt.template, line 1: unknown variable `bacth_num`" in healing.guidance
    assert "`bacth_num` stood for `batch_num` for this run" in healing.guidance
    assert ward.sessions == 3, "the first attempt of batch 1 sent nothing"


@pytest.mark.parametrize(("answer", "why"), [(None, "nobody was there to ask"), (False, "the answer was no")])
def test_without_consent_it_is_guidance_only(ward: Ward, answer: bool | None, why: str) -> None:
    batch = ward.run(ward.write(MISSPELLED), answer=answer)
    assert (ward.state.status, ward.state.job.code, batch.status) == ("failed", "E502", "failed")
    (healing,) = ward.healings
    assert healing.remedy == ""
    assert why in healing.guidance
    assert "Write `batch_num` in the template" in healing.guidance
    assert ward.sessions == 0


def test_a_question_is_put_once_although_many_batches_ail_of_it(ward: Ward) -> None:
    prepared = ward.write(
        MISSPELLED,
        batch={"size": 1, "total_items": 4},
        parallel={"enabled": True, "max_concurrent": 4, "fail_fast": False},
    )
    ward.run(prepared, answer=False)
    assert len(ward.asked) == 1
    failures = [event for event in read_events(prepared.layout) if isinstance(event, ValidationFailed)]
    assert {event.code for event in failures} == {"E502"}


def test_a_variable_like_no_other_has_no_remedy(ward: Ward) -> None:
    ward.run(ward.write('open_(); done("{{ zzyzx }}")'), answer=True)
    assert (ward.state.status, ward.asked, ward.healings[0].remedy) == ("failed", [], "")


def test_two_misspelled_variables_are_mended_one_after_the_other(ward: Ward) -> None:
    batch = ward.run(ward.write('open_(); done("{{ bacth_num }} of {{ total_bacthes }}")'), answer=True)
    assert (batch.status, batch.heals, len(ward.asked)) == ("completed", 2, 2)


# --- a run that ends in the middle ------------------------------------------------------------------------------------


def asked_in_vain(ward: Ward, prepared: Prepared, kind: RequestKind) -> JobState:
    """Nobody answers the question, and the job is asked to stop meanwhile."""

    async def run() -> JobState:
        drivers: list[Driver] = []

        async def ask(question: str) -> bool:
            drivers[0].request(Request(kind=kind, by="test"))
            await asyncio.Event().wait()
            return True

        options = RunOptions(self_healing=True)
        return await run_job(prepared, options, ask=ask, on_start=drivers.append)

    return asyncio.run(run())


@pytest.mark.parametrize(("kind", "status"), [("pause", "paused"), ("cancel", "cancelled"), ("detach", "paused")])
def test_a_job_that_is_to_stop_does_not_wait_for_the_answer(ward: Ward, kind: RequestKind, status: str) -> None:
    prepared = ward.write(MISSPELLED, validations=RULE)
    assert asked_in_vain(ward, prepared, kind).status == status
    batch = ward.run(ward.again(), answer=True)
    assert (ward.state.status, batch.status, ward.sessions) == ("completed", "completed", 1)
    assert fold(read_events(prepared.layout)) == ward.state


def test_a_later_run_without_self_healing_applies_nothing(ward: Ward) -> None:
    prepared = ward.write(MISSPELLED)
    asked_in_vain(ward, prepared, "detach")
    batch = ward.run(ward.again(), answer=True, heals=False)
    assert (ward.state.status, batch.code, ward.asked) == ("failed", "E502", [])
