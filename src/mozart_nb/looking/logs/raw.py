"""What the last session of a batch printed, as it was printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mozart_nb.checkpoint.follow import read_state
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import MisuseError


@dataclass(frozen=True, kw_only=True)
class RawOutput:
    """Where the output of a batch's last session is: `files` (`.out`, then `.err`), as far as they were kept.

    `tails` are the ends of both that the record of the job holds in any case.
    """

    batch: int
    attempt: int
    files: tuple[Path, ...]
    tails: tuple[str, str]

    @property
    def kept(self) -> str:
        """The tails as one text."""
        return "\n".join(text for text in self.tails if text).rstrip("\n")


def raw_output(layout: Layout, batch: int) -> RawOutput:
    """The output of the last session of `batch`.

    Raises `MisuseError` for a batch that does not exist or has not begun, and what `read_state` raises.
    """
    state = read_state(layout)
    if not 1 <= batch <= state.total:
        raise MisuseError(f"--batch {batch}: there are batches 1 to {state.total}", job_id=layout.job_id)
    record = state.batches.get(batch)
    if record is None or not record.attempts:
        raise MisuseError(f"batch {batch} of job `{layout.job_id}` has not begun", job_id=layout.job_id)
    stem = layout.log_stem(batch, record.attempts)
    files = tuple(path for path in (Path(f"{stem}.out"), Path(f"{stem}.err")) if path.is_file())
    return RawOutput(batch=batch, attempt=record.attempts, files=files, tails=(record.stdout_tail, record.stderr_tail))
