"""The files a rehearsed session leaves behind: what rules and script ask for, and nothing of the user's is lost.

A file that is already there and was not made by a rehearsal of the same batch is only ever added to.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from mozart_nb.backends._sample import UnsupportedError, literal_parts, sample
from mozart_nb.engine.ports import ExpectedFile, SessionRequest
from mozart_nb.errors import PromptError
from mozart_nb.job.patterns import is_found

_MAX_READ: Final = 1 << 20
_SEARCH_SECONDS: Final = 1.0


class Target(NamedTuple):
    """One file to make: rules that want it, or the script's own content for it."""

    path: str
    content: str | None
    rules: tuple[ExpectedFile, ...]


class Written(msgspec.Struct):
    """What became of the targets; paths as they were asked for."""

    wrote: list[str] = msgspec.field(default_factory=list)
    kept: list[str] = msgspec.field(default_factory=list)
    size: int = 0
    warnings: list[str] = msgspec.field(default_factory=list)


def targets(request: SessionRequest) -> list[Target]:
    """The files of this request, each once: those the script writes as it says, the others as the rules want them."""
    scripted: Mapping[str, str] = request.script.writes if request.script is not None else {}
    wanted: dict[str, list[ExpectedFile]] = {}
    for expected in request.expects:
        if expected.path and expected.path not in scripted:
            wanted.setdefault(expected.path, []).append(expected)
    asked = [Target(path, None, tuple(rules)) for path, rules in wanted.items()]
    return asked + [Target(path, content, ()) for path, content in scripted.items()]


def write_all(request: SessionRequest, files: Sequence[Target]) -> Written:
    """Make the files; what cannot be made is told in `warnings`. Blocks, so it belongs in a thread.

    In a completion attempt only those are written that do not yet satisfy their rules.
    """
    done = Written()
    fence = _Fence(request)
    for target in files:
        try:
            _make(request, target, fence, done)
        except (OSError, ValueError) as error:
            done.warnings.append(f"could not write {target.path}: {error}")
    return done


def matches(pattern: str, text: str) -> bool:
    """Whether the regular expression is found in `text`; an invalid or endless one is not."""
    try:
        return is_found(pattern, text, timeout_seconds=_SEARCH_SECONDS)
    except (PromptError, TimeoutError):
        return False


def text_for(pattern: str) -> str:
    """A text made to match the pattern, or at least its literal parts; callers check it."""
    try:
        return sample(pattern)
    except UnsupportedError:
        return literal_parts(pattern)


class _Fence:
    """The folders that may be written to, links resolved."""

    def __init__(self, request: SessionRequest) -> None:
        self._allowed = [os.path.realpath(folder) for folder in (request.workspace, request.working_directory)]
        root = request.script.root if request.script is not None else ""
        self._root = os.path.realpath(root) if root else ""

    def resolve(self, path: str) -> Path:
        """`path` with links resolved. Raises `ValueError` when it lies outside."""
        real = os.path.realpath(path)
        if not any(_is_inside(real, folder) for folder in self._allowed):
            raise ValueError("it is outside the workspace and the working directory")
        if self._root and not _is_inside(real, self._root):
            raise ValueError(f"it is outside {self._root}, where this rehearsal takes place")
        return Path(real)


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _make(request: SessionRequest, target: Target, fence: _Fence, done: Written) -> None:
    path = fence.resolve(target.path)
    present = _read(path)
    title = f"# {request.job_id}, batch {request.batch}"
    if target.content is not None:
        if request.mode == "completion" and present == target.content:
            done.kept.append(target.path)
            return
        text, addition = target.content, False
    else:
        if present is not None and _is_done(request, target, present, title):
            done.kept.append(target.path)
            return
        addition = present is not None and not present.startswith((f"{title}\n", _json_head(title)))
        text, unmet = _compose(request, target, title, (present or "") if addition else "")
        done.warnings += [f"no text could be made up for the pattern {pattern!r} of {target.path}" for pattern in unmet]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a" if addition else "w", encoding="utf-8", errors="replace", newline="") as file:
        file.write(text)
    done.wrote.append(target.path)
    done.size += len(text)


def _read(path: Path) -> str | None:
    """Text of a file that is there, None if nothing is. Raises `ValueError` for what is no file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is not a file")
        with open(path, "rb") as file:
            return file.read(_MAX_READ).decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def _is_done(request: SessionRequest, target: Target, present: str, title: str) -> bool:
    """Whether the file may stay as it is: left by an earlier attempt, or the user's own and good enough."""
    ours = f"{title}\n" in present or present.startswith(_json_head(title))
    if request.mode != "completion" and ours:
        return False
    if not ours and any(rule.type == "file_modified" for rule in target.rules):
        return False
    return not _unmet(target.rules, present)


def _unmet(rules: Iterable[ExpectedFile], text: str) -> list[str]:
    """The patterns that `text` does not satisfy."""
    unmet = []
    for rule in rules:
        literal = rule.type == "content_contains" and rule.pattern not in text
        if literal or (rule.type == "content_regex" and not matches(rule.pattern, text)):
            unmet.append(rule.pattern)
    return unmet


def _compose(request: SessionRequest, target: Target, title: str, present: str) -> tuple[str, list[str]]:
    """What to write after `present`, and the patterns it still does not satisfy.

    Several arrangements are tried, since a pattern may be anchored to the start of the file.
    """
    note = f"A rehearsal by mozart_nb: no model was asked. Attempt {request.attempt} ({request.mode})."
    lines = [rule.pattern if rule.type == "content_contains" else text_for(rule.pattern) for rule in target.rules]
    wanted = "\n".join(dict.fromkeys(line for line in lines if line))
    if not wanted and not present and target.path.endswith(".json"):
        return f'{_json_head(title)}, "note": {json.dumps(note)}}}\n', _unmet(target.rules, "")
    gap = "" if not present or present.endswith("\n") else "\n"
    body = f"{title}\n\n{note}\n"
    choices = [f"{gap}{body}"]
    if wanted:
        choices = [f"{gap}{body}\n{wanted}\n", f"{gap}{wanted}\n\n{body}", wanted]
    judged = [(text, _unmet(target.rules, present + text)) for text in choices]
    return min(judged, key=lambda choice: len(choice[1]))


def _json_head(title: str) -> str:
    return f'{{"rehearsal": {json.dumps(title)}'
