"""Waiting until a chosen time, with a countdown."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from rich.live import Live
from rich.text import Text

from mozart_nb.cli.output import Output
from mozart_nb.words import clock


def wait_until(
    output: Output,
    at: float,
    job_id: str,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return at `at` (epoch seconds). Follows the wall clock: a machine that slept over the time starts at once.

    Ctrl-C raises `KeyboardInterrupt`; nothing has been started then.
    """
    when = f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    output.say(f"job `{job_id}` starts at {when}, in {clock(at - now())}; Ctrl-C gives up waiting")
    if output.quiet or not output.err.is_terminal:
        _wait(at, now, sleep)
        return

    def countdown() -> Text:
        return Text(f"  starts in {clock(at - now())}", style="yellow")

    with Live(
        get_renderable=countdown, console=output.err, refresh_per_second=2, transient=True, redirect_stdout=False
    ):
        _wait(at, now, sleep)


def _wait(at: float, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
    while (left := at - now()) > 0:
        sleep(min(left, 1.0))
