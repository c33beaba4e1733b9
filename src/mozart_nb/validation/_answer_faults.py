"""What is wrong with an answer, said so that a model can mend it: where, what was seen, what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mozart_nb.masking import masked_head

MOST_FAULTS: Final = 5
"""Faults that are told at once."""

MAX_MESSAGE: Final = 950
"""Characters of all of them together; a completion prompt keeps 1,000."""

_SEEN: Final = 60
_EACH: Final = 300
_PLAIN: Final = re.compile(r"[^\W\d]\w*")
_TYPES: Final = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def message_of(faults: Sequence[str], *, more: bool) -> str:
    """All faults in one text of bounded length."""
    kept: list[str] = []
    for fault in faults:
        if kept and sum(map(len, kept)) + len(fault) > MAX_MESSAGE - 20:
            more = True
            break
        kept.append(fault)
    return "; ".join([*kept, *(["and more"] if more else [])])


def fault_of(error: Any, item: int = 0) -> str:
    """One error of the validator, of item `item` of a list or (0) of the whole answer."""
    where = [*([f"item {item}"] if item else []), *_where(error.absolute_path)]
    return _clip(": ".join([*where, _said(error)]), _EACH)


def fault_at(path: Sequence[str | int], said: str, item: int = 0) -> str:
    """What somebody else's check said about a place in the answer."""
    where = [*([f"item {item}"] if item else []), *_where(path)]
    return _clip(": ".join([*where, said]), _EACH)


def shown(value: Any) -> str:
    """A value as JSON, short."""
    if isinstance(value, str):
        return json.dumps(_clip(value, _SEEN), ensure_ascii=False)
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "[]"
    if isinstance(value, Mapping):
        keys = ", ".join(f"`{_clip(str(key), 20)}`" for key in list(value)[:5])
        return f"an object with {keys}{', …' if len(value) > 5 else ''}" if value else "{}"
    return _clip(json.dumps(value), _SEEN)


def counted(entries: Sequence[Any]) -> str:
    """`3 entries`."""
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"


def _where(path: Any) -> list[str]:
    """The place as one part of a sentence, none for the top."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{_clip(part, 60)}" if text else _clip(part, 60)
        else:
            text += f"[{json.dumps(_clip(part, 60), ensure_ascii=False)}]"
    return [f"`{text}`"] if text else []


def _said(error: Any) -> str:
    keyword, wanted, value = error.validator, error.validator_value, error.instance
    say = _SAYINGS.get(keyword)
    if say is not None:
        return str(say(wanted, value, error))
    if keyword in ("anyOf", "oneOf"):
        return _no_choice(error)
    return _clip(str(error.message), _EACH)


def _no_choice(error: Any) -> str:
    """The form that comes closest says best what is missing."""
    from jsonschema.exceptions import relevance

    value = shown(error.instance)
    if not error.context:
        return f"{value} fits more than one of the forms that exclude each other"
    deepest = max(error.context, key=lambda one: (len(one.path), relevance(one)))
    closest = ": ".join([*_where(deepest.path), _said(deepest)])
    return f"{value} has none of the allowed forms ({closest})"


def _type(wanted: Any, value: Any, error: Any) -> str:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    return f"{shown(value)} is not {' or '.join(_TYPES.get(str(kind), str(kind)) for kind in kinds)}"


def _required(wanted: Any, value: Any, error: Any) -> str:
    # jsonschema reports each missing key by itself and names it only in its message.
    missing = next((key for key in wanted if str(error.message).startswith(f"{key!r} is")), "")
    return f"the key `{_clip(missing, 60)}` is missing"


def _choice(wanted: Any, value: Any, error: Any) -> str:
    listed = ", ".join(shown(one) for one in wanted[:10]) + (", …" if len(wanted) > 10 else "")
    return f"{shown(value)} is not one of {listed}"


def _extra(wanted: Any, value: Any, error: Any) -> str:
    known = list(error.schema.get("properties", {})) if isinstance(error.schema, Mapping) else []
    allowed = ", ".join(f"`{_clip(key, 40)}`" for key in known[:10])
    return _clip(str(error.message), 150) + (f"; allowed: {allowed}" if allowed else "")


_SAYINGS: Final[Mapping[str, Any]] = {
    "type": _type,
    "required": _required,
    "enum": _choice,
    "const": lambda wanted, value, error: f"{shown(value)} is not {shown(wanted)}",
    "additionalProperties": _extra,
    "pattern": lambda wanted, value, error: f"{shown(value)} does not match the pattern {_clip(wanted, 100)}",
    "format": lambda wanted, value, error: f"{shown(value)} is not of the format `{_clip(str(wanted), 40)}`",
    "minimum": lambda wanted, value, error: f"{shown(value)} is less than {wanted}",
    "maximum": lambda wanted, value, error: f"{shown(value)} is more than {wanted}",
    "exclusiveMinimum": lambda wanted, value, error: f"{shown(value)} is not more than {wanted}",
    "exclusiveMaximum": lambda wanted, value, error: f"{shown(value)} is not less than {wanted}",
    "multipleOf": lambda wanted, value, error: f"{shown(value)} is not a multiple of {wanted}",
    "minLength": lambda wanted, value, error: f"{shown(value)} has {len(value)} characters, fewer than {wanted}",
    "maxLength": lambda wanted, value, error: f"{shown(value)} has {len(value)} characters, more than {wanted}",
    "minItems": lambda wanted, value, error: f"the list has {counted(value)}, fewer than {wanted}",
    "maxItems": lambda wanted, value, error: f"the list has {counted(value)}, more than {wanted}",
    "uniqueItems": lambda wanted, value, error: "the list has equal entries",
}


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else masked_head(text, limit - 1) + "…"
