"""Regular expressions that others wrote, compiled and searched within bounds of time and memory."""

from __future__ import annotations

import functools
import re
from typing import Final

import regex

from mozart_nb.errors import PromptError

SEARCH_SECONDS: Final = 5.0
"""How long one search may take unless the caller says otherwise."""

MAX_PATTERN_SIZE: Final = 100_000
"""Characters a pattern may have once its fixed repetitions are written out, as the `regex` library does.

`(?:a|b){999999999}` would take all memory before any time limit counts.
"""

_REPEAT: Final = re.compile(r"\{(\d+)(?:,\d*)?\}")


@functools.lru_cache(maxsize=512)
def compile_pattern(pattern: str, *, ignore_case: bool = False) -> regex.Pattern[str]:
    """The compiled pattern, in the dialect of the `regex` library. Raises `PromptError`."""
    if _written_out_size(pattern) > MAX_PATTERN_SIZE:
        raise _invalid(pattern, f"its repetitions add up to more than {MAX_PATTERN_SIZE:,} characters")
    try:
        return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0, cache_pattern=False)
    except regex.error as error:
        raise _invalid(pattern, str(error)) from error
    except RecursionError as error:
        raise _invalid(pattern, "its groups are nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise _invalid(pattern, str(error)) from error


def is_found(pattern: str, text: str, *, timeout_seconds: float = SEARCH_SECONDS) -> bool:
    """Whether the pattern is found in `text`.

    Raises `PromptError` for an invalid pattern and `TimeoutError` for a slow search. Other threads run meanwhile, so
    call it in one when neither pattern nor text is known to be quick.
    """
    return compile_pattern(pattern).search(text, timeout=timeout_seconds) is not None


def _invalid(pattern: str, why: str) -> PromptError:
    shown = pattern if len(pattern) <= 200 else pattern[:199] + "…"
    return PromptError(f"the regular expression `{shown}` is not valid: {why}", code="E502")


def _written_out_size(pattern: str) -> int:
    """Roughly how long the pattern is with `x{3}` as `xxx`; stops counting soon after the limit."""
    if "{" not in pattern:
        return len(pattern)
    groups, piece, at = [0], 0, 0
    while at < len(pattern) and groups[-1] <= MAX_PATTERN_SIZE:
        char = pattern[at]
        repeat = _REPEAT.match(pattern, at) if char == "{" else None
        if repeat is not None:
            times = max(1, int(repeat[1][:9]))
            groups[-1] += piece * (times - 1)
            piece *= times
            at = repeat.end()
            continue
        at = _set_end(pattern, at) if char == "[" else at + 2 if char == "\\" else at + 1
        if char == "(":
            groups.append(0)
            continue
        piece = 1 + (groups.pop() if char == ")" and len(groups) > 1 else 0)
        groups[-1] += piece
    return max(groups)


def _set_end(pattern: str, start: int) -> int:
    """Where the set `[…]` that begins at `start` is over."""
    at = start + 2 if pattern.startswith("[^", start) else start + 1
    at += 1  # the first member may be `]`
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1
