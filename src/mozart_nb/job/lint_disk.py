"""Rules about where a job writes, and about files that others should have made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mozart_nb.job.vcodes import Finding, Rule, Subject

_VERSION_OF_FILE: Final = re.compile(r"[-_.]v(\d+)$", re.IGNORECASE)
_VERSION_IN_TEXT: Final = re.compile(r"(?<![A-Za-z0-9])v(\d+)(?![A-Za-z0-9])", re.IGNORECASE)


def workspace_can_be_written(subject: Subject) -> Iterator[Finding]:
    """Asked of the folder itself, or of the one it would be made in; V002 is about those that are not there."""
    workspace = subject.loaded.workspace_path
    place = workspace if subject.files.exists(workspace) else workspace.parent
    if subject.files.is_dir(place) and not subject.files.is_writable(place):
        advice = "choose another `workspace`, or change the folder's permissions"
        yield Finding(("workspace",), f"{place} cannot be written to", advice)


def log_can_be_written(subject: Subject) -> Iterator[Finding]:
    """Only of a log file that is asked for: that of the workspace goes where the workspace goes."""
    given = subject.loaded.config.logging.file_path
    if given is None:
        return
    workspace = subject.loaded.workspace_path
    text = given.replace("{workspace}", str(workspace))
    is_whole = Path(text).is_absolute() or text.startswith("~")
    file = subject.loaded.resolve(text) if is_whole else Path(os.path.normpath(workspace / text))
    path = ("logging", "file_path")
    if subject.files.is_dir(file):
        yield Finding(path, f"{file} is a folder, not a file")
        return
    place = next((folder for folder in file.parents if subject.files.exists(folder)), None)
    if place is None:
        return
    if not subject.files.is_dir(place):
        yield Finding(path, f"{place} is not a folder")
    elif not subject.files.is_writable(place):
        yield Finding(path, f"{place} cannot be written to: there will be no log file", "the journal has everything")


def jobs_to_come_exist(subject: Subject) -> Iterator[Finding]:
    """A file that this job will write is not there yet; one that is misspelled never will be."""
    for index, hook in enumerate(subject.loaded.config.on_success):
        if hook.job_path is not None and "{" not in hook.job_path:
            file = subject.loaded.resolve(hook.job_path)
            if not subject.files.exists(file):
                yield Finding(("on_success", index, "job_path"), f"the job file {file} does not exist yet")


def version_is_that_of_the_file(subject: Subject) -> Iterator[Finding]:
    """`review-v3.yaml` that was copied from `review-v2.yaml` must not go on with the job of version 2."""
    found = _VERSION_OF_FILE.search(Path(subject.loaded.file).stem)
    if found is None:
        return
    config = subject.loaded.config
    for key, text in (("name", config.name), ("workspace", config.workspace)):
        for version in _VERSION_IN_TEXT.findall(text):
            if int(version) != int(found[1]):
                message = f"the file is version {found[1]}, and `{key}` says v{version}"
                yield Finding((key,), message, "a job of that name would be taken for this one")


RULES: Final[Mapping[str, Rule]] = {
    "V130": workspace_can_be_written,
    "V131": log_can_be_written,
    "V132": version_is_that_of_the_file,
    "V133": jobs_to_come_exist,
}
