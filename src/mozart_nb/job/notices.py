"""What is valid in a job file and still does not do what its author may think."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mozart_nb.job.backends import API_FIELDS, CLI_FIELDS
from mozart_nb.job.document import KeyPath, Positions
from mozart_nb.job.keys import NO_EFFECT
from mozart_nb.job.known import email_notifications
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import expansion_notice, plan_job
from mozart_nb.job.report import Notice, locate, notice

OTHER_BACKEND: Final = "V118"
NO_SUCH_BATCH: Final = "V120"
DEFAULT_PROMPT: Final = "V121"
STAGE_KEYS: Final = "V122"


def notices_about(config: JobConfig, positions: Positions, file: str = "") -> list[Notice]:
    """Everything of `config` that will have no effect, or another one than it seems."""
    return [
        notice(code, locate(path, positions, message, file=file, at_key=True))
        for code, path, message in (
            *_without_effect(config),
            *_other_backend(config),
            *_per_batch_keys(config),
            *_triggers(config),
            *_default_prompt(config),
        )
    ]


Finding = tuple[str, KeyPath, str]


def _without_effect(config: JobConfig) -> Iterator[Finding]:
    for path in email_notifications(config):
        yield NO_EFFECT, path, "notifications by `email` are not supported"


def _other_backend(config: JobConfig) -> Iterator[Finding]:
    backend = config.backend
    foreign = {"claude_cli": API_FIELDS, "rehearsal": CLI_FIELDS | API_FIELDS}.get(backend.type, CLI_FIELDS)
    for key in type(backend).model_fields:
        if key in foreign and key in backend.model_fields_set:
            yield OTHER_BACKEND, ("backend", key), f"`{key}` has no effect with the backend `{backend.type}`"


def _per_batch_keys(config: JobConfig) -> Iterator[Finding]:
    """What the keys of per-batch maps stand for where it is not the batch of that number."""
    if not config.batch.count:
        return
    plan = plan_job(config)
    word = "stage" if config.batch.fan_out else "batch"
    for path, mapping in _per_batch_maps(config):
        known = {number: value for number, value in mapping.items() if 1 <= number <= plan.total_stages}
        for number in mapping.keys() - known.keys():
            yield NO_SUCH_BATCH, (*path, number), f"there is no {word} {number}; there are {plan.total_stages}"
        expanded = expansion_notice(str(path[-1]), known, plan)
        if expanded:
            yield STAGE_KEYS, path, expanded


def _per_batch_maps(config: JobConfig) -> Iterator[tuple[KeyPath, Mapping[int, object]]]:
    yield ("backend", "timeout_overrides"), config.backend.timeout_overrides
    yield ("backend", "batch_overrides"), config.backend.batch_overrides
    yield ("batch", "descriptions"), config.batch.descriptions
    yield ("batch", "skip_when"), config.batch.skip_when
    yield ("batch", "skip_when_command"), config.batch.skip_when_command
    yield ("batch", "prompt_extensions"), config.batch.prompt_extensions
    yield ("rehearsal", "script"), config.rehearsal.script


def _triggers(config: JobConfig) -> Iterator[Finding]:
    """Batches of confirmations are batches, also beside a fan-out: each is a session of its own."""
    total = plan_job(config).count if config.batch.count else 0
    for index, trigger in enumerate(config.checkpoints.triggers):
        for place, number in enumerate(trigger.batch_nums or ()):
            if number > total > 0:
                at = ("checkpoints", "triggers", index, "batch_nums", place)
                yield NO_SUCH_BATCH, at, f"there is no batch {number}; there are {total}"


def _default_prompt(config: JobConfig) -> Iterator[Finding]:
    if config.prompt.template is None and config.prompt.template_file is None:
        yield DEFAULT_PROMPT, ("prompt",), "there is no template; the prompt only names the batch and its items"
