"""A job's config as plain data: digests that say whether it changed, and the form in which a plan keeps it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from mozart_nb.errors import ConfigError, Problem
from mozart_nb.job.borrowed import borrow_again, marks
from mozart_nb.job.document import Positions
from mozart_nb.job.explain import explain
from mozart_nb.job.given import Given
from mozart_nb.job.load import NOTHING_GIVEN, LoadedJob
from mozart_nb.job.model import JobConfig
from mozart_nb.job.notifications import text_without_literals, without_literals

FORMAT: Final = 1
"""Version of the mapping that `freeze` makes."""

# What is said about a job, and to whom, changes nothing about how it runs.
_TOLD: Final = frozenset({"description", "notifications", "logging"})

# What decides what is asked, of whom, and what counts as done. The rest decides when, how often and how many at once.
_WORK: Final = frozenset(
    {"workspace", "backend", "batch", "items", "prompt", "answer", "validations", "cross_batch", "isolation"}
)
_NOT_WORK_OF_BACKEND: Final = frozenset(
    {"timeout_seconds", "timeout_overrides", "max_output_capture_bytes", "output_format", "cli_path", "api_key_env"}
)


def config_digest(config: JobConfig, contents: Mapping[str, str] | None = None) -> str:
    """SHA-256 (hex) over everything of `config` that a run depends on.

    `contents` are texts the config only names (templates, schemas): label to text.
    """
    data = {key: value for key, value in _chosen(config).items() if key not in _TOLD}
    return _digest(data, contents)


def work_digest(config: JobConfig, contents: Mapping[str, str] | None = None) -> str:
    """SHA-256 (hex) over what is asked and what counts as done: prompts, batches, rules, model.

    Retries, limits, waiting and concurrency are left out: changing those does not make finished work wrong.
    """
    chosen = _chosen(config)
    data = {key: value for key, value in chosen.items() if key in _WORK}
    backend = chosen.get("backend", {})
    data["backend"] = {key: value for key, value in backend.items() if key not in _NOT_WORK_OF_BACKEND}
    if config.backend.type == "rehearsal":
        data["rehearsal"] = chosen.get("rehearsal", {})
    return _digest(data, contents)


def freeze(loaded: LoadedJob) -> dict[str, Any]:
    """Everything about a loaded job that a later process needs, as JSON data.

    Of what it borrows from a notebook only the names: `notebook` says what a kernel has to have. Addresses and headers
    of notifications that stand in the job file itself are left out.
    """
    return {
        "format": FORMAT,
        "file": loaded.file,
        "base_dir": str(loaded.base_dir),
        "source_text": text_without_literals(loaded.source_text, loaded.config.notifications),
        "config": _without_literals(_plain(loaded.config)),
        "notebook": marks(loaded.borrowed),
    }


def thaw(
    frozen: Mapping[str, Any],
    base_dir: str | os.PathLike[str] | None = None,
    given: Given = NOTHING_GIVEN,
) -> LoadedJob:
    """The job that `freeze` kept; `base_dir` replaces the directory it was loaded from.

    Functions and a class of a notebook are looked up again in the namespace of `given`; what is not there is missing
    from `LoadedJob.borrowed`, and only a run needs it.

    Raises ConfigError when `frozen` is of a newer format or its config is not valid here.
    """
    version = frozen.get("format")
    file = str(frozen.get("file", ""))
    if version != FORMAT:
        message = "this frozen job cannot be read by this version"
        raise ConfigError([Problem(message, path="format", value=str(version), allowed=str(FORMAT), file=file)])
    try:
        config = JobConfig.model_validate(frozen["config"])
    except ValidationError as error:
        raise ConfigError(explain(error, Positions(), file)) from None
    return LoadedJob(
        config=config,
        source_text=str(frozen["source_text"]),
        base_dir=Path(base_dir if base_dir is not None else frozen["base_dir"]).absolute(),
        file=file,
        raw=dict(frozen["config"]),
        given=given,
        borrowed=borrow_again(config, given, frozen.get("notebook", {})),
    )


def _plain(config: JobConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True)


def _without_literals(plain: dict[str, Any]) -> dict[str, Any]:
    return {**plain, "notifications": without_literals(plain["notifications"])}


def _chosen(config: JobConfig) -> dict[str, Any]:
    """What differs from the defaults: a key that a later version adds must not make earlier jobs look changed."""
    return config.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _digest(data: Mapping[str, Any], contents: Mapping[str, str] | None) -> str:
    whole = {"config": data, "contents": dict(contents or {})}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
