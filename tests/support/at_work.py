"""A command at a terminal of its own, as a person would have it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from support.commands import PATIENCE_SECONDS, wait_for

_TAKE_TERMINAL = """import os, sys
os.open(os.ttyname(0), os.O_RDWR)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"""


class AtWork:
    """`mozart …` at a terminal of its own, which controls it as a person's does."""

    def __init__(self, *args: str | Path, environ: Mapping[str, str] = os.environ) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, "-m", "mozart_nb", *map(str, args)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"},
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # its last process has gone
                return
            if not data:
                return
            self.screen += data.decode(errors="replace")

    def until(self, text: str) -> None:
        wait_for(lambda: text in self.screen or self.process.poll() is not None)
        assert text in self.screen, self.screen

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def __enter__(self) -> AtWork:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        os.close(self._ours)
