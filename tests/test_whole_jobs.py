"""Jobs from YAML to answers, run offline: what batches see of items, of each other and of the files around them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_answer, read_events
from mozart_nb.job.load import load_job
from mozart_nb.runtime import Prepared, open_job, prepare, run_job


class Jobs:
    """Writes a job file into a folder, runs it with the rehearsal backend, and reads what it answered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "job.yaml"

    def write(self, **sections: Any) -> Prepared:
        rehearsal = {"latency_seconds": 0, **sections.pop("rehearsal", {})}
        config = {"name": "whole", "backend": {"type": "rehearsal"}, "rehearsal": rehearsal, **sections}
        config.setdefault("prompt", {"template": "work"})
        self.file.write_text(yaml.safe_dump(config))
        return prepare(load_job(self.file))

    def run(self, prepared: Prepared, **options: Any) -> dict[int, str]:
        """What each completed batch answered."""
        self.state = asyncio.run(run_job(prepared, ev.RunOptions(**options)))
        return {
            number: read_answer(prepared.layout, batch.answer_at, batch.answer_size).text
            for number, batch in self.state.batches.items()
            if batch.status == "completed"
        }


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


def test_rows_of_a_file_reach_their_batches_in_order(jobs: Jobs) -> None:
    (jobs.folder / "rows.csv").write_text("name,size\nada,3\nbob,5\neve,8\n")
    answers = jobs.run(
        jobs.write(
            items={"file": "rows.csv"},
            batch={"size": 2},
            rehearsal={"answer": "{% for row in items %}{{ row.name }}={{ row.size }} {% endfor %}"},
        )
    )
    assert answers == {1: "ada=3 bob=5 ", 2: "eve=8 "}


def test_rows_are_frozen_when_the_job_is_planned(jobs: Jobs) -> None:
    (jobs.folder / "names.txt").write_text("ada\nbob\n")
    prepared = jobs.write(items={"file": "names.txt"}, batch={"size": 1}, rehearsal={"answer": "{{ item }}"})
    jobs.run(prepared, limit=1)
    (jobs.folder / "names.txt").write_text("somebody else\n")
    assert jobs.run(open_job("whole", prepared.layout.workspace)) == {1: "ada", 2: "bob"}


def test_a_command_that_prints_lines_makes_items(jobs: Jobs) -> None:
    prepared = jobs.write(
        items={"command": "printf 'one\\ntwo\\n'"}, batch={"size": 1}, rehearsal={"answer": "{{ item }}!"}
    )
    assert jobs.run(prepared) == {1: "one!", 2: "two!"}


def test_later_batches_see_the_end_of_what_earlier_ones_answered(jobs: Jobs) -> None:
    answers = jobs.run(
        jobs.write(
            batch={"size": 1, "total_items": 3},
            cross_batch={"auto_capture_stdout": True, "lookback_batches": 1, "max_output_chars": 4},
            rehearsal={"answer": "[{{ batch_num }} after {{ previous_outputs }}] end{{ batch_num }}"},
        )
    )
    assert answers[1] == "[1 after {}] end1"
    assert answers[3] == "[3 after {2: 'end2'}] end3"


def test_captured_files_of_the_workspace_are_handed_on(jobs: Jobs) -> None:
    answers = jobs.run(
        jobs.write(
            batch={"size": 1, "total_items": 2},
            cross_batch={"capture_files": ["notes-{{ batch_num - 1 }}.md"]},
            rehearsal={
                "writes": {"{{ workspace }}/notes-{{ batch_num }}.md": "note {{ batch_num }}"},
                "answer": "{{ previous_files.values() | list }}",
            },
        )
    )
    assert answers == {1: "[]", 2: "['note 1']"}


def test_skip_when_looks_at_earlier_batches(jobs: Jobs) -> None:
    prepared = jobs.write(
        batch={
            "size": 1,
            "total_items": 4,
            "skip_when": {
                2: 'sheets[1].status == "completed"',
                3: 'any(b.status == "failed" for b in batches.values())',
            },
        }
    )
    jobs.run(prepared)
    assert [jobs.state.status_of(n) for n in range(1, 5)] == ["completed", "skipped", "completed", "completed"]
    skipped = [event for event in read_events(prepared.layout) if isinstance(event, ev.BatchSkipped)]
    assert [(event.batch, event.reason) for event in skipped] == [(2, 'skip_when: sheets[1].status == "completed"')]


def test_skip_when_command_skips_on_exit_code_0_only(jobs: Jobs) -> None:
    command = {"command": 'test -f "{workspace}/done-{batch_num}"', "description": "done before"}
    prepared = jobs.write(
        batch={"size": 1, "total_items": 3, "skip_when_command": dict.fromkeys((1, 2, 3), command)},
        workspace="with a space",
    )
    prepared.places.workspace.mkdir()
    (prepared.places.workspace / "done-2").touch()
    jobs.run(prepared)
    assert [jobs.state.status_of(n) for n in (1, 2, 3)] == ["completed", "skipped", "completed"]
    assert jobs.state.batches[2].reason == "skip_when_command: done before"


def test_a_fan_out_joins_what_its_instances_answered(jobs: Jobs) -> None:
    answers = jobs.run(
        jobs.write(
            batch={"size": 1, "total_items": 3, "fan_out": {2: 3}, "dependencies": {2: [1], 3: [2]}},
            parallel={"enabled": True, "max_concurrent": 3},
            cross_batch={"auto_capture_stdout": True, "lookback_batches": 0},
            rehearsal={"answer": "s{{ stage }}i{{ instance }} saw {{ previous_outputs.keys() | list }}"},
        )
    )
    assert answers[1] == "s1i1 saw []"
    assert {answers[n].split()[0] for n in (2, 3, 4)} == {"s2i1", "s2i2", "s2i3"}
    assert answers[5] == "s3i1 saw [1, 2, 3, 4]"


def test_texts_that_a_prompt_names_are_frozen_with_the_plan(jobs: Jobs) -> None:
    (jobs.folder / "ask.md").write_text("first wording {{ batch_num }}")
    prepared = jobs.write(prompt={"template_file": "ask.md"}, batch={"size": 1, "total_items": 2})
    jobs.run(prepared, limit=1)
    hashes = [event.prompt_hash for event in read_events(prepared.layout) if isinstance(event, ev.SessionOpened)]
    (jobs.folder / "ask.md").unlink()
    jobs.run(open_job("whole", prepared.layout.workspace), only=((2, 2),))
    again = [event.prompt_hash for event in read_events(prepared.layout) if isinstance(event, ev.SessionOpened)]
    assert jobs.state.status == "completed"
    assert len(again) == 2
    assert again[0] == hashes[0] != again[1]


def test_a_long_sentence_that_ends_like_a_file_is_a_sentence(jobs: Jobs) -> None:
    sentence = f"{'Read all of it, ' * 40}and above all notes.md"
    prompt = {"template": "work", "prompt_extensions": [sentence]}
    prepared = jobs.write(prompt=prompt, batch={"size": 1, "total_items": 1})
    jobs.run(prepared)
    assert jobs.state.status == "completed"


def test_an_undefined_variable_fails_the_job_and_names_it(jobs: Jobs) -> None:
    prepared = jobs.write(prompt={"template": "{{ bach_num }}"}, batch={"size": 1, "total_items": 2})
    jobs.run(prepared)
    assert (jobs.state.status, jobs.state.job.code) == ("failed", "E502")
    assert "bach_num" in jobs.state.job.reason
    assert "batch_num" in jobs.state.job.reason
    assert jobs.state.status_of(2) == "pending"


def test_a_prompt_over_the_hard_limit_is_never_sent(jobs: Jobs) -> None:
    prepared = jobs.write(
        prompt={"template": "{{ 'word ' * 130000 }}"},
        batch={"size": 1, "total_items": 1},
        retry={"max_retries": 5},
    )
    jobs.run(prepared)
    assert jobs.state.batches[1].code == "E603"
    kinds = [ev.kind_of(event) for event in read_events(prepared.layout)]
    assert "session.opened" not in kinds
    assert kinds.count("batch.started") == 1
