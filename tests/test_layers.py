"""Who may import whom, and what each layer may not use: read from the syntax trees of all modules.

Function bodies and `TYPE_CHECKING` blocks count. Where a module does otherwise for a reason, it stands in one of the
tables below with that reason.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "mozart_nb"
PACKAGE = "mozart_nb"
LONGEST_MODULE = 400

LAYERS = {
    "errors": 0,
    "codes": 0,
    "masking": 0,
    "excerpts": 0,
    "events": 0,
    "job": 1,
    "engine": 2,
    "backends": 3,
    "consumers": 3,
    "checkpoint": 3,
    "validation": 3,
    "commands": 3,
    "detached": 3,
    "gate": 3,
    "healing": 3,
    "pace": 3,
    "workspace_archive": 3,
    "isolation": 3,
    "clock": 3,
    "selection": 1,
    "words": 1,
    "hooks": 4,
    "parts": 4,
    "frames": 4,
    "looking": 4,
    "plans": 4,
    "onlookers": 4,
    "runtime": 4,
    "starting_over": 4,
    "job_reader": 4,
    "job_starting": 4,
    "job_handle": 4,
    "hosts": 4,
    "jupyter": 5,
    "cli": 5,
}
"""Module or package of ours → its layer. It may import lower layers; within one layer see `MAY_ALSO_IMPORT`."""

ENGINE_FOR_ADAPTERS = {"engine.ports", "engine.state", "engine.fold"}
"""All that layer 3 may import of the engine: what it is asked for, the state it reads, and the fold that makes it."""

PARTS_OF = {"__main__": "cli"}
"""Modules that belong to another one: its inside, or its door."""

MAY_ALSO_IMPORT: dict[str, tuple[set[str], str]] = {
    "errors": ({"excerpts"}, "an error shows the line of the job file that it is about"),
    "excerpts": ({"masking", "words"}, "what is shown of a job file is free of secrets and of what a screen obeys"),
    "events": ({"masking"}, "what is journaled must be free of secrets, and both are the ground that all stand on"),
    "cli.commands.dashboard": (
        {"jupyter.server.standalone"},
        "`mozart dashboard` starts the server of the pages: a door that opens when the command is called",
    ),
    "job_handle": (
        {"jupyter.dashboard.dashboard", "jupyter.looks.job"},
        "`Job.dashboard()` and what a notebook shows of a `Job`: doors to the notebook that open when they are used",
    ),
    "looking.diagnosis.findings": (
        {"jupyter.looks.diagnosis"},
        "what a notebook shows of a diagnosis: a door to the notebook that opens when it is used",
    ),
    "consumers.notify.spawn": ({"detached"}, "the courier is let go by the one place that starts what outlives us"),
    "validation": ({"commands"}, "rules run commands through the one place that ends whatever a command starts"),
}
"""Module or package → other modules it may import, and why."""

LONGER: dict[str, tuple[int, str]] = {}
"""Module → the most lines it may have instead of `LONGEST_MODULE`, and why."""

FORBIDDEN_IMPORTS = {
    0: {"asyncio", "rich", "typer", "IPython", "anthropic", "sqlite3", "subprocess", "signal", "threading"},
    1: {"asyncio", "rich", "typer", "IPython", "anthropic", "sqlite3", "subprocess", "signal", "shutil", "tempfile"},
    2: {"rich", "typer", "IPython", "anthropic", "sqlite3", "subprocess", "signal", "shutil", "tempfile", "time"},
    3: {"rich", "typer", "IPython", "tornado", "ipywidgets"},
    4: {"rich", "typer", "IPython", "tornado", "ipywidgets"},
    5: set(),
}
"""Layer → modules of others that it must not import."""

FORBIDDEN_CALLS = {
    0: {"print", "open", "time.time", "random.random"},
    1: {"print", "open", "time.time", "datetime.now", "random.random"},
    2: {"print", "open", "asyncio.run", "time.time", "datetime.now", "random.random", "random.uniform"},
    3: {"print", "asyncio.run"},
    4: {"print"},
    5: {"asyncio.run"},
}
"""Layer → calls that must not stand in it, by the end of their dotted name."""

FILE_METHODS = set(
    "open read_text read_bytes write_text write_bytes exists is_file is_dir is_symlink stat lstat glob rglob iterdir"
    " mkdir rmdir unlink touch rename listdir scandir walk".split()
)
"""Methods that touch the file system, unless they are called on a `Files` or `Materials` port."""

COMES_WITH = {
    "IPython": "ipython",
    "yaml": "pyyaml",
    "pydantic_core": "pydantic",
    "annotated_types": "pydantic",
    "click": "typer",
    "httpx2": "anthropic",
    "referencing": "jsonschema",
    "numpy": "pandas",
    "nest_asyncio2": "nest-asyncio2",
    "tornado": "jupyter_server",
    "jupyter_core": "jupyter_server",
    "markupsafe": "jinja2",
}
"""Module of others → the declared dependency that brings it, where the names differ."""

FILE_PORTS = {"files", "_files", "materials", "_materials"}

EXCUSED: dict[str, tuple[set[str], str]] = {
    "masking": ({"threading"}, "what is secret is known to the whole process, and jobs in all of its threads tell it"),
    "job.load": ({"open", *FILE_METHODS}, "the one place that reads job files"),
    "job.items": (
        {"open", "subprocess", "signal", *FILE_METHODS},
        "the one place that reads rows: from files, wildcards and the output of commands",
    ),
    "job.regular": ({"stat"}, "job.load and job.items ask it before they open what a job file names"),
    "validation.functions": (
        {"asyncio.run"},
        "a coroutine function of the user runs in its own thread, on a loop of its own, and never on that of the job",
    ),
    "consumers.notify.courier": ({"asyncio.run"}, "it is the main program of a process of its own"),
    "job.reference": ({*FILE_METHODS}, "run as a program, it writes a page of the documentation; nothing imports it"),
}
"""Module → what its layer forbids and it may use all the same, and why."""


@dataclass(frozen=True)
class Module:
    """One module of ours; `name` is its dotted name below the package, `__init__` for the package itself."""

    name: str
    path: Path

    @property
    def part(self) -> str:
        return part_of(self.name)

    @property
    def layer(self) -> int:
        return LAYERS.get(self.part, 5)  # a module without a layer fails a test of its own

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


def part_of(name: str) -> str:
    first = name.partition(".")[0]
    return PARTS_OF.get(first, first)


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = Module(name, path)
    return found


INSIDE = [module for module in modules().values() if module.name != "__init__"]
each_module = pytest.mark.parametrize("module", INSIDE, ids=lambda module: module.name)


@cache
def tree(module: Module) -> ast.Module:
    return ast.parse(module.path.read_text(encoding="utf-8"), str(module.path))


@cache
def imported(module: Module) -> frozenset[str]:
    """Full dotted names of everything `module` imports, late imports and `importlib` included."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("import_module", "__import__"):
            names.update(str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))
    return frozenset(names)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    whole = [PACKAGE, *module.name.split(".")]
    package = whole if module.is_package else whole[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def ours(module: Module) -> set[str]:
    """Names below the package of the modules of ours that `module` imports."""
    return below_package(imported(module))


def below_package(names: Iterable[str]) -> set[str]:
    """Modules of ours among these dotted names, by their names below the package."""
    found = set()
    for name in names:
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            below = name.removeprefix(PACKAGE).lstrip(".")
            while below and below not in modules():
                below = below.rpartition(".")[0]
            found.add(below or "__init__")
    return found


def dotted(node: ast.expr) -> str:
    """`a.b.c` as it is written; a part that is no name reads as `?`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def calls(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node.lineno


def may_import(module: Module, other: str) -> bool:
    if other == "__init__" or other in MAY_ALSO_IMPORT.get(module.name, (set(), ""))[0]:
        return True
    part = part_of(other)
    if other in MAY_ALSO_IMPORT.get(module.part, (set(), ""))[0] or part == module.part:
        return True
    if module.layer == 3:
        return LAYERS.get(part, 5) < 2 or other in ENGINE_FOR_ADAPTERS
    # Layer 4 composes, so its modules know each other; the surfaces of layer 5 do not.
    return LAYERS.get(part, 5) < module.layer or (module.layer == LAYERS.get(part) == 4)


def excused(module: Module) -> set[str]:
    return EXCUSED.get(module.name, (set(), ""))[0]


def sentence(problems: Iterable[str]) -> str:
    return "\n".join(sorted(problems))


def test_every_module_belongs_to_a_layer() -> None:
    assert {module.part for module in INSIDE} <= set(LAYERS)


@each_module
def test_a_module_imports_only_what_its_layer_may(module: Module) -> None:
    wrong = {other for other in ours(module) if not may_import(module, other)}
    assert not wrong, f"{module.name} (layer {module.layer}) imports {sentence(wrong)}"


@each_module
def test_a_module_uses_none_of_the_libraries_its_layer_forbids(module: Module) -> None:
    wrong = {name.partition(".")[0] for name in imported(module)} & FORBIDDEN_IMPORTS[module.layer]
    assert not wrong - excused(module), f"{module.name} (layer {module.layer}) imports {sentence(wrong)}"


@each_module
def test_a_module_calls_nothing_its_layer_forbids(module: Module) -> None:
    forbidden = FORBIDDEN_CALLS[module.layer] - excused(module)
    wrong = {f"{name} in line {line}" for name, line in calls(module) if _ends_with(name, forbidden)}
    assert not wrong, f"{module.name} (layer {module.layer}) calls {sentence(wrong)}"


def _ends_with(name: str, forbidden: set[str]) -> bool:
    return any(name == one or ("." in one and name.endswith(f".{one}")) for one in forbidden)


@pytest.mark.parametrize("module", [one for one in INSIDE if one.layer in (1, 2)], ids=lambda module: module.name)
def test_the_core_leaves_the_file_system_to_its_ports(module: Module) -> None:
    wrong = {
        f"{name} in line {line}"
        for name, line in calls(module)
        if _touches_files(name) and name.rpartition(".")[2] not in excused(module)
    }
    assert not wrong, sentence(wrong)


def _touches_files(name: str) -> bool:
    *receiver, method = name.split(".")
    return bool(receiver) and method in FILE_METHODS and not FILE_PORTS & set(receiver)


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((SOURCE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["parquet"], *extras["plot"]]
    names = {re.split(r"[\[<>=~! ]", text, maxsplit=1)[0] for text in declared}
    used = {name.partition(".")[0] for module in modules().values() for name in imported(module)}
    others = {COMES_WITH.get(name, name) for name in used - sys.stdlib_module_names - {PACKAGE}}
    assert others <= names


def test_the_package_itself_imports_nothing_of_its_own_at_once() -> None:
    package = modules()["__init__"]
    at_once = [node for node in tree(package).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in at_once if isinstance(node, ast.Import) for alias in node.names}
    names |= {_absolute(package, node) for node in at_once if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names}


@pytest.mark.parametrize("module", modules().values(), ids=lambda module: module.name)
def test_a_module_says_what_it_is_for(module: Module) -> None:
    assert ast.get_docstring(tree(module)), f"{module.path} has no docstring"


@each_module
def test_a_module_fits_into_a_head(module: Module) -> None:
    longest, _ = LONGER.get(module.name, (LONGEST_MODULE, ""))
    lines = len(module.path.read_text(encoding="utf-8").splitlines())
    assert lines <= longest, f"{module.path} has {lines} lines"


def test_every_exception_is_needed_and_has_a_reason() -> None:
    known = {*modules(), *LAYERS}
    for name, (_, why) in [*MAY_ALSO_IMPORT.items(), *LONGER.items(), *EXCUSED.items()]:
        assert name in known, f"{name} is gone: take it out of the table"
        assert len(why) > 20, f"say why {name} may"
    for name, (extra, _) in MAY_ALSO_IMPORT.items():
        used = {other for module in INSIDE if name in (module.name, module.part) for other in ours(module)}
        assert extra <= used, f"{name} no longer imports {sentence(extra - used)}"


# --- order ------------------------------------------------------------------------------------------------------------


def test_modules_can_be_imported_in_any_order() -> None:
    """Where names are needed while a module is imported, nothing leads back to it. Raises `CycleError` with the way."""
    needs = {name: needed_at_import(module) - {name} for name, module in modules().items()}
    TopologicalSorter(needs).prepare()


def needed_at_import(module: Module) -> set[str]:
    names: set[str] = set()
    for statement in _imports_at_once(tree(module).body):
        base = _absolute(module, statement) if isinstance(statement, ast.ImportFrom) else ""
        names.update(f"{base}.{alias.name}".lstrip(".") for alias in statement.names)
    return below_package(names)


def _imports_at_once(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in dotted(statement.test):
            yield from _imports_at_once(statement.orelse)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _imports_at_once(statement.body)
