"""What a caller gives a job besides its description: a table of items, variables, names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mozart_nb.job.given import Given
from mozart_nb.job.load import NOTHING_GIVEN

if TYPE_CHECKING:
    from mozart_nb.frames import InputRows


def given_for(
    items: Any, variables: Mapping[str, Any] | None, namespace: Mapping[str, Any] | None
) -> tuple[InputRows | None, Given]:
    """The table as rows, with what it takes to join answers back on it, and everything as the loader wants it.

    Raises `MisuseError` for items that JSON cannot hold.
    """
    if items is None and not variables and namespace is None:
        return None, NOTHING_GIVEN
    if items is None:
        return None, Given(variables=variables or {}, namespace=namespace)
    from mozart_nb.frames.inputs import input_rows, labels_of

    inputs = input_rows(items)
    given = Given(rows=inputs.rows, variables=variables or {}, namespace=namespace, labels=labels_of(inputs))
    return inputs, given
