"""Every remedy, in the order in which they are looked for."""

from __future__ import annotations

from typing import Final

from mozart_nb.healing.access import find_login, find_program
from mozart_nb.healing.folders import find_folders, find_working_directory, find_workspace
from mozart_nb.healing.remedy import Remedy
from mozart_nb.healing.sessions import find_orphans
from mozart_nb.healing.spelling import find_backslashes, find_variable

_OUTPUT: Final = ("E001", "E201", "E202", "E203", "E601", "E602", "E999")
_SESSION: Final = ("E001", "E201", "E202", "E203", "E301", "E302", "E303", "E401", "E402", "E403", "E999")

STALE_LOCK: Final = Remedy(
    "stale-lock",
    (),
    "asks",
    "removes the mark of another machine whose lock nobody holds, so that the job can be run here",
    at_start=True,
)
"""Looked for by whoever starts a job (see `locks`): with it no run can begin."""

REMEDIES: Final[tuple[Remedy, ...]] = (
    STALE_LOCK,
    Remedy(
        "orphaned-session",
        _SESSION,
        "automatic",
        "ends processes of an earlier session that nobody follows",
        find_orphans,
        at_start=True,
    ),
    Remedy("missing-workspace", _OUTPUT, "automatic", "makes the workspace again", find_workspace, shared=True),
    Remedy(
        "backslashes",
        ("E201", "E203", "E601"),
        "automatic",
        "reads backslashes in the paths of rules as slashes for this run (not on Windows)",
        find_backslashes,
    ),
    Remedy(
        "missing-folders",
        _OUTPUT,
        "automatic",
        "makes the folders of files that rules want, inside workspace and working directory",
        find_folders,
        shared=True,
    ),
    Remedy(
        "missing-working-directory",
        ("E601", "E602"),
        "guidance only",
        "names the folder; an empty one in place of a checkout would mend nothing",
        find_working_directory,
    ),
    Remedy(
        "misspelled-variable",
        ("E502",),
        "asks",
        "lets the nearest known variable stand for one that does not exist, for this run",
        find_variable,
    ),
    Remedy("login", ("E501",), "guidance only", "names the variable or login that was refused", find_login),
    Remedy(
        "missing-program", ("E503",), "guidance only", "names where it was looked for and where one is", find_program
    ),
)
