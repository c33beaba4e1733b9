"""A cost limit as a user meets it: the pause, what it says, and going on after the limit was raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.commands import mozart, write_job

FILES: dict[str, Any] = {"batch": {"size": 1, "total_items": 10}}


def limited(folder: Path, cost_usd: float | None = 0.1, **limits: Any) -> Path:
    rehearsal = {"latency_seconds": 0, "seed": 1, "usage": {"cost_usd": cost_usd}}
    return write_job(folder, rehearsal=rehearsal, cost_limits=limits, **FILES)


def test_a_job_pauses_at_its_limit_with_exit_code_3_and_says_how_to_go_on(tmp_path: Path) -> None:
    ended = mozart("run", limited(tmp_path, max_cost_per_job=0.35), "--json")
    assert ended.exit_code == 3, ended
    document = ended.document
    assert document["status"] == "paused"
    assert document["cost"]["usd"] == 0.3
    assert document["cost"]["percent_of_limit"] == 85.7
    assert document["error"]["code"] == "E506"
    assert "`mozart resume demo --reload-config`" in document["error"]["message"]
    assert "85.7" not in document["reason"]


def test_after_the_limit_was_raised_in_the_file_a_resume_completes_the_job(tmp_path: Path) -> None:
    assert mozart("run", limited(tmp_path, max_cost_per_job=0.35)).exit_code == 3
    assert mozart("resume", "demo", "--json").document["cost"]["usd"] == 0.3
    limited(tmp_path, max_cost_per_job=5)
    ended = mozart("resume", "demo", "--reload-config", "--json")
    assert ended.exit_code == 0, ended
    assert ended.document["progress"]["completed"] == 10
    cost = ended.document["cost"]
    assert (cost["usd"], cost["limit_usd"], cost["percent_of_limit"]) == (1.0, 5.0, 20.0)


def test_a_limit_for_single_batches_names_the_batch(tmp_path: Path) -> None:
    rehearsal = {"latency_seconds": 0, "usage": {"cost_usd": 0.1}, "script": {4: ["invalid_output"] * 9}}
    limits = {"max_cost_per_batch": 0.25}
    ended = mozart("run", write_job(tmp_path, rehearsal=rehearsal, cost_limits=limits, **FILES), "--json")
    assert ended.exit_code == 3, ended
    assert "batch 4 has cost 0.2 USD of 0.25 USD" in ended.document["reason"]


def test_a_warning_is_shown_while_the_job_runs(tmp_path: Path) -> None:
    ended = mozart("run", limited(tmp_path, max_cost_per_job=1, warn_at_percent=50))
    assert ended.exit_code == 0, ended
    assert "50 % of the cost limit are used: 0.5 USD of 1.00 USD" in ended.stderr


def test_a_limit_that_rehearsals_cannot_reach_does_not_stop_them(tmp_path: Path) -> None:
    assert mozart("run", limited(tmp_path, None, max_cost_per_job=0.01)).exit_code == 0
