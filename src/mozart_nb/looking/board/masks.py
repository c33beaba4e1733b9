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
        return {masked(str(key)): masked_beside(str(key), part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [masked_data(part) for part in value]
    return value


def masked_beside(name: str, value: Any) -> Any:
    """`value` masked as what stands beside that name: as `password`, many a word is a secret that it would not be."""
    if not isinstance(value, str):
        return masked_data(value)
    said = f"{name}: "
    found = masked(f"{said}{value}")
    return found.removeprefix(said) if found.startswith(said) else masked(value)
