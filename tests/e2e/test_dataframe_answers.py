"""A DataFrame of hundreds of rows through the API with a pydantic class: typed columns joined back, nothing paid twice.

`MOZART_NB_WHOLE=1` sends 2,000.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from pydantic import BaseModel, Field, field_validator
from support.anthropic_server import AnthropicServer, Call, Reply, text
from support.scale import scaled

ROWS = scaled(2000, 600)


class Review(BaseModel):
    """What a model says about one review."""

    mood: Literal["good", "bad"]
    stars: int = Field(ge=1, le=5)
    confidence: float
    spam: bool
    topic: str | None = None

    @field_validator("confidence")
    @classmethod
    def is_a_share(cls, value: float) -> float:
        assert 0 <= value <= 1, "confidence is a share"
        return value


def right(number: int) -> dict[str, Any]:
    return {
        "mood": "good" if number % 3 else "bad",
        "stars": number % 5 + 1,
        "confidence": number % 7 / 7,
        "spam": number % 11 == 0,
        "topic": None if number % 2 else f"topic {number}",
    }


class Ledger:
    """Counts requests; the first answer about every hundredth row breaks what only the class itself can know."""

    def __init__(self) -> None:
        self.requests = 0
        self._lock = threading.Lock()

    def answer(self, call: Call) -> Reply:
        messages = call.body["messages"]
        [number] = {int(found) for found in re.findall(r"review (\d+)!", json.dumps(messages[0]))}
        said = right(number)
        if number % 100 == 0 and len(messages) == 1:
            said["confidence"] = 7.5
        with self._lock:
            self.requests += 1
        return text(json.dumps(said), usage={"input_tokens": 20, "output_tokens": 30})


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    shell = InteractiveShell.instance()
    shell.run_cell("%load_ext mozart_nb")
    yield shell
    shell.run_cell("%unload_ext mozart_nb")
    InteractiveShell.clear_instance()


def cell(url: str) -> str:
    return f"""%%mozart --items reviews --wait -o sorted_reviews
name: moods
backend: {{type: anthropic_api, base_url: "{url}", model: claude-sonnet-5}}
batch: {{size: 1}}
parallel: {{enabled: true, max_concurrent: 64}}
prompt:
  template: "{{{{ item.text }}}}"
answer: {{schema: Review, format: json}}
"""


def test_hundreds_of_rows_come_back_typed_and_the_cell_run_again_costs_nothing(shell: InteractiveShell) -> None:
    ledger = Ledger()
    labels = [f"r{number:04}" for number in range(1, ROWS + 1)]
    reviews = pd.DataFrame({"text": [f"review {n}!" for n in range(1, ROWS + 1)]}, index=pd.Index(labels, name="id"))
    shell.user_ns.update(reviews=reviews, Review=Review)
    with AnthropicServer(ledger.answer).in_thread() as server:
        done = shell.run_cell(cell(server.url))
        assert done.success, done.error_in_exec
        assert ledger.requests == ROWS + ROWS // 100

        joined = shell.run_cell("joined = reviews.join(sorted_reviews.answers())\njoined").result
        assert joined.index.equals(reviews.index)
        assert joined.text.equals(reviews.text)
        expected = {"mood": "category", "stars": "Int64", "spam": "boolean"}
        assert {name: str(joined[name].dtype) for name in expected} == expected
        assert list(joined.mood.cat.categories) == ["good", "bad"]
        assert str(joined.confidence.dtype) in ("float64", "Float64")
        assert joined.loc["r0007"].stars == right(7)["stars"]
        assert joined.confidence.max() <= 1
        assert joined.groupby("mood", observed=True).stars.mean().between(1, 5).all()

        asked = ledger.requests
        again = shell.run_cell(cell(server.url))
        assert again.success, again.error_in_exec
        assert ledger.requests == asked

        reviews.loc["r0003", "text"] = "review 4001!"
        changed = shell.run_cell(cell(server.url))
        assert changed.success, changed.error_in_exec
        assert ledger.requests == asked + 1
