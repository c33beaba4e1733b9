"""What a free request for a model's description says about the health of the API backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mozart_nb.backends._anthropic_client import Access
from mozart_nb.backends._anthropic_failures import NO_ENDPOINT
from mozart_nb.engine.ports import Health, SessionResult

Facts = Mapping[str, str]


def facts_of(access: Access, model: str) -> dict[str, str]:
    """What people should know; the credential itself never."""
    facts = {"base_url": access.address, "model": model, "key": access.variable}
    if version := _sdk_version():
        facts["sdk"] = version
    return facts


def health_of(body: bytes, model: str, facts: Facts) -> Health:
    """The verdict on a description that came. A model that is retired is there, and answers no more."""
    described = _mapping(body)
    until = str(described.get("retires_at") or "")[:10]
    if described.get("lifecycle") == "retired":
        return Health(False, "E504", f"the model {model} is retired{f' since {until}' if until else ''}", facts)
    leaving = f"the model {model} is deprecated{f', it goes on {until}' if until else ''}"
    return Health(True, "", leaving if described.get("lifecycle") == "deprecated" else "", facts)


def health_of_failure(result: SessionResult, model: str, facts: Facts) -> Health:
    """The verdict on a refusal. What does not speak against sending counts as well: gateways lack this endpoint."""
    status, text = result.api_status, result.error_text
    if result.retry_after is not None:
        facts = {**facts, "retry_after": f"{result.retry_after:g}"}
    if status in (401, 403):
        return Health(False, "E501", f"{facts['key']} was refused: {text}", facts)
    if status == 404 and result.error_kind != NO_ENDPOINT:
        return Health(False, "E504", f"there is no model {model}: {text}", facts)
    if status == 402:
        return Health(False, "E506", text, facts)
    if status == 429:
        return Health(False, "E102" if result.error_kind == "usage_limit" else "E101", text, facts)
    if status == 408 or (status is None and result.exception in ("ConnectionError", "TimeoutError")):
        return Health(False, "E002", text, facts)
    if status is not None and status >= 500:
        return Health(False, "E003", text, facts)
    return Health(True, "", f"the model's description cannot be had: {text}", facts)


def schema_support(body: bytes) -> bool | None:
    """Whether the model takes a JSON Schema for its answer, by its own description; None where that does not say."""
    capabilities = _mapping(body).get("capabilities")
    structured = capabilities.get("structured_outputs") if isinstance(capabilities, Mapping) else None
    supported = structured.get("supported") if isinstance(structured, Mapping) else None
    return supported if isinstance(supported, bool) else None


def _mapping(body: bytes) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return {}
    return value if isinstance(value, Mapping) else {}


def _sdk_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("anthropic")
    except PackageNotFoundError:
        return ""
