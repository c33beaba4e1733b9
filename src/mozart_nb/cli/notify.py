"""The command `notify-test`: a message on every channel, now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mozart_nb.cli.output import FAILED, OK, STYLES, Output, Row
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.job.load import load_job
from mozart_nb.plans.notify_test import chosen, send_tests, shown_tests
from mozart_nb.words import roughly


def notify_test(output: Output, file: Path, *, number: int | None, dry_run: bool) -> int:
    """Send a test message on every channel of a job file, or on one. Exit code 0: all were delivered, else 1.

    Raises `ConfigError`, and `MisuseError` when there is no such channel.
    """
    loaded = load_job(file)
    channels = chosen(loaded, number)
    if dry_run:
        return _show(output, shown_tests(loaded, channels))
    rows = run_briefly(send_tests(loaded, channels))
    if output.json:
        output.document({"file": str(file), "channels": rows})
    else:
        _tell(output, rows)
    return OK if all(row["status"] == "delivered" for row in rows) else FAILED


def _tell(output: Output, rows: Sequence[dict[str, Any]]) -> None:
    from rich.text import Text

    styles = {"delivered": STYLES["ok"], "failed": STYLES["error"], "skipped": STYLES["warning"]}
    table: list[Row] = [
        [
            str(row["channel"]),
            row["type"],
            Text(row["status"], style=styles[row["status"]]),
            row["error"] or f"in {roughly(row['seconds'])}",
        ]
        for row in rows
    ]
    output.table(["", "", "", ""], table, flexible=3)
    for row in rows:
        if row["next"]:
            output.show(f"channel {row['channel']}: {row['next']}")


def _show(output: Output, shown: Sequence[dict[str, Any]]) -> int:
    if output.json:
        output.document({"channels": shown})
        return OK
    for one in shown:
        output.show(f"{one['channel']} {one['type']}: {one['title']} – {one['text']}")
    return OK
