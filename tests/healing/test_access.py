"""No login, no program: what is said, and that nothing claims to have been healed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from support.anthropic_server import AnthropicServer, refuse
from support.healing import Ward

from mozart_nb.job.load import load_job
from mozart_nb.runtime import Prepared, prepare

REFUSED = """
open_()
say(type="assistant", error="authentication_failed", message={})
done("Invalid API key · Fix external API key", is_error=True, api_error_status=401)
sys.exit(1)
"""


def guidance(ward: Ward) -> str:
    (healing,) = ward.healings
    assert healing.remedy == ""
    return healing.guidance


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"])
def test_the_refused_variable_is_named_and_its_value_is_not(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "the-very-secret")
    batch = ward.run(ward.write(REFUSED), answer=True)
    assert (ward.state.job.code, batch.heals, ward.asked) == ("E501", 1, [])
    said = guidance(ward)
    assert f"sessions log in with {name} from the environment, and it was refused" in said
    assert "/login" in said
    assert "claude setup-token" in said
    assert "the-very-secret" not in said


def test_a_key_of_the_job_file_is_named_as_such(ward: Ward) -> None:
    ward.run(ward.write(REFUSED, backend={"env": {"ANTHROPIC_API_KEY": "the-very-secret"}}))
    assert "ANTHROPIC_API_KEY from backend.env" in guidance(ward)


def test_a_login_that_has_expired_is_named_with_its_folder(ward: Ward) -> None:
    folder = Path(os.environ["CLAUDE_CONFIG_DIR"])
    (folder / ".credentials.json").write_text("{}")
    ward.run(ward.write(REFUSED))
    assert f"the login of the program in {folder} was refused or has expired" in guidance(ward)


def test_without_any_login_all_ways_are_named(ward: Ward) -> None:
    ward.run(ward.write(REFUSED))
    said = guidance(ward)
    assert "none of ANTHROPIC_AUTH_TOKEN, ANTHROPIC_API_KEY, CLAUDE_CODE_OAUTH_TOKEN is set" in said
    assert "mozart resume ailing" in said


def test_credentials_of_a_cloud_are_renewed_there(ward: Ward) -> None:
    ward.run(ward.write(REFUSED, backend={"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}))
    assert "Bedrock" in guidance(ward)


def served(ward: Ward, url: str) -> Prepared:
    backend = {"type": "anthropic_api", "model": "claude-haiku-4-5", "base_url": url, "api_key_env": "TEAM_KEY"}
    job = {"name": "ailing", "workspace": "./ws", "batch": {"size": 1, "total_items": 1}, "backend": backend}
    ward.file.write_text(yaml.safe_dump({**job, "prompt": {"template": "Say something."}}))
    return prepare(load_job(ward.file))


def test_a_key_for_the_api_that_is_not_set_is_named(ward: Ward, api: AnthropicServer) -> None:
    ward.run(served(ward, api.url))
    assert (ward.state.job.code, api.calls) == ("E501", [])
    assert "TEAM_KEY, which holds the key (backend.api_key_env), is not set. Set TEAM_KEY" in guidance(ward)


def test_a_key_that_the_api_refuses_is_named(ward: Ward, api: AnthropicServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", "the-very-secret")
    api.handler = lambda call: refuse(401, "invalid x-api-key")
    ward.run(served(ward, api.url))
    said = guidance(ward)
    assert "the key in TEAM_KEY (backend.api_key_env) was refused" in said
    assert "the-very-secret" not in said


# --- the program ------------------------------------------------------------------------------------------------------


def test_a_missing_program_names_the_path_that_was_searched(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{ward.folder / 'bin'}{os.pathsep}/usr/bin")
    prepared = ward.write("open_(); done()", backend={"cli_path": None})
    ward.run(prepared)
    assert (ward.state.status, ward.state.job.code, ward.sessions) == ("failed", "E503", 0)
    said = guidance(ward)
    assert f"on PATH, which is: {ward.folder / 'bin'} (no such folder), /usr/bin" in said
    assert "backend.cli_path" in said
    assert ward.state.job.remedies == (said,)


def test_a_program_in_a_usual_place_is_pointed_out(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(os.environ["HOME"])
    (home / ".local" / "bin").mkdir(parents=True)
    Path(ward.program).rename(home / ".local" / "bin" / "claude")
    monkeypatch.setenv("PATH", "/usr/bin")
    ward.run(ward.write("open_(); done()", backend={"cli_path": None}))
    assert f"There is one at {home / '.local' / 'bin' / 'claude'}" in guidance(ward)


def test_a_program_that_may_not_be_executed_is_pointed_out(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(ward.program).chmod(0o644)
    monkeypatch.setenv("PATH", f"{ward.folder}{os.pathsep}/usr/bin")
    ward.run(ward.write("open_(); done()", backend={"cli_path": None}))
    assert f"chmod +x {ward.program}" in guidance(ward)


def test_a_program_that_vanishes_between_two_batches_is_diagnosed_too(ward: Ward) -> None:
    template = f"import os\nopen_(); done()\nos.remove({ward.program!r})"
    ward.run(ward.write(template, batch={"size": 1, "total_items": 2}))
    assert (ward.state.job.code, ward.state.status_of(1), ward.state.status_of(2)) == ("E503", "completed", "failed")
    said = guidance(ward)
    assert f"backend.cli_path names {ward.program}, where nothing is" in said


def test_guidance_of_an_earlier_run_is_not_shown_as_that_of_the_next(ward: Ward) -> None:
    program = Path(ward.program)
    program.rename(ward.folder / "away")
    ward.run(ward.write("open_(); done()"))
    assert ward.state.job.remedies
    (ward.folder / "away").rename(program)
    ward.run(ward.again())
    assert (ward.state.status, ward.state.job.remedies) == ("completed", ())
