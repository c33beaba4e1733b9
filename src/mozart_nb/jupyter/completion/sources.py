"""What completions are made of that is not in the program: jobs, files, and the names of the notebook."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final

from mozart_nb.checkpoint.index import DEFAULT_WORKSPACE, home, registered_ids
from mozart_nb.checkpoint.layout import ARCHIVE, STATE_FOLDER
from mozart_nb.job.answer_class import classes as fitting
from mozart_nb.jupyter.completion.matcher import Choice, Names

JOB_FILES: Final = (".yaml", ".yml")
ROWS: Final = ("DataFrame", "LazyFrame")
"""Names of the classes whose objects are tables of rows, whichever library they come from."""

_MOST_SHOWN: Final = 500
"""So many completions are shown by IPython."""

# --- choosing ---------------------------------------------------------------------------------------------------------


def matching(choices: Iterable[Choice], fragment: str) -> list[Choice]:
    """Those that begin with `fragment`, else those that hold it, in their order; upper and lower case are alike."""
    every, wanted = list(choices), fragment.lower()
    begins = [choice for choice in every if choice.text.lower().startswith(wanted)]
    return begins or [choice for choice in every if wanted in choice.text.lower()]


def first_sentence(text: str) -> str:
    """`text` up to its first full stop or colon, without marks."""
    flat = " ".join(text.replace("`", "").split())
    ends = [at for at in (flat.find(". "), flat.find(": ")) if at > 0]
    return flat[: min(ends)] if ends else flat.rstrip(".")


# --- jobs -------------------------------------------------------------------------------------------------------------

_JOB_FOLDERS: Final = (STATE_FOLDER, f"{DEFAULT_WORKSPACE}/{STATE_FOLDER}")

_remembered: tuple[tuple[object, ...], tuple[str, ...]] = ((), ())


def job_ids() -> tuple[str, ...]:
    """Ids of all jobs known to the user, and of those in the folders here, in alphabetical order.

    Thousands of names are read again only when one of the folders has changed.
    """
    global _remembered
    folders = [str(home() / "index"), *_JOB_FOLDERS]
    stamp = (str(Path.cwd()), *(_changed_at(folder) for folder in folders))
    if _remembered[0] != stamp:
        here = (entry.name for folder in _JOB_FOLDERS for entry in _entries(folder) if _is_folder(entry))
        _remembered = (stamp, tuple(sorted({*registered_ids(), *here} - {ARCHIVE})))
    return _remembered[1]


def jobs(fragment: str) -> list[Choice]:
    """Jobs whose ids begin with `fragment`, or else hold it."""
    wanted = fragment.lower()
    ids = [one for one in job_ids() if one.lower().startswith(wanted)]
    return [Choice(one, "job") for one in (ids or [one for one in job_ids() if wanted in one.lower()])[:_MOST_SHOWN]]


def _changed_at(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - a name, not a path
    except OSError:
        return 0


# --- files ------------------------------------------------------------------------------------------------------------


def files(fragment: str, suffixes: Collection[str] | None = None, *, folders_only: bool = False) -> list[Choice]:
    """Paths that `fragment` may become: folders, and files with one of `suffixes` (None: all); hidden ones if asked."""
    folder, name = os.path.split(fragment)
    shown = fragment[: len(fragment) - len(name)]
    found = []
    for entry in _entries(folder):
        if entry.name.startswith(".") and not name.startswith("."):
            continue
        is_folder = _is_folder(entry)
        if is_folder or (not folders_only and _has_suffix(entry.name, suffixes)):
            found.append(Choice(f"{shown}{entry.name}{'/' if is_folder else ''}", "folder" if is_folder else "file"))
    found.sort(key=lambda choice: (choice.note == "folder", choice.text))
    return matching(found, fragment)[:_MOST_SHOWN]


def _has_suffix(name: str, suffixes: Collection[str] | None) -> bool:
    return suffixes is None or Path(name).suffix.lower() in suffixes


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds, the one here if it has no name; nothing if it cannot be read or its owner is not known."""
    try:
        with os.scandir(Path(folder).expanduser()) as entries:
            return list(entries)
    except (OSError, ValueError, RuntimeError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


# --- names of the notebook --------------------------------------------------------------------------------------------


def tables(names: Names) -> list[Choice]:
    """What `--items` takes: tables first, then lists."""
    return _named(names, _is_table, _describe) + _named(names, _is_list, _describe)


def variables(names: Names) -> list[Choice]:
    """What `--var` takes: plain values."""
    return _named(names, lambda value: not isinstance(value, _NO_VALUES) and not callable(value), _describe)


def classes(names: Names) -> list[Choice]:
    """Classes that describe data, for `answer.schema`: those of pydantic and their like."""
    return [Choice(name, first_sentence(names.names[name].__doc__ or "") or "class") for name in fitting(dict(names))]


def functions(names: Names) -> list[Choice]:
    """Functions, for rules of the type `python`."""
    return _named(names, lambda value: isinstance(value, types.FunctionType), _describe)


def handles(names: Names) -> list[Choice]:
    """Jobs that are bound to a name."""
    return _named(names, lambda value: type(value).__name__ == "Job" and hasattr(value, "job_id"), _describe)


_NO_VALUES: Final = (types.ModuleType, type)


def _named(names: Names, fits: Callable[[Any], bool], note: Callable[[Any], str]) -> list[Choice]:
    return [Choice(name, note(value)) for name, value in names if fits(value)]


def _is_table(value: Any) -> bool:
    return type(value).__name__ in ROWS


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value)


def _describe(value: Any) -> str:
    """What a value is, in few words and without looking far into it."""
    if isinstance(value, types.FunctionType):
        return first_sentence(value.__doc__ or "") or "function"
    kind = type(value).__name__
    if kind in ROWS:
        shape = getattr(value, "shape", None)
        return f"{kind}, {shape[0]:,} × {shape[1]}" if isinstance(shape, tuple) and len(shape) == 2 else kind
    if isinstance(value, list | tuple | dict | set):
        return f"{kind} of {len(value):,}"
    return kind
