"""`--fix`: what can be corrected without asking is corrected, in the description of a job and on disk."""

from __future__ import annotations

import contextlib
import difflib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from mozart_nb.errors import ConfigError, MisuseError
from mozart_nb.job.fixes import Fixable, fixables, fixed_throughout
from mozart_nb.job.given import Given
from mozart_nb.job.lint import Issue
from mozart_nb.job.load import NOTHING_GIVEN, LoadedJob, load_job, load_text
from mozart_nb.plans.checking import check
from mozart_nb.words import clean

_WRITABLE: Final = 0o222
_BOM: Final = b"\xef\xbb\xbf"


@dataclass
class Mended:
    """What was done, or would be, one sentence each; `diff` is what changes in the job file, for people."""

    done: list[str] = field(default_factory=list)
    diff: list[str] = field(default_factory=list)


def mend(file: Path, workspace: Path | None, *, dry_run: bool, given: Given = NOTHING_GIVEN) -> Mended:
    """Correct a job file and make the folders it misses; with `dry_run` only say so.

    Raises `UnreadableError`, and `MisuseError` when something cannot be written or was changed meanwhile.
    """
    mended = Mended()
    load = partial(load_text, base_dir=file.absolute().parent, file_name=str(file), given=given)
    try:
        if not file.is_file():
            return mended  # a pipe could be read only once
        before = file.read_bytes()
        text = before.removeprefix(_BOM).decode()
    except (OSError, UnicodeDecodeError):
        return mended  # whoever loads the file says why it cannot be read
    better = _mend_text(text, workspace, mended, load, str(file))
    if better != text and not dry_run:
        _replace(file, before, (_BOM if before.startswith(_BOM) else b"") + better.encode())
    with contextlib.suppress(ConfigError):
        _make_folders(check(load_job(file, given=given), workspace), mended, dry_run=dry_run)
    return mended


def mend_text(
    text: str, workspace: Path | None, *, base_dir: Path, name: str, given: Given = NOTHING_GIVEN
) -> tuple[str, Mended]:
    """The same for the text of a notebook's cell, which is called `name`: the corrected text, and what was done.

    Raises `MisuseError` when a folder cannot be made.
    """
    mended = Mended()
    load = partial(load_text, base_dir=base_dir, file_name=name, given=given)
    better = _mend_text(text, workspace, mended, load, name)
    with contextlib.suppress(ConfigError):
        _make_folders(check(load(better), workspace), mended, dry_run=False)
    return better, mended


def _mend_text(text: str, workspace: Path | None, mended: Mended, load: Callable[[str], LoadedJob], name: str) -> str:
    def look(text: str) -> Sequence[Fixable]:
        try:
            return check(load(text), workspace)
        except ConfigError as error:
            return fixables(error)

    better, mended.done = fixed_throughout(text, look, load)
    mended.diff = _difference(text, better, name)
    return better


def _make_folders(issues: Iterable[Issue], mended: Mended, *, dry_run: bool) -> None:
    for folder in [issue.creates for issue in issues if issue.creates is not None]:
        mended.done.append(f"made {folder}")
        try:
            if not dry_run:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MisuseError(f"{folder} cannot be made: {error.strerror}") from error


def _difference(before: str, after: str, name: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name} (corrected)", "", "", 1, "")
    return [clean(line) for line in lines]


def _replace(file: Path, before: bytes, after: bytes) -> None:
    """Put `after` into the place of `before`, all of it or nothing, and only if the file still holds `before`."""
    place = file.resolve()
    if not os.access(place, os.W_OK) or not place.stat().st_mode & _WRITABLE:
        raise MisuseError(f"{file} cannot be written: it is read-only", hint="--dry-run shows what is to be corrected")
    draft = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with open(draft, "xb", opener=partial(os.open, mode=0o600)) as stream:
            stream.write(after)
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(place, draft)
        if place.read_bytes() != before:
            raise MisuseError(f"{file} was changed meanwhile; nothing was written to it", hint="run it again")
        draft.replace(place)
    except OSError as error:
        raise MisuseError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
