"""Questions of jobs that the conductor carries: they outlive it, and are answered from any terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import mozart, write_job
from support.conductor import Conductor, conducted

from mozart_nb.errors import MisuseError

__all__ = ["conducted"]

ASKS = {"checkpoints": {"enabled": True, "triggers": [{"name": "deploy", "batch_nums": [2], "message": "Now?"}]}}


def asks() -> bool:
    found = mozart("questions", "demo", "--json").document  # an error before the job has written anything
    return isinstance(found, list) and any(one["is_live"] for one in found)


def status() -> str:
    return str(mozart("status", "demo", "--json").document["status"])


def test_a_question_outlives_a_conductor_that_was_killed_and_a_terminal_answers_it(
    conducted: Conductor, tmp_path: Path
) -> None:
    conducted.start("resume: auto\n")
    conducted.call("submit", file=str(write_job(tmp_path, **ASKS)))
    conducted.wait_until(asks)
    conducted.kill()
    refused = mozart("reply", "demo", "2", "proceed")
    assert refused.exit_code == 2
    assert "no answer can reach it" in refused.stderr
    conducted.start()
    conducted.wait_until(asks)
    ended = mozart("reply", "demo", "2", "add", "--text", "Be brief.")
    assert ended.exit_code == 0, ended
    conducted.wait_until(lambda: status() == "completed")
    assert mozart("status", "demo", "--json").document["execution"]["retries"] == 0


def test_an_answer_for_the_conductor_that_fits_no_question_is_refused_with_the_reason(
    conducted: Conductor, tmp_path: Path
) -> None:
    conducted.start()
    conducted.call("submit", file=str(write_job(tmp_path, **ASKS)))
    conducted.wait_until(asks)
    for params, said in (
        ({"batch": 3, "action": "proceed"}, "nothing is asked about batch 3"),
        ({"batch": 2, "action": "retry"}, "`retry` is no answer to a confirmation"),
        ({"batch": 2, "action": "proceed", "attempt": 7}, "what was asked about attempt 7"),
    ):
        with pytest.raises(MisuseError, match=said):
            conducted.call("answer", job_id="demo", **params)
    conducted.call("answer", job_id="demo", batch=2, action="skip", attempt=1)
    conducted.wait_until(lambda: status() == "completed")
