"""What sessions cost: the shipped table, prices of a job file, and sums that hold to the cent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recorded import recordings

from mozart_nb.errors import ConfigError
from mozart_nb.events import Usage
from mozart_nb.job.load import load_mapping
from mozart_nb.job.price_table import ALIASES, AS_OF, MODELS, SOURCE
from mozart_nb.job.prices import Charge, Prices, PriceTable, charge, shipped, table_for

RECORDED = Usage(1200, 25, 300, 100)
"""What the recorded server reports for one answer."""


def priced(**prices: Any) -> PriceTable:
    loaded = load_mapping(
        {
            "name": "job",
            "batch": {"size": 1, "total_items": 1},
            "prompt": {"template": "x"},
            "cost_limits": {"prices": prices},
        },
        base_dir="/",
    )
    return table_for(loaded.config)


def refusal(prices: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        priced(**{"claude-x": prices})
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("claude-opus-4-8", 0.0074),
        ("claude-opus-4-8[1m]", 0.0074),
        ("claude-sonnet-4-5-20250929", 0.00444),
        ("claude-haiku-4-5", 0.00148),
        ("claude-haiku-4-5-20251001", 0.00148),
    ],
)
def test_the_table_agrees_with_what_claude_2_1_197_was_recorded_to_charge(model: str, cost: float) -> None:
    assert PriceTable().charge(model, RECORDED) == Charge(cost, PriceTable().charge(model, RECORDED).saved_usd)  # type: ignore[union-attr]


def test_every_recorded_session_of_the_program_is_charged_as_the_table_says() -> None:
    checked = set()
    for recording in recordings().values():
        for model, used in _used(recording.stdout):
            found = PriceTable().charge(model, Usage(*(used[name] for name in _COUNTS)))
            if found is not None and model != "claude-sonnet-5":  # the one model that 2.1.197 has at another price
                assert found.cost_usd == pytest.approx(used["costUSD"], abs=1e-9), (recording.case, model)
                checked.add(model)
    assert len(checked) >= 4


_COUNTS = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")


def _used(stdout: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in stdout.splitlines():
        if b'"modelUsage"' in line:
            with suppress(ValueError):
                read = json.loads(line)
                for record in read if isinstance(read, list) else [read]:
                    yield from (record.get("modelUsage") or {}).items()


@pytest.mark.parametrize(
    "model", ["claude-opus-4-5-20251101", "claude-opus-4-5-latest", "claude-opus-4-5@20251101", " claude-opus-4-5 "]
)
def test_a_snapshot_of_a_model_costs_what_the_model_costs(model: str) -> None:
    assert PriceTable().of(model) == shipped()["claude-opus-4-5"]


@pytest.mark.parametrize(
    "model",
    [
        "",
        "claude",
        "claude-opus",
        "claude-opus-4-9",
        "claude-opus-4-5-turbo",
        "claude-opus-45",
        "gpt-5",
        "sonnet",
        "[]",
    ],
)
def test_a_model_that_only_looks_like_a_known_one_has_no_price(model: str) -> None:
    assert PriceTable().of(model) is None
    assert PriceTable().charge(model, RECORDED) is None


def test_models_whose_names_begin_alike_keep_their_own_prices() -> None:
    assert PriceTable().of("claude-opus-4").input == 15  # type: ignore[union-attr]
    assert PriceTable().of("claude-opus-4-20250514").input == 15  # type: ignore[union-attr]
    assert PriceTable().of("claude-opus-4-5").input == 5  # type: ignore[union-attr]
    assert PriceTable().of("claude-opus-5").input == 5  # type: ignore[union-attr]
    assert PriceTable().of("claude-opus-5-5").input == 4  # type: ignore[union-attr]


def test_the_table_says_when_and_where_it_was_read() -> None:
    assert AS_OF.startswith("2026-")
    assert SOURCE.startswith("https://platform.claude.com/")
    assert set(ALIASES.values()) <= set(MODELS)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_costs_more_to_write_to_the_cache_and_less_to_read_from_it(model: str) -> None:
    prices = shipped()[model]
    assert 0 < prices.cache_read < prices.input < prices.cache_write < prices.cache_write_1h
    assert prices.input < prices.output
    assert prices.batch_discount == 0.5


def test_cache_writes_for_an_hour_cost_twice_the_input_price() -> None:
    table = PriceTable()
    short = table.charge("claude-sonnet-4-6", Usage(cache_write_tokens=1_000_000))
    long = table.charge("claude-sonnet-4-6", Usage(cache_write_tokens=1_000_000, cache_write_1h_tokens=1_000_000))
    mixed = table.charge("claude-sonnet-4-6", Usage(cache_write_tokens=1_000_000, cache_write_1h_tokens=400_000))
    assert (short, long) == (Charge(3.75, -0.75), Charge(6.0, -3.0))
    assert mixed == Charge(4.65, -1.65)


def test_what_the_cache_saved_is_its_reads_less_the_extra_of_its_writes() -> None:
    table = PriceTable()
    assert table.charge("claude-haiku-4-5", Usage(cache_read_tokens=1_000_000)) == Charge(0.1, 0.9)
    assert table.charge("claude-haiku-4-5", Usage(0, 0, 1_000_000, 1_000_000)) == Charge(1.35, 0.65)
    assert table.charge("claude-haiku-4-5", Usage(1_000_000)) == Charge(1.0, 0.0)


def test_message_batches_cost_half_and_their_discount_is_not_called_a_saving() -> None:
    table = PriceTable()
    assert table.charge("claude-sonnet-5-5", Usage(1_000_000, 1_000_000), is_batch=True) == Charge(6.0, 0.0)
    assert table.charge("claude-sonnet-5-5", Usage(cache_read_tokens=1_000_000), is_batch=True) == Charge(0.05, 0.95)


def test_long_prompts_cost_more_where_a_model_has_two_prices() -> None:
    table = PriceTable()
    assert table.charge("claude-haiku-5-5", Usage(100_000, 1000)) == Charge(0.0105)
    assert table.charge("claude-haiku-5-5", Usage(100_001, 1000)) == Charge(0.0525005)
    assert table.charge("claude-haiku-5-5", Usage(1, 0, 60_000, 40_000)) == Charge(0.0280005, 0.022)


def test_prices_of_the_job_file_go_before_the_table() -> None:
    table = priced(**{"claude-opus-4-8": [1, 2], "my-model": {"input": 10, "output": 20, "cache_read": 0}})
    assert table.charge("claude-opus-4-8[1m]", Usage(1_000_000, 1_000_000)) == Charge(3.0)
    assert table.charge("my-model", Usage(cache_read_tokens=5)) == Charge(0.0, 0.00005)
    assert table.of("claude-opus-4-7") == shipped()["claude-opus-4-7"]


def test_missing_cache_prices_follow_from_the_input_price() -> None:
    assert priced(m=[4, 8]).of("m") == Prices(4, 8, cache_write=5, cache_write_1h=8, cache_read=0.4)
    given = {"input": 4, "output": 8, "cache_write": 1, "cache_write_1h": 2, "cache_read": 3, "batch_discount": 0.25}
    own = priced(m=given)
    assert own.of("m") == Prices(4, 8, 1, 2, 3, 0.25)
    assert own.charge("m", Usage(1_000_000), is_batch=True) == Charge(3.0)


def test_a_free_model_of_ones_own_costs_nothing_and_that_is_known() -> None:
    assert priced(local=[0, 0]).charge("local", Usage(5, 5)) == Charge(0.0)


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ([3], "prices"),
        ([3, 15, 1], "prices"),
        ("cheap", "prices"),
        ({"input": 3}, "output"),
        ({"input": -1, "output": 2}, "from 0"),
        ({"input": "three", "output": 2}, "three"),
        ({"input": 3, "output": 15, "batch_discount": 50}, "0 to 1"),
        ({"input": 3, "ouput": 15}, "ouput"),
        ({"input": 3, "output": True}, "number"),
    ],
)
def test_a_price_that_makes_no_sense_is_an_error_that_names_the_key(prices: Any, said: str) -> None:
    message = refusal(prices)
    assert "claude-x" in message
    assert said in message


@given(
    st.lists(
        st.builds(Usage, *(st.integers(0, 200_000) for _ in range(4)), cache_write_1h_tokens=st.just(0)),
        max_size=30,
    ),
    st.sampled_from(sorted(MODELS)),
    st.booleans(),
)
def test_any_sum_of_charges_is_exact(usages: list[Usage], model: str, is_batch: bool) -> None:
    prices = shipped()[model]
    total = 0.0
    exact = Decimal(0)
    for usage in usages:
        total = round(total + charge(prices, usage, is_batch=is_batch).cost_usd, 10)
        price = prices.for_prompt(usage.total - usage.output_tokens)
        parts = (
            (usage.input_tokens, price.input),
            (usage.output_tokens, price.output),
            (usage.cache_read_tokens, price.cache_read),
            (usage.cache_write_tokens, price.cache_write),
        )
        exact += sum((n * Decimal(str(p)) for n, p in parts), Decimal(0)) / 1_000_000 / (2 if is_batch else 1)
    assert Decimal(repr(total)) == exact


def test_a_hundred_thousand_charges_add_up_to_the_last_digit() -> None:
    one = PriceTable().charge("claude-haiku-5-5", Usage(1237, 89), is_batch=True)
    assert one is not None
    total = 0.0
    for _ in range(100_000):
        total = round(total + one.cost_usd, 10)
    assert total == 8.41
