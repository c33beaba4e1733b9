"""What people are told about the worktree of a job, before, during and after it ran."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.repositories import COMMIT, Repo, Work

from mozart_nb import events as ev
from mozart_nb.backends.strays import LoggedSessions
from mozart_nb.consumers.isolation import isolation_phrases
from mozart_nb.consumers.progress import progress_of
from mozart_nb.engine.ports import Ailment
from mozart_nb.engine.state import IsolationState
from mozart_nb.healing.folders import find_working_directory
from mozart_nb.healing.remedy import Case, Site
from mozart_nb.hooks import run_hooks
from mozart_nb.job.model import JobConfig
from mozart_nb.jupyter.looks.head import head
from mozart_nb.jupyter.looks.static import static_text
from mozart_nb.looking.diagnosis import diagnose
from mozart_nb.looking.finding import find
from mozart_nb.plans.outlook import plan_document
from mozart_nb.plans.words import plan_lines
from mozart_nb.runtime import Prepared


def document(prepared: Prepared) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(json.dumps(find(prepared.layout).document(())))
    return shown


def test_a_dry_run_names_worktree_and_branch_and_makes_neither(work: Work, repo: Repo) -> None:
    plan = plan_document(work.prepared(name="Night watch"), ev.RunOptions())
    tree = plan["isolation"]
    assert tree == {
        "worktree": str(work.workspace / ".worktrees" / "Night-watch"),
        "branch": "mozart/Night-watch",
        "begins_at": "the current commit",
    }
    assert any("branch mozart/Night-watch, from the current commit" in line for line in plan_lines(plan))
    assert repo.branches() == {"main"}
    assert plan_document(work.prepared(isolation={"enabled": False}), ev.RunOptions())["isolation"] is None


def test_the_status_says_where_the_work_is(work: Work, repo: Repo) -> None:
    prepared = work.prepared(COMMIT)
    state = work.run(prepared)
    shown = document(prepared)["isolation"]
    assert (shown["status"], shown["branch"], shown["commits"]) == ("removed", "mozart/notes", 2)
    assert shown["head"] == repo.git("rev-parse", "mozart/notes")
    assert list(isolation_phrases(state.job.isolation)) == [f"work is on branch mozart/notes of {repo.root}, 2 commits"]


def test_the_status_of_a_job_that_is_not_isolated_has_nothing_about_it(work: Work) -> None:
    prepared = work.prepared(isolation={"enabled": False})
    assert list(isolation_phrases(work.run(prepared).job.isolation)) == []
    assert document(prepared)["isolation"] is None


def test_a_notebook_shows_the_branch_in_the_dashboard_and_in_what_is_saved_of_it(work: Work) -> None:
    state = work.run(work.prepared(COMMIT))
    progress = progress_of(state, None, state.job.at, is_live=False)
    said = "work is on branch mozart/notes"
    assert said in head(progress)
    assert said in static_text(progress)
    off = replace(progress, isolation=IsolationState())
    assert said not in head(off)


def test_a_worktree_that_was_kept_is_named_with_the_reason(work: Work) -> None:
    prepared = work.prepared("test {batch_num} = 1")
    [where, why] = isolation_phrases(work.run(prepared).job.isolation)
    assert where.startswith("work is on branch mozart/notes")
    assert "is kept: the job failed; 2 changes in it are not committed" in why
    facts = {fact.name: fact.detail for fact in diagnose(prepared.layout).environment.facts}
    assert facts["worktree"] == f"{work.workspace}/.worktrees/notes, branch mozart/notes"


def test_a_diagnosis_says_that_a_resume_makes_a_lost_worktree_again(work: Work, repo: Repo) -> None:
    prepared = work.prepared("test {batch_num} = 1")
    work.run(prepared)
    shutil.rmtree(repo.worktrees()[0])
    facts = {fact.name: fact.detail for fact in diagnose(prepared.layout).environment.facts}
    assert "is gone; a resume makes it again from mozart/notes" in facts["worktree"]


def test_a_diagnosis_says_why_a_job_was_not_isolated(tmp_path: Path) -> None:
    work = Work(Repo(tmp_path / "repo", commits=False), tmp_path / "ws")
    prepared = work.prepared()
    work.run(prepared)
    [trouble] = [one for one in diagnose(prepared.layout).troubles if one.kind == "isolation"]
    assert "has no commit yet" in trouble.cause
    assert "sessions worked in the checkout itself" in trouble.what


def test_a_diagnosis_says_why_the_worktree_of_a_completed_job_is_still_there(work: Work) -> None:
    prepared = work.prepared("test -d clone || git init --quiet clone && echo x > clone/x")
    assert work.run(prepared).status == "completed"
    [trouble] = [one for one in diagnose(prepared.layout).troubles if one.kind == "isolation"]
    assert "repositories of their own" in trouble.cause
    assert "worktree remove" in trouble.advice


def test_self_healing_makes_no_empty_folder_in_the_place_of_a_worktree(work: Work, repo: Repo, tmp_path: Path) -> None:
    gone = f"test -e {tmp_path}/once || {{ touch {tmp_path}/once; rm -rf {work.workspace}/.worktrees/notes; }}"
    prepared = work.prepared(
        validations=[
            {"type": "command_succeeds", "command": gone, "stage": 1},
            {"type": "file_exists", "path": "sub/out-{batch_num}.md", "stage": 2},
        ],
        rehearsal={"latency_seconds": 0, "writes": {"sub/out-{{ batch_num }}.md": "x"}},
    )
    state = work.run(prepared, options=ev.RunOptions(self_healing=True))
    assert state.status == "failed"
    assert not (work.workspace / ".worktrees" / "notes").exists()
    assert work.run(prepared).status == "completed"
    assert repo.files("mozart/notes") >= {"sub/out-1.md", "sub/out-2.md"}


def test_what_helps_against_a_lost_worktree_is_a_resume(tmp_path: Path) -> None:
    site = Site(
        config=JobConfig.model_validate({"name": "notes", "batch": {"size": 1, "total_items": 1}}),
        workspace=tmp_path,
        working_directory=tmp_path / ".worktrees" / "notes" / "sub",
        worktree=tmp_path / ".worktrees" / "notes",
        environ={},
        strays=LoggedSessions(tmp_path),
        where=str,
        respell=lambda paths: None,
        alias=lambda name, meant: None,
    )
    ailment = Ailment(job_id="notes", batch=1, attempt=1, code="E602", message="no such folder")
    found = find_working_directory(Case(ailment, site))
    assert found is not None
    assert (found.effect, found.advice) == (None, "Resume the job: its worktree is made again from its branch.")


def test_a_hook_of_a_completed_job_finds_the_branch_in_the_checkout(work: Work, repo: Repo) -> None:
    hook = {"type": "run_command", "command": "git merge --quiet mozart/notes"}
    prepared = work.prepared(COMMIT, on_success=[hook])
    state = work.run(prepared)
    [result] = asyncio.run(run_hooks(prepared, state, say=lambda text: None))
    assert result.status == "succeeded", result
    assert (repo.root / "out-2.md").exists()
