"""The values that a process knows to be secret: what the environment and a job file say by name.

    know(secrets_of_environment(os.environ))
    know(secrets_of(config, os.environ))

Pure: the environment is given. `masking.know` makes them unreadable wherever something is written or shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mozart_nb.job.model import JobConfig
    from mozart_nb.job.notifications import ChannelSettings

_SECRET_VARIABLE: Final = re.compile(
    r"(?:^|_)(?:API_?KEY|AUTH_TOKEN|OAUTH_TOKEN|TOKEN|SECRET|SECRET_KEY|ACCESS_KEY|PRIVATE_KEY"
    r"|(?:PG)?PASSWORD|PASSWD|PASSPHRASE|PASS|CONNECTION_STRING)$|_(?:PWD|PAT)$"
)
"""The last words of a variable's name decide, never a part of a word: `MAX_TOKENS` holds no secret."""

_PERHAPS: Final = re.compile(r"_KEY$")
_OPAQUE: Final = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])[\w.~+/=-]{20,}")
"""`OPENAI_KEY` holds a secret and `SORT_KEY` none: there the value has to look like one."""

_PATH: Final = re.compile(r"(?:~|\.)?/")
_NO_NAME_OF_A_FILE: Final = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Z])(?=[^/]*[a-z])[\w+=]{16,}(?:/|$)")

_SECRET_HEADER: Final = re.compile(
    r"(?:^|-)(?:authorization|cookie|token|secret|password|(?:api-?)?key)$", re.IGNORECASE
)
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|digest)\s+", re.IGNORECASE)


def secrets_of_environment(env: Mapping[str, str]) -> Iterator[str]:
    """Values of variables whose names say that they hold a key, a token or a password; files with one are none."""
    for name, value in env.items():
        if (_SECRET_VARIABLE.search(name.upper()) and not _is_path(value)) or (
            _PERHAPS.search(name.upper()) and _OPAQUE.fullmatch(value) and not _is_path(value)
        ):
            yield value
    for line in env.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines():
        name, _, value = line.partition(":")
        yield from _of_header(name, value.strip(), env)


def _is_path(value: str) -> bool:
    """Whether a file is named; keys in base64 may begin with a slash too."""
    return _PATH.match(value) is not None and _NO_NAME_OF_A_FILE.search(value) is None


def secrets_of(config: JobConfig, env: Mapping[str, str]) -> Iterator[str]:
    """What a job file names or holds: values of the variables for keys, addresses and headers, and addresses in it."""
    from mozart_nb.job.notifications import KEPT_OUT, SLACK_VARIABLE  # with the models; the environment needs none

    yield env.get(config.backend.api_key_env, "")
    yield from secrets_of_environment(config.backend.env)
    for channel in config.notifications:
        for part in (channel, channel.config):
            yield from (value for value in _of_channel(part, env) if KEPT_OUT not in value)
        if channel.type == "slack":
            yield env.get(SLACK_VARIABLE, "")


def _of_channel(settings: ChannelSettings, env: Mapping[str, str]) -> Iterator[str]:
    """Of one way of being told."""
    for address, variable in (
        (settings.webhook_url, settings.webhook_url_env),
        (settings.url, settings.url_env),
    ):
        yield _filled_in(address or "", env)
        yield env.get(variable or "", "")
    for name, value in settings.headers.items():
        yield from _of_header(name, value, env)


def _of_header(name: str, value: str, env: Mapping[str, str]) -> Iterator[str]:
    yield from (env.get(variable, "") for variable in _VARIABLE.findall(value))
    if _SECRET_HEADER.search(name.strip()):
        whole = _filled_in(value, env)
        yield whole
        yield _SCHEME.sub("", whole, count=1)


def _filled_in(text: str, env: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: env.get(found[1], found[0]), text)
