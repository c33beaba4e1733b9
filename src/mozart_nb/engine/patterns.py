"""What error messages look like, as data. Only ever applied to error text, never to an answer.

Patterns are the last resort: `engine.classify` asks them where no status, no kind and no exit code has decided, and to
tell a usage limit from a request rate where a refusal alone does not. Case is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import regex

from mozart_nb.errors import PromptError
from mozart_nb.job.patterns import compile_pattern
from mozart_nb.job.policies import DEFAULT_DETECTION_PATTERNS

DEFAULT: Final = DEFAULT_DETECTION_PATTERNS
"""What marks a text as a limit when a job does not say: the default of `rate_limit.detection_patterns`."""

TEXT_LIMIT: Final = 8000
"""Characters of an error text that are looked at."""

SEARCH_SECONDS: Final = 0.25
"""What one pattern may take; a pattern that takes longer did not match."""

USAGE_LIMIT: Final = (
    # "You've hit your session limit · resets 8pm (America/New_York)"
    # "You have reached your specified API usage limits."
    r"\b(?:hit|reached|exceeded) your (?!.{0,60}\brate\b).{0,60}\blimits?\b",
    # "Claude AI usage limit reached|1767225600", "Claude usage limit reached. Your limit will reset at 12am."
    r"\busage.?limits?\b",
    r"(?<!\brate.)\blimit reached\b",
    r"(?<!\brate.)\blimit\b.{0,20}\bresets?\b",
    r"\bregain access\b",
    r"\bquota\b",
    r"\b(?:hourly|daily|weekly|monthly|session|(?:5|five).hour|seven.day|spend(?:ing)?)\b.{0,20}\blimit",
    r"\bout of (?:extra )?usage\b",
    r"\bno\b.{0,10}\btokens? (?:left|remaining)\b",
    r"\bresets?\s+(?:(?:at\s+)?\d{1,2}(?::\d\d|\s*[ap]\.?m\b)|in\s+\d+\s*(?:hour|hr|min))",
)
"""An amount of use is spent, as opposed to too many requests at a time."""

_BY_TEXT: Final = (
    ("E602", r"\bgetcwd\b|current (?:working )?directory.{0,80}(?:no such|does not exist|cannot)"),
    (
        "E505",
        r"prompt is too long|stdin input exceeds|request too large|maximum context length|context window exceeded",
    ),
    ("E506", r"credit balance is too low|insufficient (?:funds|credits?)|payment required"),
    (
        "E504",
        r"issue with the selected model"
        r"|\bmodel\b[:=]?\s+(?:\S{1,120}\s+)?(?:was |is )?(?:not found|(?:does|may) not exist)",
    ),
    (
        "E501",
        r"not logged in|please run /login|invalid (?:x-)?api.?key|failed to authenticate|authentication_error"
        r"|authentication (?:failed|required)|oauth token (?:has )?(?:expired|been revoked|revoked)"
        r"|\bunauthori[sz]ed\b",
    ),
    (
        "E403",
        r"\bout of memory\b|\bcannot allocate memory\b|\boom.?kill|memory cgroup|\bheap limit\b|\bENOMEM\b"
        # Bun, in which `claude` 2.1.197 runs, when it gets no more memory (recorded below a limit on address space).
        r"|\bmemory (?:is )?exhaust(?:ed|ion)\b|MemoryExhaustion",
    ),
    (
        "E002",
        r"unable to connect|connection to the api was lost|request timed out|connection (?:refused|reset|error|closed)"
        r"|connection timed? ?out|network (?:is )?unreachable|socket hang up|could not resolve|getaddrinfo"
        r"|name resolution"
        r"|\b(?:ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EPIPE|ENETUNREACH|EHOSTUNREACH)\b"
        r"|(?:ssl|tls).{0,20}(?:error|failed|failure)|certificate.{0,40}(?:expired|verif|invalid|unknown|self.signed)"
        r"|self.signed certificate|unable to verify the first certificate|handshake fail",
    ),
    (
        "E003",
        r"overloaded|service (?:is )?(?:temporarily )?unavailable|bad gateway|gateway time-?out|internal server error"
        r"|empty or malformed response|failed to parse json|server-side issue",
    ),
)

OUT_OF_MEMORY: Final = next(pattern for code, pattern in _BY_TEXT if code == "E403")
CONNECTION: Final = next(pattern for code, pattern in _BY_TEXT if code == "E002")
CREDIT: Final = next(pattern for code, pattern in _BY_TEXT if code == "E506")

ROOT_REFUSED: Final = r"cannot be used with root/sudo privileges"
"""`claude` 2.1.197 as root with `--dangerously-skip-permissions` and without `IS_SANDBOX=1`."""

ANSWER_LIMIT: Final = r"exceeded the \d+ output token maximum"
"""What `max_output_tokens` says where the output format has no kind of error."""

SESSION_IN_USE: Final = r"session id \S+ is already in use"


def code_by_text(text: str) -> str:
    """The code that the words of an error stand for; empty when they say nothing."""
    return next((code for code, pattern in _BY_TEXT if matches(text, pattern)), "")


def matches_any(text: str, patterns: Iterable[str]) -> bool:
    """Whether one of `patterns` is in `text`."""
    return any(matches(text, pattern) for pattern in patterns)


def matches(text: str, pattern: str) -> bool:
    """Whether `pattern` is in `text`. A pattern that cannot be compiled, or takes too long, is not."""
    compiled = _compiled(pattern)
    if compiled is None or not text:
        return False
    try:
        return compiled.search(text[:TEXT_LIMIT], timeout=SEARCH_SECONDS) is not None
    except TimeoutError:
        return False


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> regex.Pattern[str] | None:
    if pattern.isdigit():
        pattern = rf"(?<!\w){pattern}(?!\w)"  # a bare status code, not the middle of a request id
    try:
        return compile_pattern(pattern, ignore_case=True)
    except PromptError:
        return None
