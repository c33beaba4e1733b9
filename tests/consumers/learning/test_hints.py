"""Sentences for prompts: of numbers and of the job file's own words, and of nothing that a model wrote."""

from __future__ import annotations

from typing import Any

import pytest

from mozart_nb.consumers.learning.hints import MIN_FIRST_TRIES, MOST_HINTS, hints_from
from mozart_nb.consumers.learning.outcomes import ANSWER_FORM
from mozart_nb.consumers.learning.reading import Counts
from mozart_nb.consumers.learning.tally import RuleTally, Tally
from mozart_nb.job.outputs import RuleConfig
from mozart_nb.job.prompt import BatchContext, with_hints
from mozart_nb.job.wording import rule_names


def rule(**keys: Any) -> RuleConfig:
    return RuleConfig.model_validate(keys)


VERDICT = rule(type="content_regex", path="r/{batch_num}.md", pattern="verdict: \\w{2,5}", description="has a verdict")
REPORT = rule(type="file_exists", path="r/{batch_num}.md")


def counts(found: dict[str, tuple[int, int]], **more: Any) -> Counts:
    """Rule → first tries that failed it, of how many."""
    rules = {name: RuleTally(judged, failed) for name, (failed, judged) in found.items()}
    keys = {"hints": False, "is_rehearsal": False, **more}
    return Counts("j", "/w", "t" * 64, name="x", last_at=1.0, tally=Tally(rules=rules), **keys)


def names(*rules: RuleConfig) -> list[str]:
    return list(rule_names(rules))


def test_a_rule_that_first_tries_fail_often_becomes_a_sentence() -> None:
    [name] = names(VERDICT)
    assert hints_from([counts({name: (31, 100)})], [VERDICT]) == (
        "In earlier runs, the rule `has a verdict` failed at the first try in 31 of 100 batches: "
        "make sure that the file `r/{batch_num}.md` matches the regular expression `verdict: \\w{2,5}`.",
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"type": "file_exists", "path": "a.md"}, "the file `a.md` is there"),
        ({"type": "file_modified", "path": "a.md"}, "you change the file `a.md`"),
        ({"type": "content_contains", "path": "a.md", "pattern": "x y"}, "contains the text `x y`"),
        ({"type": "command_succeeds", "command": "make test"}, "the command `make test` succeeds"),
        ({"type": "answer_matches", "pattern": "^OK"}, "your final answer matches the regular expression `^OK`"),
        ({"type": "python", "function": "check"}, "it holds"),
    ],
)
def test_each_kind_of_rule_says_what_to_make_sure_of(keys: dict[str, Any], said: str) -> None:
    one = rule(**keys)
    [hint] = hints_from([counts({names(one)[0]: (50, 100)})], [one])
    assert hint.endswith(f"make sure that {said}.") or said in hint


def test_the_form_of_the_answer_has_a_sentence_of_its_own() -> None:
    [hint] = hints_from([counts({ANSWER_FORM: (50, 100)})], [])
    assert "the form of the answer failed" in hint


@pytest.mark.parametrize("found", [(0, 100), (2, 100), (MIN_FIRST_TRIES - 1, MIN_FIRST_TRIES - 1)])
def test_rules_that_fail_rarely_or_were_hardly_tried_say_nothing(found: tuple[int, int]) -> None:
    assert hints_from([counts({names(VERDICT)[0]: found})], [VERDICT]) == ()


def test_the_worst_come_first_and_only_some_are_said() -> None:
    rules = [rule(type="file_exists", path=f"{letter}.md") for letter in "abcde"]
    found = dict(zip(names(*rules), [(20, 100), (90, 100), (40, 100), (60, 100), (30, 100)], strict=True))
    hints = hints_from([counts(found)], rules)
    assert len(hints) == MOST_HINTS
    assert [hint.partition("the file `")[2][0] for hint in hints] == ["b", "d", "c"]


def test_rules_that_the_job_no_longer_has_are_not_spoken_of() -> None:
    assert hints_from([counts({names(VERDICT)[0]: (50, 100)})], [REPORT]) == ()


def test_a_rule_that_is_not_for_every_batch_gets_no_sentence_that_every_batch_reads() -> None:
    late = rule(type="file_exists", path="summary.md", condition="batch_num >= 2")
    assert hints_from([counts({names(late)[0]: (50, 100)})], [late]) == ()


def test_a_hint_is_left_out_of_the_prompt_of_a_batch_that_has_not_what_its_path_asks_for() -> None:
    hints = ("the file `{items.name}.md` is there", "the file `{batch_num:03d}.md` is there")
    prompt = with_hints("Do it.", hints, BatchContext(7, {"batch_num": 7, "items": 5}))
    assert prompt.splitlines()[-1] == "- the file `007.md` is there"
    assert with_hints("Do it.\n", hints[:1], BatchContext(7, {"items": 5})) == "Do it.\n"


def test_outcomes_with_hints_and_rehearsals_do_not_count() -> None:
    found = {names(VERDICT)[0]: (50, 100)}
    assert hints_from([counts(found, hints=True), counts(found, is_rehearsal=True)], [VERDICT]) == ()


def test_a_secret_in_a_command_is_masked() -> None:
    one = rule(type="command_succeeds", command="curl -H 'x: sk-ant-REDACTED'")
    [hint] = hints_from([counts({names(one)[0]: (50, 100)})], [one])
    assert "AbCdEfGh" not in hint


def test_rules_that_would_be_called_the_same_are_told_apart() -> None:
    assert names(REPORT, REPORT) == ["file_exists: r/{batch_num}.md", "file_exists: r/{batch_num}.md (2)"]
