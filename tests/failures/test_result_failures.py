"""Failures of what comes out: rules never met, answers that are no JSON, templates and folders that are gone."""

from __future__ import annotations

import shutil
from typing import Final

import pytest
from support.anthropic_server import Call, Reply, text
from support.commands import mozart
from support.scenes import ONCE, ONE, Scene

SCHEMA: Final = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.real_claude
def test_a_rule_that_is_never_met(real_scene: Scene) -> None:
    """Two attempts, none of which writes the file; then a person writes it, and `recover` finds it."""
    real_scene.answers(text("I wrote it."))
    rule = {"type": "content_contains", "path": "{workspace}/report.md", "pattern": "Verdict:"}
    ended = real_scene.run(backend=real_scene.real(), batch=ONE, validations=[rule], retry={**ONCE, "max_retries": 1})
    assert ended.exit_code == 1
    top = real_scene.top().says("E201", "rule 1 (content_contains", f"{real_scene.workspace}/report.md")
    top.says("nothing is there", "2 times", "if the work is there after all, `mozart recover failing`")
    top.says("mend the prompt or the rule, then `mozart resume failing --reload-config`")
    (real_scene.workspace / "report.md").write_text("Verdict: good")
    assert mozart("recover", "failing", "-w", real_scene.workspace).exit_code == 0


@pytest.mark.real_claude
def test_answers_of_claude_that_are_no_json(real_scene: Scene) -> None:
    real_scene.answers(text("I would say seven."))
    answer = {"format": "json", "schema": SCHEMA}
    assert real_scene.run(backend=real_scene.real(), batch=ONE, answer=answer).exit_code == 1
    top = real_scene.top().says("E202", "the answer is not JSON", 'near "I would say seven."')
    top.says(
        "`mozart errors failing --verbose`",
        "mend the prompt or the schema, then `mozart resume failing --reload-config`",
    )
    top.says("I would say seven.")


def test_answers_of_the_messages_api_that_are_not_what_the_schema_says(scene: Scene) -> None:
    scene.answers(text('{"n": "seven"}'))
    answer = {"format": "json", "schema": SCHEMA}
    assert scene.run(backend=scene.api(), batch=ONE, answer=answer).exit_code == 1
    top = scene.top().says("E202", '`n`: "seven" is not a whole number')
    top.says(
        "`mozart errors failing --verbose`",
        "mend the prompt or the schema, then `mozart resume failing --reload-config`",
    )
    scene.answers(text('{"n": 7}'))
    assert top.followed().exit_code == 0


def test_a_template_that_is_not_there(scene: Scene) -> None:
    """No job begins, so the run says it, and so does a diagnosis of the job file."""
    ended = scene.run(backend={"type": "rehearsal"}, prompt={"template_file": "prompts/review.j2"})
    missing = scene.folder / "prompts/review.j2"
    assert ended.exit_code == 2
    assert f"{scene.file}:" in ended.stderr
    assert f"V003 the file {missing} does not exist" in ended.stderr
    top = scene.top(scene.file).says("never began", "V003", f"the file {missing} does not exist")
    top.says(f"put the file there, or correct {scene.file} line 7, then `mozart validate {scene.file}`")
    assert not scene.workspace.exists(), "looking makes no folders"


def test_a_template_that_asks_for_what_is_not_there(scene: Scene) -> None:
    template = {"template": "Say something about {{ nobody }}."}
    assert scene.run(backend={"type": "rehearsal"}, prompt=template).exit_code == 1
    top = scene.top().says("E502", "prompt.template, line 1: unknown variable `nobody`")
    top.says("correct prompt.template in the job file, then `mozart resume failing --reload-config`")
    scene.write(backend={"type": "rehearsal"}, prompt={**template, "variables": {"nobody": "somebody"}})
    assert top.followed().exit_code == 0


def test_a_template_that_is_removed_once_the_job_is_planned_is_no_failure(scene: Scene) -> None:
    template = scene.folder / "review.j2"
    template.write_text("Say something about item {{ batch_num }}.")
    scene.write(backend={"type": "rehearsal"}, prompt={"template_file": "review.j2"})
    assert mozart("run", scene.file, "--limit", "1").exit_code == 3
    template.unlink()
    top = scene.top().says("failing paused: 1 of 2 batches done")
    assert str(template) not in top.text
    assert top.followed().exit_code == 0


def test_a_working_directory_that_is_removed_while_the_job_runs(scene: Scene) -> None:
    work = scene.folder / "checkout"
    work.mkdir()
    backend = scene.obedient(working_directory="./checkout")
    prompt = "open_(); done(); import shutil; shutil.rmtree(os.getcwd())\n# that is all"
    assert scene.run(backend=backend, prompt={"template": prompt}).exit_code == 1
    top = scene.top().says("1 of 2 batches done", "E602", f"the working directory {work} does not exist")
    top.says("put the folder back or correct backend.working_directory")
    work.mkdir()
    assert top.followed().exit_code == 0


def test_a_workspace_that_is_removed_while_the_job_runs(scene: Scene) -> None:
    """The record went with it, so there is nothing to resume: the job file says where it should be."""

    def remove(call: Call) -> Reply:
        shutil.rmtree(scene.workspace, ignore_errors=True)
        return text("done")

    scene.served.handler = remove
    ended = scene.run(backend=scene.api())
    assert ended.exit_code == 3
    assert f"cannot write {scene.layout.root}: No such file or directory" in ended.stderr
    assert "see whether the workspace is still there" in ended.stderr
    top = scene.top().says("failing is gone", f"{scene.workspace} was removed or moved", "put", "back")
    top.says("`mozart run JOB.yaml` begins anew")
