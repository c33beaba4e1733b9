"""The models of a job file: defaults, limits, and what may not be said together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mozart_nb.job.batch import find_cycle
from mozart_nb.job.model import MAX_JOB_ID_BYTES, JobConfig, count_batches, job_id_of
from mozart_nb.job.names import SYNONYMS, VARIABLES
from mozart_nb.job.schema import sections
from mozart_nb.job.section import Fault


def job(**data: Any) -> JobConfig:
    return JobConfig.model_validate({"name": "sample", "batch": {"size": 10, "total_items": 100}, **data})


def faults_of(**data: Any) -> list[Fault]:
    with pytest.raises(ValidationError) as caught:
        job(**data)
    errors = caught.value.errors()
    return [fault for error in errors for fault in error.get("ctx", {}).get("faults", ())]


# --- defaults ---------------------------------------------------------------------------------------------------------


def test_defaults_are_those_that_the_documentation_promises() -> None:
    config = job()
    assert (config.workspace, config.state_backend, config.pause_between_batches_seconds) == ("./workspace", "json", 0)
    assert (config.backend.type, config.backend.timeout_seconds, config.backend.max_output_capture_bytes) == (
        "claude_cli",
        1800,
        10240,
    )
    assert config.backend.skip_permissions
    assert config.backend.disable_mcp
    assert not config.backend.bare
    assert (config.backend.max_tokens, config.backend.temperature) == (8192, None)
    retry = config.retry
    assert (retry.max_retries, retry.base_delay_seconds, retry.max_delay_seconds) == (3, 10, 3600)
    assert (retry.exponential_base, retry.jitter) == (2, True)
    assert (retry.max_completion_attempts, retry.completion_delay_seconds) == (3, 5)
    assert retry.completion_threshold_percent == 50
    assert (config.rate_limit.wait_minutes, config.rate_limit.max_waits) == (60, 24)
    assert (config.circuit_breaker.failure_threshold, config.circuit_breaker.recovery_timeout_seconds) == (5, 300)
    assert (config.parallel.enabled, config.parallel.max_concurrent, config.parallel.fail_fast) == (False, 3, True)
    assert (config.cross_batch.max_output_chars, config.cross_batch.lookback_batches) == (2000, 3)
    assert (config.stale_detection.enabled, config.stale_detection.idle_timeout_seconds) == (False, 300)
    assert config.rehearsal.latency_seconds == 0.05


def test_a_rule_looks_once_unless_asked_to_look_again() -> None:
    [rule] = job(validations=[{"type": "file_exists", "path": "x"}]).validations
    assert (rule.stage, rule.retry_count, rule.retry_delay_ms, rule.timeout_seconds) == (1, 0, 200, 300)


def test_every_field_of_every_section_says_what_it_is_for() -> None:
    silent = [
        f"{model.__name__}.{name}"
        for model in sections()
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert silent == []
    assert [model.__name__ for model in sections() if not model.__doc__] == []


def test_templates_know_both_words_for_a_batch() -> None:
    assert SYNONYMS.items() == {"sheet_num": "batch_num", "total_sheets": "total_batches"}.items()
    assert {*SYNONYMS, *SYNONYMS.values()} <= VARIABLES


# --- strictness -------------------------------------------------------------------------------------------------------


def test_a_config_cannot_be_changed_once_made() -> None:
    with pytest.raises(ValidationError):
        job().retry.max_retries = 5  # type: ignore[misc]


def test_a_key_that_no_section_has_is_refused_by_the_model_itself() -> None:
    with pytest.raises(ValidationError, match="retries"):
        job(retries={})


@pytest.mark.parametrize("value", [True, False, "many", None, -1, 1.5, float("inf"), float("nan")])
def test_a_count_is_a_whole_number(value: object) -> None:
    with pytest.raises(ValidationError):
        job(retry={"max_retries": value})


@pytest.mark.parametrize(
    ("section", "key", "good", "bad"),
    [
        ("retry", "base_delay_seconds", [0.001, 3600], [0, -1]),
        ("retry", "exponential_base", [1.01, 10], [1, 0.5]),
        ("retry", "completion_threshold_percent", [0.1, 100], [0, 100.1]),
        ("retry", "completion_delay_seconds", [0, 5], [-0.1]),
        ("rate_limit", "wait_minutes", [0.01, 600], [0, -1]),
        ("rate_limit", "max_waits", [1, 1000], [0]),
        ("circuit_breaker", "failure_threshold", [1, 100], [0, 101]),
        ("circuit_breaker", "recovery_timeout_seconds", [0.1, 3600], [0, 3601]),
        ("parallel", "max_concurrent", [1, 11, 500], [0, -3]),
        ("backend", "temperature", [0, 0.5, 1], [-0.1, 1.1]),
        ("backend", "timeout_seconds", [0.1, 1e6], [0]),
        ("cost_limits", "max_cost_per_job", [0.01], [0, -1]),
        ("cost_limits", "warn_at_percent", [1, 100], [0, 101]),
        ("logging", "max_file_size_mb", [0.5, 1000], [0, 1001]),
        ("logging", "backup_count", [0, 100], [-1, 101]),
        ("rehearsal", "latency_seconds", [0, 2], [-1]),
        ("isolation", "branch_prefix", ["a-b_1"], ["1a", "a/b", ""]),
        ("concert", "max_chain_depth", [1, 100], [0, 101]),
    ],
)
def test_limits_of_single_fields(section: str, key: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(getattr(job(**{section: {key: value}}), section), key) == value
    for value in bad:
        with pytest.raises(ValidationError):
            job(**{section: {key: value}})


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [("stage", [1, 10], [0, 11]), ("retry_count", [0, 10], [-1, 11]), ("retry_delay_ms", [0, 5000], [-1, 5001])],
)
def test_limits_of_a_rule(key: str, good: list[int], bad: list[int]) -> None:
    for value in good:
        assert getattr(job(validations=[{"type": "file_exists", key: value}]).validations[0], key) == value
    for value in bad:
        with pytest.raises(ValidationError):
            job(validations=[{"type": "file_exists", key: value}])


def test_the_first_wait_may_not_be_longer_than_the_longest() -> None:
    [fault] = faults_of(retry={"base_delay_seconds": 20, "max_delay_seconds": 10})
    assert fault == (("base_delay_seconds",), "the first wait is longer than the longest wait", "20", fault.allowed)
    assert "10" in fault.allowed


# --- forms that people write ------------------------------------------------------------------------------------------


def test_lists_of_tools_may_be_one_text_with_commas() -> None:
    backend = job(backend={"allowed_tools": "Bash, Read", "tools": "", "setting_sources": "user,project"}).backend
    assert backend.allowed_tools == ("Bash", "Read")
    assert backend.tools == ()
    assert backend.setting_sources == ("user", "project")


def test_environment_variables_and_arguments_may_be_bare_numbers_and_booleans() -> None:
    backend = job(backend={"env": {"PORT": 8080, "DEBUG": True, "RATE": 1.5}, "cli_extra_args": ["-n", 3]}).backend
    assert backend.env == {"PORT": "8080", "DEBUG": "true", "RATE": "1.5"}
    assert backend.cli_extra_args == ("-n", "3")


def test_a_permission_mode_takes_the_place_of_skip_permissions() -> None:
    assert job().backend.asks_no_permission
    assert not job(backend={"skip_permissions": False}).backend.asks_no_permission
    assert not job(backend={"permission_mode": "acceptEdits"}).backend.asks_no_permission
    assert job(backend={"permission_mode": "bypassPermissions"}).backend.asks_no_permission


def test_a_step_of_a_rehearsal_is_a_word_or_a_word_with_details() -> None:
    script = job(rehearsal={"script": {1: ["ok", {"rate_limit": {"wait_seconds": 2}}, {"partial": None}]}}).rehearsal
    first, second, third = script.script[1]
    assert first.kind == "ok"
    assert (second.kind, second.wait_seconds) == ("rate_limit", 2)
    assert (third.kind, third.writes) == ("partial", None)


def test_cost_limits_are_on_when_a_limit_is_given() -> None:
    assert not job().cost_limits.is_active
    assert job(cost_limits={"max_cost_per_job": 5}).cost_limits.is_active
    assert not job(cost_limits={"max_cost_per_job": 5, "enabled": False}).cost_limits.is_active
    assert faults_of(cost_limits={"enabled": True})[0].at == ("enabled",)


@pytest.mark.parametrize(
    "data",
    [
        {"on_success": [{"type": "run_job", "command": "x"}]},
        {"on_success": [{"type": "run_command"}]},
        {"checkpoints": {"enabled": True}},
        {"checkpoints": {"triggers": [{"name": "x"}]}},
        {"rehearsal": {"failures": {"crash": 0.6, "timeout": 0.6}}},
    ],
)
def test_sections_that_could_not_work_are_refused(data: dict[str, Any]) -> None:
    assert len(faults_of(**data)) == 1


def test_notification_events_may_speak_of_sheets() -> None:
    [one] = job(notifications=[{"type": "desktop", "on_events": ["sheet_failed", "job_complete"]}]).notifications
    assert one.on_events == ("batch_failed", "job_complete")


# --- batches ----------------------------------------------------------------------------------------------------------


def test_batches_are_counted_from_the_first_item_to_the_last() -> None:
    assert job().batch.count == 10
    assert job(batch={"size": 10, "total_items": 101}).batch.count == 11
    assert job(batch={"size": 10, "total_items": 100, "start_item": 91}).batch.count == 1


@given(st.integers(1, 500), st.integers(1, 50), st.integers(1, 500))
def test_the_batches_cover_every_item_once(total: int, size: int, start: int) -> None:
    count = count_batches(total, size, start)
    covered = [
        item
        for number in range(1, count + 1)
        for item in range(start + (number - 1) * size, min(start + number * size - 1, total) + 1)
    ]
    assert covered == list(range(start, total + 1))


def test_a_job_without_any_batch_is_an_error() -> None:
    [fault] = faults_of(batch={"size": 10, "total_items": 3, "start_item": 4})
    assert fault.at == ("start_item",)
    assert "no batches" in fault.message


def test_size_and_number_of_items_are_required_unless_rows_come_from_items() -> None:
    assert {fault.at for fault in faults_of(batch={})} == {("batch", "size"), ("batch", "total_items")}
    config = JobConfig.model_validate({"name": "x", "items": {"glob": "*.md"}})
    assert (config.batch.size, config.batch.total_items, config.batch.count) == (1, None, 0)


@pytest.mark.parametrize("items", [{}, {"file": "a.csv", "glob": "*"}])
def test_items_have_exactly_one_source(items: dict[str, str]) -> None:
    assert "exactly one source" in faults_of(items=items)[0].message


def test_template_and_template_file_exclude_each_other() -> None:
    assert faults_of(prompt={"template": "a", "template_file": "b"})[0].at == ("template_file",)


@pytest.mark.parametrize(
    ("dependencies", "at"),
    [
        ({11: [1]}, ("dependencies", 11)),
        ({0: [1]}, ("dependencies", 0)),
        ({2: [1, 12]}, ("dependencies", 2, 1)),
        ({2: [2]}, ("dependencies", 2, 0)),
        ({2: [3], 3: [4], 4: [2]}, ("dependencies", 2)),
    ],
)
def test_dependencies_name_other_batches_that_exist_and_wait_in_no_circle(
    dependencies: dict[int, list[int]], at: tuple[str | int, ...]
) -> None:
    [fault] = faults_of(batch={"size": 10, "total_items": 100, "dependencies": dependencies})
    assert fault.at == at


def test_all_contradictions_between_batches_are_found_at_once() -> None:
    batch = {"size": 2, "total_items": 20, "fan_out": {2: 3, 44: 2}, "dependencies": {3: [3, 99]}}
    assert [fault.at for fault in faults_of(batch=batch)] == [
        ("size",),
        ("fan_out", 44),
        ("dependencies", 3, 0),
        ("dependencies", 3, 1),
    ]


def test_a_chain_of_a_hundred_thousand_dependencies_is_checked_without_recursion() -> None:
    chain = {number: [number - 1] for number in range(2, 100_001)}
    assert find_cycle(chain) == []
    chain[1] = [100_000]
    cycle = find_cycle(chain)
    assert len(cycle) == 100_001
    assert cycle[0] == cycle[-1]


@given(st.dictionaries(st.integers(1, 8), st.lists(st.integers(1, 8), max_size=4), max_size=8))
def test_a_cycle_is_found_exactly_when_no_order_exists(edges: dict[int, list[int]]) -> None:
    cycle = find_cycle(edges)
    for node, following in pairwise(cycle):
        assert following in edges[node]
    assert bool(cycle) == (not _can_be_ordered(edges))


def _can_be_ordered(edges: dict[int, list[int]]) -> bool:
    left = {node: set(needed) for node, needed in edges.items()}
    while left:
        ready = [node for node, needed in left.items() if not needed & left.keys()]
        if not ready:
            return False
        for node in ready:
            del left[node]
    return True


# --- the id -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "job_id"),
    [
        ("my-batch-job", "my-batch-job"),
        ("Review of  552 commits!", "Review-of-552-commits"),
        ("a/../b", "a-.-b"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("v1.2_final", "v1.2_final"),
        ("Übersicht 工作", "Übersicht-工作"),
    ],
)
def test_the_id_is_a_slug_of_the_name(name: str, job_id: str) -> None:
    assert job(name=name).job_id == job_id


@pytest.mark.parametrize("name", ["", ".", "..", "///", "-_-", "  "])
def test_a_name_of_which_nothing_is_left_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        job(name=name)


@given(st.text(max_size=40) | st.text(alphabet="aé工-. /", min_size=40, max_size=400))
def test_an_id_is_one_harmless_file_name(name: str) -> None:
    job_id = job_id_of(name)
    assert len(job_id.encode()) <= MAX_JOB_ID_BYTES
    assert all(char.isalnum() or char in "-_." for char in job_id)
    assert ".." not in job_id
    assert job_id.strip(".-") == job_id
    assert job_id_of(job_id) == job_id


def test_long_names_that_differ_only_at_their_end_have_different_ids() -> None:
    assert job_id_of("x" * 200 + "1") != job_id_of("x" * 200 + "2")
