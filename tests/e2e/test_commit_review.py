"""`examples/commit-review.yaml` with the real program: 552 commits, 56 batches, and the usual mishaps.

A session takes more than a second, so the suite reviews the first 212 commits; `MOZART_NB_WHOLE=1` reviews them all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer
from support.reviewer import BROKEN_AT_THE_END, LIMITED, OVERLOADED, PARTIAL, Reviewer
from support.scale import scaled

COMMITS = scaled(552, 212)
LAST = -(-COMMITS // 10)
EXAMPLE = Path(__file__).parents[2] / "examples" / "commit-review.yaml"
SETTINGS = [
    "--set",
    f"batch.total_items={COMMITS}",
    "--set",
    "retry.base_delay_seconds=0.2",
    "--set",
    "retry.completion_delay_seconds=0",
]


def mozart(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mozart_nb", *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.real_claude
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_batches_of_the_commit_review_with_their_mishaps(
    claude_path: str, claude_env: dict[str, str], api: AnthropicServer, isolated: Path, tmp_path: Path
) -> None:
    api.handler = reviewer = Reviewer(bad_key=LAST)
    env = {**claude_env, "MOZART_NB_HOME": str(isolated / "mozart_nb_home")}
    file = shutil.copy(EXAMPLE, tmp_path / "commit-review.yaml")
    options = [*SETTINGS, "--set", f"backend.cli_path={claude_path}"]

    assert mozart("validate", str(file), env=env, cwd=tmp_path).returncode == 0
    run = mozart("run", str(file), *options, "--json", env=env, cwd=tmp_path)
    document = json.loads(run.stdout)
    assert run.returncode == 1, run.stderr[-3000:]

    # everything but the last batch is done, and every file is there
    assert document["status"] == "failed"
    assert document["error"]["code"] == "E501"
    assert document["progress"]["completed"] == LAST - 1
    reports = tmp_path / "commit-review" / "reports"
    for batch in range(1, LAST):
        for topic in ("security", "correctness", "maintainability"):
            assert (reports / f"batch-{batch}-{topic}.md").read_text().startswith(f"# Batch {batch}")
    assert not (reports / f"batch-{LAST}-security.md").exists()

    # each mishap was met in its own way
    batches = {int(number): batch for number, batch in document["batches"].items()}
    for batch in (number for number in PARTIAL if number < LAST):
        assert reviewer.prompts[batch, "completion"] == 1
        assert len(reviewer.sessions[batch]) == 1, "the completion attempt continued the session"
        assert batches[batch]["attempts"] == 2
    assert document["execution"]["rate_limit_waits"] == 1
    assert batches[LIMITED]["attempts"] == 2
    assert batches[OVERLOADED]["attempts"] == 2
    assert document["execution"]["retries"] == 1, "only the overloaded batch used a retry"
    assert batches[BROKEN_AT_THE_END]["status"] == "completed"
    assert batches[BROKEN_AT_THE_END]["exit_code_ignored"] is True
    assert batches[LAST]["error_code"] == "E501"

    # who asks later is told the same
    status = json.loads(mozart("status", "commit-review", "--json", env=env, cwd=tmp_path).stdout)
    assert status["progress"] == document["progress"]
    listed = json.loads(mozart("list", "--json", env=env, cwd=tmp_path).stdout)
    assert [(job["job_id"], job["status"]) for job in listed["jobs"]] == [("commit-review", "failed")]

    # with a good key the rest is done, and nothing else is asked again
    reviewer.mishaps = False
    asked = len(api.calls)
    resumed = mozart("resume", "commit-review", "--json", env=env, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert json.loads(resumed.stdout)["progress"]["completed"] == LAST
    assert {
        batch for batch, ids in reviewer.sessions.items() if set(ids) & {c.session_id for c in api.calls[asked:]}
    } == {LAST}
