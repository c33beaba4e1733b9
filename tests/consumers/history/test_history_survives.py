"""Deaths and damage: whatever a killed host or a bad disk leaves behind, the next start has a history that is right."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from support import kill9_history
from support.kept_history import Kept

from mozart_nb.consumers.history.database import open_database


@pytest.mark.skipif(not hasattr(os, "fork"), reason="deaths are forked")
def test_a_kill_at_any_statement_leaves_what_the_next_start_puts_in_order(tmp_path: Path) -> None:
    command = [sys.executable, kill9_history.__file__, str(tmp_path), "23"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert int(ended.stdout) > 15


@pytest.mark.parametrize("seed", range(6))
def test_a_torn_file_is_made_anew_or_does_not_matter(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    kept = Kept(tmp_path, seed).lived(150)
    for path in (kept.history, kept.mirror):
        content = bytearray(path.read_bytes())
        if seed % 2:
            del content[rng.randrange(1, len(content)) :]
        else:
            page = 4096 * rng.randrange(len(content) // 4096)
            content[page : page + 4096] = rng.randbytes(4096)
        path.write_bytes(content)
    kept.lived(20)
    kept.check()


def test_what_lies_in_a_log_that_was_never_put_away_is_not_lost(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "there", 3)
    kept.folder.mkdir()
    hold = open_database(kept.history)  # so that nobody's end puts the log away
    kept.lived(100)
    wal = kept.history.with_name("history.db-wal")
    assert wal.stat().st_size > 0
    copy = kept.copied(tmp_path / "copy")
    hold.close()
    copy.check_history()
    torn = kept.copied(tmp_path / "torn")
    torn_wal = torn.folder / "history.db-wal"
    if torn_wal.exists():
        torn_wal.write_bytes(torn_wal.read_bytes()[:-100])
    torn.lived(10)
    torn.check_history()
