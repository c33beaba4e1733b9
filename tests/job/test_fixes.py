"""What `validate --fix` corrects in the text of a job file, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mozart_nb.errors import ConfigError
from mozart_nb.job.fixes import fixables, fixed
from mozart_nb.job.lint import lint
from mozart_nb.job.load import DiskFiles, LoadedJob, load_text
from mozart_nb.job.model import JobConfig

BASE = Path("/nowhere")
HEAD = "name: sample\nbatch: {size: 10, total_items: 100}\n"


def load(text: str) -> LoadedJob:
    return load_text(text, base_dir=BASE)


def fix(text: str) -> tuple[str, list[str]]:
    """As `validate --fix` does it."""
    try:
        issues: Any = lint(load(text), DiskFiles(), {})
    except ConfigError as error:
        issues = fixables(error)
    return fixed(text, issues, load)


def left_of(text: str) -> list[str]:
    return [issue.code for issue in lint(load(text), DiskFiles(), {}) if issue.auto_fixable and issue.creates is None]


def test_a_misspelled_key_is_corrected_and_nothing_else_changes() -> None:
    text = HEAD + "# why so few\nretrys:   # twice\n   max_retry: 2    # retry max_retry\nprompt: {template: retrys}\n"
    better, what = fix(text)
    assert better == text.replace("retrys: ", "retry: ", 1)
    assert what == ["`retrys`: `retrys` is now `retry`"]
    better, what = fix(better)
    assert better == text.replace("retrys: ", "retry: ", 1).replace("   max_retry:", "   max_retries:", 1)
    assert load(better).config.retry.max_retries == 2


def test_a_key_without_which_nothing_loads_is_corrected() -> None:
    better, what = fix("nmae: sample\nbatch: {size: 10, total_itmes: 100}\n")
    assert better == HEAD
    assert len(what) == 2


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "bogus: 1\n",  # nothing is like it
        HEAD + "max_retries: 5\n",  # it belongs elsewhere
        HEAD + "retry: {max_retries: 3}\nretrys: {max_retries: 4}\n",  # the place is taken
        HEAD + "batchs: {size: 1}\n",
        HEAD + "backend: {timeout_second: -5}\n",  # the value would be refused
        HEAD + "one: &a {max_retry: 1}\nretry: *a\n",  # an alias stands in two places
        HEAD + "retry:\n  <<: {max_retry: 1}\n",
        HEAD + "prompt: {template: '{{ zzz }}'}\n",
        HEAD + "validations: [{type: file_exists, path: '{date}.md'}]\n",
        HEAD + "prompt: {template: '{% set batchnum = 1 %}{{ batchnum }}'}\n",  # it exists
        HEAD + "retry2: {max_retries: 3}\n_batch: {}\nx-retry: {}\n",  # put aside on purpose
        HEAD + "prompt: {template: '{{ item }}'}\n",  # several rows: not a misspelling of `items`
        HEAD + "prompt: {template: '{{ topic_b }} {{ topics }} {{ topik }}', variables: {topic: x, topic_a: y}}\n",
        HEAD + "prompt: {template: '{{ topic2 }}', variables: {topic: x}}\n",
    ],
)
def test_what_is_not_beyond_doubt_is_left_alone(text: str) -> None:
    assert fix(text) == (text, [])


@pytest.mark.parametrize(
    ("written", "corrected"),
    [
        ("{template: 'no batchnum but {{ batchnum }}'}", "{template: 'no batchnum but {{ batch_num }}'}"),
        ('{template: "a\\n{% if batchnum > 1 %}b{% endif %}"}', '{template: "a\\n{% if batch_num > 1 %}b{% endif %}"}'),
        (
            "\n  template: |  # long\n    one\n    {{ totl_batches }}\n",
            "\n  template: |  # long\n    one\n    {{ total_batches }}\n",
        ),
        ("{template: '{{ tpoic }}', variables: {topic: x}}", "{template: '{{ topic }}', variables: {topic: x}}"),
        ("{template: '{{ batchNum }}'}", "{template: '{{ batch_num }}'}"),
        (
            "{template: '{% raw %}{{ batchnum }}{% endraw %} {{ batchnum }}'}",
            "{template: '{% raw %}{{ batchnum }}{% endraw %} {{ batch_num }}'}",
        ),
        (
            "{template: '{{ \"no batchnum here\" ~ batchnum }}'}",
            "{template: '{{ \"no batchnum here\" ~ batch_num }}'}",
        ),
        ("{template: '{{ [\"batchnum\", batchnum] }}'}", "{template: '{{ [\"batchnum\", batch_num] }}'}"),
        (
            "{template: go, prompt_extensions: ['{{ batchnum }}']}",
            "{template: go, prompt_extensions: ['{{ batch_num }}']}",
        ),
    ],
)
def test_a_misspelled_variable_of_a_template_is_corrected_where_it_is_used(written: str, corrected: str) -> None:
    text, rule = HEAD + "prompt: ", "\nvalidations: [{type: file_exists, path: x}]\n"
    better, what = fix(text + written + rule)
    assert better == text + corrected + rule
    assert len(what) == 1


@pytest.mark.parametrize(
    ("rule", "corrected"),
    [
        ("{type: file_exists, path: 'out/{batchnum}.md'}", "{type: file_exists, path: 'out/{batch_num}.md'}"),
        (
            "{type: file_exists, path: 'batchnum-{{ batchnum }}'}",
            "{type: file_exists, path: 'batchnum-{{ batch_num }}'}",
        ),
        ("{type: file_exists, path: '{batchnum:03d}.md'}", "{type: file_exists, path: '{batch_num:03d}.md'}"),
        (
            '{type: command_succeeds, command: "test -e {workspce}/x"}',
            '{type: command_succeeds, command: "test -e {workspace}/x"}',
        ),
    ],
)
def test_a_misspelled_placeholder_is_corrected(rule: str, corrected: str) -> None:
    text = HEAD + "prompt: {template: go}\nvalidations:\n  - "
    assert fix(text + rule + "\n") == (text + corrected + "\n", fix(text + rule)[1])


@pytest.mark.parametrize(
    "command",
    [
        "for batchnum in 1 2; do echo ${batchnum}; done",
        "echo ${workspce} {workspce}",
        "python -c 'workspce = 1; print(f\"{workspce}\")'",
    ],
)
def test_a_name_that_the_command_itself_may_have_given_is_left_alone(command: str) -> None:
    rule = {"type": "command_succeeds", "command": command}
    text = f"{HEAD}prompt: {{template: go}}\nvalidations: [{json.dumps(rule)}]\n"
    assert fix(text) == (text, [])


def test_line_ends_and_foreign_characters_stay_as_they_are() -> None:
    text = "name: sämple 🎼\r\nbatch: {size: 10, total_items: 100}\r\nretrys: {}\r\n# ende"
    assert fix(text)[0] == text.replace("retrys", "retry")


KEYS = [name for name in JobConfig.model_fields if len(name) > 5]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KEYS), st.integers(1, 20), st.sampled_from(["drop", "twice", "swap"]), st.booleans())
def test_a_correction_never_changes_more_than_one_name(key: str, place: int, slip: str, quoted: bool) -> None:
    place = min(place, len(key) - 2)
    wrong = {
        "drop": key[:place] + key[place + 1 :],
        "twice": key[:place] + key[place] + key[place:],
        "swap": key[:place] + key[place + 1] + key[place] + key[place + 2 :],
    }[slip]
    text = HEAD + (f'"{wrong}":' if quoted else f"{wrong}:") + f"  # {wrong}\n"
    better, what = fix(text)
    assert (better == text) == (what == [])
    if what:
        (changed,) = yaml.safe_load(better).keys() - yaml.safe_load(text).keys()
        assert better == text.replace(wrong, changed, 1)


def test_what_can_be_corrected_is_auto_fixable_and_nothing_else() -> None:
    assert left_of(HEAD + "retrys: {}\nbogus: 1\n") == ["V108"]
    assert left_of(HEAD + "prompt: {template: '{{ batchnum }} {{ zzz }}'}\n") == ["V101"]
    loaded = load_text(HEAD, base_dir=BASE, overrides=["retrys.x=1"])
    assert not any(issue.respells and issue.line for issue in lint(loaded, DiskFiles(), {}))
