"""Pages of real jobs from a real server: what people read on them, and what their addresses can ask for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.html_pages import Page
from support.notebook_environment import notebook_environment
from support.scale import scaled
from support.web import Web, running_web

PLANTED = "<script>alert('planted')</script>"
LARGE = scaled(100_000, 1_500)
ADDRESSES = (
    "/", "/?status=failed&q=plant&sort=cost", "/history", "/history?job=planted", "/new", "/jobs/planted",
    "/jobs/planted/run", "/jobs/planted/run?at=9&status=failed", "/jobs/planted/run?log=2", "/jobs/planted/batches/1",
    "/jobs/planted/batches/2",
)  # fmt: skip


def job(name: str, batches: int, **sections: Any) -> dict[str, Any]:
    return {
        "name": name,
        "workspace": f"./{name}",
        "backend": {"type": "rehearsal"},
        "batch": {"size": 1, "total_items": batches},
        "parallel": {"enabled": True, "max_concurrent": min(100, batches), "fail_fast": False},
        "prompt": {"template": "say {{ batch_num }}"},
        "retry": {"max_retries": 0},
        "rehearsal": {"latency_seconds": 0.0},
        **sections,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server with a job full of hostile texts, of which batch 2 failed, and a large one."""
    root = tmp_path_factory.mktemp("pages")
    environ = notebook_environment(root)
    planted = job(
        "planted",
        60,
        description=PLANTED,
        prompt={"template": f"{PLANTED} {{{{ batch_num }}}}"},
        rehearsal={"latency_seconds": 0.0, "answer": PLANTED, "script": {2: [{"crash": {"message": PLANTED}}]}},
    )
    for one, code in ((planted, 1), (job("large", LARGE), 0)):
        file = root / f"{one['name']}.yaml"
        file.write_text(yaml.safe_dump(one), encoding="utf-8")
        command = [sys.executable, "-m", "mozart_nb", "run", str(file)]
        ended = subprocess.run(command, env=environ, cwd=root, capture_output=True, text=True, check=False)
        assert ended.returncode == code, ended.stderr
    with running_web(root, "standalone") as web:
        yield web


def page(server: Web, address: str, status: int = 200) -> Page:
    answer = server.ask(f"/mozart{address}")
    assert answer.status == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return Page(answer.text)


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_a_model_wrote_stays_text_on_every_page(server: Web, address: str) -> None:
    found = page(server, address)
    assert not found.problems
    scripts = [one.get("src", "") for one in found.tags("script")]
    assert len(scripts) == 2
    assert all("/static/mozart_nb/" in (src or "") for src in scripts)
    for tag, attributes in found.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")], tag


def test_hostile_texts_can_be_read_where_they_belong(server: Web) -> None:
    assert PLANTED in page(server, "/jobs/planted").text  # the description
    assert PLANTED in page(server, "/jobs/planted/run").text  # why batch 2 failed
    answered = page(server, "/jobs/planted/batches/1").text
    assert answered.count(PLANTED) >= 2  # prompt and answer
    assert PLANTED in page(server, "/jobs/planted/batches/2").text


def test_a_script_runs_only_with_the_nonce_of_its_page(server: Web) -> None:
    first, second = (server.ask("/mozart/") for _ in range(2))
    for answer in (first, second):
        nonces = {one["nonce"] for one in Page(answer.text).tags("script")}
        assert len(nonces) == 1
        assert f"'nonce-{nonces.pop()}'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert first.headers["content-security-policy"] != second.headers["content-security-policy"]


def test_the_list_of_jobs_is_filtered_by_its_address(server: Web) -> None:
    everything = page(server, "/").text
    assert "planted" in everything
    assert "large" in everything
    failed = page(server, "/?status=failed").text
    assert "planted" in failed
    assert "large" not in failed
    assert "No job fits" in page(server, "/?q=nothing-has-this-name").text
    assert "planted" in page(server, "/?status=nonsense&sort=nonsense&page=0").text


def test_the_batches_of_a_job_are_filtered_sorted_and_paged_by_the_address(server: Web) -> None:
    def rows(query: str) -> list[str]:
        found = page(server, f"/jobs/planted/run?{query}").elements
        return [str(one.get("id")) for tag, one in found if tag == "tr" and str(one.get("id")).startswith("row-")]

    assert rows("status=failed") == ["row-2"]
    assert rows("numbers=3,7-8") == ["row-3", "row-7", "row-8"]
    assert rows("sort=-batch")[:2] == ["row-60", "row-59"]
    assert rows("page=3") == [f"row-{number}" for number in range(51, 61)]
    assert rows("q=planted") == ["row-2"]
    told = page(server, "/jobs/planted/run?numbers=nonsense").text
    assert "nonsense" in told
    assert "1–25 of 60 batches" in told


def test_a_failed_job_says_why_and_what_helps_on_its_pages(server: Web) -> None:
    overview = page(server, "/jobs/planted")
    assert "E402" in overview.text
    assert "What helps:" in overview.text
    assert "mozart resume planted" in overview.text
    actions = [one["data-action"] for one in overview.tags("button") if "data-action" in one]
    assert actions == ["resume", "retry"]
    batch = page(server, "/jobs/planted/batches/2")
    assert "E402" in batch.text
    [retry] = [one for one in batch.tags("button") if "data-action" in one]
    assert (retry["data-action"], retry["data-batches"]) == ("retry", "2")


def test_the_past_of_a_job_has_addresses(server: Web) -> None:
    then = page(server, "/jobs/planted/run?at=9")
    assert "This is how it was at" in then.text
    assert not [one for one in then.tags("button") if "data-action" in one]
    [main] = then.tags("main")
    assert "data-live" not in main
    assert "This is how it was at" not in page(server, "/jobs/planted/run?at=999999").text


def test_a_page_in_pieces_is_sent_once_as_long_as_nothing_changes(server: Web) -> None:
    address = "/mozart/jobs/planted/run?fragment=1&status=failed"
    first = server.ask(address)
    assert not Page(first.text).tags("script")
    again = server.ask(address, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_what_is_not_there_is_said_on_a_page_that_leads_back(server: Web) -> None:
    for address in (
        "/jobs/nobody",
        "/jobs/nobody/run",
        "/jobs/planted/batches/61",
        "/jobs/planted/nonsense",
        "/nonsense",
    ):
        missing = page(server, address, 404)
        assert "/mozart/" in {one.get("href") for one in missing.tags("a")}
        assert len(missing.tags("h1")) == 1
    assert "no batch 61" in page(server, "/jobs/planted/batches/61", 404).text


def test_the_field_beside_the_map_leads_to_a_batch(server: Web) -> None:
    answer = server.ask("/mozart/jobs/planted/batches?number=7")
    assert (answer.status, answer.headers["location"]) == (302, "/mozart/jobs/planted/batches/7")
    assert server.ask("/mozart/jobs/planted/batches").headers["location"] == "/mozart/jobs/planted/run#batches"


def test_the_history_of_a_job_leads_back_to_it(server: Web) -> None:
    told = page(server, "/history?job=planted")
    assert "Runs of planted" in told.text
    assert "1 run" in told.text
    assert "/mozart/jobs/planted" in {one.get("href") for one in told.tags("a")}
    assert "No runs fit" in page(server, "/history?job=nobody").text
    assert "nonsense" in page(server, "/history?since=nonsense").text


def test_pages_of_a_large_job_are_quick_once_it_is_known(server: Web) -> None:
    deadline = time.monotonic() + 60
    while "is being read" in page(server, "/jobs/large/run").text:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for address in ("/", "/jobs/large", "/jobs/large/run", "/jobs/large/run?status=failed&sort=-cost"):
        took = []
        for _ in range(5):
            began = time.perf_counter()
            assert len(server.ask(f"/mozart{address}").body) < 150_000
            took.append(time.perf_counter() - began)
        assert min(took) < 0.3, address


def test_the_files_of_pages_are_ours_and_small(server: Web) -> None:
    folder = Path(__file__).parents[2] / "src" / "mozart_nb" / "jupyter" / "server" / "static"
    files = [path for path in folder.iterdir() if path.suffix in (".css", ".js", ".svg")]
    for path in files:
        answer = server.ask(f"/static/mozart_nb/{path.name}", signed_in=False)
        assert answer.status == 200
        assert "http://" not in answer.text.replace("http://www.w3.org/", "")
        assert "https://" not in answer.text
    assert sum(path.stat().st_size for path in files) < 80_000
