"""A look at a prompt before it is sent: its size, and files it names that are not there.

Pure: whether a file exists is asked of the caller. The search for paths prefers silence to false alarms, because a
warning that is usually wrong is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

import msgspec

from mozart_nb.events import Finding

WARN_TOKENS: Final = 50_000
MAX_TOKENS: Final = 150_000
WARN_LINES: Final = 5_000
SHOWN_PATHS: Final = 5
"""How many missing files a finding lists by name."""

_MAX_LOOKUPS: Final = 200
_LONGEST_PATH: Final = 400


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A name alone is taken for a file only with one of these endings: `Node.js` and `example.com` are prose.
_ENDINGS: Final = _words(
    "md mdx rst txt csv tsv json jsonl ndjson yaml yml toml ini cfg xml html pdf docx xlsx parquet ipynb py sql log "
    "png jpg jpeg svg"
)
_ENDINGS_IN_FOLDERS: Final = _ENDINGS | _words(
    "c cc cpp css go h hpp htm java js jsx kt lock lua m mjs php pl proto r rb rs scala scss sh swift tex ts tsx vue "
    "conf diff patch gif webp gz zip tar db sqlite env bib pyi bash zsh"
)
_ROOTS: Final = _words(
    "Users Volumes data etc home media mnt opt private root srv tmp usr var work workspace workspaces"
)

_OPENING: Final = "\"'`“‘«([<{*"
_CLOSING: Final = "\"'`”’»)]>}*.,;:!?…"
_QUOTES: Final = "\"'`“”‘’"
# What no plain path in prose has: globs, placeholders, regular expressions, assignments, addresses, markup, ellipses.
_NOT_A_PATH: Final = re.compile(r"[*?\[\]{}()$|^\\<>=&%#,;!~@\"'`“”‘’]|:|\.\.\.|…|//")
_LINE_NUMBER: Final = re.compile(r"(?::\d+)+(?:-\d+)?$")
_WRITING: Final = re.compile(
    r"(?:writ|creat|sav|produc|generat|outputs?\b|stor|append|export|emit|dump|renam|nam(?:e|ed|ing)\b|call(?:ed)?\b)",
    re.IGNORECASE,
)
_WORDS_BEFORE: Final = 12


class Preflight(msgspec.Struct, frozen=True):
    """What was noticed. `tokens` is an estimate; `findings` with a code are errors, the others warnings."""

    tokens: int
    characters: int
    lines: int
    findings: tuple[Finding, ...] = ()

    @property
    def error(self) -> Finding | None:
        """The finding for which the prompt must not be sent, if there is one."""
        return next((finding for finding in self.findings if finding.code), None)


def preflight(prompt: str, *, exists: Callable[[str], bool], expected: Collection[str] = ()) -> Preflight:
    """Look `prompt` over.

    `exists` is asked about paths as the prompt spells them (relative ones belong to the session's working directory),
    at most 200 times. `expected` are the files that rules want to be produced; they need not exist yet.
    """
    tokens = estimate_tokens(prompt)
    lines = prompt.count("\n") + 1
    findings = [*_size_findings(prompt, tokens, lines)]
    if tokens <= MAX_TOKENS:
        findings += _path_findings(prompt, exists, expected)
    return Preflight(tokens, len(prompt), lines, tuple(findings))


def estimate_tokens(text: str) -> int:
    """Tokens of `text`, estimated as one per four characters; English prose comes close to it, code needs more."""
    return (len(text) + 3) // 4


def _size_findings(prompt: str, tokens: int, lines: int) -> Iterator[Finding]:
    size = f"the prompt has about {tokens:,} tokens (estimated from {len(prompt):,} characters)"
    if tokens > MAX_TOKENS:
        yield Finding(f"{size}; the limit is {MAX_TOKENS:,}", "E603")
    elif tokens > WARN_TOKENS:
        yield Finding(f"{size}; above {WARN_TOKENS:,} answers get slow, dear and less reliable")
    if lines > WARN_LINES:
        yield Finding(f"the prompt has {lines:,} lines; more than {WARN_LINES:,} are rarely read in full")
    if not prompt or prompt.isspace():
        yield Finding("the prompt is empty")


def _path_findings(prompt: str, exists: Callable[[str], bool], expected: Collection[str]) -> Iterator[Finding]:
    missing = _missing_paths(prompt, exists, expected)
    if missing:
        names = ", ".join(missing[:SHOWN_PATHS])
        more = f" and {len(missing) - SHOWN_PATHS} more" if len(missing) > SHOWN_PATHS else ""
        yield Finding(f"the prompt names files that do not exist: {names}{more}")


def _missing_paths(prompt: str, exists: Callable[[str], bool], expected: Collection[str]) -> list[str]:
    words = prompt.split()
    seen: set[str] = set()
    missing = []
    for index, word in enumerate(words):
        if "/" not in word and word.find(".", 0, -2) < 0:
            continue
        path = _path_in(word)
        if path is None or path in seen or (index and words[index - 1].endswith("\\")):
            continue
        seen.add(path)
        if not (_is_expected(path, expected) or exists(path) or _is_to_be_written(words, index)):
            missing.append(path)
        if len(seen) == _MAX_LOOKUPS:
            break
    return missing


def _path_in(word: str) -> str | None:
    """The path that `word` spells out, without the punctuation around it; None when it is not clearly a path."""
    if len(word) > _LONGEST_PATH or _is_part_of_a_quotation(word):
        return None
    text = word.rsplit("](", 1)[-1].removesuffix("'s").removesuffix("’s")
    text = _LINE_NUMBER.sub("", text.lstrip(_OPENING).rstrip(_CLOSING)).removeprefix("@")
    if not text.strip("./") or _NOT_A_PATH.search(text) or text.startswith(("-", "a/", "b/")):
        return None
    return text if _looks_like_a_path(text) else None


def _is_part_of_a_quotation(word: str) -> bool:
    # The halves of "My Documents/plan.md" are no paths.
    opens = word.lstrip("([{*")[:1]
    closes = word.rstrip(".,;:!?)]}*")[-1:]
    return (opens in _QUOTES) != (closes in _QUOTES)


def _looks_like_a_path(text: str) -> bool:
    first, slash, rest = text.partition("/")
    ending = text.rpartition(".")[2].lower() if "." in text.rpartition("/")[2].lstrip(".") else ""
    if not slash:
        return ending in _ENDINGS
    if first in ("", ".", ".."):
        return first != "" or ending in _ENDINGS_IN_FOLDERS or (rest.partition("/")[0] in _ROOTS and "/" in rest)
    if "." in first.lstrip("."):
        return False  # a host name: example.com/page.html
    return ending in _ENDINGS_IN_FOLDERS


def _is_expected(path: str, expected: Collection[str]) -> bool:
    tail = "/" + path.removeprefix("./").lstrip("/")
    return any(other == path or other.endswith(tail) for other in expected)


def _is_to_be_written(words: list[str], index: int) -> bool:
    """Whether the sentence so far asks for the file to be made."""
    for word in reversed(words[max(0, index - _WORDS_BEFORE) : index]):
        if _WRITING.match(word.lstrip(_OPENING)):
            return True
        if word[-1] in ".!?" and len(word) > 2:
            return False
    return False
