"""Between commands and the shell: errors become messages and exit codes, never tracebacks."""

from __future__ import annotations

import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from mozart_nb.errors import MozartError

if TYPE_CHECKING:
    from mozart_nb.cli.output import Output

# Typer brings its own click since 0.20; the base of its public errors is the same class either way.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]

_JSON_FLAG = re.compile(r"--json|-[a-zA-Z]?j[a-zA-Z]?")
_GLOBAL_FLAGS = frozenset({"-v", "--verbose", "-q", "--quiet"})
INTERRUPTED = 3


class Commands(TyperGroup):
    """All commands; whatever they raise ends here. Global flags may stand behind the command as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        parsed: list[str] = super().parse_args(ctx, _flags_first(args))
        return parsed

    def invoke(self, ctx: Any) -> Any:
        wants_json = any(_JSON_FLAG.fullmatch(arg) for arg in [*ctx._protected_args, *ctx.args])
        try:
            return super().invoke(ctx)
        except MozartError as error:
            raise typer.Exit(_report(ctx, error, wants_json)) from None
        except UsageError as error:
            _document(_output(ctx, wants_json), _message_of(error))
            raise
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not cut the goodbye short
            output = _output(ctx, wants_json)
            _document(output, "interrupted")
            output.complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _abandon_stdout()
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort, SystemExit):
            raise
        except Exception as error:
            if _is_verbose(ctx):
                raise
            raise typer.Exit(_report_unexpected(ctx, error, wants_json)) from None


def _flags_first(args: list[str]) -> list[str]:
    """`run job.yaml -q` means the same as `-q run job.yaml`. What follows `--` stays where it is."""
    end = args.index("--") if "--" in args else len(args)
    flags = [arg for arg in args[:end] if arg in _GLOBAL_FLAGS]
    return [*flags, *(arg for arg in args[:end] if arg not in _GLOBAL_FLAGS), *args[end:]]


def _output(ctx: Any, wants_json: bool) -> Output:
    from mozart_nb.cli.output import Output

    output = ctx.obj if isinstance(ctx.obj, Output) else Output()
    output.json = wants_json
    return output


def _abandon_stdout() -> None:
    """Whoever read our output has gone, as `| head` does: no failure."""
    from mozart_nb.cli.output import abandon

    abandon(sys.stdout)


def _document(output: Output, message: str) -> None:
    """With --json a failure is a document too, unless there is one already."""
    if output.json and not output.has_written:
        output.document({"error": {"code": None, "message": message, "hint": ""}})


def _is_verbose(ctx: Any) -> bool:
    return bool(getattr(ctx.obj, "verbose", False))


def _report(ctx: Any, error: MozartError, wants_json: bool) -> int:
    from mozart_nb.cli.output import exit_code_for

    _output(ctx, wants_json).failure(error)
    return exit_code_for(error)


def _report_unexpected(ctx: Any, error: Exception, wants_json: bool) -> int:
    output = _output(ctx, wants_json)
    text = f"{type(error).__name__}: {error}"
    _document(output, text)
    output.complain(f"unexpected {text}", "this should not happen; `mozart -v …` shows the traceback")
    return 1


def _message_of(error: Exception) -> str:
    return str(error.format_message()) if hasattr(error, "format_message") else str(error)
