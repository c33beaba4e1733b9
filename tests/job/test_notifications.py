"""Notifications in job files: where settings may stand, what is a mistake, and what no other file repeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from mozart_nb.errors import ConfigError, Problem
from mozart_nb.job.frozen import config_digest, freeze, thaw
from mozart_nb.job.load import LoadedJob, load_text
from mozart_nb.job.notifications import KEPT_OUT, TEXT_VARIABLES, NotificationEvent, is_kept_out

HEAD = "name: sample\nbatch: {size: 10, total_items: 100}\nprompt: {template: go}\n"
SECRET = "http://127.0.0.1/services/T000/B000/XXXX"


def load(text: str) -> LoadedJob:
    return load_text(HEAD + text, base_dir="/jobs", file_name="job.yaml")


def problem_of(text: str) -> Problem:
    with pytest.raises(ConfigError) as caught:
        load(text)
    [problem] = caught.value.problems
    return problem


def frozen(text: str) -> tuple[str, LoadedJob]:
    """What is written of a job, and what is read again."""
    kept = json.dumps(freeze(load(text)))
    return kept, thaw(json.loads(kept))


def test_settings_may_stand_beside_the_type_or_in_config() -> None:
    text = "notifications: [{type: webhook, config: {url_env: A, timeout: 5, headers: {a: 1, b: 2}}, headers: {b: 3}}]"
    [channel] = load(text).config.notifications
    assert (channel.settings.url_env, channel.timeout_seconds) == ("A", 5)
    assert channel.settings.headers == {"a": "1", "b": "3"}
    [channel] = load(
        "notifications: [{type: webhook, url_env: A, timeout: 7, config: {timeout: 5}}]"
    ).config.notifications
    assert channel.timeout_seconds == 7


def test_an_unknown_key_in_config_is_reported_with_the_one_that_was_meant() -> None:
    [warning] = load("notifications:\n  - {type: webhook, url_env: A, config: {max_retry: 1}}").warnings
    assert (warning.code, warning.line, warning.nearest) == ("V108", 5, "max_retries")


@pytest.mark.parametrize(
    ("channel", "path", "message"),
    [
        ("{type: webhook}", "notifications.0", "needs an address"),
        ("{type: webhook, url: 'file:///etc/passwd'}", "notifications.0.url", "no address"),
        ("{type: slack, webhook_url: hooks}", "notifications.0.webhook_url", "no address"),
        ("{type: webhook, config: {url: ftp}}", "notifications.0.config.url", "no address"),
        ("{type: slack, template: '{{ job_nam }}'}", "notifications.0.template", "unknown variable `job_nam`"),
        ("{type: slack, template: '{{ job_name'}", "notifications.0.template", "line 1"),
        ("{type: slack, template: {job_failed: '{% if %}'}}", "notifications.0.template.job_failed", "line 1"),
        ("{type: slack, timeout: 0}", "notifications.0.timeout", ""),
        ("{type: slack, max_retries: -1}", "notifications.0.max_retries", ""),
    ],
)
def test_a_mistake_is_found_where_it_stands(channel: str, path: str, message: str) -> None:
    problem = problem_of(f"notifications: [{channel}]\n")
    assert problem.path == path
    assert message in problem.message
    assert problem.line == 4


def test_a_template_may_be_one_text_or_one_for_each_event() -> None:
    text = "notifications: [{type: slack, template: {sheet_failed: 'batch {{ batch_num }}', job_complete: done}}]"
    [channel] = load(text).config.notifications
    assert channel.settings.template == {"batch_failed": "batch {{ batch_num }}", "job_complete": "done"}


LITERALS: dict[str, str] = {
    "beside": f"notifications:\n- type: slack\n  webhook_url: {SECRET}  # {SECRET}\nlogging: {{level: INFO}}\n",
    "in config": f"notifications:\n  - {{type: webhook, config: {{url: '{SECRET}', headers: {{X-Key: {SECRET}}}}}}}\n",
    "folded": 'notifications:\n  - type: webhook\n    url: "http://127.0.0.1/services/\\\n      T000/B000/XXXX"\n',
    "by an anchor": f"description: &here {SECRET}\nnotifications: [{{type: slack, webhook_url: *here}}]\n",
}


@pytest.mark.parametrize("text", LITERALS.values(), ids=LITERALS.keys())
def test_a_frozen_plan_holds_no_address_and_no_header_of_the_job_file(text: str) -> None:
    kept, thawed = frozen(text)
    if "description" not in text:  # a secret that is used as something else, too, is not one
        assert "B000" not in kept
    assert is_kept_out(thawed.config.notifications[0])
    assert config_digest(thawed.config) == config_digest(load(text).config)
    assert len(thawed.source_text.splitlines()) == len((HEAD + text).splitlines())
    assert "prompt: {template: go}" in thawed.source_text


WRITTEN_OTHERWISE: dict[str, str] = {
    "escaped in one line": HEAD + "? notifications\n: [{type: webhook, url: "
    '"http:\\/\\/127.0.0.1\\/services/T000\\/B000\\/XXXX"}]\n',
    "a key of its own form": HEAD + '? notifications\n: - type: webhook\n    url: "http://127.0.0.1/services/\\\n'
    '      T000/B000/XXXX"\n',
    "short": HEAD + "? notifications\n: [{type: webhook, url_env: A, headers: {X-Key: B000}}]\n",
    "brackets at the margin": HEAD + "notifications: [\n{type: webhook, url_env: A, headers: {X-Key: B000}}\n]\n",
}


@pytest.mark.parametrize("text", WRITTEN_OTHERWISE.values(), ids=WRITTEN_OTHERWISE.keys())
def test_a_literal_that_the_file_writes_in_another_way_is_in_no_plan_either(text: str) -> None:
    loaded = load_text(text, base_dir=".", file_name="job.yaml")
    kept = freeze(loaded)
    assert "B000" not in json.dumps(kept)
    assert thaw(json.loads(json.dumps(kept))).place_of(("prompt", "template"))


def test_what_names_the_environment_is_kept_as_it_is() -> None:
    text = "notifications: [{type: webhook, url: 'https://${HOST}/x', headers: {A: 'Bearer ${T}', Accept: text/plain}}]"
    _, thawed = frozen(text)
    assert thawed.config == load(text).config
    assert not is_kept_out(thawed.config.notifications[0])
    assert thawed.source_text == load(text).source_text


def test_a_frozen_plan_can_be_frozen_again() -> None:
    kept, thawed = frozen(LITERALS["beside"])
    again = freeze(thawed)
    assert again["config"] == json.loads(kept)["config"]
    assert again["config"]["notifications"][0]["webhook_url"] == KEPT_OUT


def test_email_is_known_and_named_as_not_supported() -> None:
    [warning] = load("notifications: [{type: email}]").warnings
    assert warning.code == "V119"


def test_the_keys_of_the_earlier_tool_are_all_known() -> None:
    text = (
        "notifications:\n"
        "  - {type: webhook, on_events: [job_start, sheet_failed], config: {url: 'https://127.0.0.1/', headers: {},\n"
        "     timeout: 30, max_retries: 2, retry_delay: 1.0, include_metadata: true}}\n"
        "  - {type: slack, config: {webhook_url_env: S, channel: '#a', username: U, icon_emoji: ':x:', timeout: 10}}\n"
        "  - {type: desktop, config: {app_name: A, timeout: 10}}\n"
    )
    assert load(text).warnings == ()


def test_the_documentation_names_every_event_and_every_variable_of_a_text() -> None:
    page = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text(encoding="utf-8")
    words = [*get_args(NotificationEvent), *TEXT_VARIABLES]
    assert [word for word in words if f"`{word}`" not in page] == []
