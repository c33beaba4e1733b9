"""Loading job files: where every mistake stands, what is accepted under two names, and overrides."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import ConfigError, Problem, UnreadableError
from mozart_nb.job.document import Positions, parse_document, parse_value
from mozart_nb.job.fields import keys_of
from mozart_nb.job.frozen import config_digest, freeze, thaw, work_digest
from mozart_nb.job.known import UNSUPPORTED
from mozart_nb.job.load import DiskFiles, LoadedJob, load_job, load_mapping, load_text
from mozart_nb.job.model import JobConfig
from mozart_nb.job.overrides import apply_overrides
from mozart_nb.job.schema import sections

HEAD = "name: sample\nbatch: {size: 10, total_items: 100}\nprompt: {template: go}\n"

README_JOB = (Path(__file__).parents[1] / "data" / "unchanged-job.yaml").read_text()


def load(text: str, **options: Any) -> LoadedJob:
    return load_text(text, base_dir="/jobs", file_name="job.yaml", **options)


def problems_of(text: str, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    return caught.value.problems


def only_problem(text: str, **options: Any) -> Problem:
    [problem] = problems_of(text, **options)
    return problem


# --- whole files ------------------------------------------------------------------------------------------------------


def test_the_job_of_the_readme_loads_unchanged_and_without_a_word() -> None:
    loaded = load(README_JOB)
    assert loaded.warnings == ()
    assert loaded.config.job_id == "my-batch-job"
    assert loaded.config.batch.count == 10
    assert loaded.config.validations[0].path == "output/batch{{ batch_num }}-result.md"
    assert loaded.source_text == README_JOB


def test_a_file_written_with_the_word_sheet_means_the_same() -> None:
    loaded = load(
        """
name: sample
pause_between_sheets_seconds: 4
sheet: {size: 1, total_items: 3}
prompt: {template: "{{ sheet_num }}"}
backend: {sheet_overrides: {2: {cli_model: haiku}}}
cross_sheet: {lookback_sheets: 7}
cost_limits: {max_cost_per_sheet: 2}
notifications: [{type: desktop, on_events: [sheet_start]}]
checkpoints: {triggers: [{name: ask, sheet_nums: [2]}]}
"""
    )
    config = loaded.config
    assert config.batch.total_items == 3
    assert config.pause_between_batches_seconds == 4
    assert config.backend.batch_overrides[2].cli_model == "haiku"
    assert config.cross_batch.lookback_batches == 7
    assert config.cost_limits.max_cost_per_batch == 2
    assert config.checkpoints.triggers[0].batch_nums == (2,)
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("batch: {size: 1, total_items: 1}", "sheet: {size: 1, total_items: 1}"),
        ("cross_batch: {}", "cross_sheet: {}"),
        ("pause_between_batches_seconds: 1", "pause_between_sheets_seconds: 1"),
    ],
)
def test_both_words_at_once_are_an_error_at_the_second(first: str, second: str) -> None:
    batch = "" if "size" in first else "batch: {size: 1, total_items: 1}\n"
    for one, other in ((first, second), (second, first)):
        problem = only_problem(f"name: x\n{batch}{one}\n{other}\n")
        assert "mean the same" in problem.message
        assert problem.line == 3 + bool(batch)


def test_both_words_within_one_section_are_an_error() -> None:
    problem = only_problem(HEAD + "cross_batch: {lookback_batches: 1, lookback_sheets: 1}\n")
    assert (problem.line, problem.column, problem.path) == (4, 36, "cross_batch.lookback_sheets")


def test_a_section_whose_lines_are_all_commented_out_has_its_defaults() -> None:
    loaded = load(HEAD + "retry:\n  # max_retries: 5\nvalidations:\n")
    assert loaded.config.retry.max_retries == 3
    assert loaded.config.validations == ()


def test_a_mapping_loads_like_a_file() -> None:
    loaded = load_mapping(yaml.safe_load(README_JOB), base_dir="/jobs")
    assert loaded.config == load(README_JOB).config
    with pytest.raises(ConfigError, match="max_retries"):
        load_mapping({"name": "x", "retry": {"max_retries": "x"}}, base_dir="/jobs")


# --- every key of the earlier tool ------------------------------------------------------------------------------------

EARLIER_KEYS = """
name: everything
description: d
workspace: ./w
state_backend: sqlite
state_path: ./w/.mozart-state.json
pause_between_sheets_seconds: 10
backend:
  {type: claude_cli, skip_permissions: true, output_format: text, working_directory: ., timeout_seconds: 1800,
   model: claude-sonnet-4-20250514, api_key_env: ANTHROPIC_API_KEY, max_tokens: 8192, temperature: 0.7,
   disable_mcp: true, cli_model: opus, allowed_tools: [Bash], system_prompt_file: s.md, cli_extra_args: [--verbose],
   timeout_overrides: {1: 60}, max_output_capture_bytes: 10240,
   sheet_overrides: {1: {cli_model: a, model: b, temperature: 0.1, max_tokens: 5, timeout_seconds: 9}}}
sheet:
  {size: 1, total_items: 3, start_item: 1, descriptions: {1: a}, dependencies: {2: [1]}, skip_when: {2: "False"},
   skip_when_command: {3: {command: "true", description: d, timeout_seconds: 10}}, prompt_extensions: {1: [text]},
   fan_out: {2: 3}, fan_out_stage_map: {}}
prompt: {template: t, variables: {a: 1}, stakes: s, thinking_method: m, prompt_extensions: [p]}
parallel: {enabled: true, max_concurrent: 3, fail_fast: true, budget_partition: true}
retry:
  {max_retries: 3, base_delay_seconds: 10, max_delay_seconds: 3600, exponential_base: 2, jitter: true,
   max_completion_attempts: 3, completion_delay_seconds: 5, completion_threshold_percent: 50}
rate_limit: {wait_minutes: 60, max_waits: 24, max_quota_waits: 48, detection_patterns: [quota]}
circuit_breaker:
  {enabled: true, failure_threshold: 5, recovery_timeout_seconds: 300, cross_workspace_coordination: true,
   honor_other_jobs_rate_limits: true}
cost_limits:
  {enabled: true, max_cost_per_sheet: 1, max_cost_per_job: 2, cost_per_1k_input_tokens: 0.003,
   cost_per_1k_output_tokens: 0.015, warn_at_percent: 80}
stale_detection: {enabled: true, idle_timeout_seconds: 300, check_interval_seconds: 30}
cross_sheet: {auto_capture_stdout: true, max_output_chars: 2000, capture_files: ["*.md"], lookback_sheets: 3}
validations:
  - {type: content_regex, path: p, pattern: x, description: d, command: c, working_directory: w, stage: 1,
     condition: sheet_num >= 1, retry_count: 3, retry_delay_ms: 200}
isolation:
  {enabled: true, mode: worktree, worktree_base: b, branch_prefix: mozart, source_branch: main,
   cleanup_on_success: true, cleanup_on_failure: false, lock_during_execution: true, fallback_on_error: true}
notifications:
  - {type: webhook, on_events: [job_start, job_complete, job_failed, job_paused, sheet_start, sheet_complete,
     sheet_failed], config: {url: "http://127.0.0.1/", headers: {a: b}, timeout: 30, max_retries: 2}}
  - {type: email}
logging:
  {level: info, format: both, file_path: x.log, max_file_size_mb: 50, backup_count: 5, include_timestamps: true,
   include_context: true}
learning:
  {enabled: true, outcome_store_type: json, outcome_store_path: p, min_confidence_threshold: 0.3,
   high_confidence_threshold: 0.7, escalation_enabled: false, use_global_patterns: true, exploration_rate: 0.15,
   exploration_min_priority: 0.05, entropy_alert_threshold: 0.5, entropy_check_interval: 100, auto_apply_enabled: false,
   auto_apply_trust_threshold: 0.85, auto_apply: {enabled: false}, exploration_budget: {enabled: false},
   entropy_response: {enabled: false}}
workspace_lifecycle:
  {archive_on_fresh: true, archive_dir: archive, archive_naming: iteration, max_archives: 0, preserve_patterns: [a]}
on_success:
  - {type: run_job, job_path: j, job_workspace: w, inherit_learning: true, command: c, working_directory: d,
     description: e, on_failure: continue, timeout_seconds: 300, detached: false, fresh: false}
concert:
  {enabled: true, max_chain_depth: 5, cooldown_between_jobs_seconds: 30, inherit_workspace: true, concert_log_path: p,
   abort_concert_on_hook_failure: false}
checkpoints:
  {enabled: true, triggers: [{name: n, sheet_nums: [1], prompt_contains: [x], min_retry_count: 1,
   requires_confirmation: true, message: m}]}
bridge: {}
grounding: {enabled: false}
ai_review: {enabled: false}
feedback: {enabled: false}
conductor: {name: n}
"""


def test_every_key_of_the_earlier_tool_works_or_is_named_in_one_warning() -> None:
    loaded = load(EARLIER_KEYS)
    warned = [warning for warning in loaded.warnings if warning.code == "V119"]
    assert [str(warning) for warning in loaded.warnings if warning.code == "V108"] == []
    paths = [warning.path for warning in warned]
    assert len(paths) == len(set(paths))
    keys = {path.rpartition(".")[2] for path in paths}
    assert {key for table in UNSUPPORTED.values() for key in table} <= keys
    assert "notifications.1.type" in paths


def test_the_escalation_of_the_earlier_tool_is_that_of_checkpoints() -> None:
    assert load(HEAD + "learning: {escalation_enabled: true}\n").config.checkpoints.escalation
    both = load(HEAD + "learning: {escalation_enabled: true}\ncheckpoints: {escalation: false}\n")
    assert not both.config.checkpoints.escalation
    assert not load(HEAD + "learning: {apply: true}\n").config.checkpoints.escalation
    problem = only_problem(HEAD + "learning:\n  escalation_enabled: perhaps\n")
    assert (problem.line, problem.path) == (5, "learning.escalation_enabled")


@pytest.mark.parametrize("backend", ["ollama", "recursive_light"])
def test_a_backend_of_the_earlier_tool_that_does_not_exist_here_is_an_error(backend: str) -> None:
    problem = only_problem(HEAD + f"backend: {{type: {backend}}}\n")
    assert problem.message == f"the backend `{backend}` is not supported"
    assert (problem.line, problem.column) == (4, 17)
    assert "rehearsal" in problem.allowed


@pytest.mark.parametrize(
    "text",
    [
        "state_backend: json",
        "state_backend: sqlite",
        "isolation: {enabled: true}",
        "isolation: {enabled: false}",
        "isolation: {enabled: true, mode: none}",
        "learning: {enabled: false}",
        "learning: {apply: true}",
        "cost_limits: {max_cost_per_job: 5}",
        "parallel: {adaptive: true}",
        "rate_limit: {wait_minutes: 5}",
        "rate_limit: {requests_per_minute: 5, tokens_per_minute: 5000}",
        "answer: {format: text}",
    ],
)
def test_what_asks_for_nothing_new_gets_no_warning(text: str) -> None:
    assert load(HEAD + text).warnings == ()


# --- unknown keys -----------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_reported_with_the_nearest_known_one() -> None:
    loaded = load(HEAD + "retries: {max_retries: 1}\nretry:\n  max_retrys: 1\nbogus: 1\n")
    assert [(one.line, one.column, one.path, one.nearest) for one in loaded.warnings] == [
        (4, 1, "retries", "retry"),
        (6, 3, "retry.max_retrys", "max_retries"),
        (7, 1, "bogus", ""),
    ]
    assert {one.code for one in loaded.warnings} == {"V108"}
    assert loaded.raw["bogus"] == 1


def test_a_key_at_the_wrong_level_is_shown_its_place() -> None:
    [warning] = load(HEAD + "working_directory: /repo\n").warnings
    assert warning.nearest == "backend.working_directory"
    [warning] = load(HEAD + "max_retries: 3\n").warnings
    assert warning.nearest == "retry.max_retries"


@pytest.mark.parametrize(
    "text",
    [
        "validations: [{type: file_exists, path: x, pth: y}]",
        "backend: {batch_overrides: {1: {cli_modl: x}}}",
        "batch: {size: 1, total_items: 1, skip_when_command: {1: {command: x, timeout: 5}}}",
        "rehearsal: {script: {1: [{partial: {write: 1}}]}}",
        "answer: {json_schema: {}}",
        "retry: {3: x}",
    ],
)
def test_unknown_keys_are_found_at_every_depth(text: str) -> None:
    head = "name: x\nprompt: {template: go}\n" + ("" if "size" in text else "batch: {size: 1, total_items: 1}\n")
    assert [warning.code for warning in load(head + text).warnings] == ["V108"]


def test_strict_makes_unknown_keys_errors() -> None:
    assert only_problem(HEAD + "bogus: 1\n", strict=True).path == "bogus"


def test_variables_may_have_any_name() -> None:
    loaded = load(HEAD.replace("{template: go}", "{template: go, variables: {on: 1, retries: {no: 2}}}"))
    assert loaded.config.prompt.variables == {"on": 1, "retries": {"no": 2}}
    assert loaded.warnings == ()


def test_a_misspelled_required_key_is_shown_beside_what_is_missing() -> None:
    first, second = problems_of("name: x\nbatch:\n  size: 1\n  totl_items: 5\n")
    assert (first.line, first.message) == (2, "`batch.total_items` is required")
    assert (second.line, second.nearest) == (4, "total_items")


# --- values -----------------------------------------------------------------------------------------------------------


def test_all_mistakes_of_a_file_are_reported_at_once_and_in_its_order() -> None:
    problems = problems_of(
        """
name: 2024
retry:
  max_retries: yes
  base_delay_seconds: -1
backend:
  type: claude_cl
  sheet_overrides: {x: {}, 2: {temperature: 7}}
sheet: {size: 0}
validations:
  - type: file_exist
  - path: 3
"""
    )
    assert [(one.line, one.column, one.path) for one in problems] == [
        (2, 7, "name"),
        (4, 16, "retry.max_retries"),
        (5, 23, "retry.base_delay_seconds"),
        (7, 9, "backend.type"),
        (8, 21, "backend.sheet_overrides.x"),
        (8, 45, "backend.sheet_overrides.2.temperature"),
        (9, 1, "sheet.total_items"),
        (9, 15, "sheet.size"),
        (11, 11, "validations.0.type"),
        (12, 5, "validations.1.type"),
        (12, 11, "validations.1.path"),
    ]
    assert {one.file for one in problems} == {"job.yaml"}
    by_path = {one.path: one for one in problems}
    assert by_path["retry.max_retries"].value == "yes"
    assert by_path["retry.base_delay_seconds"].allowed == "a number above 0"
    assert by_path["backend.type"].nearest == "claude_cli"
    assert by_path["validations.0.type"].nearest == "file_exists"
    assert by_path["name"].allowed == 'text, in quotes: "2024"'


def test_the_line_of_a_problem_reads_like_a_compiler_message() -> None:
    problem = only_problem(HEAD + "retry: {max_retries: -1}\n")
    assert str(problem) == (
        "job.yaml:4:22: wrong value for `retry.max_retries` (got -1); allowed: a whole number from 0"
    )


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("circuit_breaker: {failure_threshold: 101}", "a whole number from 1 to 100"),
        ("circuit_breaker: {recovery_timeout_seconds: 0}", "a number above 0 and up to 3600"),
        ("parallel: {enabled: maybe}", "true or false"),
        ("retry: {jitter: 2}", "true or false"),
        ("state_backend: redis", "one of json, sqlite"),
        ("validations: {type: x}", "a list of sections"),
        ("backend: claude", "a section with keys: type, "),
        ("answer: {schema: 3}", "a map from text to anything or text"),
        ("backend: {prompt_caching: often}", "auto or true or false"),
        ("isolation: {branch_prefix: 1a}", "text that matches"),
        ("description: 2025", 'text, in quotes: "2025"'),
        ("description: yes", 'text, in quotes: "yes"'),
        ("backend: {timeout_overrides: {first: 3}}", "batch number"),
        ("prompt_: {}\nretry: {max_retries: null}", "a whole number from 0"),
    ],
)
def test_every_error_says_what_is_allowed(text: str, allowed: str) -> None:
    problem = problems_of(HEAD + text)[-1]
    assert problem.allowed.startswith(allowed)
    assert problem.value


def test_a_contradiction_points_at_the_value_that_contradicts() -> None:
    problem = only_problem("name: x\nsheet:\n  size: 1\n  total_items: 3\n  dependencies:\n    2: [1]\n    3: [2, 3]\n")
    assert (problem.line, problem.column, problem.path) == (7, 12, "sheet.dependencies.3.1")
    assert problem.message == "batch 3 cannot depend on itself"


def test_numbers_in_quotes_count_as_numbers() -> None:
    assert load(HEAD + "retry: {max_retries: '5'}").config.retry.max_retries == 5


def test_long_values_are_cut_in_messages() -> None:
    problem = only_problem(HEAD + f"state_backend: {'x' * 1000}\n")
    assert len(problem.value) == 80


# --- notices about per-batch maps -------------------------------------------------------------------------------------


def test_a_per_batch_key_beyond_the_last_batch_is_reported() -> None:
    [warning] = load(HEAD + "backend:\n  timeout_overrides: {3: 60, 11: 60}\n").warnings
    assert (warning.code, warning.line, warning.column) == ("V120", 5, 30)
    assert warning.message == "there is no batch 11; there are 10"


def test_with_a_fan_out_it_is_said_which_batches_a_key_stands_for() -> None:
    batch = "{size: 1, total_items: 3, fan_out: {2: 3}, descriptions: {2: a, 3: b}}"
    [notice] = load(f"name: x\nprompt: {{template: go}}\nbatch: {batch}\n").warnings
    assert notice.code == "V122"
    assert "2 → batches 2-4" in notice.message
    assert "3 → batch 5" in notice.message


def test_a_missing_template_is_no_error_but_is_said() -> None:
    [warning] = load("name: x\nbatch: {size: 1, total_items: 1}\n").warnings
    assert warning.code == "V121"


# --- YAML -------------------------------------------------------------------------------------------------------------


def unreadable(text: str) -> Problem:
    with pytest.raises(UnreadableError) as caught:
        load(text)
    [problem] = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("name: x\npath: {{ workspace }}/x\n", 2, "brace"),
        ("name: x\npath: {workspace}/x\n", 2, "brace"),
        ("validations:\n  - path: {{ workspace }}/x\n", 2, "brace"),
        ("items:\n  glob: *.csv\n", 2, "`*`"),
        ("name: @x\n", 1, "`@`"),
        ("retry:\n\tmax_retries: 1\n", 2, "spaces"),
        ("name: x\ndescription: a: b\n", 2, "colon"),
        ("name: x\nprompt: {template: Go on?}\n", 2, "question mark"),
    ],
)
def test_text_that_yaml_reads_otherwise_gets_advice(text: str, line: int, hint: str) -> None:
    problem = unreadable(text)
    assert problem.line == line
    assert hint in problem.allowed


def test_a_bare_template_that_happens_to_be_yaml_gets_advice_too() -> None:
    assert "quotes" in problems_of(HEAD + "description: {{ name }}\n")[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- a\n- b\n", "keys and values"),
        ("just text", "keys and values"),
        ("name: x\n---\nname: y\n", "more than one document"),
        ("name: 'x\n", "not valid YAML"),
        ("name: \x01\n", "U+0001"),
        ("a: &a [*a]\n", "64 levels"),
        ("a: " + "[" * 70 + "]" * 70, "64 levels"),
        ("a: " + "[" * 5000 + "]" * 5000, "64 levels"),
        ("x" * 4_000_001, "larger than"),
    ],
)
def test_what_is_no_job_file_is_unreadable(text: str, message: str) -> None:
    assert message in unreadable(text).message


def test_aliases_cannot_expand_without_bound() -> None:
    letters = "abcdefghijkl"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{this}: &{this} [{', '.join([f'*{last}'] * 9)}]" for last, this in pairwise(letters)]
    assert "aliases" in unreadable("\n".join(lines)).message


def test_a_key_given_twice_is_an_error_at_the_second() -> None:
    problem = only_problem(HEAD + "retry: {max_retries: 1}\nretry: {max_retries: 2}\n")
    assert (problem.line, problem.column, problem.message) == (5, 1, "`retry` is given twice")


def test_tags_that_would_make_objects_are_errors() -> None:
    problem = only_problem(HEAD + "description: !!python/name:os.system\n")
    assert "tags" in problem.message
    assert problem.line == 4


def test_words_and_times_stay_what_they_look_like() -> None:
    text = "on: 1\nno: 2\nyes: 3\nat: 12:30\nday: 2025-01-31\nid: 0123\nhash: 12e5\nanswer: yes\n5: five\n"
    assert parse_document(text).data == {
        "on": 1,
        "no": 2,
        "yes": 3,
        "at": "12:30",
        "day": "2025-01-31",
        "id": "0123",
        "hash": "12e5",
        "answer": True,
        5: "five",
    }


def test_anchors_and_merge_keys_work() -> None:
    text = "a: &base {p: 1, q: 2}\nb: {<<: *base, q: 3}\nc: {<<: [*base, {p: 9, r: 4}]}\n"
    assert parse_document(text).data == yaml.safe_load(text)


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), _plain, min_size=1, max_size=4), st.booleans())
def test_what_yaml_writes_is_read_back_and_every_value_has_a_place(data: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=False)
    document = parse_document(text)
    assert document.data == data
    lines = text.splitlines()
    for path, place in document.positions.places.items():
        assert 1 <= place.value_line <= len(lines) + 1, path


def test_positions_count_lines_and_columns_from_one() -> None:
    positions = parse_document("a:\n  - b: 1\n    c: |\n      text\n", first_line=10).positions
    assert (positions.find(("a",)).line, positions.find(("a",)).column) == (10, 1)
    place = positions.find(("a", 0, "b"))
    assert (place.line, place.column, place.value_line, place.value_column) == (11, 5, 11, 8)
    assert positions.find(("a", 0, "c")).is_block
    assert positions.find(("a", 0, "missing", "deeper")).line == 11
    assert Positions().find(("a",)).line == 0


def test_a_cell_counts_lines_from_where_its_body_begins() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("name: x\nbatch: {size: 0, total_items: 1}\n", base_dir=".", first_line=2)
    assert (caught.value.problems[0].file, caught.value.problems[0].line) == ("<cell>", 3)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_job_file_gives_its_own_directory_to_relative_paths(tmp_path: Path) -> None:
    file = tmp_path / "jobs" / "job.yaml"
    file.parent.mkdir()
    file.write_text(HEAD + "workspace: ../out\nbackend: {working_directory: repo}\n", encoding="utf-8")
    loaded = load_job(file)
    assert loaded.base_dir == tmp_path / "jobs"
    assert loaded.workspace_path == tmp_path / "out"
    assert loaded.working_directory == tmp_path / "jobs" / "repo"
    assert loaded.resolve("/a/../b") == Path("/b")
    assert loaded.resolve("~/x") == Path.home() / "x"
    assert loaded.resolve("~nobody-of-this-name/x").name == "x"


def test_the_working_directory_is_the_job_files_unless_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.yaml").write_text(HEAD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    loaded = load_job("job.yaml")
    assert loaded.working_directory == tmp_path
    assert loaded.file == "job.yaml"


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(HEAD.encode() + "description: café\n".encode("latin-1"))
    for path, message in (
        (tmp_path / "missing.yaml", "no such file"),
        (tmp_path, "directory"),
        (latin, "not UTF-8"),
        (tmp_path / "x.yaml" / "y.yaml", "no such file"),
    ):
        with pytest.raises(UnreadableError, match=message) as caught:
            load_job(path)
        assert caught.value.problems[0].file == str(path)
        assert caught.value.code == "E502"
    with pytest.raises(UnreadableError) as caught:
        load_job(latin)
    assert caught.value.problems[0].line == 4


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert load_job(file).config == load(HEAD).config


def test_disk_files_answer_for_names_that_no_file_can_have(tmp_path: Path) -> None:
    assert not DiskFiles().exists(tmp_path / "a\0b")
    assert not DiskFiles().is_dir(tmp_path / "a\0b")
    assert DiskFiles().is_dir(tmp_path)


# --- whatever is in the file ------------------------------------------------------------------------------------------

_top = st.sampled_from([*keys_of(JobConfig), *JobConfig.SYNONYMS, "bogus"])
_below = st.sampled_from(sorted({key for model in sections() for key in (*keys_of(model), *model.SYNONYMS)}))
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["ok", "json"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_below | st.integers(-1, 9), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(_top, _anything, max_size=5))
def test_any_mapping_loads_or_is_explained(data: dict[str, Any]) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        load_mapping({"name": "x", "batch": {"size": 1, "total_items": 2}, **data}, base_dir="/jobs")
    except ConfigError as error:
        problems = error.problems
    assert all(problem.message and "{path}" not in problem.message for problem in problems)


@given(st.text(alphabet="name: x\n-[]{}&*!|>'\"#,?%@`\t\\1", max_size=60))
def test_any_text_loads_or_is_explained(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.problems


# --- overrides --------------------------------------------------------------------------------------------------------


def test_overrides_are_yaml_values_at_a_path() -> None:
    raw = {"name": "x", "validations": [{"type": "file_exists", "path": "a"}]}
    changed = apply_overrides(
        raw,
        [
            "retry.max_retries=5",
            "retry.jitter=no",
            "backend.tools=[Bash, Read]",
            "validations.0.path=b = c",
            "validations.1.type=file_modified",
            "backend.timeout_overrides.3=60",
            "description=",
        ],
    )
    assert changed == {
        "name": "x",
        "retry": {"max_retries": 5, "jitter": False},
        "backend": {"tools": ["Bash", "Read"], "timeout_overrides": {3: 60}},
        "validations": [{"type": "file_exists", "path": "b = c"}, {"type": "file_modified"}],
        "description": "",
    }
    assert raw == {"name": "x", "validations": [{"type": "file_exists", "path": "a"}]}


def test_an_override_may_use_either_word_for_a_batch() -> None:
    sheets = "name: x\nsheet: {size: 1, total_items: 4}\nprompt: {template: go}\n"
    assert load(sheets, overrides=["batch.size=2"]).config.batch.size == 2
    assert load(HEAD, overrides=["sheet.size=20"]).config.batch.size == 20
    overridden = load(HEAD, overrides=["backend.sheet_overrides.2.cli_model=opus"])
    assert overridden.config.backend.batch_overrides[2].cli_model == "opus"


def test_later_overrides_win() -> None:
    assert load(HEAD, overrides=["batch.size=2", "batch.size=5"]).config.batch.size == 5


@pytest.mark.parametrize(
    "argument", ["retry", "=5", "retry..x=5", "name.first=x", "validations.2.path=x", "validations.x=1", "name=[1"]
)
def test_an_override_that_cannot_be_applied_is_named(argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides({"name": "x", "validations": []}, ["description=ok", argument])
    [problem] = caught.value.problems
    assert problem.file == f"--set {argument}"


def test_a_wrong_value_from_an_override_points_at_the_override_not_at_the_file() -> None:
    problem = only_problem(HEAD + "retry: {max_retries: 2}\n", overrides=["retry.max_retries=lots"])
    assert (problem.file, problem.line, problem.value) == ("--set retry.max_retries=lots", 0, "lots")
    [warning] = load(HEAD, overrides=["retri.max=1"]).warnings
    assert (warning.file, warning.nearest) == ("--set retri.max=1", "retry")


@given(st.integers(0, 10_000), st.sampled_from(["retry.max_retries", "retry.max_completion_attempts"]))
def test_an_override_of_a_number_arrives(number: int, path: str) -> None:
    loaded = load(HEAD, overrides=[f"{path}={number}"])
    assert getattr(loaded.config.retry, path.rpartition(".")[2]) == number


@given(st.text(max_size=30))
def test_any_text_written_as_yaml_arrives_as_an_override(text: str) -> None:
    assert parse_value(json.dumps(text)) == text


# --- frozen configs and digests ---------------------------------------------------------------------------------------


def test_a_frozen_job_is_plain_json_and_thaws_to_the_same_config() -> None:
    loaded = load(EARLIER_KEYS.replace("http://127.0.0.1/", "${HOOK}").replace("{a: b}", "{a: '${KEY}'}"))
    frozen = json.loads(json.dumps(freeze(loaded)))
    thawed = thaw(frozen)
    assert thawed.config == loaded.config
    assert (thawed.base_dir, thawed.file, thawed.source_text) == (loaded.base_dir, loaded.file, loaded.source_text)
    assert config_digest(thawed.config) == config_digest(loaded.config)
    assert thaw(frozen, "/moved").workspace_path == Path("/moved/w")


def test_a_frozen_job_of_another_format_is_refused() -> None:
    frozen = freeze(load(HEAD))
    with pytest.raises(ConfigError, match="version"):
        thaw({**frozen, "format": 99})
    with pytest.raises(ConfigError, match="max_retries"):
        thaw({**frozen, "config": {**frozen["config"], "retry": {"max_retries": -1}}})


def changed(text: str, **options: Any) -> tuple[bool, bool]:
    before, after = load(HEAD).config, load(HEAD + text, **options).config
    return config_digest(before) != config_digest(after), work_digest(before) != work_digest(after)


@pytest.mark.parametrize(
    ("text", "changes_config", "changes_work"),
    [
        ("# a comment\n", False, False),
        ("retry: {max_retries: 3}\n", False, False),
        ("description: other words\n", False, False),
        ("logging: {level: DEBUG}\n", False, False),
        ("retry: {max_retries: 9}\n", True, False),
        ("parallel: {enabled: true}\n", True, False),
        ("backend: {timeout_seconds: 99}\n", True, False),
        ("rehearsal: {seed: 3}\n", True, False),
        ("backend: {cli_model: haiku}\n", True, True),
        ("backend: {type: rehearsal}\n", True, True),
        ("validations: [{type: file_exists, path: x}]\n", True, True),
        ("workspace: elsewhere\n", True, True),
    ],
)
def test_digests_change_with_what_matters(text: str, changes_config: bool, changes_work: bool) -> None:
    assert changed(text) == (changes_config, changes_work)


def test_digests_cover_the_texts_that_the_config_only_names() -> None:
    config = load(HEAD).config
    digests = {
        digest(config, contents) for digest in (config_digest, work_digest) for contents in ({}, {"a": "1"}, {"a": "2"})
    }
    assert len(digests) == 6
    assert config_digest(config) == config_digest(config, {})


def test_both_words_for_a_batch_give_one_digest() -> None:
    assert config_digest(load(HEAD).config) == config_digest(load(HEAD.replace("batch:", "sheet:")).config)
    assert isinstance(load(HEAD).config, JobConfig)
