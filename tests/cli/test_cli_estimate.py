"""`estimate`, and the cost that a dry run shows: from texts, counts, history and prices, and never invented."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.anthropic_server import AnthropicServer
from support.checkpoints import open_store
from support.commands import mozart, write_job
from support.engine import OK, World

from mozart_nb import events as ev
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine.fold import apply
from mozart_nb.job.estimates import Span, Work, assumed_answer, cost, guessed, measured
from mozart_nb.job.prices import shipped

SONNET = "claude-sonnet-5"


def api_job(folder: Path, *, batches: int = 100, **sections: Any) -> Path:
    backend = {"type": "anthropic_api", "model": SONNET, **sections.pop("backend", {})}
    whole = {"batch": {"size": 1, "total_items": batches}, "prompt": {"template": "word " * 2000 + "{{ start_item }}"}}
    return write_job(folder, backend=backend, **{**whole, **sections})


def estimate(file: Path, *options: str) -> dict[str, Any]:
    ended = mozart("estimate", file, "--json", *options)
    assert ended.exit_code == 0, ended
    document: dict[str, Any] = ended.document
    return document


def keep(layout: Layout, backend: str, *, answers: list[int], cost_usd: float | None, model: str = SONNET) -> None:
    """Leave a job whose batches answered with so many tokens on disk."""
    outcomes = {
        number: [msgspec.structs.replace(OK, cost_usd=cost_usd, model=model, usage=ev.Usage(100, tokens))]
        for number, tokens in enumerate(answers, 1)
    }
    there = World(len(answers), outcomes)
    there.run()
    asyncio.run(_write(layout, there.store.durable, backend))


async def _write(layout: Layout, events: list[ev.Event], backend: str) -> None:
    store, loaded = await open_store(layout)
    for event in events:
        if isinstance(event, ev.JobPlanned):
            event = msgspec.structs.replace(event, job_id=layout.job_id, backend=backend)
        apply(loaded.state, event)
        store.append(event, loaded.state)
    await store.commit(loaded.state)
    await store.close()


# --- the sums ---------------------------------------------------------------------------------------------------------


def exactly(value: float) -> Span:
    return Span(value, value, value)


def test_a_cost_is_the_sum_of_its_sessions() -> None:
    work = Work(SONNET, 10, exactly(1_000_000), exactly(1_000_000))
    assert cost(work, shipped()[SONNET]) == exactly(120.0)
    assert cost(work, shipped()[SONNET], is_batch=True) == exactly(60.0)


def test_a_shared_prefix_is_written_once_and_read_by_all_others() -> None:
    work = Work(SONNET, 11, exactly(1_000_000), exactly(0), shared_tokens=1_000_000)
    found = cost(work, shipped()[SONNET], caches=True)
    assert found.expected == pytest.approx(2.5 + 10 * 0.2)
    assert found.high == pytest.approx(22.0)
    assert cost(work, shipped()[SONNET], caches=True, is_batch=True).expected == pytest.approx(11.0)


def test_a_prefix_that_the_cache_would_not_keep_saves_nothing() -> None:
    work = Work(SONNET, 11, exactly(2000), exactly(0), shared_tokens=1023)
    assert cost(work, shipped()[SONNET], caches=True) == cost(work, shipped()[SONNET])


def test_figures_from_history_are_as_sure_as_their_number_and_spread() -> None:
    few, many = measured([90, 110, 100]), measured([90, 110, 100] * 100)
    assert few is not None
    assert many is not None
    assert few.expected == many.expected == 100
    assert many.high - many.low <= few.high - few.low
    assert many.low == 90
    assert measured([7]) == Span(0, 7, 21)
    assert measured([]) is None


def test_assumed_answers_never_pass_max_tokens() -> None:
    assert assumed_answer(10_000, 8192) == Span(625, 2500, 8192)
    assert assumed_answer(10, 100) == Span(25, 100, 100)
    assert guessed(100, 0.3) == Span(70, 100, 130)


# --- the command ------------------------------------------------------------------------------------------------------


def test_an_estimate_gives_both_ways_through_the_api_and_batches_cost_half(tmp_path: Path) -> None:
    document = estimate(api_job(tmp_path, backend={"prompt_caching": False}))
    api, batches = document["estimates"]
    assert (api["backend"], batches["backend"]) == ("anthropic_api", "anthropic_batches")
    assert batches["cost_usd"]["expected"] == pytest.approx(api["cost_usd"]["expected"] / 2)
    assert 0 < api["cost_usd"]["low"] < api["cost_usd"]["expected"] < api["cost_usd"]["high"]
    assert api["models"] == [SONNET]
    assert document["sessions"] == 100
    assert document["prompts"]["estimated_from"] == "the characters of the prompts, ±30 %"
    assert document["answers"]["estimated_from"].startswith("no history")
    assert document["prices"]["as_of"] >= "2026-11-12"


def test_the_expected_cost_is_what_the_prices_say_of_the_expected_tokens(tmp_path: Path) -> None:
    document = estimate(api_job(tmp_path, backend={"prompt_caching": False}))
    tokens = document["prompts"]["tokens"]["expected"] * 2 + document["answers"]["tokens"]["expected"] * 10
    assert document["estimates"][0]["cost_usd"]["expected"] == pytest.approx(tokens / 1_000_000, rel=0.01)


def test_a_beginning_that_all_prompts_share_is_reckoned_with(tmp_path: Path) -> None:
    with_cache = estimate(api_job(tmp_path))["estimates"][0]
    without = estimate(api_job(tmp_path, backend={"prompt_caching": False}))["estimates"][0]
    assert with_cache["cache_saves_usd"] > 0
    assert with_cache["cost_usd"]["expected"] == pytest.approx(
        without["cost_usd"]["expected"] - with_cache["cache_saves_usd"], abs=1e-5
    )
    assert "the prompt cache saves" in mozart("estimate", api_job(tmp_path)).stdout


def test_without_a_key_nobody_is_asked(tmp_path: Path) -> None:
    with AnthropicServer().in_thread() as server:
        document = estimate(api_job(tmp_path, backend={"base_url": server.url}))
    assert document["counting_failed"] is None
    assert document["prompts"]["estimated_from"].endswith("±30 %")


def test_with_a_key_the_api_counts_some_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")
    with AnthropicServer().in_thread() as server:
        file = api_job(tmp_path, backend={"base_url": server.url})
        document = estimate(file)
        offline = estimate(file, "--offline")
        assert server.calls == [], "counting must not be asking"
    assert document["prompts"]["estimated_from"] == "the API's own count of 20 prompts"
    each = document["prompts"]["tokens_each"]
    assert each["expected"] == pytest.approx(2535, rel=0.05)  # the server counts a token for four bytes of the request
    assert offline["prompts"]["estimated_from"].endswith("±30 %")


def test_an_api_that_does_not_count_is_said_and_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy-secret")
    ended = mozart("estimate", api_job(tmp_path, backend={"base_url": "http://127.0.0.1:9"}))
    assert ended.exit_code == 0, ended
    assert "did not count tokens" in ended.stderr
    assert "estimated instead" in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr


def test_answers_of_completed_batches_are_what_further_answers_are_taken_for(tmp_path: Path) -> None:
    file = api_job(tmp_path, batches=10)
    keep(Layout(tmp_path / "ws", "demo"), "anthropic_api", answers=[400, 500, 600], cost_usd=0.01)
    document = estimate(file)
    assert document["done"] == 3
    assert document["sessions"] == 7
    assert document["answers"]["tokens_each"]["expected"] == 500
    assert document["answers"]["estimated_from"] == "3 completed batches of this job"


def test_without_history_of_its_own_a_job_learns_from_its_workspace(tmp_path: Path) -> None:
    keep(Layout(tmp_path / "ws", "other"), "anthropic_batches", answers=[700] * 4, cost_usd=0.01)
    keep(Layout(tmp_path / "ws", "third"), "anthropic_api", answers=[9], cost_usd=0.01, model="claude-opus-5")
    document = estimate(api_job(tmp_path))
    assert document["answers"]["tokens_each"]["expected"] == 700
    assert document["answers"]["estimated_from"] == "4 completed batches of other jobs in this workspace"


def test_sessions_of_the_program_cost_what_they_cost_before_or_nobody_knows(tmp_path: Path) -> None:
    file = write_job(tmp_path, backend={"type": "claude_cli"})
    [way] = estimate(file)["estimates"]
    assert way["cost_usd"] is None
    assert way["cost_from"].startswith("unknown: sessions use tools")
    assert "unknown" in mozart("estimate", file).stdout
    keep(Layout(tmp_path / "ws", "demo"), "claude_cli", answers=[10, 10], cost_usd=0.25)
    [way] = estimate(file)["estimates"]
    assert way["cost_usd"]["expected"] == 0.75
    assert way["cost_from"] == "2 completed batches of this job"


def test_a_rehearsal_costs_what_the_job_file_says(tmp_path: Path) -> None:
    rehearsal = {"latency_seconds": 2, "usage": {"cost_usd": 0.5}}
    [way] = estimate(write_job(tmp_path, rehearsal=rehearsal))["estimates"]
    assert way["cost_usd"] == {"low": 2.5, "expected": 2.5, "high": 2.5}
    assert way["seconds"] == {"low": 10.0, "high": 10.0}


def test_a_model_without_a_price_has_no_estimate_and_one_of_ones_own_has(tmp_path: Path) -> None:
    file = api_job(tmp_path, backend={"model": "claude-omega-9"})
    assert [way["cost_usd"] for way in estimate(file)["estimates"]] == [None, None]
    file = api_job(tmp_path, backend={"model": "claude-omega-9"}, cost_limits={"prices": {"claude-omega-9": [2, 10]}})
    document = estimate(file)
    assert document["estimates"][0]["cost_usd"]["expected"] > 0
    assert document["prices"]["own"] == ["claude-omega-9"]


def test_batches_of_another_model_are_reckoned_with_its_prices(tmp_path: Path) -> None:
    overrides = {number: {"model": "claude-opus-5"} for number in range(1, 51)}
    mixed = estimate(api_job(tmp_path, backend={"batch_overrides": overrides}))
    plain = estimate(api_job(tmp_path))
    assert mixed["sessions"] == 100
    assert sorted(mixed["estimates"][0]["models"]) == ["claude-opus-5", SONNET]
    assert mixed["estimates"][0]["cost_usd"]["expected"] > plain["estimates"][0]["cost_usd"]["expected"] * 1.5


def test_long_jobs_are_estimated_from_an_even_selection_of_prompts(tmp_path: Path) -> None:
    document = estimate(api_job(tmp_path, batches=5000, prompt={"template": "{{ 'x' * start_item }}"}))
    assert document["prompts"]["rendered"] == 2000
    assert document["prompts"]["of"] == 5000
    assert document["prompts"]["tokens_each"]["expected"] == pytest.approx(2500 / 4 * 1.3, rel=0.02)
    ended = mozart("estimate", api_job(tmp_path, batches=5000))
    assert "2,000 of 5,000 prompts were rendered" in ended.stdout


def test_prompts_that_need_a_run_leave_the_cost_unknown(tmp_path: Path) -> None:
    document = estimate(api_job(tmp_path, prompt={"template": "{{ previous_outputs[7] }}"}))
    assert document["estimates"][0]["cost_usd"] is None
    assert "what only a run has" in document["estimates"][0]["cost_from"]


def test_time_follows_from_concurrency_and_the_limits_of_the_job_file(tmp_path: Path) -> None:
    slow = estimate(api_job(tmp_path))["estimates"][0]["seconds"]
    fast = estimate(api_job(tmp_path), "--max-concurrent", "10")["estimates"][0]["seconds"]
    assert fast["low"] == pytest.approx(slow["low"] / 10, rel=0.01)
    limited = estimate(api_job(tmp_path, rate_limit={"requests_per_minute": 1}), "--max-concurrent", "100")
    assert limited["estimates"][0]["seconds"]["low"] == 6000


def test_a_limit_below_the_estimate_is_said(tmp_path: Path) -> None:
    file = api_job(tmp_path, cost_limits={"max_cost_per_job": 0.01})
    assert estimate(file)["is_above_limit"] is True
    assert "will probably pause" in mozart("estimate", file).stderr
    assert estimate(api_job(tmp_path, cost_limits={"max_cost_per_job": 1000}))["is_above_limit"] is False


def test_an_estimate_writes_nothing(tmp_path: Path) -> None:
    file = api_job(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert mozart("estimate", file).exit_code == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_shows_the_expected_cost_of_this_call(tmp_path: Path) -> None:
    file = api_job(tmp_path)
    whole = mozart("run", "-n", file, "--json").document
    pilot = mozart("run", "-n", file, "--limit", "10", "--json").document
    assert whole["cost_usd"] == whole["estimate"]["cost_usd"]["expected"] > 0
    assert pilot["cost_usd"] < whole["cost_usd"] / 5
    assert "cost         about $" in mozart("run", "-n", file).stdout
    assert mozart("run", "-n", write_job(tmp_path), "--json").document["cost_usd"] == 0


@pytest.mark.parametrize("argument", ["nowhere.yaml", "demo"])
def test_what_is_no_job_file_is_refused(tmp_path: Path, argument: str) -> None:
    assert mozart("estimate", tmp_path / argument).exit_code == 2
