"""Of the panel "Look closer": what happened, and what it waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from mozart_nb.cli.commands._app import JobId, Json, MaybeJobId, Workspace, output_of

PANEL = "Look closer"

commands = typer.Typer()


class _WithOptionalPath(TyperCommand):
    """`--file` may stand alone: the next word is its path only where it is no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_alone = [after.startswith("-") for after in [*args, "-"][1:]]
        return super().parse_args(
            ctx, ["--file=" if arg == "--file" and one else arg for arg, one in zip(args, is_alone, strict=False)]
        )


@commands.command(rich_help_panel=PANEL, cls=_WithOptionalPath)
def logs(
    ctx: typer.Context,
    job: MaybeJobId = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the job runs.")] = False,
    level: Annotated[str, typer.Option("--level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    count: Annotated[int, typer.Option("-n", metavar="N", min=0, help="The last N lines; 0 means all.")] = 50,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, help="Only what concerns batch N.")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="NAME", help="Only these events, with wildcards: `batch.*`. Can be repeated."),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Not before: `14:00`, `2h` (ago), `2026-11-21 07:05`.")
    ] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Not after; likewise.")] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="With --batch: what its last session printed, as it was printed.")
    ] = False,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="[PATH]", help="Lines of the log file and its backups, not of the journal."),
    ] = None,
    workspace: Workspace = None,
    json: Annotated[bool, typer.Option("--json", "-j", help="Print JSON Lines to stdout.")] = False,
) -> None:
    """Show the events of a job as lines; without an ID, of the job that did something last."""
    from mozart_nb.cli.logs import LogWish
    from mozart_nb.cli.logs import logs as do

    wish = LogWish(
        keep_following=follow,
        level=level,
        count=count,
        batch=batch or 0,
        events=tuple(event or ()),
        since=since,
        until=until,
        raw=raw,
        file=file,
    )
    raise typer.Exit(do(output_of(ctx, json), job, workspace, wish))


@commands.command(rich_help_panel=PANEL)
def limits(
    ctx: typer.Context,
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Only this account.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Open the gate: work goes on at once.")] = False,
    json: Json = False,
) -> None:
    """Show the rate limits that all jobs of an account wait for, and clear them."""
    from mozart_nb.cli.limits import limits as do

    raise typer.Exit(do(output_of(ctx, json), clear=clear, account=account))


@commands.command(rich_help_panel=PANEL)
def answers(
    ctx: typer.Context,
    job: JobId,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="csv, jsonl, json or parquet; else by the name of the file."),
    ] = "",
    file: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only items without an answer that will get none.")] = False,
    with_items: Annotated[bool, typer.Option("--with-items", help="The columns of the input rows as well.")] = False,
    escape_formulas: Annotated[
        bool, typer.Option("--escape-formulas", help="CSV for spreadsheets: ' before texts that begin with = + - @.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Show or export the answers: one row per item, in input order, also while the job runs."""
    from mozart_nb.cli.answers import AnswersWish
    from mozart_nb.cli.answers import answers as do

    wish = AnswersWish(form=form, file=file, only_failed=failed, with_items=with_items, escape_formulas=escape_formulas)
    raise typer.Exit(do(output_of(ctx, json), job, workspace, wish))
