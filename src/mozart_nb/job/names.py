"""The names a job file may use in templates, placeholders and expressions."""

from __future__ import annotations

from typing import Final

# The earlier words for the same things; job files written with them keep working.
SYNONYMS: Final = {"sheet_num": "batch_num", "total_sheets": "total_batches"}

MEANINGS: Final[dict[str, str]] = {
    "batch_num": "number of the batch, from 1",
    "total_batches": "how many batches there are",
    "start_item": "number of the batch's first item",
    "end_item": "number of the batch's last item",
    "workspace": "path of the workspace",
    "job_name": "`name` of the job",
    "stakes": "`prompt.stakes`, or an empty text",
    "thinking_method": "`prompt.thinking_method`, or an empty text",
    "items": "rows of the batch, in order (with a section `items`)",
    "item": "the row, when `batch.size` is 1 (with a section `items`)",
    "stage": "stage of a fan-out; without one the number of the batch",
    "instance": "number of the copy within its stage, from 1",
    "fan_count": "how many copies the stage has",
    "total_stages": "how many stages there are",
    "previous_outputs": "outputs of earlier batches: batch number to text (with `cross_batch.auto_capture_stdout`)",
    "previous_files": "captured files: path to text (with `cross_batch.capture_files`)",
}
"""Every variable and what it holds."""

VARIABLES: Final[frozenset[str]] = frozenset({*MEANINGS, *SYNONYMS})
"""Every name a prompt template, path, command or pattern can use besides the keys of `prompt.variables`."""

HOOK_MEANINGS: Final[dict[str, str]] = {
    "workspace": "path of the workspace",
    "job_id": "id of the job",
    "job_name": "`name` of the job",
    "stakes": "`prompt.stakes`, or an empty text",
    "thinking_method": "`prompt.thinking_method`, or an empty text",
    "total_stages": "how many stages there are",
    **dict.fromkeys(("batch_count", "sheet_count", "total_batches", "total_sheets"), "how many batches there are"),
}
"""Every variable of `on_success` and `concert` besides the keys of `prompt.variables`: there is no batch by then."""

SKIP_NAMES: Final[frozenset[str]] = frozenset({"batches", "sheets", "job"})
"""What `skip_when` can use besides: the batches so far, and the job."""
