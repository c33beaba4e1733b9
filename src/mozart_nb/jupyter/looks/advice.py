"""What helps against a failure, in words of the notebook."""

from __future__ import annotations

from mozart_nb.consumers.phrases import advice_for
from mozart_nb.jupyter.magics.lines import in_notebook


def advice_here(code: str, *, is_over: bool) -> str:
    """The advice that the command line gives, with the verbs of `%mozart`."""
    return in_notebook(advice_for(code, is_over=is_over))
