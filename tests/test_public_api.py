"""What users may import, what that costs, and how the package is put together."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mozart_nb

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

PUBLIC = ["Job", "MozartError", "__version__", "history", "insights"]
"""A name that is added here is a promise; one that is taken away breaks somebody's notebook."""


def modules_after(statement: str) -> set[str]:
    """Top-level modules of others that a new interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout)) - set(sys.stdlib_module_names)


def test_the_public_names_are_these() -> None:
    assert mozart_nb.__all__ == PUBLIC
    assert all(hasattr(mozart_nb, name) for name in PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        mozart_nb.no_such_name  # noqa: B018


def test_importing_the_package_loads_none_of_its_dependencies() -> None:
    loaded = modules_after("import mozart_nb")
    names = {re.split(r"[\[<>=~! ]", text, maxsplit=1)[0].replace("-", "_") for text in PROJECT["dependencies"]}
    names |= {"yaml", "jinja2", "anthropic", "pandas", "IPython", "ipywidgets"}
    assert not loaded & names


def test_the_command_line_loads_nothing_that_only_notebooks_need() -> None:
    heavy = {"anthropic", "pandas", "pyarrow", "numpy", "IPython", "ipywidgets", "ipykernel", "tornado", "sqlite3"}
    assert not modules_after("import mozart_nb.cli.main") & heavy


def test_the_version_is_said_the_same_everywhere() -> None:
    assert mozart_nb.__version__ == PROJECT["version"] == importlib.metadata.version("mozart-nb")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)[1] == PROJECT["version"]  # type: ignore[index]


def test_types_are_shipped() -> None:
    assert (Path(mozart_nb.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", sorted(PROJECT["scripts"]))
def test_a_console_script_can_be_loaded(name: str) -> None:
    [entry] = importlib.metadata.entry_points(group="console_scripts", name=name)
    assert callable(entry.load())


def test_the_package_can_be_run_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mozart_nb", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert mozart_nb.__version__ in done.stdout
    assert done.stderr == ""
