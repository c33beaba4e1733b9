"""Everything that can go wrong with an API, at once, while hosts are killed: nothing is lost, nothing is paid twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.chaos import Storm, rage


@pytest.mark.slow
def test_two_jobs_in_a_storm_end_with_every_answer_paid_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storm = Storm(seed=3)
    outcome = rage(storm, tmp_path, jobs=2, batches=20, seed=5, lives=(4.0, 6.0))
    assert outcome.problems() == []
    assert len(outcome.items) == 40
    assert outcome.kills
    assert all(storm.replies[kind] for kind in ("limit", "unnamed_limit", "overload", "cut", "malformed", "silent"))
