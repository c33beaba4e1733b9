"""Why Claude cannot be reached, as far as that can be told from here. Guidance only: nobody logs in for a person.

The login commands are those of the `claude` program 2.1.197 (`claude --help`, and what it prints when nobody is logged
in). No value of a variable is ever named, only whether it is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mozart_nb.healing.remedy import Case, Finding, Site

_PROGRAM: Final = "claude"
_USUAL_FOLDERS: Final = ("~/.local/bin", "~/.claude/local", "/usr/local/bin", "/opt/homebrew/bin", "~/.npm-global/bin")
_CLOUDS: Final = {
    "CLAUDE_CODE_USE_BEDROCK": "Bedrock (AWS credentials)",
    "CLAUDE_CODE_USE_VERTEX": "Vertex (Google credentials)",
    "CLAUDE_CODE_USE_FOUNDRY": "Foundry (Azure credentials)",
}
_KEYS: Final = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")
_LOG_IN: Final = "run `claude` and type /login, or put what `claude setup-token` prints into CLAUDE_CODE_OAUTH_TOKEN"


# --- authentication ---------------------------------------------------------------------------------------------------


def find_login(case: Case) -> Finding | None:
    """Which login was tried, and how to give a better one."""
    backend = case.site.config.backend
    then = f"then `mozart resume {case.ailment.job_id}`."
    if backend.type == "claude_cli":
        cause, advice = _of_program(case.site)
    elif backend.type in ("anthropic_api", "anthropic_batches"):
        cause, advice = _of_api(case.site, str(getattr(backend, "api_key_env", None) or "ANTHROPIC_API_KEY"))
    else:
        return None
    return Finding(cause=cause, advice=f"{advice}, {then}")


def _of_api(site: Site, name: str) -> tuple[str, str]:
    if not site.environ.get(name):
        return f"{name}, which holds the key (backend.api_key_env), is not set", f"Set {name} to a valid API key"
    return (
        f"the key in {name} (backend.api_key_env) was refused",
        f"Put a valid key with access to the model into {name}",
    )


def _of_program(site: Site) -> tuple[str, str]:
    cloud = next((label for name, label in _CLOUDS.items() if site.environ.get(name, "") not in ("", "0")), "")
    if cloud:
        return f"sessions log in through {cloud}, and were refused", "Renew those credentials"
    used = next((name for name in _KEYS if site.environ.get(name)), "")
    if used:
        where = "backend.env" if used in site.config.backend.env else "the environment"
        better = "Put a valid one there" if used == "CLAUDE_CODE_OAUTH_TOKEN" else "Put a valid key there"
        return f"sessions log in with {used} from {where}, and it was refused", f"{better}, or unset it and {_LOG_IN}"
    folder = site.environ.get("CLAUDE_CONFIG_DIR") or f"{site.environ.get('HOME', '~')}/.claude"
    if Path(folder, ".credentials.json").is_file():
        return f"the login of the program in {folder} was refused or has expired", f"Log in again: {_LOG_IN}"
    return (
        f"none of {', '.join(_KEYS)} is set, and there is no login of the program in {folder}",
        f"Log in: {_LOG_IN}; or set ANTHROPIC_API_KEY",
    )


# --- the program ------------------------------------------------------------------------------------------------------


def find_program(case: Case) -> Finding | None:
    """Where the program was looked for, and where there is one."""
    site = case.site
    if site.config.backend.type != "claude_cli":
        return None
    given = site.config.backend.cli_path
    if given and Path(given).name != given:
        return _given(site, given)
    name = given or _PROGRAM
    folders = [folder for folder in site.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    searched = ", ".join(f"{folder}{'' if Path(folder).is_dir() else ' (no such folder)'}" for folder in folders)
    return Finding(
        cause=f"there is no working program `{name}` on PATH, which is: {searched or 'empty'}",
        advice=_remedy_for(site, name, folders),
    )


def _given(site: Site, given: str) -> Finding:
    path = Path(site.working_directory, Path(given).expanduser())
    if not path.exists():
        cause = f"backend.cli_path names {path}, where nothing is"
    elif not os.access(path, os.X_OK) or path.is_dir():
        cause = f"backend.cli_path names {path}, which is no program that may be run"
    else:
        cause = f"backend.cli_path names {path}, which does not answer to --version"
    return Finding(cause=cause, advice=_remedy_for(site, path.name, []))


def _remedy_for(site: Site, name: str, searched: list[str]) -> str:
    home = site.environ.get("HOME", "")
    for path in (Path(folder, name) for folder in searched):
        if path.is_file() and not os.access(path, os.X_OK):
            return f"{path} may not be executed: `chmod +x {path}`, then resume."
    found = next(_installed(name, home), None)
    if found is not None:
        return f"There is one at {found}: set backend.cli_path to it or add its folder to PATH, then resume."
    return "Install it (https://code.claude.com) or set backend.cli_path, then resume; `mozart doctor` looks again."


def _installed(name: str, home: str) -> Iterator[Path]:
    for folder in _USUAL_FOLDERS:
        path = Path(folder.replace("~", home, 1) if folder.startswith("~") else folder, name)
        if path.is_file() and os.access(path, os.X_OK):
            yield path
