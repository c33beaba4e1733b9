"""`--fix` in a notebook: a cell is corrected as a job file is, and put into the place of what was typed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mozart_nb.errors import ConfigError
from mozart_nb.job.fixes import fixables
from mozart_nb.job.given import Given
from mozart_nb.job.lint import V_CODES
from mozart_nb.jupyter.magics.lines import RunWish
from mozart_nb.jupyter.magics.notebook import Notebook
from mozart_nb.plans.borrowing import given_for
from mozart_nb.plans.mending import Mended, mend, mend_text

CELL: Final = "<cell>"
"""What messages call the cell; lines are counted as the front end counts them, from the line of the magic."""


def can_be_mended(error: ConfigError) -> bool:
    """Whether `--fix` could do something about it."""
    codes = (problem.message.partition(" ")[0] for problem in error.problems)
    return bool(fixables(error)) or any(code in V_CODES and V_CODES[code].auto_fixable for code in codes)


def mend_cell(notebook: Notebook, wish: RunWish, body: str) -> str:
    """The corrected text below the magic; it replaces that of the cell where a front end can do that."""
    better, mended = mend_text(
        body, _workspace(notebook, wish.workspace), base_dir=Path.cwd(), name=CELL, given=_given(notebook, wish)
    )
    _say(notebook, mended)
    line = _first_line(notebook, body) if better != body else ""
    if line and notebook.has_kernel:
        notebook.shell.set_next_input(f"{line}\n{better}".rstrip("\n"), replace=True)
    return better


def mend_file(notebook: Notebook, file: str, wish: RunWish | None = None) -> None:
    """Correct a job file, and make the folders that it misses."""
    place = _workspace(notebook, wish.workspace if wish is not None else "")
    given = _given(notebook, wish) if wish is not None else Given(namespace=notebook.names)
    _say(notebook, mend(Path(file), place, dry_run=False, given=given))


def _say(notebook: Notebook, mended: Mended) -> None:
    notebook.say(*mended.diff, *(f"fixed: {what}" for what in mended.done))


def _given(notebook: Notebook, wish: RunWish) -> Given:
    """What the options of the line add to the description: its templates may speak of it."""
    items = notebook.variable(wish.items, "--items") if wish.items else None
    variables = {name: notebook.variable(name, "--var") for name in wish.variables}
    return given_for(items, variables, notebook.names)[1]


def _workspace(notebook: Notebook, asked: str) -> Path | None:
    place = asked or notebook.settings.workspace
    return Path(place) if place else None


def _first_line(notebook: Notebook, body: str) -> str:
    """The line of the magic as it was typed, without `--fix`: the corrected cell needs it no more."""
    history = notebook.shell.history_manager
    raw: str = history.input_hist_raw[-1] if history is not None else ""
    above, found, _ = raw.partition(body.rstrip())
    line = above.strip()
    if not found or "\n" in line or not line.startswith("%%mozart"):
        return ""
    return " ".join(word for word in line.split(" ") if word != "--fix")
