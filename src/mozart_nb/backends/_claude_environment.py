"""What a `claude` process gets to see of the environment, and what that says about its login."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mozart_nb.backends._text import address_of

RECORDED_VERSION = "2.1.197"
"""The version of the program whose behaviour this backend was built on."""

_INHERITED = frozenset(
    {
        *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SHELL", "USER", "LOGNAME", "SSH_AUTH_SOCK"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY", "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE"),
        *("CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN", "CLOUD_ML_REGION"),
        *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"),
        *("CLAUDE_CODE_SKIP_BEDROCK_AUTH", "CLAUDE_CODE_SKIP_VERTEX_AUTH", "CLAUDE_CODE_SKIP_FOUNDRY_AUTH"),
        # Says that this machine is a sandbox. Handed on where it is set, never set by us.
        "IS_SANDBOX",
        # Without these no program starts on Windows.
        *("SYSTEMROOT", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "WINDIR", "TEMP", "TMP"),
        *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES"),
    }
)
_INHERITED_PREFIXES = ("ANTHROPIC_", "AWS_", "GOOGLE_", "GIT_", "LC_", "VERTEX_REGION_")

_SETTINGS = {
    # No traffic but the sessions' own.
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    # Ten retries, the program's default, make a dead API or a refused key cost three minutes per attempt; retrying is
    # the engine's business. Two is the least with which `--fallback-model` works.
    "CLAUDE_CODE_MAX_RETRIES": "2",
    # Milliseconds until the headers of a response must be there.
    "API_TIMEOUT_MS": "120000",
    # Nothing may outlive the session, and no command may take it along.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "BASH_DEFAULT_TIMEOUT_MS": "120000",
    "BASH_MAX_TIMEOUT_MS": "600000",
    # `@/path` anywhere in a prompt attaches that file without asking for permission.
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    # One session's notes must not change what the next one does.
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
}


def environment_of(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """The allow-listed part of `environ`, our settings, and on top of both the `env` of `options`."""
    inherited = {
        name: value
        for name, value in environ.items()
        if (name.upper() if os.name == "nt" else name) in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    own = {str(name): str(value) for name, value in (options.get("env") or {}).items()}
    return {**inherited, **_SETTINGS, **own}


def login_state(environment: Mapping[str, str]) -> str:
    """How a session will log in, as far as that can be told without contacting anybody; `unknown` is no error."""
    for name, meaning in _LOGINS.items():
        if environment.get(name, "") not in ("", "0", "false"):
            return meaning
    folder = _config_folder(environment)
    if (folder / ".credentials.json").is_file():
        return "credentials file"
    if _has_key_helper(folder / "settings.json"):
        return "apiKeyHelper"
    return "unknown"


_LOGINS = {
    "CLAUDE_CODE_USE_BEDROCK": "Bedrock",
    "CLAUDE_CODE_USE_VERTEX": "Vertex",
    "CLAUDE_CODE_USE_FOUNDRY": "Foundry",
    "ANTHROPIC_AUTH_TOKEN": "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY": "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN": "CLAUDE_CODE_OAUTH_TOKEN",
}


def access(options: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[str, str]:
    """Where a session sends its requests and as whom, in words that may be shown; empty where that is not known.

    `environment` is the session's, `options` tell what of it comes from the job file.
    """
    own = options.get("env") or {}
    login = login_state(environment)
    credential = _CREDENTIALS.get(login, login)
    if login in environment:
        credential = f"the key in {login}{_place(login, own)}"
    return _address(environment, own), credential


_CREDENTIALS = {"unknown": "", "credentials file": "the saved login of `claude`", "apiKeyHelper": "the apiKeyHelper"}


def _address(environment: Mapping[str, str], own: Mapping[str, Any]) -> str:
    if url := environment.get("ANTHROPIC_BASE_URL", ""):
        return f"{address_of(url)} (ANTHROPIC_BASE_URL{_place('ANTHROPIC_BASE_URL', own)})"
    proxy = next((name for name in _PROXIES if environment.get(name)), "")
    return f"through the proxy of {proxy}{_place(proxy, own)}" if proxy else ""


_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def _place(name: str, own: Mapping[str, Any]) -> str:
    return " of backend.env" if name in own else ""


def _config_folder(environment: Mapping[str, str]) -> Path:
    if folder := environment.get("CLAUDE_CONFIG_DIR"):
        return Path(folder)
    return Path(environment.get("HOME") or Path.home()) / ".claude"


def _has_key_helper(path: Path) -> bool:
    try:
        settings = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return False
    return isinstance(settings, dict) and bool(settings.get("apiKeyHelper"))
