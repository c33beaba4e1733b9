"""What requests that go out as messages have in common."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.engine.wire import SHORTEST_PREFIX, common_prefix

LONG = "Consider the following rules. " * 50


def test_what_all_prompts_begin_with_is_shared() -> None:
    assert common_prefix([f"{LONG}item {n}" for n in (1, 2, 30)]) == f"{LONG}item "


def test_equal_prompts_share_all_of_it() -> None:
    assert common_prefix([LONG, LONG]) == LONG


def test_a_prompt_that_is_the_beginning_of_another_is_all_that_is_shared() -> None:
    assert common_prefix([LONG, f"{LONG} and more"]) == LONG


def test_what_no_cache_would_keep_is_not_worth_a_mark() -> None:
    assert common_prefix(["Summarise item 1", "Summarise item 2"]) == ""


def test_a_single_prompt_has_nobody_to_share_with() -> None:
    assert common_prefix([LONG]) == ""
    assert common_prefix([]) == ""


@given(st.lists(st.text(), min_size=2, max_size=5), st.text(alphabet="ab ", min_size=SHORTEST_PREFIX))
def test_every_text_begins_with_what_is_shared(ends: list[str], beginning: str) -> None:
    texts = [beginning + end for end in ends]
    shared = common_prefix(texts)
    assert shared.startswith(beginning)
    assert all(text.startswith(shared) for text in texts)
