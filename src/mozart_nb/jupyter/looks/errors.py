"""Errors by code, with what they mean and what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mozart_nb.jupyter.looks.advice import advice_here
from mozart_nb.jupyter.looks.pieces import sentence
from mozart_nb.jupyter.looks.text import escaped_line
from mozart_nb.jupyter.looks.theme import framed, mark
from mozart_nb.words import spans

_MOST_GROUPS: Final = 30


def errors_html(groups: Sequence[Mapping[str, Any]], *, is_over: bool = False, counted: str = "times") -> str:
    """`consumers.documents.error_groups` as a table, one row per code; a sentence when there are none.

    `is_over`: the job does not run, so nothing is retried by itself any more. `counted` is what their `count` counts:
    failed attempts, or `batches`.
    """
    if not groups:
        return framed(f"<p>{mark('completed')} no errors</p>", "errors")
    names = ("code", "what it means", counted, "not mended", "what helps", "last message")
    heads = "".join(f"<th scope=col>{name}" for name in names)
    rows = "".join(_group(group, is_over) for group in groups[:_MOST_GROUPS])
    left = len(groups) - _MOST_GROUPS
    more = f"<tr><td colspan={len(names)}>and {left} more codes" if left > 0 else ""
    table = f"<thead><tr>{heads}</thead><tbody>{rows}{more}</tbody>"
    return framed(f'<table class="mozart-small" aria-label="errors by code">{table}</table>', "errors")


def _group(group: Mapping[str, Any], is_over: bool) -> str:
    standing = group["unresolved_batches"]
    if standing:
        left = (
            f"{mark('failed')} {group['unresolved']}: {'batches' if len(standing) > 1 else 'batch'} {spans(standing)}"
        )
    else:
        left = f"{mark('failed')} {group['unresolved']}" if group["unresolved"] else f"{mark('completed')} all mended"
    cells = (
        escaped_line(group["meaning"]),
        f"{group['count']:,}",
        left,
        sentence(advice_here(group["code"], is_over=is_over)) if group["unresolved"] else "",
        f"<bdi>{escaped_line(group['last_message'], 200)}</bdi>",
    )
    return f"<tr><th scope=row>{escaped_line(group['code'], 10)}" + "".join(f"<td>{cell}" for cell in cells)
