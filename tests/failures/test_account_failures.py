"""Failures of the account and on the way to it: key, model, limits, money, address."""

from __future__ import annotations

import signal

import pytest
from support.anthropic_server import Reply, refuse, text
from support.commands import Started
from support.scenes import ONE, Scene


@pytest.mark.real_claude
def test_a_key_that_claude_uses_and_the_service_refuses(real_scene: Scene) -> None:
    real_scene.answers(refuse(401, "invalid x-api-key"))
    assert real_scene.run(backend=real_scene.real(), batch=ONE).exit_code == 1
    top = real_scene.top().says("E501", "Invalid API key", "the key in ANTHROPIC_API_KEY", real_scene.served.url)
    top.says("put a valid key into ANTHROPIC_API_KEY, or unset it and log in with `claude /login`")
    real_scene.answers(text("done"))
    assert top.followed().exit_code == 0


@pytest.mark.real_claude
def test_nobody_is_logged_in(real_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert real_scene.run(backend=real_scene.real()).exit_code == 1
    top = real_scene.top().says("E501", "Not logged in")
    top.says("log in with `claude /login`, or set ANTHROPIC_API_KEY, then `mozart resume failing`")


def test_a_key_that_the_messages_api_refuses(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "refused-key")
    scene.answers(refuse(401, "invalid x-api-key"))
    assert scene.run(backend=scene.api(api_key_env="MY_KEY")).exit_code == 1
    top = scene.top().says("E501", "invalid x-api-key", "HTTP 401", "the key in MY_KEY", scene.served.url)
    top.says("put a valid key into MY_KEY, then `mozart resume failing`")
    scene.answers(text("done"))
    assert top.followed().exit_code == 0


def test_a_variable_without_a_key(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert scene.run(backend=scene.api()).exit_code == 1
    assert scene.served.calls == []
    top = scene.top().says("E501", "the environment variable ANTHROPIC_API_KEY is not set")
    top.says("put a valid key into ANTHROPIC_API_KEY, then `mozart resume failing`")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "now-there-is-one")
    assert top.followed().exit_code == 0


@pytest.mark.real_claude
def test_a_model_that_claude_cannot_have(real_scene: Scene) -> None:
    real_scene.answers(refuse(404, "model: claude-nobody-1"))
    assert real_scene.run(backend=real_scene.real(cli_model="claude-nobody-1")).exit_code == 1
    top = real_scene.top().says("E504", "the model `claude-nobody-1` does not exist")
    top.says("correct backend.cli_model, then `mozart resume failing --reload-config`")


def test_a_model_that_the_messages_api_does_not_have(scene: Scene) -> None:
    scene.answers(refuse(404, "model: claude-nobody-1"))
    assert scene.run(backend=scene.api(model="claude-nobody-1")).exit_code == 1
    top = scene.top().says("E504", "the model `claude-nobody-1` does not exist", "HTTP 404")
    top.says("correct backend.model, then `mozart resume failing --reload-config`")
    scene.write(backend=scene.api())
    scene.answers(text("done"))
    assert top.followed().exit_code == 0


def test_a_rate_limit_for_an_hour_while_it_is_waited_for_and_after_a_pause(scene: Scene) -> None:
    scene.answers(refuse(429, "Number of requests has exceeded your rate limit", retry_after="3600"))
    scene.write(backend=scene.api())
    with Started("run", scene.file, cwd=scene.folder) as host:
        host.until("job.waiting")
        top = scene.top().says("failing waiting", "E101", "Number of requests has exceeded your rate limit")
        top.says("known from retry-after", "nothing: it goes on by itself at ", "in 1 h", "`mozart limits --clear`")
        host.signal(signal.SIGINT)
        assert host.end().exit_code == 3
    top = scene.top().says("failing paused", "Asked to pause", "cause: E101 API rate limit, until ")
    top.says("if the limit is known to be over, `mozart limits --clear`", "else it waits until ")
    assert top.command == ["resume", "failing"]


@pytest.mark.real_claude
def test_a_cost_limit(real_scene: Scene) -> None:
    """The real program says what a session cost; after the first one the limit is passed."""
    real_scene.answers(text("done"))
    limits = {"max_cost_per_job": 0.001}
    assert real_scene.run(backend=real_scene.real(), cost_limits=limits).exit_code == 3
    top = real_scene.top().says("failing paused", "E506", "0.0074 USD of 0.001 USD")
    top.says("raise cost_limits.max_cost_per_job, then `mozart resume failing --reload-config`")
    real_scene.write(backend=real_scene.real(), cost_limits={"max_cost_per_job": 1.0})
    assert top.followed().exit_code == 0


def test_credit_that_is_used_up(scene: Scene) -> None:
    scene.answers(refuse(400, "Your credit balance is too low to access the Anthropic API."))
    assert scene.run(backend=scene.api()).exit_code == 3
    top = scene.top().says("failing paused", "E506", "Your credit balance is too low")
    top.says("pay for more credit, then `mozart resume failing`")
    scene.answers(text("done"))
    assert top.followed().exit_code == 0


@pytest.mark.real_claude
def test_an_address_where_claude_reaches_nobody(real_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://name:secret@127.0.0.1:9")
    assert real_scene.run(backend=real_scene.real()).exit_code == 1
    top = real_scene.top().says("E002", "ConnectionRefused", "http://127.0.0.1:9 (ANTHROPIC_BASE_URL)")
    top.says("see whether http://127.0.0.1:9 (ANTHROPIC_BASE_URL) is right and can be reached from here")
    top.says("then `mozart resume failing`")
    assert "secret" not in top.ended.stdout


def test_an_address_where_the_messages_api_reaches_nobody(scene: Scene) -> None:
    assert scene.run(backend=scene.api(base_url="http://127.0.0.1:9")).exit_code == 1
    top = scene.top().says("E002", "http://127.0.0.1:9 cannot be reached", "Connect call failed")
    top.says("see whether http://127.0.0.1:9 is right and can be reached from here", "then `mozart resume failing`")


def test_an_address_where_nobody_is_reached_while_it_is_tried_again(scene: Scene) -> None:
    patient = {"max_retries": 3, "base_delay_seconds": 600, "jitter": False}
    scene.write(backend=scene.api(base_url="http://127.0.0.1:9"), batch=ONE, retry=patient)
    with Started("run", scene.file, cwd=scene.folder) as host:
        host.until("batch.retrying")
        top = scene.top().says("it goes on trying after 1 failed attempt with E002", "http://127.0.0.1:9")
        top.says("next: nothing as long as another attempt helps; else see whether http://127.0.0.1:9 is right")
        host.process.kill()


def test_an_address_that_is_somebody_else(scene: Scene) -> None:
    stranger = Reply(status=404, raw="<h1>Nothing here</h1>", content_type="text/html")
    scene.served.describe = lambda model: stranger
    scene.answers(stranger)
    assert scene.run(backend=scene.api()).exit_code == 1
    top = scene.top().says("E502", f"{scene.served.url} does not answer like the Messages API", "Nothing here")
    top.says("correct the address (backend.base_url, or", "then `mozart resume failing --reload-config`")
    scene.answers(text("done"))
    assert top.followed().exit_code == 0
