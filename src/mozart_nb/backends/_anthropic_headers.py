"""What the headers of the API say about limits and waits.

Sources: https://platform.claude.com/docs/en/api/rate-limits (`retry-after`; `anthropic-ratelimit-*`, whose times are in
RFC 3339), and recorded refusals of subscription accounts (`anthropic-ratelimit-unified-*`: epoch seconds).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from mozart_nb.engine.ports import Allowance

KINDS: Final = ("requests", "tokens", "input-tokens", "output-tokens")

_PREFIX: Final = "anthropic-ratelimit-"
_NAMES: Final = tuple(
    (kind, *(f"{_PREFIX}{kind}-{part}" for part in ("limit", "remaining", "reset"))) for kind in KINDS
)
_UNIFIED: Final = f"{_PREFIX}unified-"

Headers = Mapping[str, str]


def plain_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as they came, by their names in small letters."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


def allowances(headers: Headers) -> list[Allowance]:
    """What the service said about its limits in one reply; empty when it said nothing."""
    heard = []
    for kind, limit, remaining, reset in _NAMES:
        most, left = _number(headers.get(limit)), _number(headers.get(remaining))
        if most is not None and left is not None:
            heard.append(Allowance(kind, most, left, _moment(headers.get(reset)) or 0.0))
    return heard


def retry_after(headers: Headers, wall: float) -> float | None:
    """Seconds that the server asks to wait; `wall` is now in epoch seconds, for a header that names a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds >= 0:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None:
        return max(0.0, seconds)
    date = _http_date(text)
    return None if date is None else max(0.0, date - wall)


def reset_at(headers: Headers) -> float | None:
    """When the limit that refused is full again (epoch seconds): the latest of those of which nothing remains."""
    unified = _number(headers.get(f"{_UNIFIED}reset"))
    if is_usage_limit(headers) and unified:
        return unified
    spent = [one.reset_at for one in allowances(headers) if one.remaining <= 0 and one.reset_at > 0]
    return max(spent, default=None)


def is_usage_limit(headers: Headers) -> bool:
    """An amount of use of a subscription is spent, as opposed to too many requests at a time."""
    return headers.get(f"{_UNIFIED}status") == "rejected"


def request_id(headers: Headers) -> str:
    """What Anthropic's support asks for; empty when the reply has none."""
    return headers.get("request-id") or headers.get("x-request-id") or ""


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _moment(text: str | None) -> float | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _number(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _http_date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
