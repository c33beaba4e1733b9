"""Runs many Claude sessions from one description of the work, in Jupyter and without it.

%load_ext mozart_nb                          in a notebook: the magics %mozart and %%mozart
job = mozart_nb.Job.load("job.yaml").start() in any program; `await job` or `job.wait()`
mozart_nb.history()                          the jobs that are known from here, as a DataFrame
mozart_nb.insights()                         what earlier jobs came to, by template and by rule
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mozart_nb.errors import MozartError
    from mozart_nb.job_handle import Job
    from mozart_nb.looking.history import history
    from mozart_nb.looking.learning import insights

__all__ = ["Job", "MozartError", "__version__", "history", "insights"]

__version__ = "0.1.0"

_PLACES = {"Job": "job_handle", "MozartError": "errors", "history": "looking.history", "insights": "looking.learning"}
"""Public name → the module it is imported from at its first use: loading the extension must not cost a second."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return value


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext mozart_nb`: the magics `%mozart` and `%%mozart`."""
    from mozart_nb.jupyter.magics.loading import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext mozart_nb`: takes the magics out again; jobs that run go on."""
    from mozart_nb.jupyter.magics.loading import unload

    unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What Jupyter Server loads: the pages and the REST API below `/mozart/`."""
    from mozart_nb.jupyter.server.app import MozartApp

    return [{"module": "mozart_nb", "app": MozartApp}]
