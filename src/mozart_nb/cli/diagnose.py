"""The command `diagnose`: why a job is where it is, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.text import Text

from mozart_nb.cli.output import FAILED, OK, STYLES, Output
from mozart_nb.errors import UnknownJobError
from mozart_nb.looking.diagnosis.anything import diagnose_any
from mozart_nb.looking.diagnosis.text import Line, Style, lines

_LABELS: Final[Mapping[Style, str]] = {"cause": "bold red", "next": "bold green", "also": "bold yellow"}
"""The style of a line's first word, up to the colon."""

_STYLES: Final[Mapping[Style, str]] = {"title": "bold", "warning": "yellow", "dim": "dim"}


def diagnose(output: Output, job: str, workspace: Path | None, *, include_output: bool) -> int:
    """Show what went wrong, why, and what to do now. Exit code 0 whatever is found, 1 when there is no such job."""
    try:
        found = diagnose_any(job, workspace, include_output=include_output)
    except UnknownJobError as error:
        output.failure(error)
        return FAILED
    if output.json:
        output.document(found.document())
        return OK
    for line in lines(found, "mozart"):
        output.show(_styled(line, found.status))
    return OK


def _styled(line: Line, status: str) -> Text:
    if line.style == "head":
        name, space, rest = line.text.partition(" ")
        shown = "" if rest.startswith(status) else STYLES.get(status, "")
        text = Text.assemble((name, "bold"), space, (rest, shown))
        text.highlight_words([status], STYLES.get(status, "bold"))
        return text
    if line.style in _LABELS:
        label, colon, rest = line.text.partition(":")
        return Text.assemble((label, _LABELS[line.style]), colon, rest)
    return Text(line.text, style=_STYLES.get(line.style, ""))
