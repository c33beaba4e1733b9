"""Hosts of a job on the Message Batches API, killed where it hurts: nothing is sent twice, every row is answered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.batches_kill9 import Ordeal, after, at, serving


@pytest.mark.slow
def test_three_kills_submit_no_request_twice_and_every_row_is_answered(tmp_path: Path) -> None:
    environ = {**os.environ, "LOOPBACK_KEY": "sk-loopback"}
    arguments = ("--processing", "0.2", "0.4", "--create", "0.8", "--expired", "0.01", "--errored", "0.01")
    with serving(*arguments) as url:
        ordeal = Ordeal(tmp_path / "job", 1000, url, environ)
        # While the parcel is on its way, in the middle of the results, and at any moment.
        ordeal.run([after("remote.submitting", 0.1), after("session.finished", 0.2), at(2.0)])
    assert ordeal.problems() == []
    assert ordeal.kills == 3
    assert any(row.get("adopted") for row in ordeal.journal if row["kind"] == "remote.submitted")
    assert ordeal.peak_kib < 400 * 1024
