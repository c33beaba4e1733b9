"""Rules about what validations name: placeholders, patterns, conditions, and where their paths lead."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from mozart_nb.errors import PromptError
from mozart_nb.job.document import KeyPath, show_path
from mozart_nb.job.expressions import Condition, compile_condition
from mozart_nb.job.names import HOOK_MEANINGS, SKIP_NAMES, VARIABLES
from mozart_nb.job.outputs import RuleConfig
from mozart_nb.job.patterns import compile_pattern
from mozart_nb.job.placeholders import Mode, expand, unknown_placeholders
from mozart_nb.job.prompt import BatchContext, known_names
from mozart_nb.job.report import Respelling, beyond_doubt
from mozart_nb.job.vcodes import Finding, Rule, Subject

MAX_TRIED: Final = 2_000
"""Batches for which a condition is tried out."""

_REGEX_TYPES: Final = ("content_regex", "answer_matches")


def expressions_compile(subject: Subject) -> Iterator[Finding]:
    """Part of V001: a `condition` or `skip_when` that cannot be evaluated is an error, never "true"."""
    names = known_names(subject.loaded.config.prompt)
    for index, rule in enumerate(subject.loaded.config.validations):
        if rule.condition is not None:
            yield from _broken(("validations", index, "condition"), rule.condition, names)
    for number, text in subject.loaded.config.batch.skip_when.items():
        yield from _broken(("batch", "skip_when", number), text, names | SKIP_NAMES)


def regexes_compile(subject: Subject) -> Iterator[Finding]:
    config = subject.loaded.config
    patterns: list[tuple[KeyPath, str]] = []
    for index, pattern in enumerate(config.rate_limit.detection_patterns):
        patterns.append((("rate_limit", "detection_patterns", index), pattern))
    for index, rule in enumerate(config.validations):
        if rule.type in _REGEX_TYPES and rule.pattern is not None:
            patterns.append((("validations", index, "pattern"), _filled_in(subject, rule.pattern, "regex")))
    for path, pattern in patterns:
        try:
            compile_pattern(pattern)
        except PromptError as error:
            yield Finding(path, error.message)


def placeholders_exist(subject: Subject) -> Iterator[Finding]:
    known = known_names(subject.loaded.config.prompt)
    for path, text, mode in _with_placeholders(subject):
        for name, near in unknown_placeholders(text, known, mode):
            # In commands and patterns braces have other uses; there only a near miss is worth a word.
            if near or mode == "path":
                yield _no_placeholder(path, name, near, mode, known)
    yield from _placeholders_of_hooks(subject)


def _no_placeholder(path: KeyPath, name: str, near: str, mode: Mode, known: Iterable[str]) -> Finding:
    advice = f"did you mean `{near}`?" if near else "define it in `prompt.variables`"
    meant = beyond_doubt(name, known)
    respells = Respelling(path, name, meant, mode) if meant else None
    return Finding(path, f"there is no placeholder `{name}`; it stays as it is", advice, respells=respells)


def _placeholders_of_hooks(subject: Subject) -> Iterator[Finding]:
    variables = subject.loaded.config.prompt.variables.keys()
    known = HOOK_MEANINGS.keys() | variables
    for path, text, mode in _texts_of_hooks(subject):
        for name, near in unknown_placeholders(text, known, mode):
            if name in VARIABLES:
                yield Finding(path, f"`{name}` belongs to a batch, and hooks run after all of them", "")
            elif near or mode == "path":
                yield _no_placeholder(path, name, near, mode, known)


def paths_stay_inside(subject: Subject) -> Iterator[Finding]:
    loaded = subject.loaded
    allowed = [loaded.workspace_path, loaded.working_directory]
    for index, rule in enumerate(loaded.config.validations):
        for path in _places(subject, rule):
            if not any(path.is_relative_to(folder) for folder in allowed):
                advice = f"workspace: {allowed[0]}; working directory: {allowed[1]}"
                yield Finding(("validations", index, "path"), f"{path} is outside the job's folders", advice)
                break


def conditions_can_hold(subject: Subject) -> Iterator[Finding]:
    """A condition is tried for every batch; with rows or very many batches there is no saying."""
    plan = subject.plan
    if plan is None or subject.loaded.config.items is not None or plan.count > MAX_TRIED:
        return
    untrue = dict(_conditions(subject))
    for number in range(1, plan.count + 1):
        if not untrue:
            return
        context = subject.context_of(number, plan)
        untrue = {index: condition for index, condition in untrue.items() if not _may_hold(condition, context)}
    for index, condition in untrue.items():
        message = f"`{condition.text}` holds for none of the {plan.count} batches, so the rule never applies"
        yield Finding(("validations", index, "condition"), message)


RULES: Final[Mapping[str, Rule]] = {
    "V007": regexes_compile,
    "V109": conditions_can_hold,
    "V110": paths_stay_inside,
    "V111": placeholders_exist,
}


def _broken(path: KeyPath, text: str, names: frozenset[str]) -> Iterator[Finding]:
    try:
        compile_condition(text, names, show_path(path))
    except PromptError as error:
        yield Finding(path, error.message, error.hint)


def _with_placeholders(subject: Subject) -> Iterator[tuple[KeyPath, str, Mode]]:
    """Every text in which placeholders are filled in, where it stands, and how."""
    config = subject.loaded.config
    for index, rule in enumerate(config.validations):
        pattern_mode: Mode = "regex" if rule.type in _REGEX_TYPES else "text"
        texts: tuple[tuple[str, str | None, Mode], ...] = (
            ("path", rule.path, "path"),
            ("pattern", rule.pattern, pattern_mode),
            ("command", rule.command, "command"),
            ("working_directory", rule.working_directory, "path"),
        )
        for key, text, mode in texts:
            if text is not None:
                yield ("validations", index, key), text, mode
    for number, command in config.batch.skip_when_command.items():
        yield ("batch", "skip_when_command", number, "command"), command.command, "command"
    for path in config.rehearsal.writes:
        yield ("rehearsal", "writes", path), path, "path"


def _texts_of_hooks(subject: Subject) -> Iterator[tuple[KeyPath, str, Mode]]:
    config = subject.loaded.config
    for index, hook in enumerate(config.on_success):
        for key in ("job_path", "job_workspace", "working_directory", "command"):
            text = getattr(hook, key)
            if text is not None:
                yield ("on_success", index, key), text, "command" if key == "command" else "path"
    if config.concert.concert_log_path is not None:
        yield ("concert", "concert_log_path"), config.concert.concert_log_path, "path"


def _filled_in(subject: Subject, text: str, mode: Mode) -> str:
    """`text` for the first batch; as it stands where that needs rows."""
    if subject.plan is None:
        return text
    try:
        return expand(text, subject.context_of(1, subject.plan), mode)
    except PromptError:
        return text


def _places(subject: Subject, rule: RuleConfig) -> Iterator[Path]:
    """Where a rule's path leads in the first and in the last batch, without asking the disk."""
    plan = subject.plan
    if not rule.path or plan is None:
        return
    for number in sorted({1, plan.count}):
        try:
            text = expand(rule.path, subject.context_of(number, plan), "path")
        except PromptError:
            continue  # needs its rows
        yield Path(os.path.normpath(subject.loaded.working_directory / text))


def _conditions(subject: Subject) -> Iterator[tuple[int, Condition]]:
    """The conditions that compile, by number of their rule; V001 is about the others."""
    names = known_names(subject.loaded.config.prompt)
    for index, rule in enumerate(subject.loaded.config.validations):
        if rule.condition is not None:
            try:
                yield index, compile_condition(rule.condition, names)
            except PromptError:
                continue


def _may_hold(condition: Condition, context: BatchContext) -> bool:
    try:
        return bool(condition(context))
    except PromptError:
        return True  # it needs what is only known while the job runs
