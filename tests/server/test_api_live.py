"""The REST API on jobs that run: events as they happen, and everything that can be asked of a job."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.conductor import Conductor
from support.notebook_environment import notebook_environment
from support.web import PATIENCE_SECONDS, Web, running_web
from support.web_jobs import job_text, start_job

API = "/mozart/api"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server whose conductor is ended with it."""
    root = tmp_path_factory.mktemp("live")
    conductor = Conductor(notebook_environment(root))
    try:
        with running_web(root, "standalone") as web:
            yield web
    finally:
        conductor.close()


@contextlib.contextmanager
def streaming(web: Web, key: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """An open event stream."""
    connection = http.client.HTTPConnection(web.host, web.port, timeout=PATIENCE_SECONDS)
    sent = {"Authorization": f"token {web.token}", "Accept": "text/event-stream", **headers}
    with contextlib.closing(connection):
        connection.request("GET", f"{web.base}{API}/jobs/{key}/events", headers=sent)
        yield connection.getresponse()


def messages(response: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    """Server-sent events, comments left out."""
    found: dict[str, str] = {}
    while line := response.readline().decode():
        name, _, value = line.rstrip("\n").partition(": ")
        if line == "\n":
            if "data" in found:
                yield found
            found = {}
        elif name:
            found[name] = value


def until(what: Callable[[], Any]) -> Any:
    """What `what` returns once that is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


def status(web: Web, key: str) -> str:
    reply = web.ask(f"{API}/jobs/{key}")
    return str(reply.json()["job"]["status"]) if reply.status == 200 else ""


def test_a_stream_tells_every_event_once_and_ends_with_how_the_job_stands(live: Web) -> None:
    folder = live.root / "jobs"
    folder.mkdir(exist_ok=True)
    process = start_job(folder, live.environ, "streamed", batches=8, latency=0.2)
    try:
        until(lambda: live.ask(f"{API}/jobs/streamed").status == 200)
        seen: list[int] = []
        with streaming(live, "streamed", **{"Last-Event-ID": "0"}) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            for message in messages(response):
                if "event" not in message:
                    seen.append(int(message["id"]))
                elif message["event"] == "status" and json.loads(message["data"])["status"] == "failed":
                    break
        last = live.ask(f"{API}/jobs/streamed/events").json()["last_seq"]
        assert seen == list(range(1, last + 1))
    finally:
        process.kill()
        process.wait()


def test_a_client_that_comes_back_goes_on_where_it_was(live: Web) -> None:
    last = live.ask(f"{API}/jobs/streamed/events").json()["last_seq"]
    with streaming(live, "streamed", **{"Last-Event-ID": str(last - 3)}) as response:
        found = messages(response)
        assert [int(next(found)["id"]) for _ in range(3)] == [last - 2, last - 1, last]
        assert next(found)["event"] == "status"
    with streaming(live, "streamed", **{"Last-Event-ID": str(last + 1000)}) as response:
        assert next(messages(response))["event"] == "reset"


def test_a_stream_of_a_job_that_is_not_known_is_a_problem(live: Web) -> None:
    with streaming(live, "nope") as response:
        assert response.status == 404
        assert response.headers["Content-Type"] == "application/problem+json"


def test_a_job_is_created_paused_resumed_retried_and_cancelled(live: Web) -> None:
    reply = live.ask(f"{API}/jobs", "POST", document={"config": job_text("sent", batches=30, latency=0.3)})
    assert reply.status == 201, reply.text
    created = reply.json()
    assert created["decision"] in ("run", "queued")
    assert reply.headers["location"] == f"{live.base}{API}/jobs/{created['key']}".replace("//", "/")
    assert Path(created["workspace"]) == live.folder / "sent"
    assert created["notices"][0].startswith("job.yaml:2:14: V129")

    def act(**body: Any) -> dict[str, Any]:
        answer = live.ask(f"{API}/jobs/sent/actions", "POST", document=body)
        assert answer.status == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    until(lambda: status(live, "sent") == "running")
    assert act(action="pause")["via"] == "host"
    until(lambda: status(live, "sent") == "paused")
    assert act(action="resume")["via"] == "conductor"
    until(lambda: status(live, "sent") == "running")
    until(lambda: live.ask(f"{API}/jobs/sent/batches?status=failed").json()["matching"])
    act(action="retry", batches=[4])
    until(lambda: live.ask(f"{API}/jobs/sent/batches/4").json()["batch"]["attempts"] >= 2)
    act(action="cancel")
    until(lambda: status(live, "sent") == "cancelled")
    conductor = live.ask(f"{API}/conductor").json()
    assert conductor["is_running"]
    assert conductor["figures"]


def test_a_job_gets_a_new_config_and_goes_on(live: Web) -> None:
    body = {"config": job_text("changed", batches=4)}
    assert live.ask(f"{API}/jobs", "POST", document=body).status == 201
    until(lambda: status(live, "changed") == "failed")
    better = job_text("changed", batches=4).replace("'bad' if batch_num % 4 == 0 else ", "")
    reply = live.ask(f"{API}/jobs/changed/actions", "POST", document={"action": "modify", "config": better})
    assert reply.status == 202, reply.text
    until(lambda: status(live, "changed") == "completed")


def test_a_job_that_is_done_is_not_begun_again(live: Web) -> None:
    body = {"config": job_text("done", batches=3)}
    assert live.ask(f"{API}/jobs", "POST", document=body).status == 201
    until(lambda: status(live, "done") == "completed")
    again = live.ask(f"{API}/jobs", "POST", document=body)
    assert (again.status, again.json()["decision"]) == (200, "nothing")


def test_a_rehearsal_runs_in_a_scratch_folder(live: Web) -> None:
    body = {"config": job_text("tried", batches=3).replace("type: rehearsal", "type: claude_cli"), "rehearse": True}
    reply = live.ask(f"{API}/jobs", "POST", document=body)
    assert reply.status == 201, reply.text
    assert not (live.folder / "tried").exists()
    until(lambda: status(live, reply.json()["key"]) in ("completed", "failed"))


QUESTION = """\
name: asked
workspace: ./asked
backend: {type: rehearsal}
batch: {size: 1, total_items: 3}
prompt: {template: "Delete {{ batch_num }}"}
rehearsal: {answer: fine, latency_seconds: 0}
checkpoints: {enabled: true, triggers: [{name: sure, sheet_nums: [2], requires_confirmation: true, message: 'really?'}]}
"""


def test_a_question_is_answered(live: Web) -> None:
    reply = live.ask(f"{API}/jobs", "POST", document={"config": QUESTION})
    assert reply.status == 201, reply.text
    [question] = until(lambda: live.ask(f"{API}/jobs/asked/questions").json().get("questions"))
    assert (question["batch"], question["kind"]) == (2, "confirmation")
    assert "proceed" in question["choices"]
    assert live.ask(f"{API}/jobs/asked/batches/2").json()["question"] == question
    waiting = {job["key"]: job["open_questions"] for job in live.ask(f"{API}/jobs").json()["jobs"]}
    assert waiting["asked"] == 1
    answer = {"action": "answer", "batches": [2], "reply": "proceed"}
    assert live.ask(f"{API}/jobs/asked/actions", "POST", document=answer).status == 202
    until(lambda: status(live, "asked") == "completed")
