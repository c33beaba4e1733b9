"""Whole jobs with rows, a class and functions of a notebook: run, interrupted, and gone on with in another kernel."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, model_validator
from support.anthropic_server import AnthropicServer, Call, Reply, text
from support.commands import mozart, write_job

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import look, read_answer, read_events
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.state import JobState
from mozart_nb.errors import ConfigError, MisuseError
from mozart_nb.job.given import Given
from mozart_nb.job.load import load_job, load_text
from mozart_nb.plans.frozen import read_frozen
from mozart_nb.runtime import Prepared, opened, prepare, recover_job, run_job

CELL = """\
name: ages
workspace: ./ws
backend: {type: rehearsal}
rehearsal: {latency_seconds: 0, answer: '{"name": "{{ item.name }}", "age": {{ item.age }}}'}
retry: {max_retries: 0, max_completion_attempts: 0, base_delay_seconds: 0.01}
prompt: {template: 'How old is {{ item.name }} in {{ year }}?'}
answer: {schema: Person}
validations:
  - {type: python, function: knows, description: who it is}
"""

ROWS = [{"name": "ada", "age": 36}, {"name": "bob", "age": 5}, {"name": "eve", "age": 8}]


class Person(BaseModel):
    name: str
    age: int = Field(ge=0)

    @model_validator(mode="after")
    def _is_not_bob(self) -> Person:
        if self.name == "bob" and self.age > 100:
            raise ValueError("bob is not that old")
        return self


def knows(data: dict[str, Any], item: dict[str, Any], year: int, workspace: Path) -> str | None:
    assert workspace.is_dir()
    return None if data["name"] == item["name"] and year == 2026 else f"this is not {item['name']}"


NOTEBOOK = {"Person": Person, "knows": knows}


class Kernel:
    """What one kernel knows, in a folder that others look into too. `told` is what was said without being kept."""

    def __init__(self, folder: Path, **namespace: Any) -> None:
        self.folder = folder
        self.namespace = namespace
        self.told: list[str] = []

    @property
    def layout(self) -> Layout:
        return Layout(self.folder / "ws", "ages")

    def cell(self, text: str = CELL, rows: Sequence[Any] | None = ROWS) -> Prepared:
        given = Given(rows=rows, variables={"year": 2026}, namespace=self.namespace)
        return prepare(load_text(text, base_dir=self.folder, first_line=2, given=given))

    def again(self) -> Prepared:
        """The job as it was frozen, opened by its id alone."""
        return opened(self.layout, given=Given(namespace=self.namespace))

    def run(self, prepared: Prepared, **options: Any) -> JobState:
        return asyncio.run(run_job(prepared, ev.RunOptions(**options), observers=[self._hear]))

    async def _hear(self, events: Sequence[ev.Event]) -> None:
        self.told += [event.message for event in events if isinstance(event, ev.JobNotice)]

    def answers(self) -> dict[int, Any]:
        state = look(self.layout).state
        return {
            number: read_answer(self.layout, batch.answer_at, batch.answer_size).data
            for number, batch in state.batches.items()
            if batch.status == "completed"
        }


@pytest.fixture
def kernel(tmp_path: Path) -> Callable[..., Kernel]:
    return lambda **namespace: Kernel(tmp_path, **namespace)


def test_rows_class_variables_and_function_make_a_job(kernel: Callable[..., Kernel]) -> None:
    here = kernel(**NOTEBOOK)
    state = here.run(here.cell())
    assert state.status == "completed"
    assert here.answers() == dict(enumerate(ROWS, start=1))
    [rule] = state.batches[1].validation_details
    assert (rule.type, rule.status) == ("python", "passed")


def test_a_function_that_says_no_fails_the_batch_in_its_own_words(kernel: Callable[..., Kernel]) -> None:
    here = kernel(**{**NOTEBOOK, "knows": lambda data: f"{data['name']} is unknown" if data["name"] == "bob" else None})
    state = here.run(here.cell())
    assert [state.batches[number].status for number in (1, 2)] == ["completed", "failed"]
    assert (state.batches[2].code, state.batches[2].message) == ("E201", "who it is: bob is unknown")


def test_a_function_that_breaks_is_told_apart_from_work_that_is_wrong(kernel: Callable[..., Kernel]) -> None:
    here = kernel(**{**NOTEBOOK, "knows": lambda data: data["agee"] > 3})
    state = here.run(here.cell())
    assert state.batches[1].code == "E203"
    assert "`knows` could not be run: KeyError: 'agee'" in state.batches[1].message


def test_an_interrupted_job_goes_on_in_another_kernel_with_the_same_names(kernel: Callable[..., Kernel]) -> None:
    first = kernel(**NOTEBOOK)
    first.run(first.cell(), limit=1)
    assert list(first.answers()) == [1]

    second = kernel(**NOTEBOOK)
    assert second.run(second.again()).status == "completed"
    assert second.answers() == dict(enumerate(ROWS, start=1))
    assert second.told == []


def test_without_its_function_a_job_is_not_gone_on_with_and_nothing_is_asked(kernel: Callable[..., Kernel]) -> None:
    first = kernel(**NOTEBOOK)
    first.run(first.cell(), limit=1)
    before = list(read_events(first.layout))
    for namespace in ({}, {"Person": Person, "nows": knows}, {"knows": lambda who: True}):
        elsewhere = kernel(**namespace)
        with pytest.raises(MisuseError, match="this job has a rule of the notebook function `knows`") as caught:
            elsewhere.run(elsewhere.again())
        assert "%mozart resume ages" in caught.value.hint
    with pytest.raises(MisuseError, match="`knows`"):
        asyncio.run(recover_job(opened(first.layout)))
    assert list(read_events(first.layout)) == before
    with pytest.raises(ConfigError, match="there is no function `knows`"):
        kernel(Person=Person).cell()


def test_fresh_archives_nothing_when_the_function_is_missing(kernel: Callable[..., Kernel]) -> None:
    here = kernel(**NOTEBOOK)
    here.run(here.cell())
    with pytest.raises(MisuseError, match="`knows`"):
        asyncio.run(run_job(opened(here.layout), ev.RunOptions(fresh=True), fresh=True))
    assert here.answers() == dict(enumerate(ROWS, start=1))
    assert not here.layout.archive.exists()


def test_the_rows_and_the_schema_are_frozen_with_the_job(kernel: Callable[..., Kernel]) -> None:
    here = kernel(**NOTEBOOK)
    here.run(here.cell(), limit=1)
    frozen = read_frozen(here.layout)
    assert list(frozen.rows or ()) == ROWS
    assert isinstance(frozen.loaded.config.answer.json_schema, dict)
    plan = json.loads((here.layout.plan / "config.json").read_text())
    names = {"functions": ["knows"], "answer_class": "Person", "class_has_checks": True, "variables": ["year"]}
    assert plan["notebook"] == names
    assert opened(here.layout).digest == here.cell().digest


def test_without_the_class_only_its_schema_is_checked_and_that_is_said(kernel: Callable[..., Kernel]) -> None:
    first = kernel(**NOTEBOOK)
    rows = [ROWS[0], {"name": "bob", "age": 120}]
    state = first.run(first.cell(rows=rows))
    assert (state.batches[2].code, state.batches[2].message) == ("E202", "bob is not that old")

    second = kernel(knows=knows)
    state = second.run(second.again())
    assert state.status == "completed"
    assert [said for said in second.told if "against the schema of `Person` only" in said]


def test_a_rehearsal_of_the_cell_calls_nothing_of_the_notebook(kernel: Callable[..., Kernel]) -> None:
    class Person(BaseModel):
        name: str
        age: int

        @model_validator(mode="after")
        def _refuse(self) -> Person:
            raise ValueError("never")

    def knows(data: Any) -> None:
        raise ValueError("never")

    here = kernel(Person=Person, knows=knows)
    given = Given(rows=ROWS, variables={"year": 2026}, namespace=here.namespace)
    cell = CELL.replace("type: rehearsal", "type: anthropic_api")
    rehearsal = prepare(load_text(cell, base_dir=here.folder, given=given), rehearse=True)
    state = here.run(rehearsal)
    assert state.status == "completed"
    assert [rule.status for rule in state.batches[1].validation_details] == ["rehearsed"]


def test_the_cells_of_the_documentation_do_what_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "answers.md").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, "<cell>", "exec", dont_inherit=True), namespace)
    moods, summaries = (
        load_text(cell, base_dir=tmp_path, first_line=2, given=Given(rows=[{"text": "x"}], namespace=namespace))
        for cell in re.findall(r"```text\n%%mozart --items \w+\n(.*?)```", page, re.DOTALL)
    )
    assert moods.borrowed.answer_class is not None
    faults = list(moods.borrowed.answer_class.faults({"sentiment": "negative", "stars": 5}))
    assert faults == [((), "a negative review has at most 3 stars")]
    grounded = summaries.borrowed.functions["grounded"].call
    assert grounded("about Ada", {"names": ["Ada", "Bob"]}) == "these names are missing: Bob"


# --- on the command line ----------------------------------------------------------------------------------------------


def rows_file(folder: Path, **sections: Any) -> Path:
    rule = {"type": "python", "function": "knows", "description": "who it is"}
    return write_job(folder, name="ages", backend={"type": "claude_cli"}, validations=[rule], **sections)


def test_run_refuses_a_file_with_a_function_before_anything_is_paid(tmp_path: Path) -> None:
    file = rows_file(tmp_path)
    ended = mozart("run", file)
    assert ended.exit_code == 2
    assert re.search(r"job\.yaml:\d+:\d+: V128 `knows` is a function of a notebook", ended.stderr)
    assert not (tmp_path / "ws").exists()
    assert mozart("validate", file).exit_code == 1


def test_a_rehearsal_on_the_command_line_needs_no_function(tmp_path: Path) -> None:
    ended = mozart("rehearse", rows_file(tmp_path), "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["status"] == "completed"
    assert {batch["validation_passed"] for batch in ended.document["batches"].values()} == {True}


def test_resume_and_recover_refuse_and_cancel_does_not(kernel: Callable[..., Kernel], isolated: Path) -> None:
    here = kernel(**NOTEBOOK)
    here.run(here.cell(), limit=1)
    workspace = here.folder / "ws"
    for command in ("resume", "recover"):
        ended = mozart(command, "ages", "-w", workspace)
        assert ended.exit_code == 2, ended
        assert "this job has a rule of the notebook function `knows`" in ended.stderr
        assert "open it in the notebook that defines `knows`" in ended.stderr
    assert mozart("status", "ages", "-w", workspace).exit_code == 0
    ended = mozart("cancel", "ages", "-w", workspace)
    assert ended.exit_code == 0, ended
    assert look(here.layout).state.status == "cancelled"


def test_a_changed_file_is_gone_on_with_and_keeps_the_rows_and_variables(kernel: Callable[..., Kernel]) -> None:
    here = kernel()
    file = here.folder / "job.yaml"
    text = CELL[: CELL.index("answer: {schema")]
    file.write_text(text)
    given = Given(rows=ROWS, variables={"year": 2026})
    here.run(prepare(load_job(file, given=given)), limit=1)
    file.write_text(text.replace("in {{ year }}", "in the year {{ year }}"))
    ended = mozart("resume", "ages", "-w", here.folder / "ws", "--reload-config")
    assert ended.exit_code == 0, ended
    state = look(here.layout).state
    assert (state.status, state.total) == ("completed", 3)
    frozen = read_frozen(here.layout)
    assert frozen.loaded.config.prompt.template == "How old is {{ item.name }} in the year {{ year }}?"
    assert frozen.loaded.config.prompt.variables == {"year": 2026}


# --- with a service ---------------------------------------------------------------------------------------------------


class Clerk:
    """Answers 120 for bob until it is told what is wrong with that. `repairs` are the words it was told."""

    def __init__(self) -> None:
        self.asked = 0
        self.repairs: list[str] = []

    def __call__(self, call: Call) -> Reply:
        messages = call.body["messages"]
        self.asked += 1
        name = re.findall(r"How old is (\w+)", json.dumps(messages[0]))[0]
        if len(messages) > 1:
            self.repairs.append(json.dumps(messages[-1]))
        wrong = name == "bob" and len(messages) == 1
        return text(json.dumps({"name": name, "age": 120 if wrong else 50}))


def test_what_the_class_says_reaches_the_model_and_is_mended(
    kernel: Callable[..., Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    clerk, here = Clerk(), kernel(**NOTEBOOK)
    with AnthropicServer(clerk).in_thread() as server:
        cell = CELL.replace("{type: rehearsal}", f"{{type: anthropic_api, base_url: '{server.url}'}}")
        cell = cell.replace("max_completion_attempts: 0", "completion_delay_seconds: 0")
        state = here.run(here.cell(cell))
        assert state.status == "completed"
        [repair] = clerk.repairs
        assert "bob is not that old" in repair
        assert here.answers()[2] == {"name": "bob", "age": 50}

        # Another body of the function is the same job: nothing is asked, and the class is what it was.
        again = kernel(**{**NOTEBOOK, "knows": lambda data: True})
        assert again.cell(cell).digest == state.job.config_digest
        again.run(again.again())
        assert clerk.asked == len(ROWS) + 1
