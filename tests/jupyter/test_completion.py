"""Tab completes verbs, options, jobs, files and names on the lines of the magics, and YAML in the cells."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from mozart_nb.checkpoint import index
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.job.document import parse_document
from mozart_nb.job.fields import field_type, keys_of, shape_of
from mozart_nb.job.model import JobConfig
from mozart_nb.job.section import Section
from mozart_nb.jupyter.completion.matcher import Found, Names, complete, connect
from mozart_nb.jupyter.completion.model_paths import type_at
from mozart_nb.jupyter.magics.options import CELL, VERBS

CELL_HEAD = "%%mozart\nname: x\n"


class Review(pydantic.BaseModel):
    """One review."""

    stars: int


@dataclasses.dataclass
class Verdict:
    """What was found."""

    text: str


def is_polite(answer: str) -> bool:
    """Whether the answer says please."""
    return "please" in answer


NOTEBOOK = Names(
    {
        "df": pd.DataFrame({"title": ["a", "b"], "body text": ["c", "d"], "author": ["e", "f"]}),
        "rows": [1, 2, 3],
        "topic": "pears",
        "Review": Review,
        "Verdict": Verdict,
        "BaseModel": pydantic.BaseModel,
        "Path": Path,
        "is_polite": is_polite,
        "pd": pd,
        "_hidden": 1,
        "In": ["a"],
    },
    {"In": ["a"]},
)
NOTEBOOK = Names(NOTEBOOK.names, {"In": NOTEBOOK.names["In"]})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the notebook's, and a home without jobs."""
    folder = tmp_path / "notebook"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv(index.HOME_VARIABLE, str(tmp_path / "home"))
    return folder


def found(cell: str) -> Found | None:
    """What completes at the `¦` of a cell."""
    before, _, after = cell.partition("¦")
    return complete(before + after, before.count("\n"), len(before.rpartition("\n")[2]), NOTEBOOK)


def offered(cell: str) -> list[str]:
    """Each completion as the text that the cursor's line has after taking it, up to the cursor."""
    result = found(cell)
    assert result is not None
    line = cell.partition("¦")[0].rpartition("\n")[2]
    assert line.endswith(result.fragment)
    kept = line[: len(line) - len(result.fragment)]
    return [kept + choice.text for choice in result.choices]


# --- the lines of the magics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%mozart sta¦", ["%mozart status"]),
        ("%mozart ¦", [*(f"%mozart {verb}" for verb in VERBS), "%mozart --help", "%mozart -h"]),
        ("%mozart res¦", ["%mozart resume"]),
        ("frame = %mozart answ¦", ["frame = %mozart answers"]),
        ("a, b = %mozart answ¦", ["a, b = %mozart answers"]),
        ("1 + 1\n%mozart diag¦\nx", ["%mozart diagnose"]),
        ("%mozart --h¦", ["%mozart --help"]),
        ("%%mozart --w¦", ["%%mozart --wait", "%%mozart --workspace"]),
        ("\n\n%%mozart --fre¦\nname: x", ["%%mozart --fresh"]),
        ("%%mozart --wait --w¦", ["%%mozart --wait --workspace"]),
        ("%%mozart --no-wait --wa¦", []),
        ("%%mozart --set a=1 --se¦", ["%%mozart --set a=1 --set", "%%mozart --set a=1 --self-healing"]),
        ("%mozart pause --d¦", ["%mozart pause --debug"]),
        (
            "%mozart logs x --level ¦",
            [f"%mozart logs x --level {one}" for one in ("DEBUG", "INFO", "WARNING", "ERROR")],
        ),
        ("%mozart logs x --level=W¦", ["%mozart logs x --level=WARNING"]),
        ("%mozart list --status comp¦", ["%mozart list --status completed"]),
        ("%mozart batches --status bl¦", ["%mozart batches --status blocked"]),
        ("%mozart list --status inter¦", ["%mozart list --status interrupted"]),
        ("%mozart errors --code E20¦", [f"%mozart errors --code E20{n}" for n in (1, 2, 3)]),
        ("%mozart errors --type ti¦", ["%mozart errors --type timeout"]),
        ("%mozart logs x --event batch.complete¦", ["%mozart logs x --event batch.completed"]),
        ("%mozart logs x --event limit¦", [f"%mozart logs x --event limit.{one}" for one in ("*", "cleared", "hit")]),
        ("%mozart list --backend re¦", ["%mozart list --backend rehearsal"]),
        ("%mozart insights --what s¦", ["%mozart insights --what suggestions"]),
        ("%mozart notify¦", ["%mozart notify-test"]),
        ("%%mozart --ch¦", ["%%mozart --check"]),
        ("%%mozart --items ¦", ["%%mozart --items df", "%%mozart --items rows"]),
        ("%%mozart --items=d¦", ["%%mozart --items=df"]),
        ("%%mozart --var t¦", ["%%mozart --var topic"]),
        ("%%mozart --set retry.max_r¦", ["%%mozart --set retry.max_retries="]),
        ("%%mozart --set sheet.si¦", ["%%mozart --set sheet.size="]),
        ("%%mozart --set ret¦", ["%%mozart --set retry."]),
        ("%%mozart --set backend.type=re¦", ["%%mozart --set backend.type=rehearsal"]),
        ("%%mozart --set retry.jitter=¦", ["%%mozart --set retry.jitter=true", "%%mozart --set retry.jitter=false"]),
        ("%%mozart --limit ¦", []),
        ("%%mozart x¦", []),
        ("%mozart nonsense --w¦", []),
    ],
)
def test_a_line_completes(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


@pytest.mark.parametrize(
    "line", ["print(1)¦", "%%moz¦", "%moz¦", "%%mozart¦", "%%mozartx --w¦", "s = '%mozart st¦'", "¦"]
)
def test_what_is_not_ours_is_left_to_ipython(line: str) -> None:
    assert found(line) is None


@pytest.mark.parametrize("verb", [CELL, *VERBS.values()], ids=lambda verb: verb.name or "cell")
def test_every_option_of_every_verb_completes(verb: Any) -> None:
    shown = set(offered(f"{verb.command} -¦"))
    names = {name for option in verb.options for name in option.names}
    assert shown == {f"{verb.command} {name}" for name in {*names, "-h", "--help"}}


def test_options_say_what_they_do() -> None:
    result = found("%%mozart --fre¦")
    assert result is not None
    assert [choice.note for choice in result.choices] == ["Start over; what was there is archived"]


def test_a_verb_takes_the_jobs_that_are_known() -> None:
    for name in ("reviews", "reviews-2", "letters"):
        register(name)
    assert offered("%mozart resume rev¦") == ["%mozart resume reviews", "%mozart resume reviews-2"]
    assert offered("%mozart resume ¦") == [f"%mozart resume {name}" for name in ("letters", "reviews", "reviews-2")]
    assert offered("%mozart resume --wait le¦") == ["%mozart resume --wait letters"]
    assert offered("%mozart resume -o name le¦") == ["%mozart resume -o name letters"]
    assert offered("%mozart resume letters ¦")[0] == "%mozart resume letters --out"


def test_jobs_in_the_workspace_here_are_known_without_being_registered(elsewhere: Path) -> None:
    (elsewhere / "workspace/.mozart/moved-job/plan").mkdir(parents=True)
    (elsewhere / "workspace/.mozart/archive").mkdir()
    assert offered("%mozart status ¦") == ["%mozart status moved-job"]


def test_a_job_that_is_new_is_known_at_once() -> None:
    register("first")
    assert offered("%mozart status ¦") == ["%mozart status first"]
    register("second")
    assert offered("%mozart status ¦") == ["%mozart status first", "%mozart status second"]


def test_ids_of_any_script_complete() -> None:
    register("übersicht--日本")
    assert offered("%mozart status üb¦") == ["%mozart status übersicht--日本"]


def test_names_that_hold_a_job_come_before_ids() -> None:
    register("mine-too")
    job = types.new_class("Job")()
    job.job_id = "x"
    result = complete("%mozart status mi", 0, 17, Names({"mine": job}))
    assert result is not None
    assert [choice.text for choice in result.choices] == ["mine", "mine-too"]


def test_job_files_and_folders_complete_as_they_must_be_written(elsewhere: Path) -> None:
    (elsewhere / "jobs").mkdir()
    for name in ("a.yaml", "b.yml", "c.txt", "jobs/my job.yaml", "jobs/it's.yaml", "jobs/ü.yaml", ".hidden.yaml"):
        (elsewhere / name).write_text("")
    assert offered("%mozart run ¦") == ["%mozart run a.yaml", "%mozart run b.yml", "%mozart run jobs/"]
    assert offered("%mozart run .h¦") == ["%mozart run .hidden.yaml"]
    assert offered("%mozart validate jobs/m¦") == ["%mozart validate 'jobs/my job.yaml'"]
    assert offered("%mozart validate 'jobs/m¦") == ["%mozart validate 'jobs/my job.yaml'"]
    assert offered('%mozart validate "jobs/my j¦') == ['%mozart validate "jobs/my job.yaml"']
    assert offered("%mozart run jobs/it¦") == ['%mozart run "jobs/it\'s.yaml"']
    assert offered("%mozart run 'jo¦") == ["%mozart run 'jobs/"]
    assert offered("%mozart run jobs/ü¦") == ["%mozart run jobs/ü.yaml"]
    assert offered("%mozart modify x -c b¦") == ["%mozart modify x -c b.yml"]
    assert offered("%mozart run a.yaml -w j¦") == ["%mozart run a.yaml -w jobs/"]
    assert offered("%mozart run nowhere/¦") == []


# --- keys -------------------------------------------------------------------------------------------------------------


def test_top_level_keys_complete_and_those_that_are_there_do_not() -> None:
    assert offered(CELL_HEAD + "pro¦") == ["prompt:"]
    assert offered(CELL_HEAD + "des¦") == ["description: "]
    every = offered(CELL_HEAD + "¦\nretry:\n  max_retries: 1\n")
    assert "name: " not in every
    assert "retry:" not in every
    assert {"batch:", "prompt:", "workspace: "} <= set(every)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("batch:\n  si¦", ["  size: "]),
        ("batch:\n  size: 1\n  ¦", None),
        ("batch:\n    to¦\n", ["    total_items: "]),
        ("sheet:\n  to¦", ["  total_items: "]),
        ("she¦", ["sheet:"]),
        ("batch:\n  size: 1\nshe¦", []),
        ("promt¦", []),
        ("retries¦", []),
        ("retry:\n  retries¦", ["  max_retries: "]),
        ("prompt:\n  stak¦: x", ["  stakes"]),
        ("prompt:\n  ¦\n  template: x", None),
        ("backend:\n  batch_overrides:\n    3:\n      tim¦", ["      timeout_seconds: "]),
        ("backend:\n  batch_overrides:\n    3: {tim¦", ["    3: {timeout_seconds: "]),
        ("batch: {si¦", ["batch: {size: "]),
        ("batch: {size: 1, ¦}", None),
        ("batch: {size: 1,\n  tot¦\n}", ["  total_items: "]),
        ("retry:\n  # a note: here\n  max_r¦", ["  max_retries: "]),
        ('prompt:\n  template: "a: b"\n  stak¦', ["  stakes: "]),
        ("rehearsal:\n  failures:\n    cra¦", ["    crash: "]),
        ("rehearsal:\n  failures: {rate_limit: 0.1, cra¦", ["  failures: {rate_limit: 0.1, crash: "]),
        ("validations:\n  - ty¦", ["  - type: "]),
        ("validations:\n- ty¦", ["- type: "]),
        ("validations:\n  -¦", None),
        ("validations:\n  - type: file_exists\n    pa¦", ["    path: ", "    pattern: "]),
        ("validations:\n  - type: file_exists\n    path: x\n  - pa¦", ["  - path: ", "  - pattern: "]),
        ("validations:\n  ¦", ["  - type: "]),
        ("validations:\n  - type: file_exists\n  ¦", ["  - type: "]),
        ("validations: [{type: file_exists, pa¦", None),
        ("notifications:\n  - type: slack\n    chan¦", ["    channel: "]),
        ("checkpoints:\n  triggers:\n    - name: a\n      she¦", ["      sheet_nums:"]),
        ("name: y\n  pro¦", []),
        ("prompt:\n  variables:\n    any¦", []),
        ("unknown:\n  si¦", []),
        ("# pro¦", []),
        ("prompt: # pro¦", []),
    ],
)
def test_keys_complete_where_they_belong(body: str, expected: list[str] | None) -> None:
    texts = offered(CELL_HEAD + body)
    if expected is not None:
        assert texts == expected
    else:
        assert texts


def test_keys_below_the_cursor_count_as_there_too() -> None:
    assert "  size: " not in offered(CELL_HEAD + "batch:\n  ¦\n  size: 3\nprompt:\n  template: x")
    assert "size: " not in offered(CELL_HEAD + "batch: {¦, size: 3}")
    assert offered(CELL_HEAD + "batch: {size: 1, ¦}")[0] == "batch: {size: 1, total_items: "


def test_each_entry_of_a_list_has_keys_of_its_own() -> None:
    body = "validations:\n  - type: file_exists\n    path: x\n  - type: file_exists\n    ¦\n  - type: x\n    pattern: y"
    texts = offered(CELL_HEAD + body)
    assert texts[0] == "    path: "
    assert "    type: " not in texts
    assert "    pattern: " in texts


def test_a_lonely_dash_gets_its_space() -> None:
    assert offered(CELL_HEAD + "validations:\n  -¦")[0] == "  - type: "


def test_fields_of_the_backend_that_is_chosen_come_first() -> None:
    cli = offered(CELL_HEAD + "backend:\n  ¦")
    api = offered(CELL_HEAD + "backend:\n  type: anthropic_api\n  ¦")
    below = offered(CELL_HEAD + "backend:\n  ¦\n  type: anthropic_batches")
    assert cli[0] == "  type: "
    assert cli.index("  cli_model: ") < cli.index("  timeout_seconds: ") < cli.index("  model: ")
    assert api.index("  model: ") < api.index("  timeout_seconds: ") < api.index("  cli_model: ")
    assert below.index("  model: ") < below.index("  cli_model: ")


def test_fields_that_a_type_of_rule_needs_come_first() -> None:
    texts = offered(CELL_HEAD + "validations:\n  - type: content_regex\n    ¦")
    assert texts[:2] == ["    path: ", "    pattern: "]
    assert offered(CELL_HEAD + "validations:\n  - type: command_succeeds\n    ¦")[0] == "    command: "


def test_keys_say_what_they_are() -> None:
    result = found(CELL_HEAD + "retry:\n  max_retr¦")
    assert result is not None
    assert all(choice.note for choice in result.choices)


def every_section(section: type[Section] = JobConfig, path: tuple[str, ...] = ()) -> Iterator[Any]:
    yield path, section
    for key, field in keys_of(section).items():
        shape = shape_of(field_type(field))
        steps = [key]
        while shape.section is None and shape.inner is not None:
            steps.append("-" if shape.kind == "list" else "1")
            shape = shape_of(shape.inner)
        if shape.section is not None:
            yield from every_section(shape.section, (*path, *steps))


@pytest.mark.parametrize(("path", "section"), list(every_section()), ids=str)
def test_every_key_of_every_section_completes(path: tuple[str, ...], section: type[Section]) -> None:
    body, indent = "", ""
    for step in path:
        if step == "-":
            body += f"{indent}- "
            indent += "  "
        else:
            body += f"{'' if body.endswith('- ') else indent}{step}:\n"
            indent += "  "
    for key in keys_of(section):
        start = "" if body.endswith("- ") else indent
        texts = offered(f"%%mozart\n{body}{start}{key[:-1]}¦")
        assert any(text.lstrip(" -").partition(":")[0] == key for text in texts), key


# --- whole job files --------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent.parent
JOB_FILES = [*sorted((ROOT / "examples").glob("*.yaml")), ROOT / "src/mozart_nb/cli/template.yaml"]


def known_keys(text: str) -> Iterator[tuple[int, int, str]]:
    """Line and column, both from 0, of every key of a job file that the models know."""
    positions = parse_document(text).positions
    for path, place in positions.places.items():
        above = type_at(path[:-1]) if path else None
        is_key = isinstance(path[-1] if path else 0, str) and above is not None
        if is_key and shape_of(above).section is not None and type_at(path) is not None:
            yield place.line - 1, place.column - 1, str(path[-1])


@pytest.mark.parametrize("file", JOB_FILES, ids=lambda file: file.stem)
def test_every_key_of_a_real_job_file_completes_where_it_stands(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    lines = text.split("\n")
    keys = list(known_keys(text))
    assert len(keys) > 10
    for number, column, key in keys:
        typed = lines[number][: column + (len(key) + 1) // 2]
        for rest in (lines[number][len(typed) :], ""), ("", ""):
            below = "\n".join(lines[number + 1 :]) if rest[0] else ""
            cell = "%%mozart\n" + "\n".join([*lines[:number], f"{typed}¦{rest[0]}", below])
            assert any(one.lstrip("- ").startswith((key, *others(key))) for one in tails(cell, column)), (key, cell)


def others(key: str) -> tuple[str, ...]:
    return (key.replace("sheet", "batch"),)


def tails(cell: str, column: int) -> list[str]:
    return [line[column:] for line in offered(cell)]


@pytest.mark.parametrize("file", JOB_FILES, ids=lambda file: file.stem)
def test_tab_may_be_pressed_anywhere_in_a_job_file(file: Path) -> None:
    lines = ["%%mozart --items df", *file.read_text(encoding="utf-8").split("\n")]
    for number, line in enumerate(lines):
        for column in range(len(line) + 1):
            result = complete("\n".join(lines), number, column, NOTEBOOK)
            assert result is None or line[:column].endswith(result.fragment)


_TYPED = st.text(st.sampled_from("ab:- {}[],'\"#|>\n\t%\\é日=.") | st.characters(codec="utf-8"), max_size=60)


@given(
    st.sampled_from(["%%mozart ", "%%mozart\n", "%%mozart\nbatch:\n  ", "%mozart ", "%mozart run ", "%%mozart --set "]),
    _TYPED,
)
def test_whatever_is_typed_breaks_nothing(head: str, typed: str) -> None:
    text = head + typed
    line = text.count("\n")
    result = complete(text, line, len(text.rpartition("\n")[2]), NOTEBOOK)
    assert result is None or text.endswith(result.fragment)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "backend:\n  type: ¦",
            [f"  type: {one}" for one in ("claude_cli", "anthropic_api", "anthropic_batches", "rehearsal")],
        ),
        ("backend:\n  type: re¦", ["  type: rehearsal"]),
        ("backend:\n  type:¦", None),
        ('backend:\n  type: "re¦', ['  type: "rehearsal"']),
        ("backend: {type: re¦", ["backend: {type: rehearsal"]),
        ("retry:\n  jitter: ¦", ["  jitter: true", "  jitter: false"]),
        ("retry:\n  max_retries: ¦", ["  max_retries: 3"]),
        ("validations:\n  - type: file_¦", ["  - type: file_exists", "  - type: file_modified"]),
        ("validations:\n  - path: x\n    type: comm¦", ["    type: command_succeeds"]),
        ("validations:\n  - type: python\n    function: ¦", ["    function: is_polite"]),
        ("answer:\n  schema: Rev¦", ["  schema: Review"]),
        ("answer:\n  format: ¦", ["  format: text", "  format: json"]),
        ("notifications:\n  - type: desktop\n    on_events: [job_c¦", ["    on_events: [job_complete"]),
        ("notifications:\n  - on_events: [job_start, job_p¦", ["  - on_events: [job_start, job_paused"]),
        ("notifications:\n  - on_events:\n      - job_f¦", ["      - job_failed"]),
        ("notifications:\n  - on_events:\n      - batch_s¦", ["      - batch_start"]),
        ("backend:\n  permission_mode: pl¦", ["  permission_mode: plan"]),
        (
            "backend:\n  prompt_caching: ¦",
            ["  prompt_caching: auto", "  prompt_caching: true", "  prompt_caching: false"],
        ),
        ("backend:\n  cli_model: son¦", ["  cli_model: sonnet"]),
        ("rehearsal:\n  script:\n    2: [rate_l¦", ["    2: [rate_limit"]),
        ("rehearsal:\n  script:\n    2:\n      - cra¦", ["      - crash"]),
        ("state_backend: ¦", ["state_backend: json", "state_backend: sqlite"]),
        ("prompt:\n  template: Hello, ¦", []),
        ("batch:\n  total_items: 10 # fo¦", []),
    ],
)
def test_values_complete_with_what_is_allowed(body: str, expected: list[str] | None) -> None:
    texts = offered(CELL_HEAD + body)
    if expected is not None:
        assert texts == expected
    else:
        assert texts


def test_a_value_right_behind_the_colon_gets_its_space() -> None:
    assert "  type: rehearsal" in offered(CELL_HEAD + "backend:\n  type:¦")


def test_files_of_a_job_complete_in_quotes_where_yaml_needs_them(elsewhere: Path) -> None:
    for name in ("rows.csv", "my rows.csv", "notes.md", "schema.json"):
        (elsewhere / name).write_text("")
    assert offered(CELL_HEAD + "items:\n  file: ro¦") == ["  file: rows.csv"]
    assert offered(CELL_HEAD + "items:\n  file: my¦") == ['  file: "my rows.csv"']
    assert offered(CELL_HEAD + "items:\n  file: 'my¦") == ["  file: 'my rows.csv'"]
    assert offered(CELL_HEAD + "answer:\n  schema: ¦") == [
        "  schema: Review",
        "  schema: Verdict",
        "  schema: schema.json",
    ]
    assert "  template_file: notes.md" in offered(CELL_HEAD + "prompt:\n  template_file: ¦")


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("prompt:\n  template: |\n    Batch {{ batch_n¦", ["    Batch {{ batch_num"]),
        ("prompt:\n  template: |\n    Batch {{batch_n¦ }}.\n  stakes: x", ["    Batch {{batch_num"]),
        ("prompt:\n  template: |\n    batch_n¦", []),
        ("prompt:\n  template: |\n    typ¦", []),
        ("prompt:\n  template: |\n    {% if end_i¦", ["    {% if end_item"]),
        ("prompt:\n  template: |\n    {{ start_item }} to {{ end_¦", ["    {{ start_item }} to {{ end_item"]),
        ("prompt:\n  template: |\n    {{ x }} end_i¦", []),
        ("prompt:\n  variables: {tone: dry}\n  template: |\n    {{ to¦", None),
        ('validations:\n  - path: "{works¦', ['  - path: "{workspace']),
        ("validations:\n  - command: test -f out-{batch_n¦", ["  - command: test -f out-{batch_num"]),
        ("validations:\n  - condition: batch_n¦", ["  - condition: batch_num"]),
        (
            "batch:\n  skip_when:\n    2: batch_num == 1 and job¦",
            ["    2: batch_num == 1 and job", "    2: batch_num == 1 and job_name"],
        ),
        ("on_success:\n  - type: run_command\n    command: echo {job_i¦", ["    command: echo {job_id"]),
    ],
)
def test_names_complete_in_templates_paths_and_expressions(body: str, expected: list[str] | None) -> None:
    texts = offered(CELL_HEAD + body)
    if expected is not None:
        assert texts == expected
    else:
        assert texts


def test_variables_of_the_job_come_before_the_built_in_ones() -> None:
    body = "prompt:\n  variables:\n    tone: dry\n    total: 3\n  template: |\n    Be {{ to¦"
    assert offered(CELL_HEAD + body)[:2] == ["    Be {{ tone", "    Be {{ total"]


def test_columns_of_the_table_complete_behind_item() -> None:
    cell = "%%mozart --items df\nname: x\nprompt:\n  template: |\n    {{ item.¦"
    assert offered(cell) == ["    {{ item.title", "    {{ item.author"]
    assert offered(cell.replace("item.", "items[0].ti")) == ["    {{ items[0].title"]


# --- in the shell -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell()
    shell.Completer.use_jedi = True
    yield shell
    shell.history_manager.end_session()  # type: ignore[union-attr]


def pressed_tab(shell: InteractiveShell, cell: str) -> list[tuple[str, str]]:
    """What a frontend gets for the cell: the cell with each completion in its place, and the note."""
    before, _, after = cell.partition("¦")
    text = before + after
    with provisionalcompleter():
        completions = list(shell.Completer.completions(text, len(before)))
    return [(text[: one.start] + one.text + text[one.end :], one.type) for one in completions]


def test_the_shell_offers_our_completions_alone(shell: InteractiveShell) -> None:
    disconnect = connect(shell)
    taken = pressed_tab(shell, "%%mozart\nname: ü'\nretry:\n  max_ret¦\n# 日本")
    assert [text for text, _ in taken] == ["%%mozart\nname: ü'\nretry:\n  max_retries: \n# 日本"]
    assert taken[0][1].startswith("Retries\N{NO-BREAK SPACE}after")
    disconnect()
    disconnect()
    assert shell.Completer.custom_matchers == []


def test_the_order_is_kept_and_notes_are_short(shell: InteractiveShell) -> None:
    connect(shell)
    taken = pressed_tab(shell, CELL_HEAD + "backend:\n  ¦")
    assert taken[0][0].endswith("\n  type: ")
    assert all(0 < len(note) <= 50 for _, note in taken)


def test_python_is_not_offered_in_the_middle_of_a_prompt(shell: InteractiveShell) -> None:
    connect(shell)
    assert pressed_tab(shell, CELL_HEAD + "prompt:\n  template: |\n    impo¦") == []
    assert pressed_tab(shell, "%%mozart --limit ¦\nname: x") == []
    assert any("import" in text for text, _ in pressed_tab(shell, "impo¦"))


def test_a_name_of_the_notebook_is_offered_and_ipythons_own_are_not(shell: InteractiveShell) -> None:
    connect(shell)
    shell.user_ns["my_rows"] = [1]
    assert [text for text, _ in pressed_tab(shell, "%%mozart --items ¦\nname: x")] == [
        "%%mozart --items my_rows\nname: x"
    ]


# --- speed ------------------------------------------------------------------------------------------------------------


def register(name: str) -> None:
    index.register(Layout(Path.cwd(), name), name)


def test_ten_thousand_jobs_complete_at_once(tmp_path: Path) -> None:
    folder = index.home() / "index"
    folder.mkdir(parents=True)
    for number in range(10_000):
        (folder / f"job-{number:05}--{number:016x}.json").touch()
    assert offered("%mozart status job-0012¦") == [f"%mozart status job-0012{last}" for last in range(10)]
    seconds = min(timed("%mozart status job-¦") for _ in range(5))
    assert seconds < 0.1  # a twentieth on a quiet machine


def test_a_long_cell_completes_at_once() -> None:
    rules = "".join(f"  - type: file_exists\n    path: out/{number}.md\n" for number in range(500))
    cell = f"{CELL_HEAD}validations:\n{rules}  - ¦"
    found(cell)
    assert min(timed(cell) for _ in range(5)) < 0.1


def timed(cell: str) -> float:
    start = time.perf_counter()
    assert found(cell) is not None
    return time.perf_counter() - start


def test_loading_the_completion_imports_none_of_the_models() -> None:
    code = "import sys, mozart_nb.jupyter.completion.matcher; print('pydantic' in sys.modules, 'pandas' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "False False\n"


def test_the_first_completion_imports_neither_pandas_nor_the_sdk() -> None:
    code = (
        "import sys; from mozart_nb.jupyter.completion.matcher import complete\n"
        "complete('%%mozart\\nba', 1, 2); complete('%mozart status ', 0, 15)\n"
        "print({'pandas', 'anthropic', 'ipywidgets', 'matplotlib'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "set()\n"
