"""The folders of a job: made for the user alone."""

from __future__ import annotations

from mozart_nb.checkpoint.files import Files, unwritable, write_synced
from mozart_nb.checkpoint.layout import Layout

_IGNORE_ALL = b"# State of mozart_nb: journals, answers, raw output. Not for version control.\n*\n"


def make_job_folders(layout: Layout, files: Files) -> None:
    """Create what is missing of a job's folders, and a `.gitignore` beside them. Their entries are durable on return.

    The workspace itself is made with the user's usual permissions. Raises `CheckpointUnwritableError`.
    """
    try:
        layout.workspace.mkdir(parents=True, exist_ok=True)
        if files.make_folder(layout.state_root):
            files.sync_folder(layout.workspace)
        ignore = layout.state_root / ".gitignore"
        if ignore.name not in files.names(layout.state_root):
            write_synced(files, ignore, _IGNORE_ALL)
        if files.make_folder(layout.root):
            files.sync_folder(layout.state_root)
        made = [files.make_folder(folder) for folder in (layout.journal, layout.logs, layout.control)]
        if any(made):
            files.sync_folder(layout.root)
    except OSError as error:
        raise unwritable(error, layout.root, layout.job_id) from error
