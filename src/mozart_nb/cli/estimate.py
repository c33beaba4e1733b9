"""`estimate`: what a job will cost and how long it will take, before anything is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from mozart_nb.cli.loading import load_checked
from mozart_nb.cli.output import OK, Output
from mozart_nb.errors import MisuseError
from mozart_nb.events import RunOptions
from mozart_nb.hosts.headless import run_briefly
from mozart_nb.plans.estimating import Counted, can_be_counted, counted, estimate
from mozart_nb.plans.words import estimate_head, limit_line, remark_lines, size_lines, warning_lines, ways_table
from mozart_nb.runtime import prepare


def estimate_job(
    output: Output,
    file: Path,
    workspace: Path | None,
    *,
    offline: bool,
    overrides: Sequence[str] = (),
    max_concurrent: int = 0,
) -> int:
    """Estimate cost and time of a job file. Writes nothing; with a key, the API counts a few prompts free of charge."""
    if file.suffix not in (".yaml", ".yml") and not file.exists():
        raise MisuseError(f"{file} is no file", hint="`estimate` takes a job file: `mozart estimate job.yaml`")
    loaded = load_checked(output, file, overrides=overrides, workspace=workspace)
    prepared = prepare(loaded, workspace=workspace)
    asks = not offline and can_be_counted(prepared)
    sizes = run_briefly(counted(prepared)) if asks else Counted()
    document = estimate(prepared, sizes, RunOptions(max_concurrent=max_concurrent))
    if output.json:
        output.document(document)
    else:
        show_estimate(output, document)
    return OK


def show_estimate(output: Output, document: Mapping[str, Any]) -> None:
    """An estimate on a terminal."""
    name, size = estimate_head(document)
    output.show(Text.assemble((name, "bold"), f": {size}"))
    for line in size_lines(document):
        output.show(f"  {line}")
    output.show()
    table = ways_table(document)
    output.table(table.heads, table.rows, flexible=1)
    for line in remark_lines(document):
        output.show(f"  {line}")
    if limit := limit_line(document):
        output.show(f"  {limit}")
    for line in warning_lines(document):
        output.warn(line)
