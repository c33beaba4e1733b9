"""What the answers tell browsers to forbid."""

from __future__ import annotations

import re
from typing import Final

COMMON: Final = {
    "X-Content-Type-Options": "nosniff",
    # The address of a page may hold a token; what a page links to must not learn it.
    "Referrer-Policy": "same-origin",
    # No other site includes our answers as if they were its own images, scripts or styles.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}

OF_A_SERVER_OF_OUR_OWN: Final = {
    **COMMON,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'self'"
    ),
}
"""For what Jupyter Server itself answers there: the sign-in and static files. No script is needed for them."""

_FRAME_ANCESTORS = re.compile(r"(?:^|;)\s*(frame-ancestors\s[^;]*)", re.IGNORECASE)


def page_policy(nonce: str, report_to: str, *, users: str = "") -> str:
    """The Content-Security-Policy of a page.

    Scripts run only when their element carries the `nonce` of this answer: in JupyterLab `'self'` would cover every
    file below `/files/`, and what stands there was written by a model as often as not. Nothing is inline. `users` is
    the policy that the user has configured for the whole server: it decides who may frame us, as it does for Lab.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            _framed_by(users),
            f"report-uri {report_to}",
        ]
    )


def api_policy(*, users: str = "") -> str:
    """The Content-Security-Policy of what is no page: should a browser show it, nothing in it comes to life."""
    return "; ".join(["default-src 'none'", "sandbox", _framed_by(users)])


def _framed_by(users: str) -> str:
    found = _FRAME_ANCESTORS.search(users)
    return found[1].strip() if found else "frame-ancestors 'self'"
