"""All remedies: documented, tried, harmless until applied, and never the reason why a job fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mozart_nb.codes import CODES
from mozart_nb.engine.ports import Ailment, Healing, Stray
from mozart_nb.engine.state import JobRecord, JobState
from mozart_nb.events import RuleResult, RunOptions
from mozart_nb.healing import REMEDIES, STALE_LOCK, Case, Finding, JobHealer, Remedy, Site, always
from mozart_nb.job.load import load_mapping

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "healing.md"


class Touched(AssertionError):
    """Something was changed that was only to be looked at."""


class NoStrays:
    """One session that nobody follows, which must not be ended."""

    def all(self) -> Sequence[Stray]:
        return [Stray((4711,), marker="m", log="/logs/0000/0001-1.out")]

    def left_of(self, session_id: str) -> Stray | None:
        return None

    def end(self, stray: Stray) -> bool:
        raise Touched(stray)


def untouchable(*args: object) -> None:
    raise Touched(args)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    rules = [{"type": "file_exists", "path": r"out\a.md"}]
    backend = {"type": "claude_cli", "cli_path": "/nowhere/claude"}
    job = {"name": "j", "backend": backend, "batch": {"size": 1, "total_items": 1}, "validations": rules}
    return Site(
        config=load_mapping(job, base_dir=tmp_path).config,
        workspace=tmp_path / "ws",
        working_directory=tmp_path / "work",
        environ={},
        strays=NoStrays(),
        where=lambda path: "job.yaml, line 1",
        respell=untouchable,
        alias=untouchable,
    )


def ailment(site: Site, code: str) -> Ailment:
    wrong = RuleResult(rule=1, type="file_exists", status="failed", path=str(site.working_directory / r"out\a.md"))
    message = "prompt.template, line 1: unknown variable `bacth_num`; did you mean `batch_num`?"
    return Ailment(job_id="j", batch=1, attempt=1, code=code, message=message, results=(wrong,))


def everything_below(folder: Path) -> Mapping[Path, float]:
    return {path: path.stat().st_mtime for path in folder.rglob("*")}


@pytest.mark.parametrize("remedy", [one for one in REMEDIES if one.find is not None], ids=lambda one: one.name)
def test_a_finding_changes_nothing_and_says_what_would_be_done(site: Site, remedy: Remedy, tmp_path: Path) -> None:
    before = everything_below(tmp_path)
    assert remedy.find is not None
    finding = remedy.find(Case(ailment(site, remedy.codes[0]), site, outputs=[str(site.workspace / "new" / "a.md")]))
    assert finding is not None
    assert everything_below(tmp_path) == before
    assert finding.cause
    assert finding.advice.endswith(".")
    assert (finding.effect is None) == (remedy.manner == "guidance only")
    assert bool(finding.deed) == (remedy.manner != "guidance only")
    assert bool(finding.question) == (remedy.manner == "asks")


PRODUCED = {
    "stale-lock": "test_with_yes_it_is_removed_and_the_job_goes_on",
    "orphaned-session": "test_a_session_whose_record_was_lost_is_ended_when_a_run_begins",
    "missing-workspace": "test_a_workspace_deleted_under_a_running_job_is_made_again",
    "backslashes": "test_backslashes_of_a_rule_are_read_as_slashes_for_this_run",
    "missing-folders": "test_folders_of_wanted_files_are_made",
    "missing-working-directory": "test_a_lost_working_directory_is_named_and_left_alone",
    "misspelled-variable": "test_a_misspelled_variable_stands_for_the_nearest_one_when_a_person_agrees",
    "login": "test_the_refused_variable_is_named_and_its_value_is_not",
    "missing-program": "test_a_missing_program_names_the_path_that_was_searched",
}
"""Remedy → the test in which a whole job fails of what it looks for."""


@pytest.mark.parametrize("remedy", REMEDIES, ids=lambda one: one.name)
def test_a_remedy_looks_at_codes_that_exist_and_is_produced_for_real_by_a_test(remedy: Remedy) -> None:
    assert set(remedy.codes) <= CODES.keys()
    assert remedy.codes or remedy.at_start
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    assert f"def {PRODUCED[remedy.name]}(" in tests


def test_the_page_has_the_table_of_remedies_as_it_is() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    expected = []
    for remedy in REMEDIES:
        looked_for = ", ".join([*(["the start"] if remedy.at_start else []), *remedy.codes])
        expected.append(f"| `{remedy.name}` | {looked_for} | {remedy.manner} | {remedy.does} |")
    assert rows == expected


def test_names_are_unique_and_the_lock_is_one_of_them() -> None:
    assert len({remedy.name for remedy in REMEDIES}) == len(REMEDIES)
    assert STALE_LOCK in REMEDIES


# --- the healer -------------------------------------------------------------------------------------------------------


def healed(site: Site, code: str, *remedies: Remedy) -> Healing:
    async def outputs(number: int) -> Sequence[str]:
        return [str(site.workspace / "new" / "a.md")]

    state = JobState(JobRecord(options=RunOptions(self_healing=True)))
    healer = JobHealer(site, state, outputs=outputs, ask=always, remedies=remedies or REMEDIES)
    return asyncio.run(healer.heal(ailment(site, code)))


def test_every_remedy_that_applies_is_applied_in_one_go(site: Site) -> None:
    rules = {"respell": lambda paths: None, "strays": _Nobody()}
    healing = healed(replace(site, **rules), "E201")  # type: ignore[arg-type]
    assert healing.remedy == "missing-workspace, backslashes, missing-folders"
    assert (site.workspace / "new").is_dir()


class _Nobody(NoStrays):
    def all(self) -> Sequence[Stray]:
        return ()


@pytest.mark.parametrize("code", ["E002", "E101", "E504", "E505", "E603", "E703"])
def test_what_has_no_remedy_is_left_alone(site: Site, code: str) -> None:
    assert healed(site, code) == Healing()


def test_a_remedy_that_breaks_is_guidance_and_nothing_worse(site: Site) -> None:
    def breaks(case: Case) -> Finding | None:
        raise RuntimeError("no luck")

    healing = healed(site, "E201", Remedy("broken", ("E201",), "automatic", "breaks", breaks))
    assert healing == Healing("", "looking for a remedy failed: RuntimeError: no luck")


def test_a_session_that_cannot_be_ended_is_not_counted_as_healed(site: Site) -> None:
    class Immortal(NoStrays):
        def end(self, stray: Stray) -> bool:
            return False

    orphans = [one for one in REMEDIES if one.name == "orphaned-session"]
    healing = healed(replace(site, strays=Immortal()), "E201", *orphans)
    assert healing.remedy == ""
    assert "the processes 4711 cannot be ended" in healing.guidance
