"""The REST API: what it answers, that it answers what it promises, and what it refuses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.notebook_environment import notebook_environment
from support.web import Reply, Web, running_web
from support.web_jobs import SCRIPT, SECRET, job_text, run_job

from mozart_nb.jupyter.server.api import models, queries
from mozart_nb.jupyter.server.api.openapi import document
from mozart_nb.jupyter.server.api.table import RESOURCES
from mozart_nb.jupyter.server.problems import ProblemDocument

API = "/mozart/api"
REVIEW = f"{API}/jobs/review"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server that knows one job that is over: 12 batches, three of them failed."""
    root = tmp_path_factory.mktemp("api")
    jobs = root / "jobs"
    jobs.mkdir()
    run_job(jobs, notebook_environment(root))
    with running_web(root, "standalone") as web:
        yield web


def asked(web: Web, path: str, model: Any, *, status: int = 200, **more: Any) -> Any:
    """The document that is answered, held against the type that the API promises."""
    reply = web.ask(path, **more)
    assert reply.status == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    return promised(reply, model)


def promised(reply: Reply, model: Any) -> Any:
    """The document, which has every field of its type, and no other."""
    found = reply.json()
    assert msgspec.to_builtins(msgspec.convert(found, model)) == found
    return found


def refused(web: Web, path: str, status: int, **more: Any) -> dict[str, Any]:
    """The problem that is answered."""
    reply = web.ask(path, **more)
    assert reply.status == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    msgspec.json.decode(reply.body, type=ProblemDocument)
    found: dict[str, Any] = reply.json()
    assert found["status"] == status
    return found


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_server_says_that_it_is_healthy(served: Web) -> None:
    assert asked(served, "/mozart/health", models.Health)["status"] == "healthy"


def test_jobs_are_listed_a_page_at_a_time(served: Web) -> None:
    found = asked(served, f"{API}/jobs", models.JobList)
    [job] = found["jobs"]
    assert (job["key"], job["status"], job["progress"]["failed"]) == ("review", "failed", 3)
    assert found["counts"] == {"failed": 1}
    assert asked(served, f"{API}/jobs?status=running,paused", models.JobList)["jobs"] == []
    assert asked(served, f"{API}/jobs?q=VIEW&limit=1&sort=name&order=asc", models.JobList)["matching"] == 1


def test_one_job_comes_with_its_config(served: Web) -> None:
    found = asked(served, REVIEW, models.JobDocument)
    assert found["job"]["job_id"] == "review"
    assert found["config"]["batch"]["total_items"] == 12
    assert found["host"] is None
    assert found["text"].startswith("name: review")


def test_the_status_is_the_document_of_the_command(served: Web) -> None:
    found = asked(served, f"{REVIEW}/status?batches=3-4", models.StatusDocument)
    assert sorted(found["batches"]) == ["3", "4"]
    assert found["batches"]["4"]["error_code"] == "E201"
    assert asked(served, f"{REVIEW}/status", models.StatusDocument)["batches_omitted"] == 12
    refused(served, f"{REVIEW}/status?batches=13", 400)


def test_batches_are_filtered_sorted_and_paged(served: Web) -> None:
    found = asked(served, f"{REVIEW}/batches?status=failed&order=desc&limit=2", models.BatchList)
    assert [row["batch"] for row in found["batches"]] == [12, 8]
    assert (found["matching"], found["total"]) == (3, 12)
    assert asked(served, f"{REVIEW}/batches?code=E201&numbers=1-6", models.BatchList)["matching"] == 1


def test_one_batch_has_everything_about_it(served: Web) -> None:
    found = asked(served, f"{REVIEW}/batches/4", models.BatchDocument)
    assert found["batch"]["status"] == "failed"
    assert found["prompt"]["text"].startswith("Review 4")
    assert found["rules"][0]["status"] == "failed"
    assert len(found["attempts"]) == 1
    assert found["question"] is None
    asked(served, f"{REVIEW}/batches/4/output?lines=5", models.Output)
    for number in ("13", "0", "x", "-1", "1.5", "9" * 30):
        refused(served, f"{REVIEW}/batches/{number}", 404)


def test_answers_are_rows_with_typed_columns(served: Web) -> None:
    found = asked(served, f"{REVIEW}/answers?limit=5", models.AnswerList)
    assert len(found["rows"]) == 5
    assert set(found["rows"][0]) == {column["name"] for column in found["columns"]}
    assert found["next_batch"] == 6
    last = asked(served, f"{REVIEW}/answers?first_batch=11", models.AnswerList)
    assert (len(last["rows"]), last["next_batch"]) == (2, None)


def test_events_are_paged_by_their_numbers(served: Web) -> None:
    first = asked(served, f"{REVIEW}/events?limit=10", models.EventList)
    assert [event["seq"] for event in first["events"]] == list(range(1, 11))
    assert first["events"][0]["kind"] == "job.planned"
    rest = asked(served, f"{REVIEW}/events?since={first['next']}&limit=1000", models.EventList)
    assert rest["events"][0]["seq"] == 11
    assert rest["next"] == rest["last_seq"] == first["last_seq"]


def test_what_happened_is_told_in_every_way(served: Web) -> None:
    log = asked(served, f"{REVIEW}/logs?level=ERROR&limit=5", models.LogList)
    assert {line["level"] for line in log["lines"]} == {"ERROR"}
    assert {line["event"] for line in asked(served, f"{REVIEW}/logs?event=batch.f*", models.LogList)["lines"]} == {
        "batch.failed"
    }
    errors = asked(served, f"{REVIEW}/errors?limit=2", models.ErrorList)
    assert (errors["matching"], [group["code"] for group in errors["groups"]]) == (3, ["E201"])
    assert [error["batch"] for error in asked(served, f"{REVIEW}/errors?batch=8", models.ErrorList)["errors"]] == [8]
    assert asked(served, f"{REVIEW}/diagnose", models.Diagnosis)["groups"]
    assert asked(served, f"{REVIEW}/questions", models.QuestionList)["questions"] == []
    [run] = asked(served, f"{API}/history", models.RunList)["runs"]
    assert (run["job_id"], run["failed"]) == ("review", 3)
    assert asked(served, f"{API}/history?job=review&status=completed", models.RunList)["runs"] == []


def test_the_past_can_be_travelled(served: Web) -> None:
    moments = asked(served, f"{REVIEW}/frames", models.Moments)
    assert [mark["kind"] for mark in moments["marks"]] == ["planned", "run", "failed"]
    frame = asked(served, f"{REVIEW}/frames/{moments['last_seq'] // 2}", models.FrameDocument)
    assert frame["status"] == "running"
    assert len(frame["statuses"]) == 12
    assert set(frame["statuses"]) <= set(frame["letters"])


def test_without_a_conductor_the_api_says_so(served: Web) -> None:
    found = asked(served, f"{API}/conductor", models.ConductorDocument)
    assert found["is_running"] is False
    assert "start" in found["said"] or "run" in found["said"]


def test_no_secret_leaves_and_markup_stays_text(served: Web) -> None:
    for resource in RESOURCES:
        if "GET" in resource.operations:
            reply = served.ask("/mozart" + resource.path.format(key="review", number=4))
            assert SECRET not in reply.text, resource.path
            assert SECRET[:30] not in reply.text, resource.path
    assert SCRIPT in asked(served, f"{REVIEW}/batches/1", models.BatchDocument)["answer"]["text"]


# --- job files --------------------------------------------------------------------------------------------------------


def test_a_job_file_is_checked_with_places(served: Web) -> None:
    found = asked(served, f"{API}/validate", models.Validation, method="POST", document={"config": job_text()})
    assert (found["valid"], found["errors"], found["job_id"], found["batches"]) == (True, 0, "review", 12)
    wrong = asked(
        served,
        f"{API}/validate",
        models.Validation,
        method="POST",
        document={"config": "name: x\nretry: {max_retries: no}"},
    )
    assert not wrong["valid"]
    assert any(issue["line"] == 2 for issue in wrong["issues"])
    broken = asked(served, f"{API}/validate", models.Validation, method="POST", document={"config": "name: [x"})
    assert broken["errors"] >= 1


def test_checking_executes_nothing(served: Web, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    text = (
        job_text()
        .replace("batch:", f"items: {{command: 'touch {touched}; echo 1'}}\nbatch:")
        .replace(", total_items: 12", "")
    )
    asked(served, f"{API}/validate", models.Validation, method="POST", document={"config": text})
    assert not touched.exists()


def test_a_job_file_is_rehearsed_without_leaving_a_trace(served: Web) -> None:
    before = sorted(served.folder.rglob("*"))
    body = {"config": job_text("tried"), "show": 2}
    found = asked(served, f"{API}/rehearse", models.Rehearsal, method="POST", document=body)
    assert found["plan"]["total_batches"] == 12
    assert found["prompt"]["text"].startswith("Review 2")
    assert sorted(served.folder.rglob("*")) == before
    problem = refused(served, f"{API}/rehearse", 422, method="POST", document={"config": "name: x\nbatch: {size: no}"})
    assert problem["mistakes"]


@pytest.mark.parametrize("folder", ["..", "/etc", "../..", "nowhere", "a\0b", "\ud800"])
def test_a_job_file_cannot_be_put_anywhere(served: Web, folder: str) -> None:
    body = json.dumps({"config": job_text(), "folder": folder}).encode()
    reply = served.ask(f"{API}/validate", "POST", body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 400


# --- refusing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["nope=1", "limit=x", "limit=0", "limit=501", "limit=", "limit=1&limit=2", "offset=-1", "sort=size", "status=happy",
     "order=up", "q=%ff", f"q={'x' * 201}"],
)  # fmt: skip
def test_a_query_that_is_not_understood_is_refused(served: Web, query: str) -> None:
    assert "query" in refused(served, f"{API}/jobs?{query}", 400)["detail"]


def test_what_does_not_exist_is_not_found(served: Web) -> None:
    for path in ("jobs/nope", "jobs/nope/batches", "jobs/nope/events", "nope", "jobs/review/nope", "jobs//"):
        refused(served, f"{API}/{path}", 404)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"config": 1}', 400),
        (b'{"config": ""}', 400),
        (b'{"config": "x", "nope": 1}', 400),
        (b"[" * 100_000, 400),
    ],
)
def test_a_body_that_is_not_understood_is_refused(served: Web, body: bytes, status: int) -> None:
    refused(served, f"{API}/validate", status, method="POST", body=body, headers={"Content-Type": "application/json"})


def test_only_json_is_taken(served: Web) -> None:
    refused(served, f"{API}/validate", 415, method="POST", body=b"config=x")


def test_methods_that_an_address_does_not_have_are_named(served: Web) -> None:
    reply = served.ask(f"{API}/jobs", "DELETE")
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert reply.headers["content-type"] == "application/problem+json"
    options = served.ask(REVIEW, "OPTIONS")
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_an_action_that_makes_no_sense_is_refused_before_anything_is_started(served: Web) -> None:
    for body, status in (
        ({"action": "pause"}, 409),
        ({"action": "answer", "batches": [1], "reply": "proceed"}, 409),
        ({"action": "answer"}, 400),
        ({"action": "answer", "batches": [1, 2], "reply": "skip"}, 400),
        ({"action": "modify"}, 400),
        ({"action": "resume", "config": "name: x"}, 400),
    ):
        refused(served, f"{REVIEW}/actions", status, method="POST", document=body)
    refused(served, f"{REVIEW}/actions", 400, method="POST", document={"action": "explode"})
    refused(served, f"{API}/jobs/nope/actions", 404, method="POST", document={"action": "pause"})
    assert asked(served, f"{API}/conductor", models.ConductorDocument)["is_running"] is False


def test_a_job_file_with_mistakes_starts_nothing(served: Web) -> None:
    problem = refused(served, f"{API}/jobs", 422, method="POST", document={"config": "name: x\nbatch: {size: 0}"})
    assert problem["mistakes"][0]["line"] == 2
    assert asked(served, f"{API}/conductor", models.ConductorDocument)["is_running"] is False


# --- as HTTP wants it -------------------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(served: Web) -> None:
    for path in (f"{API}/jobs", REVIEW, f"{REVIEW}/batches?limit=12", f"{REVIEW}/answers", "/mozart/openapi.json"):
        first = served.ask(path)
        again = served.ask(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert served.ask(REVIEW, headers={"If-None-Match": '"other"'}).status == 200


def test_long_answers_are_compressed_for_those_who_read_that(served: Web) -> None:
    plain = served.ask("/mozart/openapi.json")
    packed = served.ask("/mozart/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 5


def test_head_answers_as_get_does_without_the_body(served: Web) -> None:
    for path in (f"{API}/jobs", REVIEW, f"{REVIEW}/events"):
        whole, head = served.ask(path), served.ask(path, "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]


def test_a_request_does_not_wait_for_the_slow_ones(served: Web) -> None:
    began = time.monotonic()
    for _ in range(20):
        served.ask(f"{API}/jobs")
    assert time.monotonic() - began < 10


# --- described --------------------------------------------------------------------------------------------------------


def test_the_description_is_sent_and_explained_on_a_page(served: Web) -> None:
    sent = served.ask("/mozart/openapi.json").json()
    assert sent == json.loads(json.dumps(document()))
    page = served.ask("/mozart/docs")
    assert page.status == 200
    for operation in (one for methods in sent["paths"].values() for one in methods.values()):
        assert f'id="{operation["operationId"]}"' in page.text
    for name in sent["components"]["schemas"]:
        assert f'id="schema-{name}"' in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")


def test_every_query_of_the_table_is_described() -> None:
    for resource in RESOURCES:
        for method, operation in resource.operations.items():
            described = document()["paths"][resource.path][method.lower()]
            names = {one["name"] for one in described["parameters"] if one["in"] == "query"}
            assert names == set(operation.query.__struct_fields__)
            assert ("requestBody" in described) == (operation.body is not None)
            assert issubclass(operation.query, queries.Query)
