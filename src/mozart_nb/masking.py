"""Secrets, known by their shape, are blotted out before a text is journaled or shown.

By shape and never by the name beside them: `prompt_tokens: 12` stays readable. Answers and raw session logs are the
user's own data and are kept as they are; they are masked when they are shown.
"""

from __future__ import annotations

import re

_SHAPES = (
    r"sk-ant-[\w-]{16,}",  # Anthropic
    r"sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}",  # others with the same prefix
    r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}",
    r"glpat-[\w-]{18,}",
    r"xox[abeprs]-[\w-]{10,}",  # Slack
    r"hooks\.slack\.com/services/[\w/]{20,}",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",  # AWS
    r"AIza[\w-]{35}",  # Google
    r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{40,}|hf_[A-Za-z0-9]{30,}",
    r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",  # JSON web tokens
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
_SECRET = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(_SHAPES) + ")")
_KEPT = 6
_BLOT = "•"
_BLOTTED = re.compile(r"[^\r\n]")

_HINTS = (
    *"sk- ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xox hooks.slack.com AKIA ASIA AIza npm_ pypi- hf_ eyJ".split(),
    "PRIVATE KEY",
)
# One of these is in whatever has the shape of a secret. Looking for them takes a tenth of the time of the shapes.


def masked(text: str) -> str:
    """`text` with every known shape of a secret cut to its first characters."""
    if not any(hint in text for hint in _HINTS):
        return text
    return _SECRET.sub(lambda found: f"{found[0][:_KEPT]}…[masked]", text)


def blotted(text: str) -> str:
    """As `masked`, but every line and every character that is no secret stays in its line and column."""
    if not any(hint in text for hint in _HINTS):
        return text
    return _SECRET.sub(lambda found: found[0][:_KEPT] + _BLOTTED.sub(_BLOT, found[0][_KEPT:]), text)
