"""The log of a job: what its lines hold, and that nothing about it can hold up or hurt a run."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.disks import fill, small_disk
from support.event_samples import sample
from support.histories import BEGINNING, history

from mozart_nb import events as ev
from mozart_nb.consumers.lines import level_of
from mozart_nb.consumers.log import json_sibling, log_family, log_file, read_line
from mozart_nb.consumers.log.files import locked
from mozart_nb.consumers.log.keys import SECRET_KEYS, masked_event
from mozart_nb.consumers.log.writer import MOST_WAITING, LogWriter
from mozart_nb.job.outputs import LoggingConfig
from mozart_nb.masking import masked

KEY = "sk-ant-api03-" + "A1b2" * 10
STARTED = ev.JobStarted(run_id="run-1", at=BEGINNING)


async def logged(file: Path, events: Sequence[ev.Event], said: list[str] | None = None, **config: Any) -> LogWriter:
    """A log into which these events were written, a few at a time; closed."""
    notes = [] if said is None else said
    writer = LogWriter(LoggingConfig(**config), file, job_id="notes", tell=notes.append)
    for begin in range(0, len(events), 5):
        await writer.observe(events[begin : begin + 5])
    await writer.close()
    assert said is not None or not notes
    return writer


async def until(what: Callable[[], object]) -> None:
    """Return once `what` holds."""
    for _ in range(1000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines()


# --- lines ------------------------------------------------------------------------------------------------------------


async def test_every_event_is_a_line_of_both_forms_that_says_who_and_when(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    events = [STARTED, *(sample(kind) for kind in ev.event_types() if "run_id" not in kind.__struct_fields__)]
    await logged(file, events, level="DEBUG", format="both")
    for path in (file, json_sibling(file)):
        found = [read_line(line) for line in lines_of(path)]
        assert [line.event for line in found] == [ev.kind_of(event) for event in events]
        assert [line.level for line in found] == [level_of(event) for event in events]
        for line, event in zip(found, events, strict=True):
            assert line.at == pytest.approx(event.at or BEGINNING, abs=0.001)
            assert str(line.fields.get("batch", "")) == str(getattr(event, "batch", ""))
            assert str(line.fields.get("attempt", "")) == str(getattr(event, "attempt", ""))
            assert line.fields["run_id"] == "run-1"


async def test_lines_are_made_for_people_and_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    event = ev.BatchFailed(batch=7, code="E201", message="no “report” was\nwritten", seq=9, at=BEGINNING + 0.25)
    await logged(file, [STARTED, event], format="both", level="error")
    (line,) = lines_of(file)
    here = datetime.fromtimestamp(BEGINNING, UTC).astimezone().isoformat()
    moment, zone = f"{here[:19]}.250", here[19:]
    rest = 'ERROR   batch.failed job_id=notes run_id=run-1 batch=7 code=E201 message="no “report” was written"'
    assert line == f"{moment}{zone} {rest}"
    (document,) = [json.loads(line) for line in lines_of(tmp_path / "mozart.jsonl")]
    assert document == {
        "timestamp": f"{moment}000{zone}",
        "level": "ERROR",
        "event": "batch.failed",
        "job_id": "notes",
        "run_id": "run-1",
        "batch": 7,
        "seq": 9,
        "code": "E201",
        "message": "no “report” was\nwritten",
    }


async def test_time_and_context_are_left_out_where_they_are_not_wanted(tmp_path: Path) -> None:
    for form in ("console", "json"):
        file = tmp_path / f"{form}.log"
        event = ev.BatchStarted(batch=7, attempt=1, at=BEGINNING)
        await logged(file, [STARTED, event], format=form, include_timestamps=False, include_context=False)
        found = [read_line(line) for line in lines_of(file)]
        assert [line.event for line in found] == ["job.started", "batch.started"]
        assert all(line.at == 0 and not {"job_id", "run_id", "batch", "attempt"} & line.fields.keys() for line in found)


async def test_only_what_is_important_enough_is_written(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    events = history(3, 300)
    await logged(file, events, level="WARNING")
    important = [ev.kind_of(event) for event in events if level_of(event) in ("WARNING", "ERROR")]
    assert [read_line(line).event for line in lines_of(file)] == important


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_secrets_are_masked_by_their_shape_and_by_exact_names_only(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    events = [
        STARTED,
        ev.SessionOpened(
            batch=1, attempt=1, prompt_tokens=1234, files={"Token": "hush-hush", "tokens.txt": "12 bytes"}
        ),
        ev.JobNotice(message=f"the key {KEY} was refused"),
        ev.JobNotice(message="half a surrogate \ud800 pair"),
    ]
    await logged(file, events, format="both", level="DEBUG")
    text = file.read_text() + json_sibling(file).read_text()
    assert KEY not in text
    assert "hush" not in text
    assert masked(KEY) in text
    assert '"prompt_tokens":1234' in text
    assert "prompt_tokens=1234" in text
    assert "12 bytes" in text
    assert text.count("half a surrogate") == 2


@pytest.mark.parametrize("name", sorted(SECRET_KEYS))
def test_a_name_is_a_secret_in_any_case_and_only_as_a_whole(name: str) -> None:
    files = {name.upper(): "hush", name: "", f"{name}s": "said", f"my_{name}": "said"}
    shown = masked_event(ev.SessionOpened(batch=1, attempt=1, files=files))
    assert isinstance(shown, ev.SessionOpened)
    assert shown.files == {**files, name.upper(): "[masked]"}


# --- what cannot hold up or hurt a run --------------------------------------------------------------------------------


async def test_a_full_disk_is_told_once_and_nothing_is_missing_when_there_is_room_again(tmp_path: Path) -> None:
    said: list[str] = []
    with small_disk(tmp_path / "disk", 256):
        file = tmp_path / "disk" / "mozart.log"
        writer = LogWriter(LoggingConfig(level="DEBUG"), file, job_id="notes", tell=said.append)
        await writer.observe([STARTED])
        await until(lambda: file.exists() and file.stat().st_size)
        filler = fill(tmp_path / "disk")
        events = [ev.BatchStarted(batch=n, attempt=1, at=BEGINNING) for n in range(1, 301)]
        await writer.observe(events[:200])
        await until(lambda: said)
        filler.unlink()
        await writer.observe(events[200:])
        await writer.close()
        assert [read_line(line).fields.get("batch", "0") for line in lines_of(file)] == [str(n) for n in range(301)]
    (told,) = said
    assert "the disk is full" in told
    assert "The job goes on" in told


async def test_a_log_that_stands_still_holds_up_nobody_and_says_later_what_is_missing(tmp_path: Path) -> None:
    file, said = tmp_path / "mozart.log", list[str]()
    writer = LogWriter(LoggingConfig(), file, job_id="notes", tell=said.append)
    with locked(file):
        began = time.monotonic()
        for begin in range(0, MOST_WAITING + 5_000, 1000):
            await writer.observe([ev.BatchStarted(batch=begin + n, attempt=1, at=BEGINNING) for n in range(1000)])
        assert time.monotonic() - began < 1.0
    await writer.close()
    *lines, last = lines_of(file)
    assert len(lines) >= MOST_WAITING
    assert "events are missing here" in last
    assert not said


async def test_closing_waits_for_a_log_that_cannot_be_written_for_a_moment_only(tmp_path: Path) -> None:
    file = tmp_path / "mozart.log"
    writer = LogWriter(LoggingConfig(), file, job_id="notes", tell=lambda text: None)
    with locked(file):
        await writer.observe([STARTED])
        began = time.monotonic()
        await writer.close()
        assert time.monotonic() - began < 2.5  # with structlog's import
    assert not file.exists() or not file.read_text()


async def test_a_log_that_cannot_be_made_is_told_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "mozart.log", tmp_path):
        said: list[str] = []
        await logged(place, [STARTED], said)
        assert len(said) == 1
        assert "cannot be written" in said[0]


async def test_no_log_is_written_into_nothing(tmp_path: Path) -> None:
    await logged(Path(os.devnull), [STARTED])
    assert not log_family(Path(os.devnull)) - {Path(os.devnull)}


async def test_folders_of_a_log_are_made_and_what_was_not_packed_is_packed_next_time(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "of" / "mozart.log"
    file.parent.mkdir(parents=True)
    (file.parent / "mozart.log.1").write_text("an older line\n")
    await logged(file, [STARTED])
    assert sorted(path.name for path in log_family(file)) == [".mozart.log.lock", "mozart.log", "mozart.log.1.gz"]


# --- places -----------------------------------------------------------------------------------------------------------


def test_a_log_is_in_the_workspace_unless_it_is_said_where(tmp_path: Path) -> None:
    assert log_file(LoggingConfig(), tmp_path) == tmp_path / "mozart.log"
    assert log_file(LoggingConfig(file_path="logs/a.log"), tmp_path) == tmp_path / "logs" / "a.log"
    assert log_file(LoggingConfig(file_path="{workspace}/a.log"), tmp_path) == tmp_path / "a.log"
    assert log_file(LoggingConfig(file_path="/var/a.log"), tmp_path) == Path("/var/a.log")
    assert log_file(LoggingConfig(file_path="~nobody-of-that-name/a.log"), tmp_path).name == "a.log"
    assert json_sibling(tmp_path / "a.log") == tmp_path / "a.jsonl"
    assert json_sibling(tmp_path / "a.jsonl") == tmp_path / "a.jsonl.jsonl"


@pytest.mark.parametrize("path", ["/", "", ".", "a\0b"])
def test_a_path_that_names_no_file_is_refused_when_the_job_is_loaded(path: str) -> None:
    with pytest.raises(ValidationError, match="names no file"):
        LoggingConfig(file_path=path)


def test_a_rehearsal_logs_into_its_own_folder(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    for given in ("/var/a.log", "../../a.log"):
        found = log_file(LoggingConfig(file_path=given), workspace, str(tmp_path))
        assert found == workspace / "a.log"


def test_the_documentation_lists_exactly_the_names_that_are_masked() -> None:
    page = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()
    listed = page.partition("<!-- secret keys: begin -->")[2].partition("<!-- secret keys: end -->")[0]
    assert set(re.findall(r"`([^`]+)`", listed)) == SECRET_KEYS
