"""What is valid in a job file and still does not do what its author may think."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mozart_nb.job.backends import API_FIELDS, CLI_FIELDS
from mozart_nb.job.document import KeyPath, Positions
from mozart_nb.job.keys import NO_EFFECT
from mozart_nb.job.known import email_notifications, gaps
from mozart_nb.job.model import JobConfig
from mozart_nb.job.report import Notice, notice_at

OTHER_BACKEND: Final = "V118"
NO_SUCH_BATCH: Final = "V120"
DEFAULT_PROMPT: Final = "V121"


def notices_about(config: JobConfig, positions: Positions, file: str = "") -> list[Notice]:
    """Everything of `config` that will have no effect, or another one than it seems."""
    return [
        notice_at(code, path, positions, message, file=file)
        for code, path, message in (
            *_gaps(config),
            *_other_backend(config),
            *_no_such_batch(config),
            *_default_prompt(config),
        )
    ]


Finding = tuple[str, KeyPath, str]


def _gaps(config: JobConfig) -> Iterator[Finding]:
    for gap in gaps(config):
        if not gap.is_error:
            yield NO_EFFECT, gap.path, gap.message
    for path in email_notifications(config):
        yield NO_EFFECT, path, "notifications by `email` are not supported"
    if config.items is not None and config.batch.total_items is not None:
        yield NO_EFFECT, ("batch", "total_items"), "`total_items` has no effect beside `items`: the rows are counted"


def _other_backend(config: JobConfig) -> Iterator[Finding]:
    backend = config.backend
    foreign = {"claude_cli": API_FIELDS, "rehearsal": CLI_FIELDS | API_FIELDS}.get(backend.type, CLI_FIELDS)
    for key in type(backend).model_fields:
        if key in foreign and key in backend.model_fields_set:
            yield OTHER_BACKEND, ("backend", key), f"`{key}` has no effect with the backend `{backend.type}`"


def _no_such_batch(config: JobConfig) -> Iterator[Finding]:
    """Keys of per-batch maps beyond the last batch. With a fan-out those keys are stages, like all others."""
    if not config.batch.count:
        return
    word = "stage" if config.batch.fan_out else "batch"
    for path, numbers in _per_batch_maps(config):
        for number in numbers:
            if not 1 <= number <= config.batch.count:
                message = f"there is no {word} {number}; there are {config.batch.count}"
                yield NO_SUCH_BATCH, (*path, number), message


def _per_batch_maps(config: JobConfig) -> Iterator[tuple[KeyPath, list[int]]]:
    for key in ("timeout_overrides", "batch_overrides"):
        yield ("backend", key), list(getattr(config.backend, key))
    for key in ("descriptions", "skip_when", "skip_when_command", "prompt_extensions"):
        yield ("batch", key), list(getattr(config.batch, key))
    yield ("rehearsal", "script"), list(config.rehearsal.script)


def _default_prompt(config: JobConfig) -> Iterator[Finding]:
    if config.prompt.template is None and config.prompt.template_file is None:
        yield DEFAULT_PROMPT, ("prompt",), "there is no template; the prompt only names the batch and its items"
