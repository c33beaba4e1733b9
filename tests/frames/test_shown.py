"""Answers are masked where they are displayed, and nowhere else."""

from __future__ import annotations

import pandas as pd
import pytest

from mozart_nb.frames.shown import Answers

SECRET = "ghp_" + "a1B2c3" * 6


def frame(rows: int = 3) -> Answers:
    index = pd.Index([f"row {n}" for n in range(rows)], name="which")
    answers = [f"the token is {SECRET}" if n in (0, rows - 1) else "none" for n in range(rows)]
    table = {"answer": pd.array(answers, dtype="string"), "data": [{"key": [SECRET]}] * rows, "cost_usd": [0.5] * rows}
    return Answers(pd.DataFrame(table, index=index))


@pytest.mark.parametrize("rows", [0, 3, 500])
def test_what_is_displayed_is_masked_and_what_is_held_is_not(rows: int) -> None:
    answers = frame(rows)
    with pd.option_context("display.max_colwidth", 200):
        for shown in (repr(answers), answers._repr_html_() or ""):
            assert SECRET not in shown
            assert ("[masked]" in shown) == (rows > 0)
            assert not rows or "which" in shown
    assert not rows or SECRET in answers["answer"].iloc[0]


def test_a_secret_that_pandas_cuts_off_is_masked_before_that() -> None:
    with pd.option_context("display.max_colwidth", 24):
        assert SECRET[:10] not in repr(frame())


def test_what_is_computed_from_it_is_a_plain_frame() -> None:
    answers = frame()
    for computed in (
        answers.head(1),
        answers[answers["cost_usd"] > 0],
        answers.join(pd.DataFrame({"x": [1]})),
        answers.copy(),
    ):
        assert type(computed) is pd.DataFrame
    pd.testing.assert_frame_equal(pd.DataFrame(answers), answers.copy())


def test_it_looks_like_the_frame_that_it_is() -> None:
    plain = pd.DataFrame({"a": [1.5, None], "b": pd.Categorical(["x", "y"]), "c": ["text", None]})
    assert repr(Answers(plain)) == repr(plain)
    assert Answers(plain)._repr_html_() == plain._repr_html_()  # type: ignore[operator]
