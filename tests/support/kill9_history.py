"""Kills a writer of the history at one SQL statement after the other, and lets the next start put things in order.

    python kill9_history.py FOLDER STRIDE

Every death is one of a process of its own (a fork), by SIGKILL, before or after a statement. Prints how many there were
and exits with 0 when the databases said what the journal says after each of them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from sqlalchemy import Engine, event
from support.kept_history import Kept

from mozart_nb.consumers.learning import LearningSection

SEED, BEFORE, DURING = 11, 60, 45


def lived(folder: Path) -> Kept:
    folder.mkdir(parents=True, exist_ok=True)
    return Kept(folder, SEED, sections=[LearningSection()], place="/somewhere")


def die_at(number: int) -> None:
    """SIGKILL at the `number`th statement from now: even numbers before it, odd ones behind it."""
    left = [number // 2]

    def kill_when_due(*_: Any) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    event.listen(Engine, "after_cursor_execute" if number % 2 else "before_cursor_execute", kill_when_due)


def dies(folder: Path, number: int) -> bool:
    """Whether a writer that goes on with what stands in `folder` died there; False when it came to its end."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    kept = lived(folder)
    kept.unheard(BEFORE)
    die_at(number)
    kept.lived(DURING)
    os._exit(0)


def deaths_of(root: Path, stride: int, *, has_begun: bool) -> int:
    """How often a writer was killed that goes on with databases, or makes them."""
    start, deaths, number = root / "start", 0, 0
    while True:
        folder = root / f"{has_begun}-{number}"
        shutil.copytree(start, folder) if has_begun else folder.mkdir()
        if not dies(folder, number):
            return deaths
        deaths += 1
        again = lived(folder)
        again.unheard(BEFORE + DURING)  # the journal has all that the writer heard
        again.lived(30)
        assert again.told == [], again.told
        again.check()
        shutil.rmtree(folder)
        number += stride


def main(root: Path, stride: int) -> int:
    lived(root / "start").lived(BEFORE)
    print(deaths_of(root, stride, has_begun=True) + deaths_of(root, stride, has_begun=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
