"""Whom a job tells, by which channel, of what; and which parts of that are kept out of every file.

An address of Slack or of a webhook is a key: whoever has it can write there. Where it stands in the job file itself it
is used, but never written to disk again: frozen plans hold `KEPT_OUT` in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from mozart_nb.errors import PromptError
from mozart_nb.job.section import Count, Fault, PositiveSeconds, Seconds, Section, Text, refuse

NotificationEvent = Literal[
    "job_start",
    "job_complete",
    "job_failed",
    "job_paused",
    "job_resumed",
    "batch_start",
    "batch_complete",
    "batch_failed",
    "rate_limit_detected",
]
ChannelType = Literal["desktop", "slack", "webhook", "email"]

KEPT_OUT: Final = "[kept out of this file]"
"""Stands in frozen plans where the job file has an address or the value of a header itself."""

NOT_KEPT: Final = (
    "the address or a header stands in the job file itself and is not kept anywhere else; start the job from its file, "
    "or put it into an environment variable (`url_env`, `webhook_url_env`, `${NAME}` in a header)"
)
"""Why a channel of a job that goes on from its frozen plan cannot be used, and what helps."""

SLACK_VARIABLE: Final = "SLACK_WEBHOOK_URL"
"""Environment variable asked for the address of Slack's incoming webhook when the job file names none."""

VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
PLAIN_HEADERS: Final = frozenset({"accept", "content-type", "user-agent"})
"""Headers, in lower case, whose values are no secrets."""


TEXT_VARIABLES: Final[Mapping[str, str]] = {
    "event_type": "the event, for example `job_failed`",
    "job_id": "id of the job",
    "job_name": "name of the job",
    "run_id": "id of the run",
    "host": "the machine that runs it",
    "status": "status of the job",
    "total_batches": "how many batches the job has",
    "completed_batches": "how many are completed",
    "failed_batches": "how many have failed",
    "batch_num": "number of the batch; 0 when the event is not about one",
    "count": "how many events the message stands for: more than 1 in a summary",
    "batches": "numbers of the batches of a summary, `3-7, 9`",
    "error_code": "code of the failure or rate limit, or empty",
    "error_message": "why it failed or paused, or empty",
    "wait_seconds": "seconds until the rate limit is over; 0 for other events",
    "cost_usd": "US dollars spent so far by the job, or by the batch",
    "duration_seconds": "seconds since the run began, or the sessions of the batch took",
    "at": "when it happened, ISO 8601 in UTC",
}
"""What a template of a notification's text may use."""


class ChannelSettings(Section):
    """How a channel is reached and what is said there."""

    SYNONYMS: ClassVar[dict[str, str]] = {"timeout_seconds": "timeout", "retry_delay_seconds": "retry_delay"}

    webhook_url: str | None = Field(
        None, description="Slack: address of the incoming webhook. Better in an environment variable: it is a key."
    )
    webhook_url_env: str | None = Field(
        None, description=f"Slack: environment variable that holds the address. Unset: `{SLACK_VARIABLE}`."
    )
    channel: str | None = Field(None, description="Slack: channel, for webhooks that let you choose.")
    username: str | None = Field(None, description="Slack: name shown as the sender. Unset: `Mozart`.")
    icon_emoji: str | None = Field(None, description="Slack: emoji shown as the sender. Unset: `:musical_score:`.")
    url: str | None = Field(
        None, description="Webhook: address, with `${NAME}` for environment variables. Better `url_env`: it is a key."
    )
    url_env: str | None = Field(None, description="Webhook: environment variable that holds the address.")
    headers: dict[str, Text] = Field(
        default_factory=dict, description="Webhook: headers; `${NAME}` is replaced by the environment variable."
    )
    include_metadata: bool | None = Field(
        None, description="Webhook: add `metadata` with source and version to what is sent. Unset: true."
    )
    app_name: str | None = Field(None, description="Desktop: name of the application. Unset: `Mozart`.")
    timeout: PositiveSeconds | None = Field(
        None,
        description="Seconds until an answer must be there; on the desktop, how long the message is shown. Unset: 30 "
        "for a webhook, else 10.",
    )
    max_retries: Count | None = Field(
        None,
        description="Quick further tries after a 5xx, a 429, a time-out or a broken connection; slower ones follow for "
        "an hour. Unset: 2.",
    )
    retry_delay: Seconds | None = Field(
        None, description="Seconds before the first quick further try; doubles with each. Unset: 1."
    )
    template: str | dict[NotificationEvent, str] | None = Field(
        None, description="Text of the messages, or one text per event; a template with the variables of the event."
    )

    @field_validator("template", mode="before")
    @classmethod
    def _one_word_for_batches(cls, value: Any) -> Any:
        return {_batch_word(key): text for key, text in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        refuse([*_wrong_addresses(self), *_wrong_templates(self)])
        return self


class _WhatIsTold(BaseModel):
    """The keys that come first in a channel. Not a section of its own."""

    type: ChannelType = Field(description="`desktop`, `slack` or `webhook`; `email` is known but not supported.")
    on_events: tuple[NotificationEvent, ...] = Field(
        ("job_complete", "job_failed"), description="Which events to tell of."
    )

    @field_validator("on_events", mode="before")
    @classmethod
    def _sheets_are_batches(cls, value: Any) -> Any:
        return [_batch_word(word) for word in value] if isinstance(value, list | tuple) else value


class NotificationConfig(ChannelSettings, _WhatIsTold):
    """One way of being told."""

    config: ChannelSettings = Field(
        default_factory=ChannelSettings, description="The same settings in one mapping; those beside it go first."
    )

    @model_validator(mode="after")
    def _somewhere_to_send(self) -> Self:
        found = self.settings
        if self.type == "webhook" and found.url is None and found.url_env is None:
            refuse([Fault((), "a notification of type `webhook` needs an address", allowed="`url_env` or `url`")])
        return self

    @property
    def settings(self) -> ChannelSettings:
        """The settings of both places as one."""
        given = {}
        for name in ChannelSettings.model_fields:
            own = getattr(self, name)
            given[name] = own if own is not None else getattr(self.config, name)
        given["headers"] = {**self.config.headers, **self.headers}
        return ChannelSettings.model_construct(**given)

    @property
    def timeout_seconds(self) -> float:
        return self.settings.timeout or (30.0 if self.type == "webhook" else 10.0)


def _batch_word(word: Any) -> Any:
    return word.replace("sheet_", "batch_", 1) if isinstance(word, str) and word.startswith("sheet_") else word


def _wrong_addresses(settings: ChannelSettings) -> Iterator[Fault]:
    """The address itself is not repeated in what is said."""
    for key in ("webhook_url", "url"):
        text = getattr(settings, key)
        if text is not None and text != KEPT_OUT and not re.match(r"https?://[^/\s]+|\$\{\w+\}", text):
            yield Fault((key,), "this is no address", allowed="`https://…`, `http://…` or `${NAME}`")


def _wrong_templates(settings: ChannelSettings) -> Iterator[Fault]:
    from mozart_nb.job.templates import CompiledTemplate  # only where there is a template

    texts = settings.template if isinstance(settings.template, dict) else {None: settings.template}
    for event, text in texts.items():
        at = ("template",) if event is None else ("template", event)
        if text is None:
            continue
        try:
            template = CompiledTemplate(text, ".".join(at))
        except PromptError as error:
            yield Fault(at, error.message)
            continue
        for unknown in template.unknown(TEXT_VARIABLES):
            near = f"; did you mean `{unknown.nearest}`?" if unknown.nearest else ""
            yield Fault(at, f"unknown variable `{unknown.name}`{near}", allowed=", ".join(TEXT_VARIABLES))


# --- what no file may hold --------------------------------------------------------------------------------------------


def literals(channels: Sequence[NotificationConfig]) -> list[str]:
    """Addresses and values of headers that stand in the job file itself, longest first."""
    found = {text for channel in channels for part in (channel, channel.config) for text in _literals(part)}
    return sorted(found, key=len, reverse=True)


def _literals(settings: ChannelSettings) -> Iterator[str]:
    for text in (settings.webhook_url, settings.url):
        if text is not None and _is_literal(text):
            yield text
    for name, text in settings.headers.items():
        if name.lower() not in PLAIN_HEADERS and _is_literal(text):
            yield text


def _is_literal(text: str) -> bool:
    """A value with `${NAME}` in it keeps its secret in the environment."""
    return bool(text) and text != KEPT_OUT and VARIABLE.search(text) is None


def without_literals(data: Any) -> Any:
    """`notifications` of a job as plain data, with `KEPT_OUT` for each of `literals`."""
    if isinstance(data, list | tuple):
        return [without_literals(one) for one in data]
    kept = dict(data)
    for key in ("webhook_url", "url"):
        if isinstance(kept.get(key), str) and _is_literal(kept[key]):
            kept[key] = KEPT_OUT
    if kept.get("headers"):
        kept["headers"] = {
            name: KEPT_OUT if name.lower() not in PLAIN_HEADERS and _is_literal(str(text)) else text
            for name, text in kept["headers"].items()
        }
    if kept.get("config"):
        kept["config"] = without_literals(kept["config"])
    return kept


def text_without_literals(text: str, channels: Sequence[NotificationConfig]) -> str:
    """The text of a job file without the lines about notifications, where one of them holds a literal.

    Every other line stays where it is. Where the file has no such lines of their own, the literals alone go; where that
    does not do, because the text writes them in another way (escapes, folded lines), nothing of it is left.
    """
    found = literals(channels)
    if not found:
        return text
    for kept in (_without_lines(text), text):
        for literal in found:
            if len(literal) >= _SHORTEST:
                kept = kept.replace(literal, KEPT_OUT)
        if _is_free_of(found, kept):
            return kept
    return ""


def _without_lines(text: str) -> str:
    lines, is_inside = [], False
    for line in text.splitlines(keepends=True):
        if _NOTIFICATIONS.match(line):
            is_inside = True
            lines.append("notifications:\n")
        elif is_inside and not _OTHER_KEY.match(line):
            lines.append("\n")
        else:
            is_inside = False
            lines.append(line)
    return "".join(lines)


def _is_free_of(found: Sequence[str], text: str) -> bool:
    """Whether a job file with this text can be read, and says none of these literals, in whatever way."""
    from mozart_nb.errors import MozartError
    from mozart_nb.job.document import parse_document

    try:
        said = list(_texts(parse_document(text).data))
    except MozartError:
        return False
    return not any(
        literal == one or (len(literal) >= _SHORTEST and literal in one) for literal in found for one in said
    )


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from (*_texts(key), *_texts(value))
    elif isinstance(data, list):
        for one in data:
            yield from _texts(one)
    elif data is not None:
        yield str(data)


_NOTIFICATIONS: Final = re.compile(r"[\"']?notifications[\"']?\s*:")
_OTHER_KEY: Final = re.compile(r"[^\s#-]|---")
_SHORTEST: Final = 8
# A shorter literal may be part of any word.


def is_kept_out(channel: NotificationConfig) -> bool:
    """Whether an address or header that the channel needs was left out of the plan it was read from."""
    found = channel.settings
    return KEPT_OUT in (found.webhook_url, found.url, *found.headers.values())
