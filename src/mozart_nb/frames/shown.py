"""A DataFrame of answers that is masked when it is displayed: its values stay what the model wrote.

Whatever is computed from it, a selection too, is a plain DataFrame of pandas, and shown as pandas shows it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from mozart_nb.masking import masked


class Answers(pd.DataFrame):
    """Answers as `job.answers()` returns them."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        return repr(_masked(self))

    def _repr_html_(self) -> str | None:
        html: str | None = _masked(self)._repr_html_()  # type: ignore[operator]  # the stubs do not know it
        return html


def _masked(frame: pd.DataFrame) -> pd.DataFrame:
    """A plain copy without secrets in the rows that pandas shows: from both ends, or all where nothing limits it."""
    plain = pd.DataFrame(frame)
    most = pd.get_option("display.max_rows") or len(plain)
    shown = {*range(min(most, len(plain))), *range(max(0, len(plain) - most), len(plain))}
    columns = {name: plain[name] for name in plain.columns}
    for name, column in columns.items():
        if pd.api.types.is_string_dtype(column.dtype) or column.dtype == object:
            values = [_without_secrets(value) if n in shown else value for n, value in enumerate(column)]
            columns[name] = pd.Series(values, index=plain.index, dtype=column.dtype)
    return pd.DataFrame(columns, index=plain.index) if columns else plain


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {_without_secrets(key): _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return value
