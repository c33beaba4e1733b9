"""The checks of `validate`: one test or more per V-code, and no false alarms on good job files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mozart_nb.job.given import Given
from mozart_nb.job.lint import NOTICED, RULES, V_CODES, Issue, Severity, has_errors, lint
from mozart_nb.job.load import DiskFiles, LoadedJob, load_text
from mozart_nb.job.model import JobConfig

HEAD = "name: sample\nbatch: {size: 10, total_items: 100}\n"
PROMPT = "prompt: {template: go}\n"
RULE = "validations: [{type: file_exists, path: x}]\n"
QUIET = HEAD + PROMPT + RULE


class MemoryFiles:
    """Files and folders (names that end with `/`) that exist only here."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.texts = {Path(name): text for name, text in files.items() if not name.endswith("/")}
        folders = [Path(name) for name in files if name.endswith("/")]
        self.folders = {parent for path in [*folders, *self.texts] for parent in (path, *path.parents)} - set(
            self.texts
        )

    def exists(self, path: Path) -> bool:
        return path in self.texts or path in self.folders

    def is_dir(self, path: Path) -> bool:
        return path in self.folders

    def is_writable(self, path: Path) -> bool:
        return not path.is_relative_to("/readonly")

    def read_text(self, path: Path) -> str:
        if path not in self.texts:
            raise FileNotFoundError(path)
        return self.texts[path]


def load(text: str) -> LoadedJob:
    return load_text(text, base_dir="/jobs", file_name="job.yaml")


def issues_of(text: str, files: Mapping[str, str] | None = None, **options: Any) -> list[Issue]:
    env = options.pop("env", {"PATH": "/bin"})
    disk = MemoryFiles({"/jobs/": "", "/bin/claude": "", **(files or {})})
    return lint(load(text), disk, env, **options)


def only(code: str, text: str, files: Mapping[str, str] | None = None, **options: Any) -> Issue:
    """The one issue of that code; whatever else is found is not asked about."""
    [issue] = [issue for issue in issues_of(text, files, **options) if issue.code == code]
    return issue


def codes(text: str, files: Mapping[str, str] | None = None, **options: Any) -> list[str]:
    return [issue.code for issue in issues_of(text, files, **options)]


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_code_has_a_rule_or_is_noticed_while_loading_and_has_a_test_here() -> None:
    assert {*RULES, *NOTICED} == {*V_CODES}
    assert not RULES.keys() & NOTICED
    source = Path(__file__).read_text(encoding="utf-8")
    assert [code for code in V_CODES if f'"{code}"' not in source] == []
    assert all(code == row.code and row.meaning for code, row in V_CODES.items())


def test_errors_are_those_codes_that_the_documentation_says() -> None:
    errors = {code for code, row in V_CODES.items() if row.severity is Severity.ERROR}
    assert errors == {"V001", "V002", "V003", "V004", "V005", "V007", "V008", "V110", "V124", "V125", "V128"}
    infos = {code for code, row in V_CODES.items() if row.severity is Severity.INFO}
    assert infos == {"V104", "V116", "V122"}
    assert [code for code, row in V_CODES.items() if row.auto_fixable] == ["V002", "V101", "V108", "V111"]


def test_a_plain_job_has_no_issue() -> None:
    assert issues_of(QUIET) == []


def test_the_job_of_the_readme_has_no_issue() -> None:
    text = """
name: "my-batch-job"
backend: {type: claude_cli, skip_permissions: true}
batch: {size: 10, total_items: 100}
prompt:
  template: |
    Process batch {{ batch_num }} of {{ total_batches }}.
    Items {{ start_item }} to {{ end_item }}.

    {{ stakes }}
  stakes: "Complete all items correctly for a reward!"
validations:
  - {type: file_exists, path: "output/batch{{ batch_num }}-result.md"}
  - {type: file_exists, path: "{workspace}/batch{batch_num}-output.md"}
"""
    assert issues_of(text) == []


def test_issues_come_in_the_order_of_the_file_and_read_like_compiler_messages() -> None:
    text = HEAD + "prompt: {template: '{{ nope }}'}\nbackend: {timeout_seconds: 5}\n" + RULE + "bogus: 1\n"
    issues = issues_of(text)
    assert [issue.code for issue in issues] == ["V101", "V103", "V108"]
    assert str(issues[1]) == "job.yaml:4:28: V103 WARNING: 5 seconds are very short for a session (60 or more)"
    assert not has_errors(issues)
    assert has_errors(issues_of(QUIET + "workspace: /nowhere/x\n"))


def test_an_issue_of_an_overridden_value_points_at_the_override() -> None:
    loaded = load_text(QUIET, base_dir="/jobs", file_name="job.yaml", overrides=["backend.timeout_seconds=5"])
    [issue] = lint(loaded, MemoryFiles({"/jobs/": "", "/bin/claude": ""}), {"PATH": "/bin"})
    assert (issue.file, issue.line) == ("--set backend.timeout_seconds=5", 0)


# --- money ------------------------------------------------------------------------------------------------------------


def api_job(limits: Mapping[str, Any] | None = None, **backend: Any) -> list[Issue]:
    """The issues of a job of 10 batches for the API."""
    loaded = load(QUIET)
    changed = {"backend": {"type": "anthropic_api", **backend}, "cost_limits": limits or {}}
    config = JobConfig.model_validate({**loaded.config.model_dump(by_alias=True), **changed})
    disk = MemoryFiles({"/jobs/": ""})
    return lint(replace(loaded, config=config, warnings=()), disk, {"ANTHROPIC_API_KEY": "sk"})


def test_an_estimate_above_a_limit_is_a_warning_that_names_both() -> None:
    [issue] = api_job({"max_cost_per_job": 0.01})
    assert (issue.code, issue.path, issue.severity) == ("V114", "cost_limits.max_cost_per_job", Severity.WARNING)
    assert "the limit is 0.01" in issue.message
    assert "mozart estimate" in issue.suggestion
    assert [issue.path for issue in api_job({"max_cost_per_batch": 0.001})] == ["cost_limits.max_cost_per_batch"]


def test_an_estimate_within_the_limit_or_of_message_batches_at_half_price_is_no_issue() -> None:
    assert api_job({"max_cost_per_job": 1}) == []
    assert [issue.code for issue in api_job({"max_cost_per_job": 0.02})] == ["V114"]
    assert api_job({"max_cost_per_job": 0.02}, type="anthropic_batches") == []


def test_sessions_of_the_program_are_not_estimated_because_nobody_knows_what_tools_they_use() -> None:
    assert codes(QUIET + "cost_limits: {max_cost_per_job: 0.0001}\n") == []


def test_a_model_without_a_price_is_a_warning_and_with_a_limit_an_error() -> None:
    [warning] = api_job(model="claude-omega-9")
    assert (warning.code, warning.path, warning.severity) == ("V123", "backend.model", Severity.WARNING)
    [error] = api_job({"max_cost_per_job": 5}, model="claude-omega-9")
    assert (error.code, error.severity) == ("V124", Severity.ERROR)
    assert "prices: {claude-omega-9: [input, output]}" in error.suggestion
    assert api_job({"max_cost_per_job": 5, "prices": {"claude-omega-9": [0.1, 0.5]}}, model="claude-omega-9") == []


def test_a_model_of_single_batches_needs_a_price_too() -> None:
    [warning] = api_job(batch_overrides={3: {"model": "claude-omega-9"}})
    assert (warning.code, warning.path) == ("V123", "backend.batch_overrides.3.model")


# --- templates --------------------------------------------------------------------------------------------------------


def test_a_template_that_does_not_parse_is_shown_with_its_own_line() -> None:
    text = HEAD + "prompt:\n  template: |\n    fine\n    {% if batch_num %}\n    {{ broken }\n" + RULE
    issue = only("V001", text)
    assert (issue.severity, issue.line, issue.path) == (Severity.ERROR, 7, "prompt.template")


def test_a_template_in_one_line_is_shown_where_it_stands() -> None:
    issue = only("V001", HEAD + "prompt: {template: '{% if %}'}\n" + RULE)
    assert (issue.line, issue.column) == (3, 20)


def test_a_template_file_names_its_own_lines() -> None:
    text = HEAD + "prompt: {template_file: t.md}\n" + RULE
    issue = only("V001", text, {"/jobs/t.md": "a\n{% if %}\n"})
    assert "line 2" in issue.message
    assert issue.line == 3
    issue = only("V101", text, {"/jobs/t.md": "a\n{{ batchnum }}\n"})
    assert "line 2" in issue.message


@pytest.mark.parametrize(
    "text",
    [
        "prompt: {template: go, prompt_extensions: ['{{ x']}",
        PROMPT + "rehearsal: {answer: '{% x %}'}",
        PROMPT + "rehearsal: {writes: {a.md: '{{'}}",
        PROMPT + "cross_batch: {capture_files: ['{{ batch_num']}",
    ],
)
def test_all_templates_of_a_job_are_parsed(text: str) -> None:
    assert codes(HEAD + RULE + text) == ["V001"]


@pytest.mark.parametrize("condition", ["batch_num >=", "batch_num = 1", "batchnum > 1", "open('x')"])
def test_a_condition_that_cannot_be_evaluated_is_an_error(condition: str) -> None:
    text = HEAD + PROMPT + f'validations: [{{type: file_exists, path: x, condition: "{condition}"}}]\n'
    issue = only("V001", text)
    assert issue.severity is Severity.ERROR
    assert issue.path == "validations.0.condition"
    assert "V109" not in codes(text)


def test_skip_expressions_see_earlier_batches_and_conditions_do_not() -> None:
    batch = "batch: {size: 1, total_items: 3, skip_when: {2: 'batches[1].validation_passed', 3: 'sheets.get(1)'}}\n"
    assert codes("name: x\n" + PROMPT + RULE + batch) == []
    issue = only("V001", "name: x\n" + PROMPT + RULE + batch.replace("batches[1]", "batchs[1]"))
    assert issue.path == "batch.skip_when.2"
    assert "V001" in codes(HEAD + PROMPT + "validations: [{type: file_exists, path: x, condition: 'batches[1]'}]")


def test_an_unknown_variable_gets_the_nearest_known_name() -> None:
    text = HEAD + "prompt:\n  template: |\n    one\n    {{ batchnum }}\n  variables: {topic: x}\n" + RULE
    issue = only("V101", text)
    assert (issue.line, issue.suggestion) == (6, "did you mean `batch_num`?")
    assert only("V101", text.replace("batchnum", "topik")).suggestion == "did you mean `topic`?"
    assert "prompt.variables" in only("V101", text.replace("batchnum", "zzz")).suggestion


@pytest.mark.parametrize(
    "template",
    [
        "{{ topic }} {{ item.name }} {{ previous_outputs[1] }} {{ sheet_num }}",
        "{% for row in items %}{{ loop.index }} {{ row }}{% endfor %}",
        "{% set note = 1 %}{{ note }} {{ range(3) | list }}",
        "{% if maybe is defined %}{{ maybe }}{% endif %}{{ perhaps | default('x') }}",
    ],
)
def test_names_that_exist_or_need_not_exist_are_no_issue(template: str) -> None:
    prompt = f"prompt:\n  variables: {{topic: x}}\n  template: |\n    {template}\n"
    assert codes("name: sample\nbatch: {size: 1, total_items: 10}\n" + prompt + RULE) == []


def test_a_batch_of_several_rows_has_no_single_item() -> None:
    assert "items" in only("V101", HEAD + "prompt: {template: '{{ item.name }}'}\n" + RULE).suggestion


def test_a_long_prompt_is_measured_for_every_batch() -> None:
    text = HEAD + "prompt: {template: \"{{ 'word ' * (5000 * batch_num) }}\"}\n" + RULE
    issue = only("V115", text)
    assert "batch 10 has about 62,500 tokens" in issue.message
    assert "not sent" in only("V115", text.replace("5000", "50000")).message
    assert codes(text.replace("5000", "500")) == []


def test_of_very_many_batches_some_are_measured_and_those_with_extensions() -> None:
    batch = "batch: {size: 1, total_items: 100000, prompt_extensions: {500: [\"{{ 'x' * 400000 }}\"]}}\n"
    assert "batch 500 " in only("V115", "name: x\n" + PROMPT + RULE + batch).message


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_workspace_in_a_folder_that_does_not_exist_can_be_fixed() -> None:
    issue = only("V002", QUIET + "workspace: /data/runs/one\n")
    assert issue.auto_fixable
    assert issue.creates == Path("/data/runs")
    assert codes(QUIET + "workspace: /data/runs/one\n", {"/data/runs/": ""}) == []
    issue = only("V002", QUIET + "workspace: taken\n", {"/jobs/taken": "a file"})
    assert not issue.auto_fixable


def test_missing_template_files_are_errors() -> None:
    text = HEAD + RULE + "prompt: {template_file: missing.md, prompt_extensions: [rules.md, Follow README.md]}\n"
    missing = [issue for issue in issues_of(text) if issue.code == "V003"]
    assert [issue.path for issue in missing] == ["prompt.template_file", "prompt.prompt_extensions.0"]
    assert "/jobs/missing.md" in missing[0].message
    assert codes(text, {"/jobs/missing.md": "go", "/jobs/rules.md": "x"}) == []
    assert only("V003", text, {"/jobs/missing.md/": "", "/jobs/rules.md": ""}).message.endswith("not a file")


def test_a_missing_system_prompt_file_is_an_error() -> None:
    text = QUIET + "backend: {system_prompt_file: system.md}\n"
    assert only("V004", text).path == "backend.system_prompt_file"
    assert codes(text, {"/jobs/system.md": "be brief"}) == []


def test_a_missing_working_directory_is_an_error() -> None:
    text = QUIET + "backend: {working_directory: repo}\n"
    assert "does not exist" in only("V005", text).message
    assert "not a folder" in only("V005", text, {"/jobs/repo": "a file"}).message
    assert codes(text, {"/jobs/repo/": ""}) == []


def test_text_that_is_not_utf8_is_said_to_be_unreadable(tmp_path: Path) -> None:
    (tmp_path / "t.md").write_bytes(b"\xff\xfe")
    loaded = load_text(HEAD + RULE + "prompt: {template_file: t.md}\n", base_dir=tmp_path)
    [issue] = [issue for issue in lint(loaded, DiskFiles(), {}) if issue.code == "V003"]
    assert "UTF-8" in issue.message


def test_names_that_no_file_can_have_are_simply_missing(tmp_path: Path) -> None:
    text = (
        HEAD + RULE + 'workspace: "~\\0/x"\nprompt: {template_file: "a\\0.md"}\nbackend: {working_directory: "b\\0"}\n'
    )
    loaded = load_text(text, base_dir=tmp_path)
    assert [issue.code for issue in lint(loaded, DiskFiles(), {}) if issue.severity is Severity.ERROR] == [
        "V002",
        "V003",
        "V005",
    ]


def test_a_fixed_file_whose_content_is_looked_at_should_exist() -> None:
    rule = "validations: [{type: content_contains, path: /jobs/notes.md, pattern: x}]\n"
    assert only("V107", HEAD + PROMPT + rule).severity is Severity.WARNING
    assert codes(HEAD + PROMPT + rule, {"/jobs/notes.md": ""}) == []
    assert codes(HEAD + PROMPT + rule.replace("/jobs/notes.md", "'{workspace}/notes.md'")) == []
    assert codes(HEAD + PROMPT + rule.replace("content_contains", "file_exists")) == []


# --- rules ------------------------------------------------------------------------------------------------------------


def rules(*entries: str) -> str:
    return HEAD + PROMPT + "validations:\n" + "".join(f"  - {entry}\n" for entry in entries)


@pytest.mark.parametrize(
    ("entry", "missing"),
    [
        ("{type: file_exists}", ["path"]),
        ("{type: file_modified, path: ''}", ["path"]),
        ("{type: content_contains}", ["path", "pattern"]),
        ("{type: content_regex, path: x}", ["pattern"]),
        ("{type: command_succeeds, command: ' '}", ["command"]),
        ("{type: answer_matches}", ["pattern"]),
    ],
)
def test_a_rule_needs_the_fields_of_its_type(entry: str, missing: list[str]) -> None:
    issues = [issue for issue in issues_of(rules("{type: file_exists, path: x}", entry)) if issue.code == "V008"]
    assert [issue.message.split("`")[3] for issue in issues] == missing
    assert {(issue.line, issue.severity) for issue in issues} == {(6, Severity.ERROR)}


def test_regular_expressions_must_compile() -> None:
    text = rules('{type: content_regex, path: x, pattern: "("}') + "rate_limit: {detection_patterns: [quota, '[']}\n"
    assert [issue.path for issue in issues_of(text) if issue.code == "V007"] == [
        "validations.0.pattern",
        "rate_limit.detection_patterns.1",
    ]
    assert "V007" in codes(rules('{type: answer_matches, pattern: "*"}'))
    assert codes(rules('{type: content_contains, path: x, pattern: "("}')) == []


def test_placeholders_are_filled_in_before_a_pattern_is_compiled() -> None:
    assert codes(rules(r'{type: content_regex, path: x, pattern: "^Batch {batch_num}: \\d{1,3}$"}')) == []


def test_empty_patterns_match_everything() -> None:
    text = rules('{type: content_contains, path: x, pattern: ""}') + "rate_limit: {detection_patterns: ['']}\n"
    assert codes(text) == ["V106", "V106"]


def test_a_job_without_rules_is_told_so() -> None:
    issue = only("V116", HEAD + PROMPT)
    assert issue.severity is Severity.INFO


def answers(text: str) -> str:
    return HEAD + PROMPT + f"answer: {text}\n"


def test_a_job_that_asks_for_json_has_something_that_checks_it() -> None:
    assert codes(answers("{format: json}")) == []
    assert codes(answers("{schema: {type: object}, per_item: true}")) == []


def test_the_file_of_a_schema_must_be_there() -> None:
    assert only("V003", answers("{schema: s.json}")).path == "answer.schema"
    assert codes(answers("{schema: s.json}"), {"/jobs/s.json": '\ufeff{"type": "object"}'}) == []


@pytest.mark.parametrize(
    ("schema", "path", "said"),
    [
        ("{type: objekt}", "answer.schema.type", "objekt"),
        ("{type: object, properties: {n: {minimum: low}}}", "answer.schema.properties.n.minimum", "number"),
        ("{type: object, properties: {n: {pattern: '(['}}}", "answer.schema.properties.n.pattern", "(["),
        ("{type: object, properties: {n: {$ref: '#/$defs/N'}}}", "answer.schema", "leads nowhere"),
        ("{$ref: 'https://example.org/schema.json'}", "answer.schema", "nothing is fetched"),
        ("{$ref: 'other.json#/x'}", "answer.schema", "nothing is fetched"),
        ("{$ref: '#'}", "answer.schema", "itself"),
        ("{$schema: 'https://example.org/own'}", "answer.schema.$schema", "no draft"),
    ],
)
def test_a_schema_that_cannot_be_used_is_an_error(schema: str, path: str, said: str) -> None:
    issue = only("V125", answers(f"{{schema: {schema}}}"))
    assert said in issue.message
    assert issue.path == path
    assert issue.line == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "obj', "it is not JSON"),
        ("[1]", "not a JSON Schema"),
        ('{"properties": {"n": {"type": "x"}}}', "s.json, properties.n.type is not valid"),
    ],
)
def test_a_schema_in_a_file_is_checked_as_well(text: str, said: str) -> None:
    assert said in only("V125", answers("{schema: s.json}"), {"/jobs/s.json": text}).message


def test_drafts_and_definitions_of_a_schema_are_understood() -> None:
    nested = "{$schema: 'http://json-schema.org/draft-07/schema#', definitions: {N: {type: integer}}, "
    nested += "type: object, properties: {n: {$ref: '#/definitions/N'}, next: {$ref: '#'}}}"
    assert codes(answers(f"{{schema: {nested}}}")) == []


def test_settings_of_the_answer_that_contradict_each_other() -> None:
    assert only("V126", answers("{format: text, schema: {type: object}}")).path == "answer.format"
    assert only("V126", answers("{format: text, per_item: true}")).path == "answer.format"
    assert codes(answers("{format: text}")) == ["V116"]
    rows = answers("{per_item: true, schema: {type: array, items: {type: object}}}")
    assert only("V126", rows).path == "answer.schema"
    stages = "name: x\nbatch: {size: 1, total_items: 2, fan_out: {1: 2}}\n" + PROMPT + "answer: {per_item: true}\n"
    assert "V126" in codes(stages)


def test_a_condition_that_holds_for_no_batch_is_pointless() -> None:
    text = rules("{type: file_exists, path: x, condition: batch_num > 10}")
    assert only("V109", text).path == "validations.0.condition"
    assert codes(text.replace("> 10", "== 10")) == []
    with_variable = text.replace("template: go", "template: go, variables: {first: 3}")
    assert codes(with_variable.replace("batch_num > 10", "batch_num < first")) == []


def test_a_condition_that_depends_on_rows_is_not_judged() -> None:
    text = "name: x\nitems: {glob: '*'}\n" + PROMPT
    text += "validations: [{type: file_exists, path: x, condition: batch_num > 999}]\n"
    assert codes(text) == []


@pytest.mark.parametrize("path", ["/etc/passwd", "../up.md", "{workspace}/../../x", "out/{{ '../' * 3 ~ batch_num }}"])
def test_paths_that_leave_the_jobs_folders_are_errors(path: str) -> None:
    issue = only("V110", rules(f'{{type: file_exists, path: "{path}"}}'))
    assert issue.severity is Severity.ERROR
    assert issue.path == "validations.0.path"


@pytest.mark.parametrize(
    "path", ["x", "a/../x", "{workspace}/x", "/jobs/x", "/elsewhere/work/{batch_num}.md", "/repo/x"]
)
def test_paths_in_workspace_or_working_directory_are_fine(path: str) -> None:
    text = rules(f'{{type: file_exists, path: "{path}"}}')
    text += "workspace: /elsewhere/work\nbackend: {working_directory: /repo}\n"
    files = {"/elsewhere/": "", "/repo/": ""}
    assert ("V110" in codes(text, files)) == (path == "/jobs/x")


def test_paths_are_checked_although_rows_are_not_known_yet() -> None:
    text = "name: x\nitems: {glob: '*'}\n" + PROMPT
    text += "validations: [{type: file_exists, path: '/etc/{batch_num}'}, {type: file_exists, path: '{item.name}'}]\n"
    assert [issue.path for issue in issues_of(text)] == ["validations.0.path"]


@pytest.mark.parametrize("braces", ["{%s}", "{{ %s }}"])
def test_a_placeholder_that_does_not_exist_stays_as_it_is_and_is_reported(braces: str) -> None:
    issue = only("V111", rules(f'{{type: file_exists, path: "{braces % "batchnum"}.md"}}'))
    assert issue.suggestion == "did you mean `batch_num`?"
    assert issue.severity is Severity.WARNING
    assert codes(rules(f'{{type: file_exists, path: "{braces % "sheet_num"}.md"}}')) == []


def test_braces_of_commands_and_patterns_are_left_alone_unless_they_nearly_name_something() -> None:
    assert codes(rules("""{type: command_succeeds, command: "awk '{print}' ${HOME}/x | jq '{a: 1}'"}""")) == []
    assert codes(rules('{type: answer_matches, pattern: "a{2,3}{xyz}"}')) == []
    assert codes(rules('{type: command_succeeds, command: "test -f {batch_nums}.md"}')) == ["V111"]
    skip = "batch: {size: 1, total_items: 2, skip_when_command: {2: {command: 'test -f {workspac}/x'}}}\n"
    assert codes("name: x\n" + PROMPT + RULE + skip) == ["V111"]


# --- the machine and the backend --------------------------------------------------------------------------------------


def test_time_limits_that_are_very_short_or_very_long_are_pointed_out() -> None:
    text = (
        QUIET + "backend:\n  timeout_overrides: {2: 59, 3: 60, 4: 7201}\n  batch_overrides: {5: {timeout_seconds: 1}}\n"
    )
    found = [(issue.code, issue.path) for issue in issues_of(text)]
    assert found == [
        ("V103", "backend.timeout_overrides.2"),
        ("V104", "backend.timeout_overrides.4"),
        ("V103", "backend.batch_overrides.5.timeout_seconds"),
    ]
    assert codes(QUIET + "backend: {type: rehearsal, timeout_seconds: 1}\n") == []


def test_the_claude_program_is_looked_for_on_path() -> None:
    assert codes(QUIET, env={"PATH": "/bin"}) == []
    issue = only("V113", QUIET, env={"PATH": "/usr/bin:/sbin"})
    assert "rehearse" in issue.suggestion
    assert codes(QUIET, env={}) == ["V113"]
    assert codes(QUIET + "backend: {type: rehearsal}\n", env={}) == []


def test_a_cli_path_is_looked_for_where_it_points() -> None:
    text = QUIET + "backend: {cli_path: tools/claude}\n"
    assert only("V113", text).path == "backend.cli_path"
    assert codes(text, {"/jobs/tools/claude": ""}, env={}) == []
    assert (
        codes(QUIET + "backend: {cli_path: claude-next}\n", {"/opt/claude-next": ""}, env={"PATH": "/bin:/opt"}) == []
    )


def test_a_key_that_is_not_in_the_environment_is_missed_before_anything_runs() -> None:
    text = QUIET + "backend: {type: anthropic_api}\n"
    issue = only("V112", text, env={})
    assert "ANTHROPIC_API_KEY" in issue.message
    assert issue.path == "backend.type"
    assert "V112" not in codes(text, env={"ANTHROPIC_API_KEY": "sk-ant-secret"})
    assert "V112" not in codes(text, env={"ANTHROPIC_AUTH_TOKEN": "secret"})
    own = QUIET + "backend: {type: anthropic_batches, api_key_env: TEAM_KEY}\n"
    assert only("V112", own, env={"ANTHROPIC_API_KEY": "sk"}).path == "backend.api_key_env"
    assert "V112" not in codes(QUIET, env={"PATH": "/bin"})


def test_an_address_that_is_not_in_the_environment_is_missed_too() -> None:
    text = QUIET + "notifications: [{type: slack, webhook_url_env: HOOK}, {type: webhook, url_env: OTHER}]\n"
    found = [issue.path for issue in issues_of(text, env={"PATH": "/bin"}) if issue.code == "V112"]
    assert found == ["notifications.0.webhook_url_env", "notifications.1.url_env"]


def test_variables_in_addresses_and_headers_must_be_set_too() -> None:
    text = QUIET + (
        "notifications:\n"
        "  - {type: slack}\n"
        '  - {type: webhook, url: "https://${HOST_OF_HOOK}/x", headers: {Authorization: "Bearer ${TOKEN}"}}\n'
        '  - {type: webhook, config: {url_env: OTHER, headers: {A: "${SET}"}}}\n'
    )
    found = [issue for issue in issues_of(text, env={"PATH": "/bin", "SET": "x"}) if issue.code == "V112"]
    assert [issue.path.removeprefix("notifications.") for issue in found] == [
        "0.type",
        "1.url",
        "1.headers.Authorization",
        "2.config.url_env",
    ]
    assert "SLACK_WEBHOOK_URL" in found[0].message
    assert "TOKEN" in found[2].message


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("notifications: [{type: slack, webhook_url: 'https://hooks.example/T0/B0'}]", "notifications.0.webhook_url"),
        ("notifications: [{type: webhook, config: {url: 'https://hooks.example/x'}}]", "notifications.0.config.url"),
        ("backend: {env: {MY_KEY: sk-ant-api03-abcdefghij0123456789}}", "backend.env.MY_KEY"),
        ("backend: {env: {PASSWORD: correct-horse-1}}", "backend.env.PASSWORD"),
        (
            "notifications: [{type: webhook, url_env: A, headers: {Authorization: Bearer abcd1234}}]",
            "notifications.0.headers.Authorization",
        ),
        ("rehearsal: {answer: 'curl https://ada:hunter2@example.com'}", "rehearsal.answer"),
    ],
)
def test_a_secret_in_the_job_file_is_a_warning_that_does_not_repeat_it(line: str, path: str) -> None:
    issue = only("V129", QUIET + line + "\n", env={"A": "x"})
    assert (issue.path, issue.severity) == (path, Severity.WARNING)
    assert "environment variable" in issue.suggestion
    assert not any(secret in issue.shown() for secret in ("hunter2", "correct-horse", "abcdefghij", "abcd1234"))


def test_what_names_a_variable_or_stays_on_this_machine_is_no_secret() -> None:
    text = QUIET + (
        "notifications:\n"
        '  - {type: webhook, url: "${HOOK}", headers: {Authorization: "Bearer ${TOKEN}"}}\n'
        "  - {type: webhook, url: 'http://127.0.0.1:8080/hook'}\n"
        "  - {type: slack, webhook_url_env: HOOK}\n"
    )
    assert "V129" not in codes(text)


# --- places -----------------------------------------------------------------------------------------------------------


def test_a_workspace_that_cannot_be_written_to_is_a_warning() -> None:
    text = QUIET + "workspace: /readonly/runs/one\n"
    assert only("V130", text, {"/readonly/runs/": ""}).severity is Severity.WARNING
    assert only("V130", text, {"/readonly/runs/one/": ""}).message == "/readonly/runs/one cannot be written to"
    assert "V130" not in codes(text)  # V002 says that it is not there
    assert "V130" not in codes(QUIET + "workspace: /data/one\n", {"/data/": ""})


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("/readonly/job.log", "/readonly cannot be written to"),
        ("/readonly/deep/er/job.log", "/readonly cannot be written to"),
        ("/jobs/notes.md/job.log", "/jobs/notes.md is not a folder"),
        ("'{workspace}/logs'", "/jobs/workspace/logs is a folder"),
        ("logs", "/jobs/workspace/logs is a folder"),
        ("'{workspace}/mozart.log'", ""),
        ("/jobs/new/mozart.log", ""),
    ],
)
def test_a_log_file_must_have_a_place(file: str, said: str) -> None:
    files = {"/readonly/": "", "/jobs/notes.md": "", "/jobs/workspace/logs/": ""}
    found = [i for i in issues_of(QUIET + f"logging: {{file_path: {file}}}\n", files) if i.code == "V131"]
    assert [issue.message.startswith(said) for issue in found] == ([True] if said else [])


def test_a_copied_job_file_should_not_go_on_with_the_job_of_an_earlier_version() -> None:
    def found(file: str, name: str) -> list[str]:
        text = QUIET.replace("name: sample", f"name: {name}\nworkspace: runs-v2")
        loaded = load_text(text, base_dir="/jobs", file_name=file)
        return [i.path for i in lint(loaded, MemoryFiles({"/jobs/": ""}), {}) if i.code == "V132"]

    assert found("review-v3.yaml", "review-v2") == ["name", "workspace"]
    assert found("review-v2.yaml", "review-v2") == []
    assert found("review.yaml", "review-v2") == []
    assert found("review-v2.yaml", "reviewv3") == []


def test_the_job_file_of_a_hook_may_still_have_to_be_written() -> None:
    text = (
        QUIET + "on_success: [{type: run_job, job_path: next.yaml}, {type: run_job, job_path: '{workspace}/n.yaml'}]\n"
    )
    assert only("V133", text).path == "on_success.0.job_path"
    assert "V133" not in codes(text, {"/jobs/next.yaml": ""})


def test_a_file_of_items_must_be_there() -> None:
    text = "name: x\nbatch: {size: 1}\nitems: {file: rows.csv}\n" + PROMPT + RULE
    assert only("V003", text).path == "items.file"
    assert "V003" not in codes(text, {"/jobs/rows.csv": "a"})


def test_attachments_are_templates_with_known_variables() -> None:
    text = QUIET + "backend: {type: anthropic_api, attachments: ['{{ batch_num }}.pdf', '{{ bathc_num }}.png']}\n"
    issue = only("V101", text)
    assert issue.path == "backend.attachments.1"
    assert "batch_num" in issue.suggestion


def test_skipping_permissions_as_root_is_refused_by_the_program() -> None:
    assert codes(QUIET, is_root=True) == ["V117"]
    assert codes(QUIET, is_root=True, env={"PATH": "/bin", "IS_SANDBOX": "1"}) == []
    assert codes(QUIET + "backend: {env: {IS_SANDBOX: 1}}\n", is_root=True) == []
    assert codes(QUIET + "backend: {permission_mode: acceptEdits}\n", is_root=True) == []
    assert codes(QUIET + "backend: {skip_permissions: false}\n", is_root=True) == []
    assert only("V117", QUIET + "backend: {permission_mode: bypassPermissions}\n", is_root=True).line == 5


def test_fields_of_another_backend_are_ignored_with_a_warning() -> None:
    issues = issues_of(QUIET + "backend: {model: sonnet, temperature: 0.5, cli_model: opus}\n")
    assert [(issue.code, issue.path) for issue in issues] == [
        ("V118", "backend.model"),
        ("V118", "backend.temperature"),
    ]
    assert codes(QUIET + "backend: {type: rehearsal, cli_model: opus}\n") == ["V118"]


# --- noticed while loading --------------------------------------------------------------------------------------------


def test_unknown_keys_are_issues_too() -> None:
    issue = only("V108", QUIET + "retries: {}\n")
    assert (issue.severity, issue.suggestion) == (Severity.WARNING, "did you mean `retry`?")


ISOLATED = QUIET + "isolation: {enabled: true}\n"
GIT = {"/bin/git": "", "/jobs/.git/": ""}


def test_isolation_needs_git_and_a_repository() -> None:
    path = {"env": {"PATH": "/usr/bin:/bin"}}
    assert "in no git repository" in only("V134", ISOLATED, {"/bin/git": "", "/jobs/": ""}, **path).message
    assert "`git` is not on PATH" in only("V134", ISOLATED, {"/jobs/.git/": ""}, **path).message
    assert "V134" not in codes(ISOLATED, GIT, **path)
    assert "V134" not in codes(ISOLATED, {"/bin/git": "", "/.git": ""}, **path)
    assert "V134" not in codes(
        ISOLATED, {"/bin/git": "", "/jobs/HEAD": "", "/objects/": "", "/refs/": ""} | GIT, **path
    )
    assert "V134" not in codes(QUIET + "isolation: {enabled: true, mode: none}\n", {}, **path)
    strict = QUIET + "isolation: {enabled: true, fallback_on_error: false}\n"
    assert "will not begin" in only("V134", strict, {"/bin/git": "", "/jobs/": ""}, **path).message


def test_a_rule_of_an_isolated_job_that_looks_into_the_checkout_is_an_issue() -> None:
    rule = "validations: [{type: file_exists, path: '/jobs/out-{batch_num}.md'}]\nisolation: {enabled: true}\n"
    issue = only("V135", HEAD + PROMPT + rule, GIT)
    assert (issue.path, issue.severity) == ("validations.0.path", Severity.WARNING)
    for fine in ("out.md", "{workspace}/out.md", "/jobs/ws/out.md", "/elsewhere/out.md"):
        text = HEAD + PROMPT + f"validations: [{{type: file_exists, path: '{fine}'}}]\nisolation: {{enabled: true}}\n"
        assert "V135" not in codes(text + "workspace: /jobs/ws\n" if "ws" in fine else text, GIT)


def test_keys_without_effect_are_issues() -> None:
    assert codes(QUIET + "bridge: {}\n") == ["V119"]


def test_keys_of_batches_that_do_not_exist_are_issues() -> None:
    assert codes(QUIET + "backend: {timeout_overrides: {11: 600}}\n") == ["V120"]
    trigger = "checkpoints: {enabled: true, triggers: [{name: a, batch_nums: [10, 11]}]}\n"
    issue = only("V120", QUIET + trigger)
    assert issue.message == "there is no batch 11; there are 10"
    assert issue.path == "checkpoints.triggers.0.batch_nums.1"


def test_a_missing_template_is_an_issue() -> None:
    assert codes(HEAD + RULE) == ["V121"]


def test_stage_keys_are_explained() -> None:
    text = "name: x\nbatch: {size: 1, total_items: 3, fan_out: {2: 3}, descriptions: {2: a}}\n" + PROMPT + RULE
    issue = only("V122", text)
    assert issue.severity is Severity.INFO


# --- what a notebook gives --------------------------------------------------------------------------------------------


def test_a_given_variable_that_replaces_one_of_the_file_is_an_issue_at_its_place() -> None:
    text = QUIET.replace(PROMPT, "prompt:\n  template: '{{ tone }}'\n  variables: {tone: kind}\n")
    loaded = load_text(text, base_dir="/jobs", file_name="job.yaml", given=Given(variables={"tone": "strict"}))
    [issue] = [issue for issue in loaded.warnings if issue.code == "V127"]
    assert (issue.path, issue.column) == ("prompt.variables.tone", 21)


def test_a_function_of_a_notebook_is_an_error_where_there_is_none() -> None:
    issue = only("V128", HEAD + PROMPT + "validations: [{type: python, function: check}]\n")
    assert issue.severity is Severity.ERROR
    assert issue.path == "validations.0.function"
    assert issue.suggestion == "start the job in the notebook that defines it; a rehearsal needs no function"
