"""`examples/classify-reviews.yaml` with the real program: rows in, typed answers out, invalid ones repaired."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.anthropic_server import AnthropicServer, Call, Reply, text, use

EXAMPLES = Path(__file__).parents[2] / "examples"
FAST = ["--set", "retry.base_delay_seconds=0.2", "--set", "retry.completion_delay_seconds=0"]


def mozart(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mozart_nb", *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=200, check=False)


class Critic:
    """Plays the model: judges every review it is given. Batch 1 answers in words at first, batch 2 writes its JSON out
    instead of using the program's tool, batch 3 gives six stars until it is told that there are only five.
    """

    def __init__(self) -> None:
        self.asked_again: list[str] = []

    def __call__(self, call: Call) -> Reply:
        said = "\n".join(call.prompts)
        ids = [json.loads(line)["id"] for line in re.findall(r'^\{"id".*\}$', said, re.MULTILINE)]
        repairs = [prompt for prompt in call.prompts if "has been checked and is not right yet" in prompt]
        self.asked_again += repairs if len(repairs) == 1 and not call.tool_results else []
        rows = [self.judged(one, 6 if one == "R-111" and not call.tool_results else 4) for one in ids]
        if call.tool_results and not call.tool_results[-1].get("is_error"):
            return text("done")
        if "R-101" in ids and not repairs:
            return text("All five reviews are rather mixed.")
        if "R-106" in ids:
            return text(f"Here you are:\n```json\n{json.dumps(rows)}\n```")
        return use("StructuredOutput", items=rows)

    @staticmethod
    def judged(review: str, stars: int) -> dict[str, Any]:
        reason = f"The words of {review} say so."
        return {"id": review, "sentiment": "mixed", "stars": stars, "wants_contact": False, "reason": reason}


@pytest.mark.real_claude
@pytest.mark.slow
def test_every_review_gets_a_typed_answer(
    claude_path: str, claude_env: dict[str, str], api: AnthropicServer, isolated: Path, tmp_path: Path
) -> None:
    api.handler = critic = Critic()
    env = {**claude_env, "MOZART_NB_HOME": str(isolated / "mozart_nb_home")}
    for name in ("classify-reviews.yaml", "reviews.csv"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    options = [*FAST, "--set", f"backend.cli_path={claude_path}", "--json"]
    run = mozart("run", "classify-reviews.yaml", *options, env=env, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-3000:]

    document = json.loads(run.stdout)
    assert document["progress"]["completed"] == 5
    assert (document["execution"]["completions"], document["execution"]["retries"]) == (1, 0)
    assert document["batches"]["1"]["attempts"] == 2
    assert len(api.sessions) == 5, "the completion attempt continued the session"
    assert len(critic.asked_again) >= 1
    assert "the answer is not JSON" in critic.asked_again[0]

    exported = mozart("answers", "classify-reviews", "--format", "csv", "--with-items", env=env, cwd=tmp_path)
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    given = list(csv.DictReader(io.StringIO((EXAMPLES / "reviews.csv").read_text(encoding="utf-8"))))
    assert [row["item_id"] for row in rows] == [row["id"] for row in rows] == [row["id"] for row in given]
    assert {(row["sentiment"], row["stars"], row["wants_contact"]) for row in rows} == {("mixed", "4", "false")}
    assert {row["status"] for row in rows} == {"completed"}
