"""What every part of a job file has in common: frozen, strict about keys, and with units in its types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """Base of all parts of a job file.

    Keys no field has are an error here; the loader takes them out first and reports each with its position.
    `SYNONYMS` maps other accepted spellings of a key to the field's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    SYNONYMS: ClassVar[dict[str, str]] = {}

    @classmethod
    def expand_shorthand(cls, value: Any) -> Any:
        """The mapping that a short form stands for (`"ok"` for `{kind: ok}`); anything else unchanged."""
        return value


class Fault(NamedTuple):
    """One contradiction between fields: where (keys below the section), what, the value, and what would be right.

    `{path}` in the message stands for the whole key path.
    """

    at: tuple[str | int, ...]
    message: str
    value: str = ""
    allowed: str = ""


def refuse(faults: Sequence[Fault]) -> None:
    """Fail a section's validation with all of `faults` at once; return if there are none."""
    if faults:
        text = "; ".join(fault.message.replace("{path}", ".".join(map(str, fault.at))) for fault in faults)
        raise PydanticCustomError("contradiction", "{text}", {"text": text, "faults": tuple(faults)})


def _not_bool(value: Any) -> Any:
    # pydantic reads `true` as 1; in YAML 1.1 even `yes` and `on` would become a number.
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "a number is needed, not true or false")
    return value


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _split_commas(value: Any) -> Any:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Whole = Annotated[int, BeforeValidator(_not_bool)]
Real = Annotated[float, BeforeValidator(_not_bool)]
Count = Annotated[Whole, Field(ge=0)]
"""A whole number from 0."""
PositiveCount = Annotated[Whole, Field(ge=1)]
Seconds = Annotated[Real, Field(ge=0)]
PositiveSeconds = Annotated[Real, Field(gt=0)]
Dollars = Annotated[Real, Field(gt=0)]
"""US dollars, more than 0."""
Percent = Annotated[Real, Field(gt=0, le=100)]
Probability = Annotated[Real, Field(ge=0, le=1)]
Text = Annotated[str, BeforeValidator(_as_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
"""Text that may be written as a bare number or as true/false."""
Commas = BeforeValidator(_split_commas)
_LIST_OR_TEXT = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}
Names = Annotated[tuple[str, ...], Commas, WithJsonSchema(_LIST_OR_TEXT)]
"""A list of names, or one text with commas between them."""
