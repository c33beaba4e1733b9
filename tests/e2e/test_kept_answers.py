"""What a run of a changed job costs, counted at the server: what its change needs and nothing else."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.anthropic_server import AnthropicServer, Call, Reply, text
from support.commands import Ended, Started, mozart, wait_for

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.checkpoint.plan import archive

Rows = list[dict[str, str]]


class Desk:
    """A folder with a job of `rows`, and the server it asks. `asked` are the prompts of the last run."""

    def __init__(self, folder: Path, server: AnthropicServer) -> None:
        self.folder = folder
        self.server = server
        self.asked: list[str] = []
        self.config: dict[str, Any] = {
            "name": "capitals",
            "workspace": "./ws",
            "backend": {"type": "anthropic_api", "base_url": server.url},
            "items": {"file": "rows.csv"},
            "batch": {"size": 1},
            "parallel": {"enabled": True, "max_concurrent": 8},
            "retry": {"base_delay_seconds": 0.01, "completion_delay_seconds": 0.01, "jitter": False},
            "prompt": {"template": "{{ question }} {{ item.country }}?", "variables": {"question": "The capital of"}},
            "validations": [{"type": "answer_matches", "pattern": "number"}],
        }
        self.rows: Rows = [{"country": f"country {n}"} for n in range(1, 51)]

    @property
    def file(self) -> Path:
        return self.folder / f"{self.config['name']}.yaml"

    def write(self) -> Path:
        with (self.folder / "rows.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        self.file.write_text(yaml.safe_dump(self.config, sort_keys=False))
        return self.file

    def change_what_no_answer_depends_on(self) -> None:
        self.config["retry"]["max_retries"] = 7

    def run(self, *options: str, code: int = 0) -> Ended:
        before = len(self.server.calls)
        ended = mozart("run", self.write(), "--json", *options)
        assert ended.exit_code == code, ended
        self.asked = [seen.prompt for seen in self.server.calls[before:]]
        return ended

    def answers(self, job_id: str = "capitals") -> dict[int, str]:
        """What the batches of the present record answered."""
        root = self.folder / "ws" / ".mozart" / job_id
        found = {}
        for line in (root / "answers.jsonl").read_text().splitlines():
            answer = json.loads(line)["answer"]
            found[answer["finished"]["batch"]] = answer["text"]
        return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-a-test-has-no-key")
    monkeypatch.chdir(tmp_path)
    numbers = itertools.count(1)

    def answer(call: Call) -> Reply:
        return text(f"answer number {next(numbers)} to {call.prompt}")

    with AnthropicServer(answer).in_thread() as server:
        yield Desk(tmp_path, server)


def test_one_row_changed_is_one_request(desk: Desk) -> None:
    first = desk.run()
    assert len(desk.asked) == 50
    paid = first.document["cost"]["usd"]
    before = desk.answers()
    desk.rows[7] = {"country": "Atlantis"}
    again = desk.run()
    assert desk.asked == ["The capital of Atlantis?"]
    after = desk.answers()
    assert {n for n in after if after[n] != before[n]} == {8}
    assert "49 of 50 answers were kept, 1 asked" in again.stderr
    document = again.document
    assert (document["status"], document["progress"]["completed"]) == ("completed", 50)
    assert document["execution"]["reused_answers"] == 49
    assert document["cost"]["usd"] < paid
    assert document["cost"]["earlier_usd"] == paid
    assert mozart("status", "capitals", "--json").document["cost"]["earlier_usd"] == paid
    [line] = [line for line in mozart("status", "capitals").stdout.splitlines() if "before, record in" in line]
    assert Path(line.rpartition("record in ")[2], "capitals.json").is_file()


def test_a_row_in_the_middle_is_one_request(desk: Desk) -> None:
    desk.run()
    desk.rows.insert(20, {"country": "Atlantis"})
    desk.run()
    assert desk.asked == ["The capital of Atlantis?"]


def test_a_column_that_no_prompt_uses_is_no_request(desk: Desk) -> None:
    desk.run()
    desk.rows = [{**row, "remark": f"seen {n} times"} for n, row in enumerate(desk.rows)]
    ended = desk.run()
    assert desk.asked == []
    assert "50 of 50 answers were kept, 0 asked" in ended.stderr


def test_what_is_no_part_of_a_request_is_no_reason_to_ask_again(desk: Desk) -> None:
    desk.run()
    desk.config["backend"]["timeout_seconds"] = 77
    desk.change_what_no_answer_depends_on()
    assert "50 of 50 answers were kept, 0 asked" in desk.run().stderr
    assert desk.asked == []


def test_another_prompt_for_one_batch_is_one_request(desk: Desk) -> None:
    desk.run()
    desk.config["batch"]["prompt_extensions"] = {3: ["Be brief."]}
    desk.run()
    assert len(desk.asked) == 1
    assert "country 3" in desk.asked[0]


def test_another_variable_asks_everything_again(desk: Desk) -> None:
    desk.run()
    desk.config["prompt"]["variables"]["question"] = "The largest city of"
    desk.run()
    assert len(desk.asked) == 50


def test_a_kept_answer_that_a_new_rule_refuses_is_asked_for_again(desk: Desk) -> None:
    desk.run()
    wanted = desk.answers()[5].partition(" to ")[0]
    desk.config["validations"] = [{"type": "answer_matches", "pattern": f"(?!{wanted} )^.*"}]
    desk.run()
    assert len(desk.asked) == 1
    assert "country 5" in desk.asked[0]


def test_an_answer_that_took_several_attempts_is_kept_like_any_other(desk: Desk) -> None:
    plain = desk.server.handler
    desk.server.handler = lambda call: text("I do not know") if call.number == 3 else plain(call)
    desk.run()
    assert len(desk.asked) == 51
    desk.change_what_no_answer_depends_on()
    desk.run()
    assert desk.asked == []


def test_nothing_is_lost_when_the_host_dies_between_the_archive_and_the_new_plan(desk: Desk) -> None:
    paid = desk.run().document["cost"]["usd"]
    layout = Layout(desk.folder / "ws", "capitals")
    with JobLock(layout):
        archive(layout)
    desk.rows[7] = {"country": "Atlantis"}
    document = desk.run().document
    assert desk.asked == ["The capital of Atlantis?"]
    assert (document["execution"]["reused_answers"], document["cost"]["earlier_usd"]) == (49, paid)


def test_a_second_job_of_the_workspace_with_the_same_prompts_asks_nothing(desk: Desk) -> None:
    desk.run()
    desk.config["name"] = "again"
    ended = desk.run()
    assert desk.asked == []
    assert ended.document["cost"]["usd"] == 0
    assert desk.answers("again") == desk.answers()


def test_two_jobs_at_once_share_one_index(desk: Desk) -> None:
    first = desk.write()
    desk.config["name"] = "other"
    desk.config["prompt"]["template"] = "Where is {{ item.country }}?"
    second = desk.write()
    with Started("run", first, cwd=desk.folder) as one, Started("run", second, cwd=desk.folder) as other:
        ended = [one.end(), other.end()]
    assert [(one.exit_code, "not kept" in one.stderr) for one in ended] == [(0, False)] * 2, ended
    assert len(desk.server.calls) == 100
    desk.rows.append({"country": "Atlantis"})
    desk.run()
    assert desk.asked == ["Where is Atlantis?"]


def test_equal_rows_get_answers_of_their_own_and_keep_them(desk: Desk) -> None:
    desk.rows = [{"country": "France"}] * 5
    desk.run()
    assert len(desk.asked) == 5
    first = desk.answers()
    assert len(set(first.values())) == 5
    desk.rows = [*desk.rows, {"country": "France"}]
    desk.run()
    assert len(desk.asked) == 1
    again = desk.answers()
    assert set(first.values()) < set(again.values())
    assert len(set(again.values())) == 6


def test_a_fresh_start_asks_everything_again_and_its_answers_are_those_that_are_kept(desk: Desk) -> None:
    desk.run()
    old = desk.answers()
    desk.run("--fresh")
    assert len(desk.asked) == 50
    new = desk.answers()
    assert not set(old.values()) & set(new.values())
    desk.change_what_no_answer_depends_on()
    desk.run()
    assert (desk.asked, desk.answers()) == ([], new)


def test_a_fresh_start_that_is_interrupted_goes_on_asking_everything(desk: Desk) -> None:
    desk.run()
    desk.run("--fresh", "--limit", "10", code=3)
    assert len(desk.asked) == 10
    ended = desk.run()
    assert (len(desk.asked), ended.document["execution"]["reused_answers"]) == (40, 0)


def test_a_finished_job_is_not_asked_again_and_needs_no_index(desk: Desk) -> None:
    desk.run()
    index = desk.folder / "ws" / ".mozart" / "answers.db"
    index.unlink()
    ended = desk.run()
    assert desk.asked == []
    assert "nothing was sent" in ended.stderr
    assert not index.exists()


def test_without_its_index_everything_is_found_all_the_same(desk: Desk) -> None:
    desk.run()
    desk.rows.append({"country": "Atlantis"})
    for file in (desk.folder / "ws" / ".mozart").glob("answers.db*"):
        file.unlink()
    desk.run()
    assert desk.asked == ["The capital of Atlantis?"]


def test_a_job_killed_in_the_middle_asks_only_for_the_rest_also_when_it_was_changed(desk: Desk) -> None:
    desk.config["parallel"]["max_concurrent"] = 2
    plain = desk.server.handler

    async def slow(call: Call) -> Reply:
        if call.number > 20:
            return Reply(hang=True)
        reply = plain(call)
        assert isinstance(reply, Reply)
        return reply

    desk.server.handler = slow
    with Started("run", desk.write(), cwd=desk.folder) as host:
        wait_for(lambda: len(desk.server.calls) >= 22)
        host.signal(signal.SIGKILL)
    desk.server.handler = plain
    desk.change_what_no_answer_depends_on()
    ended = desk.run()
    kept = ended.document["execution"]["reused_answers"]
    assert (kept, len(desk.asked)) == (20, 30)


def test_nothing_is_lost_or_mixed_up_when_a_job_is_killed_and_changed_again_and_again(desk: Desk) -> None:
    at_once = desk.config["parallel"]["max_concurrent"] = 4
    chance = random.Random(3)
    plain = desk.server.handler
    desk.server.handler = lambda call: dataclasses.replace(plain(call), delay=0.02)  # type: ignore[type-var]
    kills = 4
    for kill in range(kills):
        calls = len(desk.server.calls) + chance.randrange(1, 15)
        with Started("run", desk.write(), cwd=desk.folder) as host:
            wait_for(lambda calls=calls: len(desk.server.calls) >= calls)
            host.signal(signal.SIGKILL)
        desk.rows[chance.randrange(50)] = {"country": f"changed {kill}"}
    ended = desk.run()
    asked = Counter(seen.prompt for seen in desk.server.calls)
    assert asked.total() - len(asked) <= kills * at_once, "only what was in flight is asked twice"
    assert ended.document["execution"]["reused_answers"] > 0
    for number, row in enumerate(desk.rows, 1):
        assert desk.answers()[number].endswith(f" to The capital of {row['country']}?")


def test_a_changed_job_of_the_program_is_refused_as_before(desk: Desk, tmp_path: Path) -> None:
    desk.config["backend"] = {"type": "rehearsal"}
    desk.config["rehearsal"] = {"latency_seconds": 0, "answer": "number {{ item.country }}"}
    desk.rows = desk.rows[:3]
    desk.run()
    desk.config["prompt"]["template"] = "Changed {{ item.country }}"
    ended = desk.run(code=2)
    assert "--reload-config" in ended.stderr


def test_a_finished_job_imports_neither_the_sdk_nor_a_database(desk: Desk) -> None:
    desk.run()
    script = (
        "import sys; from mozart_nb.cli.main import app\n"
        "try: app(['run', sys.argv[1]], prog_name='mozart')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({'anthropic', 'aiohttp', 'asyncio', 'sqlite3', 'jsonschema', 'jinja2'} & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, desk.file], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
