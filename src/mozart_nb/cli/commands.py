"""Every command with its options. What a command does is imported when it is called, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mozart_nb import __version__
from mozart_nb.cli.boundary import Commands

if TYPE_CHECKING:
    from mozart_nb.cli.output import Output

app = typer.Typer(
    name="mozart",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 completed · 1 failed · 2 usage or config error · 3 paused or interrupted · 4 cancelled",
)

RUN, JOBS, LOOK, CHECK = "Run", "Jobs", "Look closer", "Check"

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.", show_default=False)]
JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job; found from anywhere.", show_default=False)]
MaybeJobId = Annotated[str | None, typer.Argument(metavar="ID", help="Id of the job; found from anywhere.")]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace, instead of the known one.")
]
Json = Annotated[bool, typer.Option("--json", "-j", help="Print one JSON document to stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer questions with yes.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key for this run: `retry.max_retries=5`."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Unknown keys are errors.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be done.")]
Show = Annotated[int | None, typer.Option("--show", metavar="N", min=1, help="Only show, with the prompt of batch N.")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="A pilot: pause after N batches.")]
Batches = Annotated[str, typer.Option("--batches", metavar="3,7-9", help="Only these batches.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over; what was there is archived.")]
StartBatch = Annotated[int, typer.Option("--start-batch", "-s", metavar="N", min=1, help="Skip batches before N.")]
At = Annotated[str, typer.Option("--at", metavar="TIME", help="Start later: `07:05`, `2026-11-21 07:05`, `+2h`.")]
MaxConcurrent = Annotated[
    int | None, typer.Option("--max-concurrent", metavar="N", min=1, help="How many sessions at once.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mozart_nb {__version__}")
        raise typer.Exit


@app.callback()
def everything(
    ctx: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more; show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only say what went wrong.")] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Runs many Claude sessions from one description of the work."""
    from mozart_nb.cli.output import Output

    ctx.obj = Output(verbose=verbose, quiet=quiet)


def _output(ctx: typer.Context, json: bool) -> Output:
    output: Output = ctx.obj
    output.json = json
    return output


# --- run --------------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=RUN)
def run(
    ctx: typer.Context,
    job: JobFile,
    dry_run: DryRun = False,
    show: Show = None,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="Free of charge, in a scratch folder.")] = False,
    limit: Limit = None,
    batches: Batches = "",
    fresh: Fresh = False,
    start_batch: StartBatch = 1,
    at: At = "",
    yes: Yes = False,
    overrides: Overrides = None,
    max_concurrent: MaxConcurrent = None,
    strict: Strict = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Run a job file, or go on with it.

    A job that runs elsewhere is shown, an unfinished one goes on, a completed one is left alone.
    Ctrl-C pauses: running batches finish first. A second Ctrl-C leaves at once.
    """
    from mozart_nb.cli.run import RunWish
    from mozart_nb.cli.run import run as do

    wish = RunWish(
        workspace=workspace,
        dry_run=dry_run,
        show=show or 0,
        rehearse=rehearse,
        limit=limit or 0,
        batches=batches,
        fresh=fresh,
        start_batch=start_batch,
        at=at,
        yes=yes,
        overrides=overrides or (),
        max_concurrent=max_concurrent or 0,
        strict=strict,
    )
    raise typer.Exit(do(_output(ctx, json), job, wish))


@app.command(rich_help_panel=RUN)
def rehearse(
    ctx: typer.Context,
    job: JobFile,
    limit: Limit = None,
    batches: Batches = "",
    overrides: Overrides = None,
    max_concurrent: MaxConcurrent = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run a job file free of charge, in a scratch folder that is named at the end (`run --rehearse`)."""
    from mozart_nb.cli.run import RunWish
    from mozart_nb.cli.run import run as do

    wish = RunWish(
        rehearse=True,
        limit=limit or 0,
        batches=batches,
        overrides=overrides or (),
        max_concurrent=max_concurrent or 0,
        strict=strict,
    )
    raise typer.Exit(do(_output(ctx, json), job, wish))


@app.command(rich_help_panel=RUN)
def resume(
    ctx: typer.Context,
    job: JobId,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Go on with this job file.")
    ] = None,
    reload_config: Annotated[bool, typer.Option("--reload-config", help="Read the job file anew.")] = False,
    keep_failed: Annotated[bool, typer.Option("--keep-failed", help="Leave failed batches as they are.")] = False,
    infer: Annotated[bool, typer.Option("--infer", help="Batches whose rules pass count as completed.")] = False,
    yes: Yes = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Go on with a job: everything that is not completed or skipped; failed batches with fresh budgets."""
    from mozart_nb.cli.jobs import ResumeWish
    from mozart_nb.cli.jobs import resume as do

    wish = ResumeWish(
        workspace=workspace,
        config=config,
        reload_config=reload_config,
        keep_failed=keep_failed,
        infer=infer,
        yes=yes,
    )
    raise typer.Exit(do(_output(ctx, json), job, wish))


@app.command(rich_help_panel=RUN)
def recover(
    ctx: typer.Context, job: JobId, dry_run: DryRun = False, workspace: Workspace = None, json: Json = False
) -> None:
    """Check the rules of failed batches again, executing nothing; those that pass are completed."""
    from mozart_nb.cli.jobs import recover as do

    raise typer.Exit(do(_output(ctx, json), job, workspace, dry_run=dry_run))


# --- jobs -------------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=JOBS)
def status(
    ctx: typer.Context,
    job: MaybeJobId = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it until it settles.")] = False,
    batches: Annotated[
        str, typer.Option("--batches", metavar="WHICH", help="List batches: `failed`, another status, `all`, `3,7-9`.")
    ] = "",
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Show how a job stands; without an ID, how all jobs stand."""
    from mozart_nb.cli.status import status as do

    raise typer.Exit(do(_output(ctx, json), job, workspace, batches=batches, keep_watching=watch))


@app.command("list", rich_help_panel=JOBS)
def list_jobs(
    ctx: typer.Context,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Only jobs with this status.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most N jobs; 0 means all.")] = 20,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """List jobs, the one that did something last first."""
    from mozart_nb.cli.status import list_jobs as do

    raise typer.Exit(do(_output(ctx, json), workspace, status=status, limit=limit))


@app.command(rich_help_panel=JOBS)
def pause(
    ctx: typer.Context,
    job: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the job has paused.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", "-t", metavar="SECONDS", min=0, help="Wait so long at most.")
    ] = None,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Pause a running job: running batches finish first."""
    from mozart_nb.cli.jobs import pause as do

    raise typer.Exit(do(_output(ctx, json), job, workspace, wait=wait or timeout is not None, seconds=timeout))


@app.command(rich_help_panel=JOBS)
def cancel(ctx: typer.Context, job: JobId, workspace: Workspace = None, json: Json = False) -> None:
    """End a job at once, its sessions too. It can be resumed later."""
    from mozart_nb.cli.jobs import cancel as do

    raise typer.Exit(do(_output(ctx, json), job, workspace))


# --- look -------------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=LOOK)
def errors(
    ctx: typer.Context,
    job: MaybeJobId = None,
    code: Annotated[str, typer.Option("--code", metavar="E201", help="Only this code.")] = "",
    batch: Annotated[int | None, typer.Option("--batch", metavar="N", min=1, help="Only this batch.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="What each rule expected and saw, and ends of the output.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Show what failed and what to do about it, grouped by code: of one job, or of all."""
    from mozart_nb.cli.look import errors as do

    output = _output(ctx, json)
    raise typer.Exit(do(output, job, workspace, code=code, batch=batch or 0, verbose=verbose or output.verbose))


@app.command(rich_help_panel=LOOK)
def logs(
    ctx: typer.Context,
    job: MaybeJobId = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on while the job runs.")] = False,
    level: Annotated[str, typer.Option("--level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    count: Annotated[int, typer.Option("-n", metavar="N", min=0, help="The last N lines; 0 means all.")] = 50,
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, help="Raw output of this batch's last session.")
    ] = None,
    workspace: Workspace = None,
    json: Annotated[bool, typer.Option("--json", "-j", help="Print JSON Lines to stdout.")] = False,
) -> None:
    """Show the events of a job as lines; without an ID, of the job that did something last."""
    from mozart_nb.cli.look import LogWish
    from mozart_nb.cli.look import logs as do

    wish = LogWish(keep_following=follow, level=level, count=count, batch=batch or 0)
    raise typer.Exit(do(_output(ctx, json), job, workspace, wish))


@app.command(rich_help_panel=LOOK)
def limits(
    ctx: typer.Context,
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Only this account.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Open the gate: work goes on at once.")] = False,
    json: Json = False,
) -> None:
    """Show the rate limits that all jobs of an account wait for, and clear them."""
    from mozart_nb.cli.look import limits as do

    raise typer.Exit(do(_output(ctx, json), clear=clear, account=account))


# --- check ------------------------------------------------------------------------------------------------------------


@app.command(rich_help_panel=CHECK)
def validate(
    ctx: typer.Context,
    job: JobFile,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended: make missing folders.")] = False,
    strict: Strict = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Check a job file; executes nothing. Exit code 1 for errors, 2 for a file that cannot be read."""
    from mozart_nb.cli.check import validate as do

    raise typer.Exit(do(_output(ctx, json), job, workspace, fix=fix, strict=strict))


@app.command(rich_help_panel=CHECK)
def schema(ctx: typer.Context, json: Json = False) -> None:
    """Print the JSON Schema of job files, for editors."""
    from mozart_nb.cli.check import schema as do

    raise typer.Exit(do(_output(ctx, json)))


@app.command(rich_help_panel=CHECK)
def init(
    ctx: typer.Context,
    job: Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The file to write.")] = Path("job.yaml"),
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the job. Default: the file's.")] = "",
    json: Json = False,
) -> None:
    """Write a commented job file to begin with."""
    from mozart_nb.cli.check import init as do

    raise typer.Exit(do(_output(ctx, json), job, name or job.stem))


@app.command(rich_help_panel=CHECK)
def doctor(ctx: typer.Context, workspace: Workspace = None, json: Json = False) -> None:
    """Check the installation: the claude program, login, disk. Contacts nobody, costs nothing."""
    from mozart_nb.cli.check import doctor as do

    raise typer.Exit(do(_output(ctx, json), workspace))
