"""Runs that tell of themselves: real couriers, a receiver that is there or not, hosts that are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import Started, mozart, slow_job, wait_for, write_job
from support.notifying import content
from support.receiver import Receiver, status

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.notify import deliveries, unsent
from mozart_nb.consumers.notify.outbox import OUTBOX, messages
from mozart_nb.job.load import load_job
from mozart_nb.job.notifications import is_kept_out
from mozart_nb.plans.notifications import channels_of
from mozart_nb.plans.prepared import opened, prepare

DEAD = "http://127.0.0.1:9/services/literal-secret-of-a-dead-receiver"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().in_thread() as server:
        yield server


def webhook(**settings: Any) -> dict[str, Any]:
    return {"type": "webhook", "url_env": "HOOK", **settings}


def folder_of(tmp_path: Path) -> Path:
    return Layout(tmp_path / "ws", "demo").notifications


def test_a_run_tells_what_it_is_asked_to_and_a_dead_channel_beside_it_changes_nothing(
    tmp_path: Path, isolated: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", f"{receiver.url}/path-secret-0123456789")
    monkeypatch.setenv("TOKEN", "header-secret-0123456789")
    events = ["job_start", "sheet_complete", "job_complete"]
    channels = [
        webhook(on_events=events, headers={"X-Token": "${TOKEN}"}),
        {"type": "slack", "webhook_url": DEAD, "on_events": events, "headers": {"X-Token": "${TOKEN}"}},
    ]
    ended = mozart("run", write_job(tmp_path, notifications=channels))
    assert ended.exit_code == 0, ended
    got = receiver.wait_for(7)
    assert [one.event for one in got] == ["job_start", *["batch_complete"] * 5, "job_complete"]
    assert [one.document["batch_num"] for one in got[1:-1]] == [1, 2, 3, 4, 5]
    assert {one.path for one in got} == {"/path-secret-0123456789"}
    assert [one.headers["x-token"] for one in got] == ["header-secret-0123456789"] * 7
    folder = folder_of(tmp_path)
    wait_for(lambda: any(one.status == "retrying" for one in deliveries(folder)))
    assert {one.channel for one in unsent(folder)} == {2}
    written = content(tmp_path / "ws") + content(isolated)
    assert b"secret-of-a-dead" not in written
    assert b"secret-0123456789" not in written


def test_a_host_that_is_killed_loses_no_message_and_tells_none_under_two_ids(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", receiver.url)
    channels = [webhook(on_events=["job_start", "batch_complete", "job_complete"], retry_delay=0.05)]
    file = slow_job(tmp_path, batches=6, latency_seconds=0.1, notifications=channels)
    with Started("run", file, cwd=tmp_path) as host:
        host.until("batch.completed batch=2")
        os.kill(host.process.pid, signal.SIGKILL)
    outbox = folder_of(tmp_path) / OUTBOX
    kept = outbox.read_bytes().splitlines(keepends=True)[:2]
    outbox.write_bytes(b"".join(kept) + b'{"kind":"message","id":')  # as if the host had died a moment earlier
    receiver.answers(status(503), status(500))
    assert mozart("resume", "demo").exit_code == 0
    wait_for(lambda: len(messages(folder_of(tmp_path))) == 8 and not unsent(folder_of(tmp_path)))
    told = list(dict.fromkeys(one.id for one in receiver.accepted))
    first = {one.id: one for one in reversed(receiver.accepted)}
    assert [first[id_].event for id_ in told] == ["job_start", *["batch_complete"] * 6, "job_complete"]
    assert sorted(first[id_].document["batch_num"] for id_ in told[1:-1]) == [1, 2, 3, 4, 5, 6]


def test_a_rehearsal_tells_nobody(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", receiver.url)
    file = write_job(tmp_path, notifications=[webhook(on_events=["job_start", "job_complete"])])
    ended = mozart("run", file, "--rehearse", "--json")
    assert ended.exit_code == 0, ended
    assert not folder_of(tmp_path).exists()
    assert receiver.got == []


def test_a_job_that_goes_on_from_its_frozen_plan_finds_addresses_in_its_file_while_that_fits(tmp_path: Path) -> None:
    file = write_job(tmp_path, notifications=[{"type": "slack", "webhook_url": DEAD, "timeout": 1}])
    planned = prepare(load_job(file))
    planned.frozen.write(planned.layout)
    again = opened(planned.layout)
    assert is_kept_out(again.loaded.config.notifications[0])
    assert again.digest == planned.digest
    assert [one.settings.webhook_url for one in channels_of(again)] == [DEAD]
    write_job(tmp_path, notifications=[{"type": "slack", "webhook_url": DEAD, "timeout": 2}])
    assert [is_kept_out(one) for one in channels_of(again)] == [True]
    file.unlink()
    assert [is_kept_out(one) for one in channels_of(again)] == [True]


# --- notify-test ------------------------------------------------------------------------------------------------------


def test_a_test_message_goes_to_every_channel_and_says_that_it_is_one(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", receiver.url)
    channels = [webhook(on_events=["job_failed"]), {"type": "slack", "webhook_url_env": "HOOK"}]
    ended = mozart("notify-test", write_job(tmp_path, notifications=channels), "--json")
    assert ended.exit_code == 0, ended
    assert [(row["channel"], row["type"], row["status"]) for row in ended.document["channels"]] == [
        (1, "webhook", "delivered"),
        (2, "slack", "delivered"),
    ]
    document = receiver.got[0].document
    assert (document["event_type"], document["test"]) == ("job_failed", True)
    assert "a test" in document["title"]
    assert not (tmp_path / "ws").exists()


def test_a_channel_that_does_not_work_is_named_with_the_next_step(tmp_path: Path, receiver: Receiver) -> None:
    receiver.otherwise = status(404, body="no_service")
    channels = [{"type": "webhook", "url": receiver.url}, webhook(), {"type": "webhook", "url": DEAD}]
    ended = mozart("notify-test", write_job(tmp_path, notifications=channels))
    assert ended.exit_code == 1
    for part in (
        "HTTP 404: no_service",
        "channel 1: the address is wrong or was withdrawn",
        "HOOK is not set",
        "channel 2: set the variable",
        "Connection refused",
        "channel 3: check that the address is right",
    ):
        assert part in ended.stdout
    assert "literal-secret" not in ended.stdout + ended.stderr
    assert len(receiver.got) == 1


def test_one_channel_can_be_tested_alone_or_only_be_shown(tmp_path: Path, receiver: Receiver) -> None:
    channels = [webhook(), {"type": "webhook", "url": receiver.url, "template": "{{ job_id }} is over"}]
    file = write_job(tmp_path, notifications=channels)
    ended = mozart("notify-test", file, "--channel", "2", "-n")
    assert (ended.exit_code, ended.stdout) == (0, "2 webhook: demo (a test): completed – demo is over\n")
    assert receiver.got == []
    assert mozart("notify-test", file, "--channel", "2").exit_code == 0
    assert mozart("notify-test", file, "--channel", "3").exit_code == 2


def test_a_job_file_without_channels_has_nothing_to_test(tmp_path: Path) -> None:
    ended = mozart("notify-test", write_job(tmp_path))
    assert ended.exit_code == 2
    assert "no `notifications`" in ended.stderr
