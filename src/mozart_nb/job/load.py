"""YAML file, text or mapping → `LoadedJob`. Reads files; everything else of `job/` but `items` does not.

    load_job("job.yaml")                      a file
    load_text(cell, base_dir=notebook_dir)    the body of a notebook cell
    load_mapping({...}, base_dir=...)         a dict

All raise ConfigError with every mistake of the text at once, in its order, or UnreadableError when it cannot be parsed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from mozart_nb.errors import ConfigError, Problem, UnreadableError
from mozart_nb.job.borrowed import Borrowed, Taken, functions_of, take_in
from mozart_nb.job.document import Document, KeyPath, Positions, parse_document, show_path
from mozart_nb.job.explain import explain
from mozart_nb.job.given import Given
from mozart_nb.job.keys import Canonical, canonical
from mozart_nb.job.model import JobConfig, missing_counts
from mozart_nb.job.notices import notices_about
from mozart_nb.job.overrides import override
from mozart_nb.job.regular import require_regular
from mozart_nb.job.report import Notice, locate

_P = TypeVar("_P", bound=Problem)

NOTHING_GIVEN: Final = Given()


@dataclass(frozen=True)
class LoadedJob:
    """A valid job file, with what it takes to talk about it.

    `raw` is the mapping as written, overrides applied. `warnings` are in file order; each has a V-code. `given` is what
    whoever started the job gave besides, its rows as plain JSON data; `borrowed` is what of it no file can keep.
    """

    config: JobConfig
    source_text: str
    base_dir: Path
    file: str
    positions: Positions = field(default_factory=Positions)
    warnings: tuple[Notice, ...] = ()
    raw: dict[Any, Any] = field(default_factory=dict)
    given: Given = field(default_factory=Given, repr=False)
    borrowed: Borrowed = field(default_factory=Borrowed, repr=False)

    def resolve(self, path: str | os.PathLike[str]) -> Path:
        """`path` made absolute: relative ones start at the job file's directory, `~` is the home directory."""
        return Path(os.path.normpath(self.base_dir / _at_home(path)))

    @property
    def path(self) -> Path | None:
        """The job file; None for a job that was described in a cell or as text."""
        return self.base_dir / Path(self.file).name if self.file and not self.file.startswith("<") else None

    @property
    def workspace_path(self) -> Path:
        return self.resolve(self.config.workspace)

    @property
    def state_folder(self) -> Path:
        """Where snapshot and journal are kept: in `state_path` if that is given, else in the workspace.

        A `state_path` with a suffix (`.mozart-state.json`) and no slash behind it is a file's name, which stands for
        the folder around it.
        """
        given = self.config.state_path
        if given is None:
            return self.workspace_path
        path = self.resolve(given)
        return path.parent if path.suffix and not given.endswith(("/", os.sep)) else path

    @property
    def working_directory(self) -> Path:
        """Where sessions work, and where relative paths in rules start."""
        return self.resolve(self.config.backend.working_directory or ".")

    def place_of(self, path: KeyPath) -> str:
        """File and line of a key's value for people; the path of the key where the file's text is not known."""
        positions = self.positions
        if not positions.places and self.source_text:  # read from a frozen plan, which keeps the text alone
            positions = parse_document(self.source_text, file=self.file).positions
        line = positions.find(path).value_line
        return f"{self.file}, line {line}" if line else show_path(path)


def load_job(
    path: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    strict: bool = False,
    given: Given = NOTHING_GIVEN,
) -> LoadedJob:
    """Load a job file. `overrides` are `key.path=value`; `strict` makes unknown keys errors.

    Raises UnreadableError or ConfigError.
    """
    file = Path(path).expanduser()
    text = _read(file)
    base_dir = file.absolute().parent
    return load_text(text, base_dir=base_dir, file_name=str(path), overrides=overrides, strict=strict, given=given)


def load_text(
    text: str,
    *,
    base_dir: str | os.PathLike[str],
    file_name: str = "<cell>",
    first_line: int = 1,
    overrides: Sequence[str] = (),
    strict: bool = False,
    given: Given = NOTHING_GIVEN,
) -> LoadedJob:
    """Load a job from YAML text whose first line is line `first_line` of `file_name`."""
    document = parse_document(text, file=file_name, first_line=first_line)
    return _validated(document, text, Path(base_dir).absolute(), file_name, overrides, strict, given)


def load_mapping(
    data: Mapping[str, Any],
    *,
    base_dir: str | os.PathLike[str],
    file_name: str = "",
    overrides: Sequence[str] = (),
    strict: bool = False,
    given: Given = NOTHING_GIVEN,
) -> LoadedJob:
    """Load a job from a mapping with the keys of a job file. Problems have key paths but no lines.

    The mapping may hold a class itself as `answer.schema`, and functions of rules themselves.
    """
    document = Document(dict(data), Positions(), [])
    return _validated(document, "", Path(base_dir).absolute(), file_name, overrides, strict, given)


def _at_home(path: str | os.PathLike[str]) -> str:
    """`path` with a leading `~` replaced; of users that do not exist, and of what is no path, nothing is."""
    try:
        return os.fspath(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for unknown users
    except ValueError:
        return os.fspath(path)


class DiskFiles:
    """The real file system, as far as the checks of a job file ask about it."""

    def exists(self, path: Path) -> bool:
        return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for names that no file can have

    def is_dir(self, path: Path) -> bool:
        return os.path.isdir(path)  # noqa: PTH112

    def is_writable(self, path: Path) -> bool:
        try:
            return os.access(path, os.W_OK | os.X_OK)
        except ValueError:
            return False

    def read_text(self, path: Path) -> str:
        require_regular(path)
        return path.read_text(encoding="utf-8-sig")


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise _unreadable("there is no such file", file) from None
    except IsADirectoryError:
        raise _unreadable("this is a directory, not a job file", file) from None
    except OSError as error:
        raise _unreadable(f"the file cannot be read: {error.strerror}", file) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = "the file is not UTF-8 text"
        raise UnreadableError(
            [Problem(message, file=str(file), line=line, value=f"byte 0x{data[error.start]:02X}")]
        ) from None


def _unreadable(message: str, file: Path) -> UnreadableError:
    return UnreadableError([Problem(message, file=str(file))])


def _validated(
    document: Document,
    text: str,
    base_dir: Path,
    file: str,
    overrides: Sequence[str],
    strict: bool,
    given: Given,
) -> LoadedJob:
    positions = document.positions
    raw = override(document.data, overrides, positions)
    keys = canonical(raw, positions, file)
    taken = take_in(keys.data, given, positions, file, lambda name: DiskFiles().exists(base_dir / name))
    problems = [*document.problems, *keys.problems, *taken.problems, *(keys.unknown if strict else ())]
    config = _config_or_problems(keys, positions, file, problems)
    borrowed = _borrowed(config, taken, given, positions, file, problems) if config is not None else Borrowed()
    if config is None or problems:
        # A key that is required may well be there, misspelled: unknown keys belong to the picture.
        raise ConfigError(_in_file_order(problems if strict else [*problems, *keys.unknown]))
    warnings = [*keys.unknown, *keys.without_effect, *taken.notices, *notices_about(config, positions, file)]
    return LoadedJob(
        config=config,
        source_text=text,
        base_dir=base_dir,
        file=file,
        positions=positions,
        warnings=tuple(_in_file_order(warnings)),
        raw=raw,
        given=replace(given, rows=taken.rows),
        borrowed=borrowed,
    )


def _borrowed(
    config: JobConfig, taken: Taken, given: Given, positions: Positions, file: str, problems: list[Problem]
) -> Borrowed:
    """What the job calls in the notebook; without one that is known only when the job is to run."""
    functions, unfit = functions_of(config, given, taken.functions)
    for one in unfit:
        if given.namespace is None and one.name not in taken.functions:
            continue
        error = one.error
        more = {"value": error.value, "allowed": error.allowed, "near": error.near}
        problems.append(locate(one.path, positions, error.message, file=file, **more))
    form = taken.answer_class
    return Borrowed(
        functions,
        form,
        form.name if form is not None else "",
        form is not None and form.has_checks,
        {one.name: one.error.message for one in unfit},
        tuple(given.variables),
    )


def _config_or_problems(keys: Canonical, positions: Positions, file: str, problems: list[Problem]) -> JobConfig | None:
    try:
        return JobConfig.model_validate(keys.data)
    except ValidationError as error:
        found = explain(error, positions, file)
        batch = keys.data.get("batch") or {}
        if isinstance(batch, dict) and all(error["loc"] for error in error.errors()):
            # The whole job is only checked once all its parts are right; this much can be said at once.
            for fault in missing_counts(batch, has_items="items" in keys.data):
                found.append(locate(fault.at, positions, fault.message, file=file, allowed=fault.allowed, at_key=True))
        # What YAML itself could not make sense of is not explained a second time.
        garbled = {problem.path for problem in problems}
        problems += [problem for problem in found if problem.path not in garbled]
        return None


def _in_file_order(problems: Sequence[_P]) -> list[_P]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column))
