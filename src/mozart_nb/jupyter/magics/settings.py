"""What the magics take for granted: the traits behind `%config MozartMagics`, and where their values come from.

A project may set them in the nearest `pyproject.toml`, table `[tool.mozart_nb.magics]`; what IPython's config or
`%config` says wins over that, and an option of the magic over both.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from traitlets import Bool, CaselessStrEnum, Int, TraitError, Unicode
from traitlets.config import Config, Configurable
from traitlets.config.loader import DeferredConfig, LazyConfigValue

NAME: Final = "MozartMagics"
"""What `%config` and config files call them."""

NONINTERACTIVE: Final = "MOZART_NONINTERACTIVE"
"""Environment variable: when it is set (not empty, `0`, `false` or `no`), every run waits."""

CONDUCTOR: Final = "MOZART_NB_CONDUCTOR"
"""Environment variable: when it is set in the same way, jobs are run by the conductor."""

PROJECT_FILE: Final = "pyproject.toml"
PROJECT_TABLE: Final = "tool.mozart_nb.magics"


class Settings(Configurable):
    """The traits, each with the help that `%config MozartMagics` shows."""

    loop = CaselessStrEnum(
        ["auto", "kernel", "thread"],
        default_value="auto",
        help="Where jobs run: on the `kernel`'s event loop, or in a `thread` of their own, which goes on while a cell "
        "computes. `auto`: the kernel's loop where there is one. Holds for jobs started from then on.",
    ).tag(config=True)
    wait = Bool(
        False,
        help="Whether `%%mozart`, `%mozart run` and `%mozart resume` return only when the job has settled. "
        f"`--wait` and `--no-wait` win; with {NONINTERACTIVE}=1 in the environment the default is to wait.",
    ).tag(config=True)
    dashboard = Bool(True, help="Whether a started job shows its live dashboard (`--no-dashboard`).").tag(config=True)
    notify = CaselessStrEnum(
        ["auto", "off"],
        default_value="auto",
        help="Whether the page tells of a job that settles while its cell is out of sight or the window is not looked "
        "at. `off`: never.",
    ).tag(config=True)
    workspace = Unicode(
        "", help="Workspace of every job that is started, instead of the one in its YAML (`-w DIR`)."
    ).tag(config=True)
    max_concurrent = Int(
        0, min=0, help="How many sessions run at once (`--max-concurrent N`); 0: what the job says."
    ).tag(config=True)
    rehearse = Bool(
        False, help="Whether every job is only rehearsed: free of charge, in a scratch folder (`--rehearse`)."
    ).tag(config=True)
    strict = Bool(False, help="Whether unknown keys of the YAML are errors (`--strict`).").tag(config=True)
    self_healing = Bool(
        False, help="Whether what can be mended is mended before a batch is given up (`--self-healing`)."
    ).tag(config=True)
    conductor = Bool(
        False,
        help="Whether the conductor runs every job that is started (`--conductor`, `--no-conductor`); with "
        f"{CONDUCTOR}=1 in the environment it does. What only this kernel can do runs here.",
    ).tag(config=True)
    tracebacks = Bool(
        False, help="Whether mistakes are shown with a Python traceback instead of one message (`--debug`)."
    ).tag(config=True)

    @property
    def waits(self) -> bool:
        """Whether a run waits unless its options say else."""
        return self.wait or is_set(NONINTERACTIVE)

    @property
    def goes_to_conductor(self) -> bool:
        """Whether the conductor runs what is started unless its options say else."""
        return self.conductor or is_set(CONDUCTOR)


def is_set(variable: str) -> bool:
    """Whether a variable of the environment says yes."""
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no")


def trait_names() -> list[str]:
    """Every setting, in alphabetical order."""
    return sorted(Settings.class_traits(config=True))


def drop_bad_values(config: Config) -> list[str]:
    """Take out of IPython's config what cannot be set, and say what that was.

    `%config MozartMagics.loop = "no"` logs an error but stays in the config: the next load would fail.
    """
    said = []
    values = config.get(NAME, {})
    for name, value in list(values.items()):
        fault = fault_of(name, value)
        if fault:
            del values[name]
            said.append(f"%config {NAME}.{name}: {fault}; ignored")
    return said


def fault_of(name: str, value: Any) -> str:
    """Why a setting cannot have this value, in one phrase; empty when it can."""
    trait = Settings.class_traits(config=True).get(name)
    if trait is None:
        near = difflib.get_close_matches(name, trait_names(), n=1)
        return "there is no such setting; " + (f"did you mean `{near[0]}`?" if near else f"there are {_known()}")
    try:
        if isinstance(value, LazyConfigValue):
            raise TraitError
        setattr(Settings(), name, value.get_value(trait) if isinstance(value, DeferredConfig) else value)
    except (TraitError, ValueError):
        return f"{_allowed(trait)} expected, not {value!r}"
    return ""


def _allowed(trait: Any) -> str:
    if isinstance(trait, CaselessStrEnum):
        return "one of " + ", ".join(f"`{value}`" for value in trait.values or ())
    if isinstance(trait, Bool):
        return "true or false"
    return "a number from 0" if isinstance(trait, Int) else "a text"


def _known() -> str:
    return ", ".join(f"`{name}`" for name in trait_names())


# --- the project's own ------------------------------------------------------------------------------------------------


def project_settings(start: Path) -> tuple[dict[str, Any], list[str]]:
    """The settings of the nearest `pyproject.toml` at or above `start`, and what is wrong with it, in lines."""
    file = next((path for path in _candidates(start) if path.is_file()), None)
    if file is None:
        return {}, []
    try:
        table = _table(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        return {}, [f"{file}: settings cannot be read: {error}"]
    given = {str(key).replace("-", "_"): value for key, value in table.items()}
    faults = {name: fault for name, value in given.items() if (fault := fault_of(name, value))}
    said = [f"{file}, [{PROJECT_TABLE}] {name}: {fault}; ignored" for name, fault in faults.items()]
    return {name: value for name, value in given.items() if name not in faults}, said


def _candidates(start: Path) -> Iterator[Path]:
    here = start.absolute()
    return (folder / PROJECT_FILE for folder in (here, *here.parents))


def _table(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises `ValueError` when something on the way to it is no table."""
    found = document
    for key in PROJECT_TABLE.split("."):
        below = found.get(key, {})
        if not isinstance(below, Mapping):
            raise ValueError(f"[{PROJECT_TABLE}] is no table")
        found = below
    return found
