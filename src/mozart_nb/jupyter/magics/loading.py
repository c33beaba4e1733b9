"""`%load_ext mozart_nb` and `%unload_ext mozart_nb`: everything that is put into IPython, and taken out again.

Jobs are not touched: those that run go on, whether the extension is loaded or not.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

from mozart_nb.hosts.kernel import choose_loop
from mozart_nb.jupyter.completion.matcher import connect
from mozart_nb.jupyter.magics.mozart import MozartMagics
from mozart_nb.jupyter.magics.rewriting import Rewriter, has_kernel
from mozart_nb.jupyter.magics.settings import NAME, drop_bad_values, project_settings
from mozart_nb.jupyter.notify import choose as choose_notify

_STOPS_WHILE_WAITING: Final = (7, 4)
"""Since this version of ipykernel clicks are handled while a cell awaits."""

_BROKEN: Final = (7, 0)
"""Updates of widgets from threads raise LookupError there (ipykernel#1450)."""


def load(shell: Any) -> None:
    """Put the magics into `shell`. Loading twice changes nothing; settings that make no sense are said and dropped."""
    unload(shell)
    said = [*drop_bad_values(shell.config), *_about_kernel(shell)]
    magics = MozartMagics(shell)
    project, faults = project_settings(Path.cwd())
    for name, value in project.items():
        if name not in shell.config.get(NAME, {}):
            setattr(magics, name, value)
    shell.register_magics(magics)
    shell.input_transformers_post.append(Rewriter(shell, magics))
    magics.disconnect = connect(shell)
    _follow_loop(magics, shell)
    magics.observe(lambda change: choose_notify(change["new"]), names="notify")
    choose_notify(magics.notify)
    for line in (*said, *faults):
        sys.stderr.write(f"mozart_nb: {line}\n")


def unload(shell: Any) -> None:
    """Take out of `shell` whatever `load` put in."""
    manager = shell.magics_manager
    for kind in ("line", "cell"):
        manager.magics[kind].pop("mozart", None)
    magics = manager.registry.pop(NAME, None)
    if isinstance(magics, MozartMagics):
        magics.disconnect()
        choose_loop("auto")
        choose_notify("auto")
    shell.configurables[:] = [one for one in shell.configurables if one is not magics]
    transformers = shell.input_transformers_post
    transformers[:] = [one for one in transformers if not isinstance(one, Rewriter)]


def _follow_loop(magics: MozartMagics, shell: Any) -> None:
    """Jobs begin on the loop that the settings name; in a terminal only a thread goes on between two prompts."""

    def choose(_: Any = None) -> None:
        choose_loop(magics.loop if has_kernel(shell) or magics.loop == "kernel" else "thread")

    magics.observe(choose, names="loop")
    choose()


def _about_kernel(shell: Any) -> list[str]:
    """A line about an ipykernel that is older than what works well."""
    if not has_kernel(shell) or "ipykernel" not in sys.modules:
        return []
    version = str(sys.modules["ipykernel"].__version__)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers == _BROKEN:
        return [f"ipykernel {version} loses updates of dashboards; `pip install -U 'ipykernel>=7.4'`"]
    if numbers < _STOPS_WHILE_WAITING:
        return [f"ipykernel {version} handles clicks only when no cell waits; `pip install -U 'ipykernel>=7.4'`"]
    return []
