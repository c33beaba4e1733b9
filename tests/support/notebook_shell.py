"""IPython in this process, as in a terminal: cells are run, and what they print, return and raise is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from mozart_nb.engine.ports import Request
from mozart_nb.hosts.channel import running_here
from mozart_nb.hosts.loops import background_host

PATIENCE_SECONDS = 20.0


class Ran:
    """What became of one cell. `shown` is all that a person sees of it: prints, errors and the result."""

    def __init__(self, result: Any, shown: str) -> None:
        self.value = result.result
        self.error: BaseException | None = result.error_before_exec or result.error_in_exec
        self.shown = shown

    @property
    def ok(self) -> bool:
        return self.error is None


class Shell:
    """One IPython with the extension loaded, its notebook lying in `folder`."""

    def __init__(self, ip: InteractiveShell, folder: Path) -> None:
        self.ip = ip
        self.folder = folder

    def run(self, code: str) -> Ran:
        """Run a cell to its end; it may fail."""
        out = StringIO()
        with redirect_stdout(out), redirect_stderr(out):
            result = self.ip.run_cell(code, store_history=True)
        return Ran(result, out.getvalue())

    def fine(self, code: str) -> Ran:
        """Run a cell that must not fail."""
        ran = self.run(code)
        assert ran.ok, ran.shown
        return ran

    def fails(self, code: str) -> str:
        """Run a cell that must fail, without a traceback; what is seen of it."""
        ran = self.run(code)
        assert not ran.ok, ran.shown
        assert "Traceback" not in ran.shown, ran.shown
        return ran.shown

    def __getitem__(self, name: str) -> Any:
        return self.ip.user_ns[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.ip.user_ns[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self.ip.user_ns


@contextmanager
def notebook_shell(folder: Path, config: Config | None = None) -> Iterator[Shell]:
    """A shell of its own for one test, which must have made `folder` the current one. Jobs are over when it ends."""
    config = config or Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = Shell(InteractiveShell.instance(config=config), folder)
    shell.fine("%load_ext mozart_nb")
    try:
        yield shell
    finally:
        for channel in running_here():
            channel.request(Request(kind="cancel", by="the end of a test"))
            background_host().spawn(channel.settled()).result(PATIENCE_SECONDS)
        shell.run("%unload_ext mozart_nb")
        InteractiveShell.clear_instance()
