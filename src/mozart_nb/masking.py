"""Secrets are blotted out before a text is journaled, sent or shown: what has the shape of one, and what is known.

By shape, or by the exact key beside it (`Authorization: …`), and never by a part of a name: `prompt_tokens: 12` stays
readable. Besides, whoever starts a job tells which values are secret (`know`): keys and addresses from the environment
have no shape that could be relied on. Answers and raw session logs are the user's own data and are kept as they are;
they are masked when they are shown.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

_SHAPES: Final = (
    ("sk-", r"(?:ant-[\w-]{16,}|(?=[\w-]{0,80}\d)(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,})"),  # Anthropic, and others
    ("gh[pousr]_", "[A-Za-z0-9]{30,}"),
    ("github_pat_", r"\w{30,}"),
    ("glpat-", r"[\w-]{18,}"),
    ("xox[abeprs]-", r"[\w-]{10,}"),  # Slack
    ("A(?:KI|SI)A", "[0-9A-Z]{16}"),  # AWS
    ("AIza", r"[\w-]{35}"),  # Google
    (r"ya29\.", r"[\w-]{20,}"),
    ("sk_(?:live|test)_", "[A-Za-z0-9]{16,}"),  # Stripe
    ("rk_(?:live|test)_", "[A-Za-z0-9]{16,}"),
    ("whsec_", "[A-Za-z0-9]{24,}"),
    (r"SG\.", r"[\w-]{16,}\.[\w-]{16,}"),  # SendGrid
    ("npm_", "[A-Za-z0-9]{36}"),
    ("pypi-", r"[\w-]{40,}"),
    ("hf_", "[A-Za-z0-9]{30,}"),
    ("eyJ", r"[\w-]{10,600}\.eyJ[\w-]{10,}\.[\w-]{10,}"),  # JSON web tokens
    ("-----BEGIN ", r"[A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
)
"""How a secret begins, and how it goes on."""

_ESCAPES: Final = (r"\\[nrtfbv]", r"\\[ux][0-9A-Fa-f]{4}", r"\\x[0-9A-Fa-f]{2}", "%[0-9A-Fa-f]{2}", r"[\d;\[]m")
"""A word in JSON, in an address or in coloured text can follow upon one of these, which ends in a letter or digit."""


def _after(*, no: str, then: str = "") -> str:
    """A pattern: what goes before `then` is not `no`, or it is an escape."""
    return f"(?:(?<!{no}{then})|" + "|".join(f"(?<={escape}{then})" for escape in _ESCAPES) + ")"


_START: Final = _after(no="[A-Za-z0-9]")
# What goes before is asked once a beginning is found: a search for that alone passes quickly over a text.
_SECRET: Final = re.compile("|".join(f"{head}{_after(no='[A-Za-z0-9]', then=head)}{rest}" for head, rest in _SHAPES))
_HINTS: Final = (
    *"sk- ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xox AKIA ASIA AIza ya29. k_live_ k_test_ whsec_ SG.".split(),
    *"npm_ pypi- hf_ eyJ".split(),
    "PRIVATE KEY",
)
# One of these is in whatever has the shape of a secret. Looking for them takes a tenth of the time of the shapes.

_QUOTED: Final = r"""[\\"']*\s*[:=]\s*[\\"']*"""
_OPAQUE: Final = r"[\w.~+/=%-]"
# Between a name and its value, also inside JSON inside JSON; and the characters of a token that is no word of prose.
_BESIDE: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = (
    (
        ("webhook", "hooks.slack.com"),
        re.compile(
            r"(hooks\.slack\.com/|discord(?:app)?\.com/api(?:/v\d+)?/webhooks/|\.webhook\.office\.com/)([\w/@%.-]{12,})"
        ),
    ),
    (("://",), re.compile(r"(://[^\s/:@\"'<>]*:)([^\s/@\"'<>…]+)(?=@)")),
    (
        ("=",),
        re.compile(
            r"([?&;](?=[\w-]+=)(?:(?:access_|auth_|id_|refresh_)?token|(?:api|access|private)?[_-]?key|(?:client_)?secret"
            r"|sig(?:nature)?|x-amz-signature|passw(?:or)?d|pwd|auth|code)=)([^\s&#\"'<>…\\]{6,})",
            re.IGNORECASE,
        ),
    ),
    (
        ("bearer",),
        re.compile(rf"{_START}((?i:bearer)(?: |%20|\+))(?={_OPAQUE}{{0,80}}\d)({_OPAQUE}{{12,}})"),
    ),
    (
        ("authorization",),
        re.compile(
            rf"{_START}((?i:(?:proxy-)?authorization){_QUOTED}"
            rf"(?:(?i:bearer|basic|token|digest) +|(?={_OPAQUE}{{0,80}}\d)))({_OPAQUE}{{8,}})"
        ),
    ),
    (
        tuple("api_key api-key apikey h_token h-token htoken s_token s-token stoken".split())
        + tuple("r_token r-token rtoken session_token client_secret client-secret clientsecret".split())
        + tuple("secret_key secret-key secretkey secret_access secret-access secretaccess passw".split()),
        re.compile(
            _after(no=r"[\w-]") + r"((?i:x-api-key|x-auth-token|api[_-]?key|(?:access|auth|refresh|bearer)[_-]?token"
            r"|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|aws_secret_access_key|aws_session_token"
            rf"|anthropic_(?:api_key|auth_token)|passw(?:or)?d){_QUOTED})"
            rf"(?=[^\s\d]{{0,80}}\d)(?=[^\sA-Za-z]{{0,80}}[A-Za-z])({_OPAQUE}{{8,}})(?![\w(\[])",
        ),
    ),
)
"""What stands before a secret without a shape of its own: hints of it, in small letters, and the shape."""

MARGIN: Final = 400
"""Characters beyond a cut that are looked at, so that a secret in the way of it is seen as a whole."""

_KEPT: Final = 6
_MASK: Final = "…[masked]"
_BLOT: Final = "•"
_BLOTTED: Final = re.compile(r"[^\r\n]")


def masked(text: str) -> str:
    """`text` with every secret cut: to its first characters where it has the shape of one, else to nothing."""
    return _without_secrets(text, lambda secret: _MASK)


def blotted(text: str) -> str:
    """As `masked`, but every line and every character that is no secret stays in its line and column."""
    return _without_secrets(text, lambda secret: _BLOTTED.sub(_BLOT, secret))


def hides_secrets(text: str) -> bool:
    """Whether something in `text` is a secret, or was one before it was cut: it cannot go where it was meant to."""
    return _MASK in text or masked(text) != text


def masked_head(text: str, limit: int) -> str:
    """The first `limit` characters of `text`, masked before they are cut: half a secret is not known for one."""
    return masked(text[: limit + MARGIN])[:limit]


def masked_tail(text: str, limit: int) -> str:
    """The last `limit` characters of `text`, masked before they are cut."""
    return masked(text[max(0, len(text) - limit - MARGIN) :])[-limit:] if limit else ""


def _without_secrets(text: str, instead_of: Callable[[str], str]) -> str:
    known = _known.pattern  # another thread may replace it at any time
    if known is not None and _has_one(text, _known.texts):
        text = known.sub(lambda found: _cut(found[0], instead_of), text)
    if _has_one(text, _HINTS):
        text = _SECRET.sub(lambda found: found[0][:_KEPT] + instead_of(found[0][_KEPT:]), text)
    small = text.lower()
    for hints, pattern in _BESIDE:
        if _has_one(small, hints):
            text = pattern.sub(lambda found: found[1] + instead_of(found[2]), text)
    return text


def _has_one(text: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110 - `any` with a generator takes longer, and this runs for every event
        if hint in text:
            return True
    return False


def _cut(secret: str, instead_of: Callable[[str], str]) -> str:
    """Of a known value nothing is kept but what says which kind it is: the first characters of a key, a host."""
    kept = _KEPT if _SECRET.fullmatch(secret) else 0
    if "://" in secret:
        _, _, rest = secret.partition("://")
        host = rest.partition("/")[0]
        kept = 0 if "@" in host else min(len(secret) - len(rest) + len(host) + 1, len(secret))
    return secret[:kept] + instead_of(secret[kept:])


# --- known values -----------------------------------------------------------------------------------------------------

SHORTEST: Final = 8
"""Characters below which a value is not taken for a secret: blotting out `test` everywhere would hide nothing."""

_WHOLE_WORDS_BELOW: Final = 16
_NOBODYS_SECRETS: Final = frozenset(
    "password passw0rd changeme change-me postgres rabbitmq minioadmin anonymous disabled required undefined".split()
)
"""Values that stand for none, or that everybody has: to blot them out would spoil texts and paths, and hide nothing."""


class _KnownValues:
    """The secrets of this process, whichever job they belong to; for the whole process, because knowing more than one
    job needs harms none. Threads may read while one adds: the pattern is replaced as a whole."""

    def __init__(self) -> None:
        self.pattern: re.Pattern[str] | None = None
        self.texts: tuple[str, ...] = ()
        self._values: dict[str, int] = {}
        self._changes = threading.Lock()

    def add(self, values: Iterable[str]) -> Callable[[], None]:
        known = frozenset(form for value in values for part in _parts(value) for form in _forms(part))
        self._count(known, 1)
        return lambda: self._count(known, -1)

    def _count(self, values: Iterable[str], step: int) -> None:
        with self._changes:
            before = self._values.keys()
            counts = dict(self._values)
            for value in values:
                counts[value] = counts.get(value, 0) + step
            self._values = {value: count for value, count in counts.items() if count > 0}
            if self._values.keys() != before:
                # Of two values that begin alike the longer one is the secret that stands there.
                self.texts = tuple(sorted(self._values, key=len, reverse=True))
                alternatives = [_exactly(value) for value in self.texts]
                self.pattern = re.compile("|".join(alternatives)) if alternatives else None


_known: Final = _KnownValues()


def know(values: Iterable[str]) -> Callable[[], None]:
    """From now on mask these values wherever they stand, in the forms that JSON, addresses and HTML give them.

    Of an address its path, its password and its parameters count on their own. Values shorter than `SHORTEST`
    characters are left alone. Returns what makes this call undone; a job need not, what is known harms no other.
    """
    return _known.add(values)


def _parts(value: str) -> Iterator[str]:
    value = value.strip()
    if len(value) < SHORTEST or value.lower() in _NOBODYS_SECRETS:
        return
    yield value
    try:
        address = urlsplit(value)
        if not (address.scheme and address.netloc):
            return
        path = f"{address.path}?{address.query}" if address.query else address.path
        parts = [path, address.password or "", _as_basic(address.username or "", address.password or "")]
        parts += [part for part in address.path.split("/") if len(part) >= _WHOLE_WORDS_BELOW]
        parts += [part.partition("=")[2] for part in address.query.split("&")]
    except ValueError:
        return
    yield from (part for part in parts if len(part) >= SHORTEST and part.lower() not in _NOBODYS_SECRETS)


def _as_basic(user: str, password: str) -> str:
    """What a request that names both sends instead (RFC 7617)."""
    return base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode() if password else ""


def _forms(value: str) -> set[str]:
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        html.escape(value),
    }


def _exactly(value: str) -> str:
    """Short values as whole words only: `sunlight` must not blot out a part of `sunlights`."""
    exact = re.escape(value)
    return rf"{_after(no='[A-Za-z0-9_]')}{exact}(?![\w])" if len(value) < _WHOLE_WORDS_BELOW else exact
