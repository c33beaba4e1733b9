"""The names a job file may use in templates, placeholders and expressions."""

from __future__ import annotations

from typing import Final

# The earlier words for the same things; job files written with them keep working.
SYNONYMS: Final = {"sheet_num": "batch_num", "total_sheets": "total_batches"}

VARIABLES: Final[frozenset[str]] = frozenset(
    {
        "batch_num",
        "total_batches",
        "start_item",
        "end_item",
        "workspace",
        "stakes",
        "thinking_method",
        "stage",
        "instance",
        "fan_count",
        "total_stages",
        "previous_outputs",
        "previous_files",
        "items",
        "item",
        "job_name",
        *SYNONYMS,
    }
)
"""Every name a prompt template, path, command or pattern can use besides the keys of `prompt.variables`."""
