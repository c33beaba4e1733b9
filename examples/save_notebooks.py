"""Runs the example notebooks offline and saves them with their outputs: `make notebooks`.

Every kernel gets folders of its own and no credentials, so what is saved is what anybody sees who runs them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent / "notebooks"
_FOREIGN = ("ANTHROPIC_", "CLAUDE", "MOZART_NB_")


@contextmanager
def _clean_environment() -> Iterator[None]:
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as place:
        for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
            del os.environ[name]
        for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "MOZART_NB_HOME"):
            os.environ[name] = str(Path(place, name.lower()))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def save(path: Path) -> None:
    """Run one notebook from top to bottom and write it back. Raises `CellExecutionError` where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    with _clean_environment():
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    notebook.metadata.pop("widgets", None)  # the state of widgets that are gone
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        print(path.name)
        save(path)
