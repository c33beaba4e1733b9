from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import PromptError
from mozart_nb.job.patterns import compile_pattern, is_found


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^# Report \d+$", "# Report 12", True),
        (r"(?m)^total: \d{1,3}(,\d{3})*$", "a\ntotal: 1,234\n", True),
        (r"\p{Lu}", "äÖ", True),
        (r"[]x{9}]", "]", True),
        ("", "", True),
        ("b", "a", False),
        (r"(?:x{2}){3}", "xxxxxx", True),
    ],
)
def test_patterns_are_searched_anywhere_in_the_text(pattern, text, found):
    assert is_found(pattern, text) is found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "missing )"),
        ("(" * 5000, "nested too deeply"),
        ("a{999999999}", "add up to more than 100,000"),
        ("(?:a|b){99999999999999999999}", "add up to more than"),
        ("((a{1000}){1000}){1000}", "add up to more than"),
        (r"(?:\d[a-z{]\{x{400}){400}", "add up to more than"),
        ("[" + "{9}" * 300, ""),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_with_its_reason(pattern, why):
    with pytest.raises(PromptError, match=r"is not valid") as caught:
        compile_pattern(pattern)
    assert why in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.code == "E502"


@pytest.mark.parametrize(
    "pattern", [r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", r"[a{999999999}]", r"\{999999999}", r"(?:\w{999})" * 30]
)
def test_patterns_with_many_or_apparent_repetitions_are_no_bombs(pattern):
    assert compile_pattern(pattern).pattern == pattern


def test_a_search_that_explodes_ends_at_its_time_limit():
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        is_found(r"(a|aa)+$", "a" * 60 + "b", timeout_seconds=0.1)
    assert time.monotonic() - began < 2


def test_other_threads_run_while_a_search_takes_its_time():
    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.wait(0.005):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    with pytest.raises(TimeoutError):
        is_found(r"(a|aa)+$", "a" * 60 + "b", timeout_seconds=0.2)
    stop.set()
    thread.join()
    assert ticks > 5


@given(st.text(alphabet="ab()[]{}\\0129,^$*+?|-", max_size=40))
def test_any_text_compiles_or_is_refused(pattern):
    try:
        compile_pattern(pattern)
    except PromptError:
        return
