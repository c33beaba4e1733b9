"""The thread of the history does what it is given, in order, and keeps no process from ending."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from mozart_nb.consumers.history.thread import LooseThread


async def test_things_are_done_one_after_the_other_and_tell_how_they_ended() -> None:
    loop, thread, done = asyncio.get_running_loop(), LooseThread("test"), []
    first = loop.run_in_executor(thread, done.append, 1)
    broken = loop.run_in_executor(thread, int, "no number")
    last = loop.run_in_executor(thread, done.append, 2)
    await asyncio.gather(first, last)
    with pytest.raises(ValueError, match="no number"):
        await broken
    assert done == [1, 2]
    thread.shutdown()


def test_a_process_ends_although_its_history_hangs() -> None:
    hanging = (
        "from mozart_nb.consumers.history.thread import LooseThread; "
        "import time; LooseThread('t').submit(time.sleep, 60)"
    )
    ended = subprocess.run([sys.executable, "-c", hanging], timeout=30, check=False)
    assert ended.returncode == 0
