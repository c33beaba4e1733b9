"""The environment of kernels, servers and programs that tests start: folders of their own, nothing of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PASSED_ON = ("LANG", "LC_ALL", "TZ", "TMPDIR")
_FOLDERS = {
    "HOME": "home",
    "IPYTHONDIR": "ipython",
    "JUPYTER_CONFIG_DIR": "jupyter-config",
    "JUPYTER_DATA_DIR": "jupyter-data",
    "JUPYTER_RUNTIME_DIR": "jupyter-runtime",
    "JUPYTERLAB_SETTINGS_DIR": "lab-settings",
    "JUPYTERLAB_WORKSPACES_DIR": "lab-workspaces",
    "MPLCONFIGDIR": "matplotlib",
    "MOZART_NB_HOME": "mozart",
    "CLAUDE_CONFIG_DIR": "claude",
    "XDG_CONFIG_HOME": "xdg-config",
    "XDG_CACHE_HOME": "xdg-cache",
    "XDG_DATA_HOME": "xdg-data",
    "XDG_STATE_HOME": "xdg-state",
    "XDG_RUNTIME_DIR": "xdg-runtime",
}


def notebook_environment(root: Path) -> dict[str, str]:
    """Variables for a kernel, JupyterLab or `python -m mozart_nb`, with all of their folders below `root`.

    Two programs given the same `root` know the same jobs. There are no credentials and no proxies in it.
    """
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Programs of this Python's environment come first, so that `jupyter` and `mozart` are the ones under test.
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    for name, folder in _FOLDERS.items():
        path = root / folder
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        environ[name] = str(path)
    # The debugger that comes with every kernel warns about frozen modules, and polls files.
    environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    return environ
