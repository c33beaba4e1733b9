"""Estimated tokens: finer than a fixed number of characters, and honest about what they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.job.tokens import ERROR, NEWER_FACTOR, estimate_tokens, expected_output

PROSE = "The quick brown fox jumps over the lazy dog and runs back into the forest again. " * 50
CODE = "def f(x):\n    return {k: v[0] for k, v in x.items() if v != -1}\n" * 50


def characters_per_token(text: str, model: str = "") -> float:
    return len(text) / estimate_tokens(text, model)


def test_english_prose_has_between_three_and_a_half_and_four_characters_per_token() -> None:
    assert 3.5 <= characters_per_token(PROSE) <= 4


def test_code_tables_and_other_scripts_have_shorter_tokens() -> None:
    table = json.dumps([[number, number * 7, -number] for number in range(200)])
    russian = "Быстрая лиса прыгает через ленивую собаку. " * 20
    assert characters_per_token(PROSE) > characters_per_token(CODE) > characters_per_token(table) >= 2
    assert characters_per_token(russian) < 2.5
    assert 0.8 < characters_per_token("敏捷的棕色狐狸跳过懒狗。" * 20) <= 1.1


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "claude-haiku-4-5-20251001"])
def test_models_before_claude_4_7_count_fewer_tokens_for_the_same_text(model: str) -> None:
    assert estimate_tokens(PROSE, model) == estimate_tokens(PROSE)
    newer = estimate_tokens(PROSE, "claude-sonnet-5-5")
    assert newer == pytest.approx(estimate_tokens(PROSE) * NEWER_FACTOR, rel=0.01)
    assert newer == estimate_tokens(PROSE, "a-model-nobody-knows")


@given(st.text(max_size=300), st.text(max_size=300))
def test_longer_texts_never_have_fewer_tokens_and_nothing_has_none(one: str, other: str) -> None:
    assert estimate_tokens(one + other) >= estimate_tokens(one)
    assert estimate_tokens(one) >= bool(one)
    assert estimate_tokens("") == 0


def test_answers_are_expected_to_be_a_quarter_of_the_prompt_within_bounds() -> None:
    assert expected_output(10_000, 8192) == 2500
    assert expected_output(100, 8192) == 250
    assert expected_output(10_000, 300) == 300
    assert 0 < ERROR < 1
