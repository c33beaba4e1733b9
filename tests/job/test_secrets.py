"""Which values a process knows to be secret."""

from __future__ import annotations

from typing import Any

import pytest

from mozart_nb.job.model import JobConfig
from mozart_nb.job.secrets import secrets_of, secrets_of_environment

ENV = {
    "ANTHROPIC_API_KEY": "anthropic-key-1",
    "TEAM_KEY": "team-key-2",
    "HOOK": "https://hooks.example/one",
    "TOKEN_OF_HOOK": "header-token-3",
    "MAX_TOKENS": "8192",
    "GOOGLE_APPLICATION_CREDENTIALS": "/home/ada/key.json",
    "SSH_PRIVATE_KEY": "~/.ssh/id",
    "KEYBOARD": "us",
}


def config(**sections: Any) -> JobConfig:
    head = {"name": "x", "batch": {"size": 1, "total_items": 1}}
    return JobConfig.model_validate({**head, **sections})


def found(job: JobConfig) -> set[str]:
    return {value for value in secrets_of(job, ENV) if value}


def test_variables_that_hold_keys_are_known_by_the_last_words_of_their_names() -> None:
    assert set(secrets_of_environment(ENV)) == {"anthropic-key-1"}
    env = {"GITHUB_TOKEN": "a", "AWS_SECRET_ACCESS_KEY": "b", "DB_PASSWORD": "c", "XTOKEN": "d", "TOKENS": "e"}
    assert set(secrets_of_environment(env)) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "name",
    ["PGPASSWORD", "MYSQL_PWD", "DB_PASS", "GH_PAT", "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE", "AZURE_CONNECTION_STRING"],
)
def test_passwords_go_by_many_names(name: str) -> None:
    assert list(secrets_of_environment({name: "hush"})) == ["hush"]


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "COMPASS", "BYPASS", "SPAT"])
def test_words_that_end_alike_are_no_passwords(name: str) -> None:
    assert list(secrets_of_environment({name: "hush"})) == []


def test_what_is_called_a_key_is_one_when_it_looks_like_one() -> None:
    env = {"OPENAI_KEY": "Ab3dEf6hIj9lMn2pQr5t", "SORT_KEY": "created_at_of_the_order", "PRIMARY_KEY": "id"}
    assert list(secrets_of_environment(env)) == ["Ab3dEf6hIj9lMn2pQr5t"]


def test_a_key_that_begins_like_a_path_is_known() -> None:
    env = {
        "AWS_SECRET_ACCESS_KEY": "/wJalrXUtnFEMI7MDENG+bPxRfiCYEXAMPLEKEY0",
        "API_TOKEN": "/run/secrets/token-of-2024",
    }
    assert list(secrets_of_environment(env)) == [env["AWS_SECRET_ACCESS_KEY"]]


def test_headers_for_the_service_from_the_environment_are_known() -> None:
    env = {"ANTHROPIC_CUSTOM_HEADERS": "X-Team: red\nX-Api-Key: header-key-9\nbroken"}
    assert set(secrets_of_environment(env)) == {"header-key-9"}


def test_the_key_of_a_job_is_what_its_variable_holds() -> None:
    assert found(config()) == {"anthropic-key-1"}
    backend = {"type": "anthropic_api", "api_key_env": "TEAM_KEY", "env": {"OTHER_TOKEN": "given-4", "MODE": "fast"}}
    assert found(config(backend=backend)) == {"team-key-2", "given-4"}


def test_addresses_of_channels_are_secret_wherever_they_stand() -> None:
    channels = [
        {"type": "slack", "webhook_url": "https://hooks.example/two"},
        {"type": "webhook", "url_env": "HOOK"},
        {"type": "webhook", "config": {"url": "https://hooks.example/three"}},
        {"type": "desktop"},
    ]
    addresses = {f"https://hooks.example/{name}" for name in ("one", "two", "three")}
    assert found(config(notifications=channels)) == {*addresses, "anthropic-key-1"}


def test_of_headers_the_variables_are_secret_and_what_belongs_into_an_exact_header() -> None:
    headers = {
        "X-Signed": "v1 ${TOKEN_OF_HOOK}",
        "Authorization": "Bearer literal-5",
        "X-Team": "red",
        "X-Gone": "${NO}",
    }
    channels = [{"type": "webhook", "url": "${HOOK}/x", "headers": headers}]
    values = {"header-token-3", "literal-5", "Bearer literal-5", "https://hooks.example/one/x"}
    assert found(config(notifications=channels)) == {*values, "anthropic-key-1"}
