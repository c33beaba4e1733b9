"""A text in the person's own editor: `$VISUAL`, or else `$EDITOR`, or else one that is usually there."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mozart_nb.errors import MisuseError

_USUAL: Final = ("notepad",) if sys.platform == "win32" else ("nano", "vi")


def editor(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The editor as a command. Raises `MisuseError` when there is none."""
    chosen = environ.get("VISUAL") or environ.get("EDITOR") or ""
    command = shlex.split(chosen, posix=sys.platform != "win32") if chosen else []
    found = command or [name for name in _USUAL if shutil.which(name)][:1]
    if not found:
        raise MisuseError("there is no editor", hint="set EDITOR, or give the text with --text")
    return found


async def edit(text: str) -> str:
    """`text` as the editor leaves it, without blank lines at its end; empty where nothing was changed.

    The file is readable by nobody else, and gone afterwards. On cancellation the editor is ended. Raises `MisuseError`
    when there is no editor, or it fails.
    """
    command = editor()
    with tempfile.TemporaryDirectory(prefix="mozart-edit-") as folder:
        file = Path(folder, "prompt.md")
        await asyncio.to_thread(file.write_text, text, encoding="utf-8")
        await _run([*command, str(file)])
        edited = (await asyncio.to_thread(file.read_text, encoding="utf-8", errors="replace")).rstrip()
    return "" if edited == text.rstrip() else edited


async def _run(command: list[str]) -> None:
    try:
        process = await asyncio.create_subprocess_exec(*command)
    except OSError as error:
        raise MisuseError(f"the editor `{command[0]}` cannot be started: {error.strerror or error}") from error
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if code:
        raise MisuseError(f"the editor `{command[0]}` ended with exit code {code}: nothing was changed")
