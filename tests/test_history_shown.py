"""What people see of the history: the commands `history` and `list`, frames of jobs and runs, and what is made anew."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.commands import mozart, write_job
from support.histories import history as random_life

import mozart_nb
from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_state
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.index import home, register
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import JobLock
from mozart_nb.consumers.history.mirror import read_mirror
from mozart_nb.looking.history import runs


def database() -> Path:
    return home() / "history.db"


def asked(text: str, *values: Any) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(database())) as connection, connection:
        return connection.execute(text, values).fetchall()


def write(layout: Layout, events: Sequence[ev.Event]) -> None:
    """A journal of these events, and nothing else."""
    layout.journal.mkdir(parents=True)
    layout.segment(1).write_bytes(b"".join(EVENTS.wrap(ev.encode_event(event)) for event in events))


def history(*args: str) -> Any:
    return mozart("history", *args, "--json").document


@pytest.fixture
def thrice(tmp_path: Path) -> Path:
    """A job that was paused after two batches, resumed, and then started over."""
    file = write_job(tmp_path, state_backend="sqlite")
    mozart("run", file, "--limit", "2")
    mozart("resume", "demo")
    mozart("run", file, "--fresh", "-y")
    return tmp_path


def test_every_run_has_a_row_also_those_before_a_fresh_start(thrice: Path) -> None:
    found = history("demo")["runs"]
    assert [(run["run"], run["is_present"], run["status"], run["completed"]) for run in found] == [
        (1, True, "completed", 5),
        (2, False, "completed", 3),
        (1, False, "paused", 2),
    ]
    assert all(run["success_rate"] == run["first_try_rate"] == 1.0 for run in found)


def test_runs_of_a_job_are_a_table_and_all_jobs_are_another(thrice: Path) -> None:
    shown = mozart("history", "demo").stdout.splitlines()
    assert shown[0].split()[:3] == ["run", "started", "status"]
    assert len(shown) == 4 + ("from the first" in shown[-1])
    [job] = history()["jobs"]
    assert (job["job_id"], job["runs"], job["last_run"]["status"]) == ("demo", 3, "completed")
    assert mozart("history").stdout.splitlines()[1].split()[:2] == ["demo", "3"]


def test_a_job_whose_folder_is_gone_keeps_its_runs_and_what_they_cost(tmp_path: Path) -> None:
    file = write_job(tmp_path)
    mozart("run", file)
    [before] = history()["jobs"]
    workspace = Path(before["workspace"])
    workspace.rename(tmp_path / "moved")
    mozart("status", "demo", "-w", str(tmp_path / "moved"))
    [gone] = history()["jobs"]
    assert (gone["gone"], before["gone"]) == (True, False)
    assert (gone["runs"], gone["cost"], gone["workspace"]) == (before["runs"], before["cost"], str(workspace))
    assert "gone: /" in mozart("history").stdout
    assert len(runs()) == 1
    register(Layout(tmp_path / "moved", "demo"), "demo")
    [found] = history()["jobs"]  # at its new place, and not twice
    assert (found["gone"], found["cost"]) == (False, before["cost"])


def test_runs_can_be_chosen(thrice: Path) -> None:
    def chosen(*args: str) -> int:
        return len(history("demo", *args)["runs"])

    assert chosen("--status", "paused") == 1
    assert chosen("--status", "failed") == 0
    assert chosen("--limit", "2") == 2
    assert chosen("--since", "1h") == 3
    assert chosen("--until", "2020-01-01") == 0
    ended = mozart("history", "--status", "done")
    assert ended.exit_code == 2
    assert "completed" in ended.stderr


def test_frames_have_the_same_runs_and_the_trend_is_a_picture(thrice: Path) -> None:
    job = mozart_nb.Job.open("demo")
    frame = job.runs()
    assert frame["run"].tolist() == [1, 2, 1]
    assert frame["duration"].dtype.kind == "m"
    assert frame["status"].cat.categories[0] == "running"
    pd.testing.assert_frame_equal(frame, runs("demo"))
    assert isinstance(job.plot("trend"), Figure)
    [row] = mozart_nb.history().to_dict("records")
    assert (row["job_id"], row["status"], row["done"], row["runs"]) == ("demo", "completed", 5, 1)


def test_list_can_be_narrowed(tmp_path: Path) -> None:
    for name in ("reviews", "reports"):
        (tmp_path / name).mkdir()
        mozart("run", write_job(tmp_path / name, name=name))

    def listed(*args: str) -> list[str]:
        return [job["job_id"] for job in mozart("list", *args, "--json").document["jobs"]]

    assert listed() == ["reports", "reviews"]
    assert listed("--name", "rev") == ["reviews"]
    assert listed("--name", "re*s") == ["reports", "reviews"]
    assert listed("--backend", "claude_cli") == []
    unknown = mozart("list", "--backend", "claude-cli")
    assert unknown.exit_code == 2
    assert "one of claude_cli, " in unknown.stderr
    assert listed("--backend", "rehearsal", "--since", "1h") == ["reports", "reviews"]
    assert mozart("list", "--status", "done").exit_code == 2


def test_a_secret_that_stands_in_an_old_record_is_masked_where_it_is_shown(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "ws", "job")
    life = [
        ev.JobPlanned(seq=1, job_id="job", name="job", plan=ev.PlanShape(1, 1, 1, 1), seed=1, config_digest="d"),
        ev.JobStarted(seq=2, run_id="one", at=1.0),
        ev.JobFailed(seq=3, at=2.0, reason=f"the key sk-ant-api03-{'a' * 40} is refused", code="E501"),
    ]
    write(layout, life)
    register(layout, "A job")
    for shown in (mozart("history", "job", "--json"), mozart("history", "job"), mozart("list", "--json")):
        assert "is refused" in shown.stdout
        assert "aaaa" not in shown.stdout
    for frame in (runs("job"), mozart_nb.history()):
        assert "aaaa" not in frame["reason"].iloc[0]


def test_a_run_that_only_checked_the_rules_again_says_nothing_about_a_trend(tmp_path: Path) -> None:
    rule = {"type": "command_succeeds", "command": f"test -f {tmp_path}/is-there"}
    mozart("run", write_job(tmp_path, validations=[rule], retry={"max_retries": 0}))
    (tmp_path / "is-there").touch()
    mozart("recover", "demo")
    recovered, first = history("demo")["runs"]
    assert (first["failed"] > 0, recovered["completed"] > 0, recovered["attempts"]) == (True, True, 0)
    assert "from the first to the last" not in mozart("history", "demo").stdout


def test_a_rehearsed_job_is_not_in_the_history(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path), "--rehearse")
    assert not database().exists() or asked("SELECT count(*) FROM jobs") == [(0,)]


# --- made anew --------------------------------------------------------------------------------------------------------


def test_a_rebuild_finds_every_run_again_archived_ones_included_and_makes_mirrors(thrice: Path) -> None:
    layout = Layout(thrice / "ws", "demo")
    before = history("demo")["runs"]
    assert read_mirror(layout.mirror) == read_state(layout)
    database().unlink()
    layout.mirror.unlink()
    done = mozart("history", "--rebuild", "--json").document
    assert (done["jobs"], done["runs"], done["mirrors"], done["unreadable"]) == (1, 3, 1, {})
    assert history("demo")["runs"] == before
    assert read_mirror(layout.mirror) == read_state(layout)


def test_a_rebuild_keeps_what_is_known_of_jobs_that_are_gone(thrice: Path) -> None:
    shutil.rmtree(thrice / "ws")
    mozart("history", "--rebuild")
    assert asked("SELECT count(*) FROM job_runs") == [(3,)]


def test_a_rebuild_says_which_records_it_could_not_read(thrice: Path) -> None:
    segment = Layout(thrice / "ws", "demo").segment(1)
    segment.write_bytes(segment.read_bytes().replace(b"batch", b"botch"))
    (thrice / "ws" / "demo.json").unlink()
    ended = mozart("history", "--rebuild")
    assert ended.exit_code == 1
    assert "demo" in ended.stderr


def test_a_job_whose_files_cannot_be_read_hides_no_other_job(thrice: Path) -> None:
    (thrice / "other").mkdir()
    mozart("run", write_job(thrice / "other", name="other"))
    snapshot = thrice / "ws" / "demo.json"
    snapshot.unlink()
    snapshot.mkdir()
    listed = mozart("list", "--json").document["jobs"]
    assert {job["job_id"]: job["status"] for job in listed} == {"demo": "unreadable", "other": "completed"}
    assert {job["job_id"]: job["runs"] for job in history()["jobs"]} == {"demo": 3, "other": 1}
    ended = mozart("history", "--rebuild", "--json")
    assert (ended.exit_code, ended.document["jobs"], len(ended.document["unreadable"])) == (1, 1, 1)


def test_a_damaged_history_is_moved_aside_and_filled_by_whoever_looks_first(thrice: Path) -> None:
    before = history("demo")["runs"]
    database().write_bytes(b"not a database" * 1000)
    ended = mozart("history", "demo", "--json")
    assert ended.document["runs"] == before
    assert "damaged" in ended.stderr
    assert len(list(home().glob("history.db.damaged-*"))) == 1
    assert mozart("list").stderr == ""  # it is said once


def test_damage_that_shows_only_when_rows_are_read_ends_the_same(thrice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mozart_nb.consumers.history.database.CHECKED_BYTES", 0)
    content = bytearray(database().read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    database().write_bytes(content)
    assert [job["status"] for job in mozart("list", "--json").document["jobs"]] == ["completed"]
    assert len(history("demo")["runs"]) == 3


@pytest.mark.parametrize("hold", ["newer", "held"])
def test_jobs_are_listed_from_their_records_when_the_history_cannot_be_used(
    thrice: Path, hold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mozart_nb.consumers.history.database.BUSY_SECONDS", 0.2)
    holder = sqlite3.connect(database(), isolation_level=None)
    if hold == "newer":
        holder.execute("INSERT INTO migrations VALUES ('of next year', 9e9)")
    else:
        database().unlink()
        holder.close()
        database().mkdir()
    ended = mozart("list", "--json")
    assert [job["status"] for job in ended.document["jobs"]] == ["completed"]
    assert "read one by one" in ended.stderr
    assert [run["run"] for run in history("demo")["runs"]] == [1]
    holder.close()


# --- what hosts left unwritten ----------------------------------------------------------------------------------------


@pytest.fixture
def unwritten(tmp_path: Path) -> Layout:
    """A job whose host never wrote any history."""
    layout = Layout(tmp_path / "ws", "job")
    write(layout, random_life(5, 400))
    register(layout, "A job")
    return layout


def test_what_a_host_left_unwritten_is_written_by_whoever_looks(unwritten: Layout) -> None:
    state = read_state(unwritten)
    assert len(history("job", "--limit", "0")["runs"]) == state.job.runs
    [(seq, batches_seq)] = asked("SELECT seq, batches_seq FROM cursors")
    assert seq == batches_seq == state.job.seq
    assert asked("SELECT count(*) FROM batches") == [(len(state.batches),)]


def test_what_a_host_left_unwritten_is_written_also_when_the_job_was_started_over_since(thrice: Path) -> None:
    before = history("demo")["runs"]
    with contextlib.closing(sqlite3.connect(database())) as connection, connection:
        connection.execute("UPDATE job_runs SET completed = 1, status = 'running' WHERE completed = 3")
    assert history("demo")["runs"] == before
    with contextlib.closing(sqlite3.connect(database())) as connection, connection:
        connection.execute("DELETE FROM job_runs WHERE journal <> (SELECT journal FROM jobs)")
    assert history("demo")["runs"] == before


def test_a_job_that_somebody_runs_is_left_to_its_host(unwritten: Layout) -> None:
    lock = JobLock(unwritten)
    lock.acquire("another-run")
    try:
        assert len(history("job", "--limit", "0")["runs"]) == read_state(unwritten).job.runs
        assert asked("SELECT count(*) FROM cursors") == [(0,)]
        assert mozart("list", "--json").document["jobs"][0]["status"] == read_state(unwritten).status
    finally:
        lock.release()


def test_a_run_that_nobody_ended_was_interrupted(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "ws", "job")
    life = random_life(5, 400)
    begun = max(place for place, event in enumerate(life) if type(event).__name__ in ("JobStarted", "JobResumed"))
    write(layout, life[: begun + 2])
    register(layout, "A job")
    assert history("job", "--limit", "1")["runs"][0]["status"] == "interrupted"
    assert mozart("list", "--json").document["jobs"][0]["status"] == "interrupted"
