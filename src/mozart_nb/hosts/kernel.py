"""Where jobs run inside Jupyter: on the kernel's main loop, or in a thread of their own. (May import IPython.)"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, Final, Literal

from mozart_nb.errors import MisuseError
from mozart_nb.hosts.loops import Host, background_host, chosen_host, host_of, running_host

Mode = Literal["auto", "kernel", "thread"]
MODES: Final = ("auto", "kernel", "thread")

_mode: Mode = "auto"


def choose_loop(mode: Mode) -> None:
    """Where jobs that begin from now on run. `auto`: on the kernel's loop if there is one, else on the running loop,
    else in a thread.
    """
    global _mode
    _mode = mode


def host_for(mode: Mode | None = None) -> Host:
    """Where a job that begins here and now runs; by default as chosen with `choose_loop`.

    Raises `MisuseError` when the kernel's loop is wanted and there is no kernel.
    """
    if (chosen := chosen_host()) is not None:
        return chosen
    mode = mode or _mode
    if mode == "thread":
        return background_host()
    found = _kernel_host()
    if found is not None:
        return found
    if mode == "kernel":
        raise MisuseError("there is no Jupyter kernel here", hint="choose the loop `auto` or `thread`")
    return running_host() or background_host()


def shell() -> Any:
    """IPython's shell; None outside IPython. IPython is not imported for it."""
    module = sys.modules.get("IPython.core.getipython")
    return module.get_ipython() if module is not None else None


def in_kernel() -> bool:
    """Whether a Jupyter kernel executes us."""
    return getattr(shell(), "kernel", None) is not None


def _kernel_host() -> Host | None:
    """The kernel's main loop, also for code that is executed in a subshell, which has a loop of its own."""
    kernel = getattr(shell(), "kernel", None)
    loop = getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None)
    if not isinstance(loop, asyncio.AbstractEventLoop) or not loop.is_running():
        return None
    main = threading.main_thread().ident
    return host_of(loop, main, "kernel loop") if main is not None else None
