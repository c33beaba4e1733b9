"""What a diagnosis says about the things around a job: program, lock, notifications, hooks, money, prompts, frames."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
import yaml
from support.checkpoints import layout_in

from mozart_nb import events as ev
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner
from mozart_nb.consumers.notify import Delivery
from mozart_nb.job.load import load_job
from mozart_nb.looking.diagnosis import Diagnosis, Fact, NextStep, Used, diagnose, diagnose_prepared, environment
from mozart_nb.looking.diagnosis.columns import GROUP_COLUMNS
from mozart_nb.looking.diagnosis.findings import SHELL_ONLY
from mozart_nb.plans.prepared import Prepared, prepare
from mozart_nb.runtime import run_job

BEGINNING = 1_700_000_000.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOZART_NB_HOME", str(tmp_path / "home"))


def prepared(folder: Path, **sections: Any) -> Prepared:
    config = {
        "name": "around",
        "workspace": str(folder / "ws"),
        "backend": {"type": "rehearsal"},
        "rehearsal": {"latency_seconds": 0},
        "batch": {"size": 1, "total_items": 2},
        "prompt": {"template": "work"},
        **sections,
    }
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(config))
    return prepare(load_job(file))


def ran(folder: Path, **sections: Any) -> Prepared:
    job = prepared(folder, **sections)
    asyncio.run(run_job(job, ev.RunOptions()))
    return job


def lived(folder: Path, *events: ev.Event) -> Layout:
    layout = layout_in(folder)
    plan = ev.PlanShape(6, 1, 1, 6)
    life = [
        ev.JobPlanned(job_id="job", name="A job", plan=plan, seed=1, config_digest="d"),
        ev.JobStarted(run_id="one"),
        *events,
    ]
    layout.journal.mkdir(parents=True)
    placed = (msgspec.structs.replace(one, seq=n, at=BEGINNING + n * 10) for n, one in enumerate(life, 1))
    layout.segment(1).write_bytes(b"".join(EVENTS.wrap(ev.encode_event(event)) for event in placed))
    return layout


def fact(found: Diagnosis, name: str) -> Fact:
    return next(one for one in found.environment.facts if one.name == name)


# --- the program ------------------------------------------------------------------------------------------------------


def with_program(folder: Path, script: str) -> Diagnosis:
    """A job of the backend `claude_cli` that was planned with this program and never got further."""
    program = folder / "claude"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    job = prepared(folder, backend={"type": "claude_cli", "cli_path": str(program)})
    job.frozen.write(job.layout)
    return diagnose_prepared(job)


def test_the_program_is_named_with_its_version_and_asked_for_nothing_else(tmp_path: Path) -> None:
    found = with_program(tmp_path, f'echo "$@" >> {tmp_path}/asked; echo "9.8.7 (Claude Code)"')
    claude = fact(found, "claude")
    assert claude.detail.startswith(f"9.8.7 at {tmp_path / 'claude'}, login: ")
    assert (tmp_path / "asked").read_text() == "--version\n"


def test_a_program_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PROBE_SECONDS", 0.1)
    began = time.monotonic()
    found = with_program(tmp_path, "exec sleep 60")
    assert time.monotonic() - began < 5
    assert fact(found, "claude").status == "error"
    assert "does not answer" in fact(found, "claude").detail


def test_a_program_that_is_missing_stands_in_the_way_of_a_job_that_never_began(tmp_path: Path) -> None:
    job = prepared(tmp_path, backend={"type": "claude_cli", "cli_path": "/nowhere/claude"})
    found = diagnose_prepared(job)
    assert found.status == "pending"
    assert "/nowhere/claude" in found.cause
    assert "cli_path" in found.first
    assert not found.is_healthy or found.cause


def test_of_a_key_only_its_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "a-very-secret-value-of-mine")
    job = prepared(tmp_path, backend={"type": "anthropic_api", "api_key_env": "MY_KEY", "model": "claude-haiku-4-5"})
    found = diagnose_prepared(job)
    assert fact(found, "key").detail == "MY_KEY is set in this process"
    assert "claude-haiku-4-5" in fact(found, "backend").detail
    assert "a-very-secret" not in str(found) + str(found.document())


# --- who runs it ------------------------------------------------------------------------------------------------------


def test_a_lock_of_another_machine_is_believed_and_told(tmp_path: Path) -> None:
    layout = lived(tmp_path, ev.BatchStarted(batch=1, attempt=1))
    layout.lock.write_bytes(msgspec.json.encode(Owner("node-17", 4711, BEGINNING)))
    found = diagnose(layout, now=BEGINNING + 60)
    assert (found.status, found.environment.holder is not None) == ("running", True)
    assert "node-17" in found.headline
    assert "node-17" in found.cause
    assert "`%mozart resume job --self-healing`" in str(found)


def test_the_workspace_that_is_gone_is_an_obstacle_of_a_job_that_is_not_over(tmp_path: Path) -> None:
    job = ran(tmp_path, state_path=str(tmp_path / "state"), rehearsal={"latency_seconds": 0, "answer": "no"})
    job.places.workspace.rename(tmp_path / "elsewhere")
    found = diagnose_prepared(job)
    assert fact(found, "workspace").status == "error"
    assert fact(found, "state").status in ("ok", "warning")


# --- who was to be told -----------------------------------------------------------------------------------------------


def delivery(number: int, status: Any, error: str = "") -> Delivery:
    return Delivery(id=str(number), channel=1, type="webhook", event="job_failed", status=status, at=1.0, error=error)


def test_a_webhook_that_fails_is_told_also_for_a_job_that_is_well(tmp_path: Path) -> None:
    job = ran(tmp_path)
    folder = job.layout.notifications
    folder.mkdir(exist_ok=True)
    lines = [delivery(1, "delivered"), delivery(2, "failed", "HTTP 404 Not Found"), delivery(3, "retrying", "refused")]
    (folder / "deliveries.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in lines))
    found = diagnose_prepared(job)
    assert found.status == "completed"
    top = str(found).splitlines()[:3]
    assert "channel 1 (webhook)" in top[1]
    assert "refused" in top[1]
    assert "mozart notify-test" in top[2]
    (trouble,) = [one for one in found.troubles if one.kind == "notifications"]
    assert "2 messages" in trouble.what


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "ws/out.log").mkdir(parents=True)
    found = diagnose_prepared(ran(tmp_path, logging={"file_path": "out.log"}))
    assert found.status == "completed"
    assert f"the log file {tmp_path / 'ws/out.log'} cannot be written: it is a folder" in str(found).splitlines()[1]
    assert "logging.file_path" in found.first


def test_a_hook_that_failed_is_told_with_its_last_words(tmp_path: Path) -> None:
    from mozart_nb.hooks import run_hooks

    job = prepared(tmp_path, on_success=[{"type": "run_command", "command": "echo no luck; exit 3"}])

    async def run() -> None:
        state = await run_job(job, ev.RunOptions())
        await run_hooks(job, state, say=lambda text: None)

    asyncio.run(run())
    found = diagnose_prepared(job)
    assert "hook 1 failed" in found.cause
    assert "no luck" in found.cause
    assert not found.is_healthy


# --- money, prompts, budgets ------------------------------------------------------------------------------------------


def test_unknown_costs_are_told_and_so_is_what_was_paid_for_without_a_price(tmp_path: Path) -> None:
    where = {"batch": 1, "attempt": 1}
    layout = lived(
        tmp_path,
        ev.BatchStarted(**where),
        ev.SessionOpened(**where, prompt_tokens=1200),
        ev.SessionFinished(**where, outcome="ok", model="model-x", usage=ev.Usage(10, 10)),
        ev.ValidationFailed(**where, code="E201", message="no"),
        ev.BatchFailed(batch=1, code="E201"),
        ev.JobFailed(reason="1 batch failed", code="E201"),
    )
    found = diagnose(layout, now=BEGINNING + 3600)
    assert found.budget.unknown_costs == 1
    assert "Cost: cost unknown" in str(found)
    assert "1 session of unknown cost" in str(found)
    assert (found.prompts.sent, found.prompts.largest_tokens, found.prompts.largest_batch) == (1, 1200, 1)
    (timeline,) = found.timelines
    assert (timeline.batch, str(timeline.retries), timeline.cost_known) == (1, "0/?", False)


def test_used_budgets_read_as_parts_of_what_there_is() -> None:
    assert (str(Used(1, 3)), str(Used(2))) == ("1/3", "2/?")


def test_an_open_breaker_is_told_with_when_it_tries_again(tmp_path: Path) -> None:
    layout = lived(tmp_path, ev.BreakerOpened(until=BEGINNING + 900, failures=5))
    owner = Owner("node-17", 1, BEGINNING)
    layout.lock.write_bytes(msgspec.json.encode(owner))
    found = diagnose(layout, now=BEGINNING + 60)
    assert (found.breaker.status, found.breaker.failures, found.breaker.opened) == ("open", 5, 1)
    assert "The circuit breaker is open: 5 failures in a row; one attempt tries again at" in str(found)


def test_a_rare_failure_is_not_hidden_behind_a_frequent_one(tmp_path: Path) -> None:
    job = ran(
        tmp_path,
        batch={"size": 1, "total_items": 60},
        rehearsal={"latency_seconds": 0, "script": {33: ["crash"]}, "answer": "no"},
        validations=[{"type": "answer_matches", "pattern": "yes"}],
        retry={"max_retries": 0},
        parallel={"enabled": True, "fail_fast": False},
        circuit_breaker={"enabled": False},
    )
    found = diagnose_prepared(job)
    assert len(found.timelines) == 20
    assert found.timelines_omitted == 40
    assert {33} <= {timeline.batch for timeline in found.timelines}
    assert found.groups[0].rules[0].count == 59


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_the_groups_are_a_frame_with_the_declared_columns(tmp_path: Path) -> None:
    rule = {"type": "answer_matches", "pattern": "never"}
    answers = {"latency_seconds": 0, "answer": "no"}
    failed = ran(tmp_path, validations=[rule], retry={"max_retries": 0}, rehearsal=answers)
    frame = diagnose_prepared(failed).frame()
    assert list(frame.columns) == [column.frame_name for column in GROUP_COLUMNS]
    assert frame["code"].tolist() == ["E201"]
    assert frame["first_at"].dtype == "datetime64[us, UTC]"
    other = tmp_path / "other"
    other.mkdir()
    empty = diagnose_prepared(ran(other)).frame()
    assert (len(empty), dict(empty.dtypes) == dict(frame.dtypes)) == (0, True)
    assert isinstance(empty, pd.DataFrame)


def test_commands_that_are_no_verbs_of_the_notebook_run_in_a_shell() -> None:
    from mozart_nb.cli.main import app
    from mozart_nb.jupyter.magics.options import VERBS

    shell = set(_commands(app))
    assert shell - set(VERBS) == SHELL_ONLY
    assert NextStep("mozart doctor", "", "").magic == "!mozart doctor"
    assert NextStep("mozart resume a", "", "").magic == "%mozart resume a"


def _commands(app: Any) -> Iterator[str]:
    """Words behind `mozart`; what stands behind one of them in turn does not count."""
    for command in app.registered_commands:
        yield command.name or command.callback.__name__
    for group in app.registered_groups:
        name = group.typer_instance.info.name
        yield from [name] if isinstance(name, str) else _commands(group.typer_instance)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="processes are looked for in /proc")  # noqa: PTH112
def test_a_job_that_nobody_runs_has_no_sessions(tmp_path: Path) -> None:
    assert diagnose_prepared(ran(tmp_path)).environment.orphans == ()
