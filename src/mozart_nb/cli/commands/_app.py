"""The app itself, and the types of arguments and options that several commands share."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, TypeVar

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

JobFile = Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file.", show_default=False)]
JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job; found from anywhere.", show_default=False)]
MaybeJobId = Annotated[str | None, typer.Argument(metavar="ID", help="Id of the job; found from anywhere.")]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", "-w", metavar="DIR", help="The workspace, instead of the known one.")
]
Json = Annotated[bool, typer.Option("--json", "-j", help="Print one JSON document to stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer questions with yes.")]
SelfHealing = Annotated[
    bool, typer.Option("--self-healing", "-H", help="Mend what can be mended before a batch is given up.")
]
Escalation = Annotated[
    bool, typer.Option("--escalation", "-e", help="Ask before a batch fails whose retries are used up.")
]
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
Conductor = Annotated[
    bool | None,
    typer.Option(
        "--conductor/--no-conductor",
        help="Have the conductor run it, so that it outlives this terminal. MOZART_NB_CONDUCTOR=1: always.",
        show_default=False,
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="With the conductor: return at once, without showing the job.")]


class _Wish(Protocol):
    """A dataclass of what was asked of a command; its fields are called as the command's parameters are."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


W = TypeVar("W", bound=_Wish)


def asked(wish: type[W], ctx: typer.Context) -> W:
    """What was asked of this command; what was left out is as the wish has it by default."""
    given = {name: value for name, value in ctx.params.items() if value is not None}
    return wish(**{one.name: given[one.name] for one in fields(wish) if one.name in given})


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
    from mozart_nb.job.secrets import secrets_of_environment
    from mozart_nb.masking import know

    know(secrets_of_environment(os.environ))
    ctx.obj = Output(verbose=verbose, quiet=quiet)


def output_of(ctx: typer.Context, json: bool) -> Output:
    """Where this command says things; `json`: as one document on stdout."""
    output: Output = ctx.obj
    output.json = json
    return output
