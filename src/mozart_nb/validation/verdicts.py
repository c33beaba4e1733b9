"""What a validation rule expects, and the verdict on what was seen. Everything about files blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mozart_nb.commands import CommandResult
from mozart_nb.events import RuleResult, RuleStatus
from mozart_nb.job.functions import RuleFunction
from mozart_nb.job.outputs import RuleConfig
from mozart_nb.job.patterns import is_found
from mozart_nb.masking import masked_head, masked_tail
from mozart_nb.validation import files
from mozart_nb.validation.files import Fence

SHOWN_CHARACTERS: Final = 500
"""Longest text a result carries about what was expected or seen."""

SEARCH_SECONDS: Final = 5.0
"""How long a search for one pattern may take."""

# What `sh` answers for a command that is not there or may not be run (POSIX, Shell Command Language, 2.8.2).
_NOT_RUN: Final = (126, 127)
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with the values of one batch filled in. `problem` says why it cannot be checked."""

    number: int
    config: RuleConfig
    path: str = ""
    shown: str = ""
    pattern: str = ""
    command: str = ""
    folder: str = ""
    problem: str = ""
    function: RuleFunction | None = None

    @property
    def type(self) -> str:
        return self.config.type

    @property
    def is_command(self) -> bool:
        return self.config.type == "command_succeeds" and not self.problem

    @property
    def is_run(self) -> bool:
        """Whether somebody's code has to run, a command or a function; a rehearsal runs none."""
        return self.is_command or (self.function is not None and not self.problem)

    @property
    def expected(self) -> str:
        if self.problem:
            return ""
        if self.type == "python":
            return f"what the function `{self.config.function}` asks for"
        if self.type == "file_exists":
            return "a file"
        if self.type == "file_modified":
            return "a file that this batch changed"
        if self.type == "content_contains":
            return f"the text: {self.pattern}"
        return f"exit code 0 of: {self.command}" if self.is_command else f"a match of: {self.pattern}"

    def passed(self, actual: str, status: RuleStatus = "passed", *, evidence: bool = False) -> RuleResult:
        return self._result(status, actual=actual, evidence=evidence)

    def failed(self, message: str, actual: str, *, evidence: bool = False, could_not_run: bool = False) -> RuleResult:
        if self.config.description:
            message = f"{self.config.description}: {message}"
        return self._result("failed", message, actual, evidence=evidence, could_not_run=could_not_run)

    def skipped(self, stage: int) -> RuleResult:
        return self._result("skipped", f"not checked, because stage {stage} failed")

    def _result(self, status: RuleStatus, message: str = "", actual: str = "", **flags: bool) -> RuleResult:
        return RuleResult(
            rule=self.number,
            type=self.type,
            status=status,
            description=_shorten(self.config.description or ""),
            path=_shorten(self.path),
            expected=_shorten(self.expected),
            actual=_shorten(actual),
            message=_shorten(message),
            **flags,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check looks at besides the files themselves."""

    answer: str
    baseline: Mapping[str, str]
    before: Mapping[str, str]


def judge_file(rule: Rule, seen: Seen, fence: Fence) -> RuleResult:
    real = fence.resolve(rule.path)
    if real is None:
        why = f"{rule.path} is outside the workspace and the working directory"
        return rule.failed(why, why)
    now = files.signature(real)
    there = files.what_is_there(real)
    if not now:
        return rule.failed(f"{rule.shown} does not exist as a file", there)
    evidence = seen.before.get(rule.path, now) != now
    if rule.type == "file_exists":
        return rule.passed(there, evidence=evidence)
    if rule.type == "file_modified":
        # A workspace that was moved has no baseline under its new name; then this attempt alone is judged.
        earlier = seen.baseline.get(rule.path, seen.before.get(rule.path, now))
        if earlier != now:
            return rule.passed(there, evidence=evidence)
        return rule.failed(f"{rule.shown} was not changed by this batch", there, evidence=evidence)
    return _judge_content(rule, files.read(real), evidence=evidence)


def _judge_content(rule: Rule, content: files.Content, *, evidence: bool) -> RuleResult:
    size = f"{content.size:,} bytes"
    literal = rule.type == "content_contains"
    try:
        found = (
            rule.pattern in content.text
            if literal
            else is_found(rule.pattern, content.text, timeout_seconds=SEARCH_SECONDS)
        )
    except TimeoutError:
        return rule.failed(_endless(rule), f"{size}, and no result", evidence=evidence)
    if found:
        return rule.passed(size, evidence=evidence)
    what = "does not contain the text" if literal else "has no match of"
    message = f"{rule.shown} {what} {_shorten(rule.pattern, 200)}"
    if not content.is_whole:
        searched = f"only the first {files.MAX_CONTENT_BYTES >> 20} MiB were searched"
        message, size = f"{message} ({searched})", f"{size}, of which {searched}"
    return rule.failed(message, f"{size}, beginning: {masked_head(content.text, 200)}", evidence=evidence)


def judge_answer(rule: Rule, answer: str, seconds: float = SEARCH_SECONDS) -> RuleResult:
    """Raises `TimeoutError` when less than `SEARCH_SECONDS` were given and are not enough."""
    size = f"{len(answer):,} characters"
    try:
        if is_found(rule.pattern, answer, timeout_seconds=seconds):
            return rule.passed(size)
    except TimeoutError:
        if seconds < SEARCH_SECONDS:
            raise
        return rule.failed(_endless(rule), f"{size}, and no result")
    begins = f", beginning: {masked_head(answer, 200)}" if answer else ""
    return rule.failed(f"the answer has no match of {_shorten(rule.pattern, 200)}", f"{size}{begins}")


def _endless(rule: Rule) -> str:
    return f"the search for {_shorten(rule.pattern, 200)} was ended after {SEARCH_SECONDS:g} seconds"


def judge_command(rule: Rule, ended: CommandResult) -> RuleResult:
    command = _shorten(rule.command, 100)
    printed = _clean(ended.output).strip()
    tail = f"; it printed: {_shorten_start(printed, 400)}" if printed else ""
    if ended.exit_code is None:
        return rule.failed(
            f"`{command}` could not be checked: {ended.problem}", ended.problem + tail, could_not_run=True
        )
    how = f"exit code {ended.exit_code}" if ended.exit_code >= 0 else f"ended by signal {-ended.exit_code}"
    if ended.exit_code == 0:
        return rule.passed(how)
    last = _shorten(printed.rpartition("\n")[2], 200)
    message = f"`{command}`: {how}" + (f", {last}" if last else "")
    return rule.failed(message, how + tail, could_not_run=ended.exit_code in _NOT_RUN)


# --- texts for people -------------------------------------------------------------------------------------------------


def _shorten(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    text = _clean(text)
    return text if len(text) <= limit else masked_head(text, limit - 1) + "…"


def _shorten_start(text: str, limit: int) -> str:
    return text if len(text) <= limit else "…" + masked_tail(text, limit - 1)


def _clean(text: str) -> str:
    """`text` without escape sequences, control characters and lone halves of surrogate pairs."""
    if text.isprintable():
        return text
    return _ESCAPES.sub("", text).encode("utf-8", "replace").decode()
