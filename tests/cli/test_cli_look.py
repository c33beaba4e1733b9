"""`errors`, `limits`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.commands import mozart, write_job

from mozart_nb.engine.ports import GateReading
from mozart_nb.gate import FileGate
from mozart_nb.runtime import gate_book

TROUBLED = {
    "latency_seconds": 0,
    "seed": 1,
    "script": {1: ["transient"], 2: ["invalid_output"] * 9, 3: [{"rate_limit": {"wait_seconds": 0.1}}]},
}


@pytest.fixture
def troubled(tmp_path: Path) -> Path:
    """Batch 1 was retried, batch 2 failed for good, batch 3 waited for a limit."""
    retry = {"max_retries": 1, "base_delay_seconds": 0.01, "jitter": False}
    parallel = {"enabled": True, "fail_fast": False}
    assert mozart("run", write_job(tmp_path, rehearsal=TROUBLED, retry=retry, parallel=parallel)).exit_code == 1
    return tmp_path


# --- errors -----------------------------------------------------------------------------------------------------------


def test_errors_are_grouped_by_code_and_say_what_to_do(troubled: Path) -> None:
    ended = mozart("errors", "demo")
    assert ended.exit_code == 0
    first = ended.stdout.splitlines()[0]
    assert first == "E201 output validation failed · 2 times · not mended: batch 2"
    assert "do    see what each rule expected and saw" in ended.stdout
    assert "mended by later attempts" in ended.stdout


def test_errors_as_json_hold_groups_and_every_failed_attempt(troubled: Path) -> None:
    document = mozart("errors", "demo", "--json").document
    groups = {group["code"]: group for group in document["groups"]}
    assert groups["E201"]["unresolved_batches"] == [2]
    assert groups["E101"]["unresolved"] == 0
    assert document["total"] == len(document["errors"]) == 4
    assert {error["batch"] for error in document["errors"]} == {1, 2, 3}


@pytest.mark.parametrize(
    ("args", "codes"),
    [
        (["--code", "e201"], {"E201"}),
        (["--batch", "3"], {"E101"}),
        (["--code", "E999"], set()),
    ],
)
def test_errors_can_be_narrowed_to_a_code_or_a_batch(troubled: Path, args: list[str], codes: set[str]) -> None:
    document = mozart("errors", "demo", *args, "--json").document
    assert {error["code"] for error in document["errors"]} == codes


def test_verbose_errors_show_what_a_rule_expected_and_saw(troubled: Path) -> None:
    ended = mozart("errors", "demo", "--verbose", "--batch", "2")
    assert "rule 1 file_exists" in ended.stdout
    assert "expected a file" in ended.stdout
    (error, *_) = mozart("errors", "demo", "-v", "--batch", "2", "--json").document["errors"]
    assert error["rules"][0]["expected"] == "a file"


def test_errors_of_all_jobs_name_the_jobs(troubled: Path) -> None:
    other = troubled / "other"
    other.mkdir()
    mozart("run", write_job(other, name="other", rehearsal={**TROUBLED, "script": {1: ["auth"]}}))
    document = mozart("errors", "--json").document
    assert {error["job_id"] for error in document["errors"]} == {"demo", "other"}
    assert "jobs  demo" in mozart("errors").stdout
    assert mozart("errors", "--batch", "2").exit_code == 2


def test_errors_of_all_jobs_end_with_the_job_that_most_failures_stand_in(troubled: Path) -> None:
    assert mozart("errors").stderr.splitlines()[-1] == "next: mozart diagnose demo"
    other = troubled / "other"
    other.mkdir()
    script = {batch: ["invalid_output"] * 9 for batch in (1, 2)}
    retry = {"max_retries": 0, "max_completion_attempts": 0}
    parallel = {"enabled": True, "fail_fast": False}
    rehearsal = {**TROUBLED, "script": script}
    mozart("run", write_job(other, name="other", rehearsal=rehearsal, retry=retry, parallel=parallel))
    assert mozart("errors").stderr.splitlines()[-1] == "next: mozart diagnose other"


def test_a_job_without_errors_says_so(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path))
    ended = mozart("errors", "demo")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "no errors\n")


# --- limits -----------------------------------------------------------------------------------------------------------


async def close_gate(key: str, seconds: float) -> None:
    now = time.time()
    reading = GateReading(until=now + seconds, hit_at=now, code="E102", message="usage limit", source="test", by="job")
    await FileGate(gate_book().path(key), account="claude_cli").hit(reading)


async def test_limits_shows_the_gates_and_opens_them() -> None:
    assert mozart("limits").stderr == "no rate limit has been hit yet\n"
    await close_gate("claude_cli-aa", 600)
    await close_gate("claude_cli-bb", 600)
    shown = {gate["account"]: gate for gate in mozart("limits", "--json").document["gates"]}
    assert shown["claude_cli-aa"]["closed"] is True
    assert 590 < shown["claude_cli-aa"]["seconds_left"] <= 600
    assert "usage limit" in mozart("limits").stdout
    cleared = mozart("limits", "claude_cli-aa", "--clear", "--json").document
    assert cleared["cleared"] == ["claude_cli-aa"]
    shown = {gate["account"]: gate["closed"] for gate in mozart("limits", "--json").document["gates"]}
    assert shown == {"claude_cli-aa": False, "claude_cli-bb": True}
    assert mozart("limits", "nobody", "--clear").exit_code == 2
