"""Hooks as they stand in documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mozart_nb.consumers.rows import iso
from mozart_nb.hooks.record import HookResult


def hook_rows(results: Iterable[HookResult]) -> list[dict[str, Any]]:
    """One mapping per hook: plain data."""
    return [
        {
            "hook": result.hook,
            "type": result.type,
            "what": result.what,
            "status": result.status,
            "started_at": iso(result.at),
            "seconds": result.seconds,
            "exit_code": result.exit_code,
            "message": result.message,
            "output_tail": result.output,
            "log": result.log or None,
            "pid": result.pid or None,
        }
        for result in results
    ]
