"""`%mozart` and `%%mozart`. What they do is imported when it is first asked for: loading must be quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from mozart_nb.errors import MozartError
from mozart_nb.jupyter.magics.lines import (
    Line,
    help_of,
    in_notebook,
    overview,
    parse_cell,
    parse_verb,
    split_line,
    verb_called,
)
from mozart_nb.jupyter.magics.settings import Settings

if TYPE_CHECKING:
    from mozart_nb.jupyter.magics.notebook import Outcome


@contextmanager
def _advising() -> Iterator[None]:
    """Whatever an error advises can be typed here."""
    try:
        yield
    except MozartError as error:
        error.hint = in_notebook(error.hint)
        raise


def _page() -> str:
    """What `%%mozart?` shows instead of the docstring; made when it is asked for."""
    from mozart_nb.jupyter.magics.cell_help import page

    return page()


@magics_class
class MozartMagics(Settings, Magics):
    """Runs many Claude sessions from one description of the work."""

    disconnect: Callable[[], object] = staticmethod(lambda: None)
    """Ends the completion that came with them."""

    @no_var_expand
    @line_cell_magic
    def mozart(self, line: str, cell: str | None = None) -> Any:
        """Run a job, watch it, look into it: `%%mozart --help` says more."""
        asked = split_line(line)
        MozartError.verbose = self.tracebacks or "--debug" in asked.words
        if asked.is_awaited:
            return self._awaited(asked, cell)
        with _advising():
            outcome = self._outcome(asked, cell)
            outcome.wait()
        return None if asked.is_silent else outcome.value

    async def _awaited(self, asked: Line, cell: str | None) -> Any:
        """The same for a cell that awaits it; see `waiting`."""
        with _advising():
            outcome = self._outcome(asked, cell)
            await outcome.settled()
        return None if asked.is_silent else outcome.value

    def _outcome(self, asked: Line, cell: str | None) -> Outcome:
        from mozart_nb.jupyter.magics.notebook import Notebook, Outcome
        from mozart_nb.jupyter.magics.runs import run_cell
        from mozart_nb.jupyter.magics.verbs import perform, say_jobs
        from mozart_nb.words import Page

        notebook = Notebook(self.shell, self)
        verb, *words = asked.words or ("",)
        if cell is not None:
            return Outcome(Page(_page())) if asked.wants_help else run_cell(notebook, parse_cell(asked), cell)
        if not verb:
            return say_jobs(notebook)
        if verb.startswith("-") and asked.wants_help:
            return Outcome(Page(overview()))
        if asked.wants_help:
            return Outcome(Page(help_of(verb_called(verb))))
        return perform(notebook, verb, parse_verb(verb, words))


# IPython asks what it describes for its `getdoc` before it looks for a docstring.
MozartMagics.mozart.getdoc = _page  # type: ignore[union-attr]  # functions take attributes
