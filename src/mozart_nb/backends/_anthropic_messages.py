"""From a session's request to the parameters of one Messages request: pure, the same for single and batched ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mozart_nb.backends._anthropic_models import CHARACTERS_PER_TOKEN, cache_minimum, writes_by_schema
from mozart_nb.backends._anthropic_schema import sendable_schema
from mozart_nb.backends._text import whole
from mozart_nb.engine.ports import SessionRequest
from mozart_nb.job.backends import DEFAULT_API_MODEL

DEFAULT_MAX_TOKENS: Final = 8192

SAMPLING_VERSION: Final = "2023-06-01"
"""The last version of the API that knows `temperature`; the newer one, which SDKs from 2.0 on send, refuses it with 400
(https://platform.claude.com/docs/en/api/versioning). Models from Claude 4.7 on refuse it in any version."""

SAMPLING_HEADERS: Final = {"anthropic-version": SAMPLING_VERSION}
"""What a call needs that has a `temperature` in any of its requests."""

_MARK: Final = {"type": "ephemeral"}

Block = Mapping[str, Any]


def message_params(
    request: SessionRequest, *, file_blocks: Sequence[Block] = (), is_structured: bool | None = None
) -> dict[str, Any]:
    """The body of a Messages request, without `stream`.

    `file_blocks` are the content blocks of `request.attachments`. `is_structured` says whether the model takes a JSON
    Schema for its answer; None: as its name tells. `temperature` is in it only when it is set.
    """
    options = request.options
    params: dict[str, Any] = {
        "model": model_of(request),
        "max_tokens": options.get("max_tokens") or DEFAULT_MAX_TOKENS,
        "messages": _messages(request, file_blocks),
    }
    if system := options.get("system"):
        params["system"] = [{**_text(system), "cache_control": _MARK}] if _marks_system(request) else whole(system)
    if (temperature := options.get("temperature")) is not None:
        params["temperature"] = temperature
    if schema := structured_schema(request, is_structured=is_structured):
        params["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return params


def version_headers(*params: Mapping[str, Any]) -> Mapping[str, str]:
    """The headers that a call with these parameters of one or more requests needs beyond the SDK's own."""
    return SAMPLING_HEADERS if any("temperature" in one for one in params) else {}


def model_of(request: SessionRequest) -> str:
    """The model that `request` asks for."""
    return request.options.get("model") or DEFAULT_API_MODEL


def structured_schema(request: SessionRequest, *, is_structured: bool | None = None) -> dict[str, Any] | None:
    """The schema that goes along as structured output; None when there is none, or the prompt's own words must do."""
    if request.answer_schema is None:
        return None
    takes_it = writes_by_schema(model_of(request)) if is_structured is None else is_structured
    return sendable_schema(request.answer_schema) if takes_it else None


def cache_key(request: SessionRequest) -> bytes:
    """What identifies the marked prefix of `request` in the prompt cache; empty when nothing is marked."""
    prefix = _prefix(request)
    if not prefix and not _marks_system(request):
        return b""
    parts = (model_of(request), request.options.get("system") or "", prefix)
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(f"{len(part)}:".encode() + part.encode(errors="replace"))
    return digest.digest()


# --- messages ---------------------------------------------------------------------------------------------------------


def _messages(request: SessionRequest, file_blocks: Sequence[Block]) -> list[dict[str, Any]]:
    turns = [(turn.role, turn.text) for turn in request.earlier if turn.text.strip()]
    turns.append(("user", request.prompt))
    (role, text), *later = turns
    first = list(_first(text, _prefix(request), file_blocks))
    # A lone text goes as a string: shorter, and what every gateway understands.
    content: Any = whole(text) if first == [_text(text)] else first
    return [{"role": role, "content": content}, *({"role": role, "content": whole(text)} for role, text in later)]


def _first(text: str, prefix: str, file_blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
    """The blocks of the first message. What all batches share comes first, or it would be no prefix."""
    if prefix:
        yield {**_text(prefix), "cache_control": _MARK}
    yield from map(dict, file_blocks)
    # A block of nothing but white space is refused by the API.
    if (rest := text[len(prefix) :]).strip() or not prefix:
        yield _text(rest)


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": whole(words)}


# --- what the prompt cache may keep -----------------------------------------------------------------------------------


def _prefix(request: SessionRequest) -> str:
    """The part of the first message to mark; empty when it is not worth it."""
    if not request.shared_prefix or not _wants_caching(request):
        return ""
    first = request.earlier[0].text if request.earlier else request.prompt
    prefix = first[: request.shared_prefix]
    if not prefix.strip():
        return ""
    return prefix if _is_long_enough(request, len(request.options.get("system") or "") + len(prefix)) else ""


def _marks_system(request: SessionRequest) -> bool:
    system = request.options.get("system") or ""
    return bool(system) and _wants_caching(request) and _is_long_enough(request, len(system))


def _wants_caching(request: SessionRequest) -> bool:
    return request.options.get("prompt_caching", "auto") is not False


def _is_long_enough(request: SessionRequest, characters: int) -> bool:
    """`auto` marks only what the cache would keep: below the model's minimum a mark is ignored, yet others wait."""
    if request.options.get("prompt_caching", "auto") is True:
        return True
    return characters >= cache_minimum(model_of(request)) * CHARACTERS_PER_TOKEN
