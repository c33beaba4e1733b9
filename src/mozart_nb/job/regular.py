"""Files that a job file names must be files: what is read from them has an end, and comes at once."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def require_regular(path: Path) -> None:
    """Raises `OSError` for a pipe, which waits for its writer, and for a device, which may have no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "this is no regular file", str(path))
