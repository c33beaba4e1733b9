"""Rules about keys and addresses: variables that should hold them, and what of them stands in the job file itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mozart_nb.job.document import KeyPath
from mozart_nb.job.notifications import KEPT_OUT, SLACK_VARIABLE, VARIABLE, NotificationConfig
from mozart_nb.job.vcodes import Finding, Rule, Subject
from mozart_nb.masking import masked

_API_TYPES: Final = ("anthropic_api", "anthropic_batches")
_ADDRESSES: Final = ("webhook_url", "url")
_THIS_MACHINE: Final = re.compile(r"https?://(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?:[:/]|$)", re.IGNORECASE)
_USE_VARIABLE: Final = "put it into an environment variable"


def named_variables_are_set(subject: Subject) -> Iterator[Finding]:
    """Only whether they are set is asked, never what is in them."""
    config, env = subject.loaded.config, subject.env
    key = config.backend.api_key_env
    if config.backend.type in _API_TYPES and not env.get(key) and not env.get("ANTHROPIC_AUTH_TOKEN"):
        where: KeyPath = ("backend", "api_key_env" if "api_key_env" in config.backend.model_fields_set else "type")
        yield Finding(where, f"the environment variable {key} is not set", f"put your API key into {key}")
    for index, channel in enumerate(config.notifications):
        for path, name in _named_by(channel):
            if not env.get(name):
                yield Finding(("notifications", index, *path), f"the environment variable {name} is not set")


def secrets_are_elsewhere(subject: Subject) -> Iterator[Finding]:
    """Job files are copied, sent and committed; whoever has such a file has the key."""
    told: set[KeyPath] = set()
    for path, what in _addresses(subject):
        told.add(path)
        yield Finding(path, f"{what} stands in the job file; whoever has it can write there", _instead_of(path))
    for path, text in _texts(subject.loaded.raw, ()):
        if path not in told and masked(text) != text:
            yield Finding(path, "a key or password stands in the job file", _USE_VARIABLE)


RULES: Final[Mapping[str, Rule]] = {"V112": named_variables_are_set, "V129": secrets_are_elsewhere}


def _named_by(channel: NotificationConfig) -> Iterator[tuple[KeyPath, str]]:
    """Environment variables that a channel cannot do without, and where each is named."""
    found = channel.settings
    for part, inside in ((channel, ()), (channel.config, ("config",))):
        for key in _ADDRESSES:
            variable = getattr(part, f"{key}_env")
            if variable:
                yield (*inside, f"{key}_env"), variable
            for name in VARIABLE.findall(getattr(part, key) or ""):
                yield (*inside, key), name
        for header, text in part.headers.items():
            for name in VARIABLE.findall(text):
                yield (*inside, "headers", header), name
    if channel.type == "slack" and not found.webhook_url and not found.webhook_url_env:
        yield ("type",), SLACK_VARIABLE


def _addresses(subject: Subject) -> Iterator[tuple[KeyPath, str]]:
    for index, channel in enumerate(subject.loaded.config.notifications):
        for part, inside in ((channel, ()), (channel.config, ("config",))):
            for key in _ADDRESSES:
                text = getattr(part, key)
                is_literal = text and text != KEPT_OUT and not VARIABLE.search(text)
                if is_literal and not _THIS_MACHINE.match(text):
                    yield ("notifications", index, *inside, key), "the address of a webhook"


def _instead_of(path: KeyPath) -> str:
    return f"{_USE_VARIABLE} and name it with `{path[-1]}_env`"


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text below `value`, with the spellings of the document."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            # Masking also knows a password by the key beside it, as in `Authorization: Bearer …`.
            if isinstance(item, str) and masked(f"{key}: {item}") != f"{key}: {item}":
                yield (*path, key), f"{key}: {item}"
            else:
                yield from _texts(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
