"""Rules about files, time limits, patterns and the machine; those about prompts and placeholders are in lint_prompt."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mozart_nb.job.answers import SCHEMA_PATH
from mozart_nb.job.document import KeyPath
from mozart_nb.job.model import JobConfig
from mozart_nb.job.outputs import REQUIRED_FIELDS
from mozart_nb.job.vcodes import Finding, Rule, Subject

SHORT_TIMEOUT_SECONDS: Final = 60
LONG_TIMEOUT_SECONDS: Final = 7200
EXTENSION_SUFFIXES: Final = (".md", ".txt")


def workspace_can_be_made(subject: Subject) -> Iterator[Finding]:
    workspace = subject.loaded.workspace_path
    parent = workspace.parent
    if subject.files.exists(workspace):
        if not subject.files.is_dir(workspace):
            yield Finding(("workspace",), f"the workspace {workspace} is not a folder")
    elif not subject.files.is_dir(parent):
        yield Finding(("workspace",), f"the folder {parent} does not exist", f"make it: {parent}", creates=parent)


def template_files_exist(subject: Subject) -> Iterator[Finding]:
    config = subject.loaded.config
    named: list[tuple[KeyPath, str]] = []
    if config.prompt.template_file is not None:
        named.append((("prompt", "template_file"), config.prompt.template_file))
    named.extend((path, text) for path, text in extensions(config) if _is_file_name(text))
    if isinstance(config.answer.json_schema, str):
        named.append((SCHEMA_PATH, config.answer.json_schema))
    if config.items is not None and config.items.file is not None:
        yield from _there(subject, ("items", "file"), config.items.file)
    for path, name in named:
        yield from _readable(subject, path, name)


def system_prompt_file_exists(subject: Subject) -> Iterator[Finding]:
    name = subject.loaded.config.backend.system_prompt_file
    if name is not None:
        yield from _readable(subject, ("backend", "system_prompt_file"), name)


def working_directory_exists(subject: Subject) -> Iterator[Finding]:
    folder = subject.loaded.working_directory
    if not subject.files.exists(folder):
        yield Finding(("backend", "working_directory"), f"the working directory {folder} does not exist")
    elif not subject.files.is_dir(folder):
        yield Finding(("backend", "working_directory"), f"the working directory {folder} is not a folder")


def rules_have_their_fields(subject: Subject) -> Iterator[Finding]:
    for index, rule in enumerate(subject.loaded.config.validations):
        for key in REQUIRED_FIELDS[rule.type]:
            value = getattr(rule, key)
            if value is None or (key != "pattern" and not value.strip()):
                yield Finding(("validations", index), f"a rule of type `{rule.type}` needs `{key}`")


def patterns_are_not_empty(subject: Subject) -> Iterator[Finding]:
    for index, rule in enumerate(subject.loaded.config.validations):
        if rule.pattern == "":
            yield Finding(("validations", index, "pattern"), "the pattern is empty: every file and answer matches")
    for index, pattern in enumerate(subject.loaded.config.rate_limit.detection_patterns):
        if pattern == "":
            message = "the pattern is empty: every error counts as a rate limit"
            yield Finding(("rate_limit", "detection_patterns", index), message)


def timeouts_are_not_short(subject: Subject) -> Iterator[Finding]:
    if subject.loaded.config.backend.type == "rehearsal":
        return
    for path, seconds in _timeouts(subject):
        if seconds < SHORT_TIMEOUT_SECONDS:
            yield Finding(path, f"{seconds:g} seconds are very short for a session", "60 or more")


def timeouts_are_not_long(subject: Subject) -> Iterator[Finding]:
    for path, seconds in _timeouts(subject):
        if seconds > LONG_TIMEOUT_SECONDS:
            hours = seconds / 3600
            yield Finding(path, f"a session that hangs is ended only after {hours:.3g} hours", "stale_detection helps")


def content_files_exist(subject: Subject) -> Iterator[Finding]:
    """Only absolute paths without placeholders: others are what the batches are about to write."""
    for index, rule in enumerate(subject.loaded.config.validations):
        path = rule.path or ""
        is_fixed = Path(path).is_absolute() and "{" not in path
        if rule.type.startswith("content_") and is_fixed and not subject.files.exists(Path(path)):
            yield Finding(("validations", index, "path"), f"{path} does not exist yet")


def claude_is_found(subject: Subject) -> Iterator[Finding]:
    backend = subject.loaded.config.backend
    if backend.type != "claude_cli":
        return
    program = backend.cli_path or "claude"
    if os.sep in program or program.startswith("~"):
        if not subject.files.exists(subject.loaded.resolve(program)):
            yield Finding(("backend", "cli_path"), f"{program} does not exist")
        return
    folders = [folder for folder in subject.env.get("PATH", "").split(os.pathsep) if folder]
    suffixes = ["", *subject.env.get("PATHEXT", "").lower().split(os.pathsep)]
    candidates = (Path(folder) / (program + suffix) for folder in folders for suffix in suffixes)
    if not any(subject.files.exists(one) and not subject.files.is_dir(one) for one in candidates):
        key = "cli_path" if backend.cli_path else "type"
        yield Finding(("backend", key), f"`{program}` is not on PATH", "install Claude Code, or try `--rehearse`")


def something_is_checked(subject: Subject) -> Iterator[Finding]:
    config = subject.loaded.config
    if not config.validations and not config.answer.wants_json:
        message = "there are no validations: every session that ends well counts as done"
        yield Finding(("validations",), message)


def root_may_skip_permissions(subject: Subject) -> Iterator[Finding]:
    backend = subject.loaded.config.backend
    if backend.type != "claude_cli" or not subject.is_root or not backend.asks_no_permission:
        return
    if "1" not in (subject.env.get("IS_SANDBOX"), backend.env.get("IS_SANDBOX")):
        key = "permission_mode" if backend.permission_mode else "skip_permissions"
        advice = "in a sandbox set IS_SANDBOX=1; else use `permission_mode: acceptEdits`"
        yield Finding(("backend", key), "`claude` refuses to skip permissions as root", advice)


RULES: Final[Mapping[str, Rule]] = {
    "V002": workspace_can_be_made,
    "V003": template_files_exist,
    "V004": system_prompt_file_exists,
    "V005": working_directory_exists,
    "V008": rules_have_their_fields,
    "V103": timeouts_are_not_short,
    "V104": timeouts_are_not_long,
    "V106": patterns_are_not_empty,
    "V107": content_files_exist,
    "V113": claude_is_found,
    "V116": something_is_checked,
    "V117": root_may_skip_permissions,
}


def extensions(config: JobConfig) -> Iterator[tuple[KeyPath, str]]:
    """Every prompt extension and where it stands."""
    for position, text in enumerate(config.prompt.prompt_extensions):
        yield ("prompt", "prompt_extensions", position), text
    for number, texts in config.batch.prompt_extensions.items():
        for index, text in enumerate(texts):
            yield ("batch", "prompt_extensions", number, index), text


def _timeouts(subject: Subject) -> Iterator[tuple[KeyPath, float]]:
    backend = subject.loaded.config.backend
    yield ("backend", "timeout_seconds"), backend.timeout_seconds
    for number, seconds in backend.timeout_overrides.items():
        yield ("backend", "timeout_overrides", number), seconds
    for number, override in backend.batch_overrides.items():
        if override.timeout_seconds is not None:
            yield ("backend", "batch_overrides", number, "timeout_seconds"), override.timeout_seconds


def _is_file_name(text: str) -> bool:
    # One word: "Follow docs/style.md" is a text about a file.
    return text.strip().lower().endswith(EXTENSION_SUFFIXES) and len(text.split()) == 1


def _there(subject: Subject, path: KeyPath, name: str) -> Iterator[Finding]:
    file = subject.loaded.resolve(name.strip())
    if not subject.files.exists(file):
        yield Finding(path, f"the file {file} does not exist")
    elif subject.files.is_dir(file):
        yield Finding(path, f"{file} is a folder, not a file")


def _readable(subject: Subject, path: KeyPath, name: str) -> Iterator[Finding]:
    file = subject.loaded.resolve(name.strip())
    missing = list(_there(subject, path, name))
    yield from missing
    if not missing and subject.text_of(name.strip()) is None:
        yield Finding(path, f"the file {file} cannot be read as UTF-8 text")
