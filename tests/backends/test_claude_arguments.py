from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.obedient import write_obedient

from mozart_nb.backends._claude_environment import RECORDED_VERSION, login_state
from mozart_nb.backends.claude_cli import ClaudeCliBackend, build_argv, build_environment, build_prompt
from mozart_nb.clock import SystemClock
from mozart_nb.engine.ports import SessionRequest
from mozart_nb.job.backends import CLI_FIELDS, BackendConfig

MakeRequest = Callable[..., SessionRequest]


def argv(make_request: MakeRequest, **options: object) -> list[str]:
    return build_argv(make_request(options=options, session_id="s-1"))


# --- arguments --------------------------------------------------------------------------------------------------------


def test_the_shortest_command_line(make_request: MakeRequest):
    assert argv(make_request) == [
        "claude",
        "-p",
        *("--output-format", "stream-json", "--verbose"),
        "--dangerously-skip-permissions",
        "--strict-mcp-config",
        *("--session-id", "s-1"),
    ]


def test_a_job_file_without_settings_gives_the_shortest_command_line(make_request: MakeRequest):
    options = BackendConfig().model_dump(mode="json")
    assert argv(make_request, **options) == argv(make_request)


def test_every_setting_reaches_the_command_line(make_request: MakeRequest):
    settings = {
        "cli_path": "/opt/claude",
        "permission_mode": "acceptEdits",
        "disable_mcp": False,
        "bare": True,
        "setting_sources": ["user", "project"],
        "cli_model": "claude-sonnet-5",
        "fallback_model": "haiku",
        "allowed_tools": ["Bash(git *)", "Read"],
        "tools": ["Bash", "Read"],
        "max_turns": 30,
        "max_budget_usd": 2.5,
        "system_prompt_file": "/tmp/system.md",
        "append_system_prompt": "- be brief",
        "cli_extra_args": ["--effort", "low"],
    }
    unused = CLI_FIELDS - settings.keys()
    assert unused == {"env", "output_format", "skip_permissions"}, "these do not belong on a command line"
    line = argv(make_request, **BackendConfig.model_validate(settings).model_dump(mode="json"))
    assert line == [
        "/opt/claude",
        *("-p", "--output-format", "stream-json", "--verbose"),
        *("--permission-mode", "acceptEdits"),
        "--bare",
        *("--setting-sources", "user,project"),
        *("--model", "claude-sonnet-5"),
        *("--fallback-model", "haiku"),
        *("--tools", "Bash,Read"),
        *("--max-turns", "30"),
        *("--max-budget-usd", "2.5"),
        *("--system-prompt-file", "/tmp/system.md"),
        *("--append-system-prompt", "- be brief"),
        *("--allowedTools", "Bash(git *),Read"),
        *("--session-id", "s-1"),
        *("--effort", "low"),
    ]


def test_empty_lists_mean_none_where_that_says_something(make_request: MakeRequest):
    line = argv(make_request, tools=[], setting_sources=[], allowed_tools=[])
    assert line[line.index("--tools") + 1] == ""
    assert line[line.index("--setting-sources") + 1] == ""
    assert "--allowedTools" not in line


def test_permissions_are_asked_for_when_the_job_wants_that(make_request: MakeRequest):
    assert "--dangerously-skip-permissions" not in argv(make_request, skip_permissions=False)
    assert "--dangerously-skip-permissions" not in argv(make_request, permission_mode="plan")


def test_the_model_of_the_api_backends_is_not_the_programs(make_request: MakeRequest):
    assert "--model" not in argv(make_request, model="claude-sonnet-5")


def test_a_continued_session_gets_every_flag_again(make_request: MakeRequest):
    request = make_request(options={"tools": ["Bash"], "cli_model": "m"}, session_id="s-1", continues=True)
    first, again = build_argv(make_request(options=request.options, session_id="s-1")), build_argv(request)
    assert again == ["--resume" if arg == "--session-id" else arg for arg in first]


def test_the_prompt_is_no_argument(make_request: MakeRequest):
    assert not [arg for arg in build_argv(make_request("--frobnicate the widgets")) if "frobnicate" in arg]


def sent_schema(make_request: MakeRequest, schema: object, **fields: object) -> object:
    line = build_argv(make_request(answer_schema=schema, **fields))
    return json.loads(line[line.index("--json-schema") + 1]) if "--json-schema" in line else None


def test_the_form_of_the_answer_is_an_argument(make_request: MakeRequest):
    schema = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "$defs": {"N": {"type": "integer"}}}
    assert sent_schema(make_request, schema) == schema


def test_what_the_program_cannot_read_in_a_schema_is_left_out(make_request: MakeRequest):
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "x-ours": True,
        "properties": {
            "format": {"type": "string", "format": "date"},
            "code": {"type": "string", "pattern": "^[A-Z]{2}\\d+$"},
            "name": {"type": "string", "pattern": r"^\p{L}+$"},
            "pair": {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        },
        "additionalProperties": False,
    }
    assert sent_schema(make_request, schema) == {
        "type": "object",
        "properties": {
            "format": {"type": "string"},
            "code": {"type": "string", "pattern": "^[A-Z]{2}\\d+$"},
            "name": {"type": "string"},
            "pair": {"type": "array"},
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "$id": "https://example.org/s", "properties": {"n": {"$ref": "/s#/x"}}},
        {"type": "object", "properties": {"n": {"$ref": "#anchor"}}},
        {"type": "object", "description": "x" * 200_000},
    ],
)
def test_a_schema_the_program_could_make_nothing_of_is_left_to_the_prompt(make_request: MakeRequest, schema: object):
    assert sent_schema(make_request, schema) is None


def test_a_schema_among_the_extra_arguments_counts(make_request: MakeRequest):
    own = {"cli_extra_args": ["--json-schema", "{}"]}
    assert sent_schema(make_request, {"type": "object"}, options=own) == {}


@pytest.mark.parametrize(
    ("prompt", "sent"),
    [
        ("hello\n", b"hello\n"),
        ("/clear", b"\n/clear"),
        ("/usr/bin/python is broken", b"\n/usr/bin/python is broken"),
        (" /clear", b" /clear"),
        ("-x", b"-x"),
        ("", b""),
        ("é\ud83d", "é?".encode()),
    ],
)
def test_a_prompt_is_sent_as_it_is_unless_it_would_be_taken_for_a_command(prompt: str, sent: bytes):
    assert build_prompt(prompt) == sent


# --- environment ------------------------------------------------------------------------------------------------------


def test_only_the_allow_list_is_inherited(make_request: MakeRequest):
    inherited = dict.fromkeys(
        "PATH HOME LANG LC_ALL TMPDIR SSH_AUTH_SOCK ANTHROPIC_API_KEY ANTHROPIC_BASE_URL AWS_PROFILE HTTPS_PROXY "
        "no_proxy GOOGLE_CLOUD_PROJECT NODE_EXTRA_CA_CERTS GIT_AUTHOR_NAME CLAUDE_CONFIG_DIR CLAUDE_CODE_OAUTH_TOKEN "
        "IS_SANDBOX".split(),
        "kept",
    )
    others = dict.fromkeys(
        "CLAUDECODE CLAUDE_CODE_SESSION_ID CLAUDE_CODE_ENTRYPOINT OPENAI_API_KEY DATABASE_URL GITHUB_TOKEN LD_PRELOAD "
        "MOZART_NB_MARKER API_TIMEOUT_MS".split(),
        "dropped",
    )
    environment = build_environment(make_request(marker="m-1"), {**inherited, **others})
    assert inherited.items() <= environment.items()
    assert "dropped" not in environment.values()
    assert environment["MOZART_NB_MARKER"] == "m-1"


def test_the_program_is_kept_quiet_bounded_and_forgetful(make_request: MakeRequest):
    assert build_environment(make_request(marker="m"), {}) == {
        "API_TIMEOUT_MS": "120000",
        "BASH_DEFAULT_TIMEOUT_MS": "120000",
        "BASH_MAX_TIMEOUT_MS": "600000",
        "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "2",
        "DISABLE_TELEMETRY": "1",
        "MOZART_NB_MARKER": "m",
    }


def test_the_jobs_own_variables_win_over_all_but_the_marker(make_request: MakeRequest):
    own = {"CLAUDE_CODE_MAX_RETRIES": "9", "PATH": "/mine", "EXTRA": "x", "MOZART_NB_MARKER": "theirs"}
    environment = build_environment(make_request(options={"env": own}, marker="m"), {"PATH": "/bin"})
    assert {name: environment[name] for name in own} == {**own, "MOZART_NB_MARKER": "m"}


def test_being_a_sandbox_is_never_claimed_by_us(make_request: MakeRequest):
    assert "IS_SANDBOX" not in build_environment(make_request(), {"PATH": "/bin"})


# --- health -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "state"),
    [
        ({}, "unknown"),
        ({"ANTHROPIC_API_KEY": ""}, "unknown"),
        ({"ANTHROPIC_API_KEY": "k"}, "ANTHROPIC_API_KEY"),
        ({"ANTHROPIC_AUTH_TOKEN": "k"}, "ANTHROPIC_AUTH_TOKEN"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "k"}, "CLAUDE_CODE_OAUTH_TOKEN"),
        ({"CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_API_KEY": "k"}, "Bedrock"),
        ({"CLAUDE_CODE_USE_VERTEX": "1"}, "Vertex"),
        ({"CLAUDE_CODE_USE_VERTEX": "0"}, "unknown"),
    ],
)
def test_the_login_is_told_from_the_environment(environment: dict[str, str], state: str, tmp_path: Path):
    assert login_state({"HOME": str(tmp_path), **environment}) == state


@pytest.mark.parametrize("place", ["HOME", "CLAUDE_CONFIG_DIR"])
@pytest.mark.parametrize(
    ("name", "text", "state"),
    [
        (".credentials.json", "{}", "credentials file"),
        ("settings.json", '{"apiKeyHelper": "/bin/key"}', "apiKeyHelper"),
        ("settings.json", '{"model": "opus"}', "unknown"),
        ("settings.json", "{broken", "unknown"),
    ],
)
def test_the_login_is_told_from_files(place: str, name: str, text: str, state: str, tmp_path: Path):
    folder = tmp_path / ".claude" if place == "HOME" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    assert login_state({place: str(tmp_path)}) == state


def backend(environ: dict[str, str], **options: object) -> ClaudeCliBackend:
    return ClaudeCliBackend(SystemClock(), environ, options)


async def test_a_missing_program_is_not_healthy():
    on_path = await backend({"PATH": "/nowhere"}).check()
    by_name = await backend({}, cli_path="/nowhere/claude").check()
    assert (on_path.ok, on_path.code, by_name.ok, by_name.code) == (False, "E503", False, "E503")
    assert "PATH" in on_path.message
    assert "/nowhere/claude" in by_name.message


async def test_another_version_than_the_recorded_one_is_told_and_no_error(tmp_path: Path):
    program = write_obedient(tmp_path)
    health = await backend({"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, cli_path=program).check()
    assert (health.ok, health.code, health.facts["version"], health.facts["login"]) == (True, "", "0.0.1", "unknown")
    assert RECORDED_VERSION in health.message


@pytest.mark.parametrize("body", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\n", "no program at all"])
async def test_a_program_that_does_not_answer_is_not_healthy(body: str, tmp_path: Path):
    (tmp_path / "claude").write_text(body)
    (tmp_path / "claude").chmod(0o755)
    health = await backend({"PATH": f"{tmp_path}:/bin"}).check()
    assert (health.ok, health.code) == (False, "E503")


@pytest.mark.real_claude
async def test_the_real_program_is_healthy(claude_path: str, claude_env: dict[str, str], api):
    health = await backend(claude_env, cli_path=claude_path).check()
    assert (health.ok, health.facts["login"]) == (True, "ANTHROPIC_API_KEY")
    assert health.facts["version"].count(".") == 2
    assert api.calls == [], "a check asks nobody"
