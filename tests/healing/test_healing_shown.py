"""What the command line does with `--self-healing`, and where remedies and guidance are read afterwards."""

from __future__ import annotations

import json
from pathlib import Path

from support.commands import mozart, write_job
from support.healing import Ward

from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.fold import fold
from mozart_nb.events import BatchHealed, BatchHealing

MISSPELLED = {"prompt": {"template": "Batch {{ bacth_num }}."}}


def test_with_yes_a_misspelled_variable_is_read_as_the_nearest_one(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, **MISSPELLED), "--self-healing", "-y")
    assert ended.exit_code == 0, ended
    assert "batch.healed batch=1 attempt=1 remedy=misspelled-variable" in ended.stderr
    assert "  self-healing: batch 1: misspelled-variable: prompt.template, line 1: unknown variable" in ended.stderr


def test_without_a_terminal_it_is_guidance_and_the_job_fails(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, **MISSPELLED), "--self-healing")
    assert ended.exit_code == 1, ended
    assert "nobody was there to ask; `-y` agrees" in ended.stderr


def test_without_the_option_nothing_is_looked_for(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, **MISSPELLED), "-y")
    assert ended.exit_code == 1, ended
    assert "heal" not in ended.stderr


def test_a_job_that_failed_can_be_healed_by_resume(tmp_path: Path) -> None:
    file = write_job(tmp_path, **MISSPELLED)
    assert mozart("run", file).exit_code == 1
    assert mozart("resume", "demo", "--self-healing").exit_code == 1
    ended = mozart("resume", "demo", "--self-healing", "--yes")
    assert ended.exit_code == 0, ended


def test_status_and_errors_show_what_was_done_and_what_is_advised(tmp_path: Path) -> None:
    file = write_job(tmp_path, **MISSPELLED)
    mozart("run", file, "--self-healing")
    advice = "Write `batch_num` in the template, then resume with --reload-config."
    assert advice in mozart("status", "demo").stdout
    assert "  help  prompt.template, line 1: unknown variable `bacth_num`" in mozart("errors", "demo").stdout
    document = mozart("status", "demo", "--json").document
    (text,) = document["batches"]["1"]["remedies"]
    assert (document["batches"]["1"]["heals"], advice in text, document["remedies"]) == (1, True, [])
    (error,) = mozart("errors", "demo", "--json").document["errors"]
    assert error["remedies"] == [text]


def test_a_missing_program_is_diagnosed_before_the_first_attempt(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.write("open_(); done()")
    Path(ward.program).unlink()
    ended = mozart("run", ward.file, "--self-healing", "-y")
    assert ended.exit_code == 1, ended
    said = f"backend.cli_path names {ward.program}, where nothing is"
    assert f"  self-healing: {said}" in ended.stderr
    assert said in mozart("status", "ailing", "-w", tmp_path / "state").stdout
    assert f"  help  {said}" in mozart("errors", "ailing", "-w", tmp_path / "state").stdout


def test_the_journal_tells_the_whole_story_and_the_state_is_its_fold(tmp_path: Path) -> None:
    ward = Ward(tmp_path)
    ward.run(ward.write('open_(); done("{{ bacth_num }} {{ zzyzx }}")'), answer=True)
    events = list(read_events(ward.prepared.layout))
    story = [event for event in events if isinstance(event, BatchHealing | BatchHealed)]
    assert [type(event).__name__ for event in story] == ["BatchHealing", "BatchHealed", "BatchHealing", "BatchHealed"]
    assert fold(events) == ward.state
    snapshot = json.loads(Layout(tmp_path / "state", "ailing").snapshot.read_text())
    assert "misspelled-variable" in json.dumps(snapshot)
