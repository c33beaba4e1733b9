"""A webhook that does not take what it is sent: no failure of the job, and told all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.commands import mozart, wait_for
from support.receiver import Receiver, status
from support.scenes import Scene

from mozart_nb.consumers.notify import deliveries


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().in_thread() as served:
        yield served


def settled(scene: Scene, **channel: Any) -> None:
    """Run a job that tells a webhook of its end, and wait until its first message has met its fate."""
    told = {"type": "webhook", "on_events": ["job_complete"], "max_retries": 1, "retry_delay": 0.01, **channel}
    assert scene.run(backend={"type": "rehearsal"}, notifications=[told]).exit_code == 0
    wait_for(lambda: deliveries(scene.layout.root / "notifications"))


def test_a_webhook_that_refuses(scene: Scene, receiver: Receiver) -> None:
    receiver.otherwise = status(404, body="no such hook")
    settled(scene, url=f"{receiver.url}/T0KEN-in-the-path")
    top = scene.top().says(
        "failing completed: 2 of 2 batches done", "notifications of channel 1 (webhook) do not arrive"
    )
    top.says("404", "`mozart notify-test")
    assert "T0KEN" not in top.ended.stdout
    receiver.otherwise = status(200)
    scene.write(notifications=[{"type": "webhook", "url": f"{receiver.url}/right"}])
    assert mozart("notify-test", scene.file).exit_code == 0


def test_a_webhook_where_nobody_listens(scene: Scene) -> None:
    settled(scene, url="http://127.0.0.1:9/T0KEN-in-the-path")
    top = scene.top().says("failing completed", "notifications of channel 1 (webhook) do not arrive", "refused")
    top.says("it is still tried", "`mozart notify-test")
    assert "T0KEN" not in top.ended.stdout
