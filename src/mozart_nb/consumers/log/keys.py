"""Fields whose name alone says that their value is a secret.

A name counts only as a whole: `token` is one, `prompt_tokens` is not. Secrets in the middle of a text are found by
`masking`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from mozart_nb import events as ev

SECRET_KEYS: Final = frozenset(
    {
        "access_token",
        "anthropic_api_key",
        "anthropic_auth_token",
        "api-key",
        "api_key",
        "apikey",
        "auth_token",
        "authorization",
        "aws_secret_access_key",
        "aws_session_token",
        "bearer_token",
        "client_secret",
        "cookie",
        "credentials",
        "id_token",
        "passwd",
        "password",
        "private_key",
        "proxy-authorization",
        "refresh_token",
        "secret",
        "secret_key",
        "set-cookie",
        "token",
        "webhook_url",
        "x-api-key",
        "x-auth-token",
    }
)
"""Names, in lower case, of fields that are masked whatever they hold. Upper and lower case make no difference."""

MASK: Final = "[masked]"


def without_secret_fields(value: Any) -> Any:
    """`value` (JSON data) with the value of every field masked that has one of these names."""
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret(key) and one else without_secret_fields(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_secret_fields(one) for one in value]
    return value


def _is_secret(key: Any) -> bool:
    return isinstance(key, str) and key.lower() in SECRET_KEYS


def masked_event(event: ev.Event) -> ev.Event:
    """The event with the secret fields of its mappings masked. Its own fields are ours, and none of them is one."""
    names = _mappings(type(event))
    if not names:
        return event
    changed = {name: without_secret_fields(value) for name in names if (value := getattr(event, name))}
    return msgspec.structs.replace(event, **changed) if changed else event


@cache
def _mappings(kind: type[ev.Event]) -> tuple[str, ...]:
    """Fields with names that come from elsewhere."""
    fields = msgspec.structs.fields(kind)
    return tuple(info.name for info in fields if "dict[str" in str(info.type).lower())
