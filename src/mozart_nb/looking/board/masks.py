"""Secrets blotted out of JSON data, whatever holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mozart_nb.masking import masked


def masked_data(value: Any) -> Any:
    """`value` with every text in it masked, keys included; mappings and lists become new ones."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {masked(str(key)): masked_data(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [masked_data(part) for part in value]
    return value
