"""What is sent to a session, first and again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.errors import PromptError
from mozart_nb.events import RuleResult
from mozart_nb.job.model import JobConfig
from mozart_nb.job.names import VARIABLES
from mozart_nb.job.plan import Plan, plan_job
from mozart_nb.job.prompt import (
    BatchContext,
    PromptRenderer,
    completion_prompt,
    context_for,
    known_names,
    retry_prompt,
)


def job(prompt: dict[str, Any], **batch: Any) -> JobConfig:
    return JobConfig.model_validate(
        {"name": "sample", "prompt": prompt, "batch": {"size": 10, "total_items": 100} | batch}
    )


def context(config: JobConfig, n: int = 1, plan: Plan | None = None, **given: Any) -> BatchContext:
    return context_for(
        plan or plan_job(config), n, workspace="/work space", job_name=config.name, prompt=config.prompt, **given
    )


def rendered(template: str | None, n: int = 1, *, rows: Any = (), **prompt: Any) -> str:
    batch = prompt.pop("batch", {})
    config = job(prompt if template is None else prompt | {"template": template}, **batch)
    return PromptRenderer(config, plan_job(config)).render(context(config, n, rows=rows))


def failure(template: str, **prompt: Any) -> str:
    with pytest.raises(PromptError) as caught:
        rendered(template, **prompt)
    return str(caught.value)


# --- variables --------------------------------------------------------------------------------------------------------


def test_every_documented_variable_is_there() -> None:
    config = job({"template": "x", "variables": {"tone": "dry"}}, size=1, total_items=3)
    assert set(context(config, rows=["row"])) == VARIABLES | {"tone"} == known_names(config.prompt)


def test_variables_describe_the_batch() -> None:
    config = job({"template": "x", "stakes": "much"})
    values = context(config, 3)
    assert values.number == 3
    expected = {
        "batch_num": 3,
        "sheet_num": 3,
        "total_batches": 10,
        "total_sheets": 10,
        "start_item": 21,
        "end_item": 30,
        "stage": 3,
        "instance": 1,
        "fan_count": 1,
        "total_stages": 10,
        "workspace": "/work space",
        "job_name": "sample",
        "stakes": "much",
        "thinking_method": "",
        "items": [],
        "previous_outputs": {},
        "previous_files": {},
    }
    assert dict(values) == expected


def test_fan_out_variables_name_stage_and_instance() -> None:
    config = job({"template": "x"}, size=1, total_items=3, fan_out={2: 3})
    values = context(config, 4)
    assert (values["stage"], values["instance"], values["fan_count"], values["total_stages"]) == (2, 3, 3, 3)


def test_the_synonyms_render_the_same() -> None:
    assert rendered("{{ sheet_num }}/{{ total_sheets }}", 2) == rendered("{{ batch_num }}/{{ total_batches }}", 2)


def test_user_variables_win_over_built_in_names() -> None:
    assert rendered("{{ workspace }} {{ batch_num }}", 2, variables={"workspace": "mine", "batch_num": "x"}) == "mine x"


def test_a_shadowed_batch_number_does_not_confuse_extensions() -> None:
    text = rendered("a", 2, variables={"batch_num": 1}, batch={"prompt_extensions": {2: ["for two"]}})
    assert text == "a\n\nfor two"


def test_items_are_the_rows_and_item_the_only_one() -> None:
    rows = [{"name": "Ada"}, {"name": "Bo"}]
    assert rendered("{% for row in items %}{{ row.name }} {% endfor %}", rows=rows) == "Ada Bo "
    assert rendered("{{ item.name }}", rows=rows[:1], batch={"size": 1}) == "Ada"


def test_item_in_a_batch_of_several_points_to_items() -> None:
    assert failure("{{ item.name }}", rows=[{"name": "Ada"}]) == (
        "prompt.template, line 1: unknown variable `item`; did you mean `items`?"
    )


def test_columns_named_like_methods_are_columns() -> None:
    row = {"items": 3, "values": "v", "get": "g"}
    assert rendered("{{ item.items }}{{ item.values }}{{ item.get }}", rows=[row], batch={"size": 1}) == "3vg"


def test_a_trailing_newline_of_the_template_is_kept() -> None:
    assert rendered("line {{ batch_num }}\n") == "line 1\n"


def test_nothing_is_escaped_for_html_and_json_keeps_its_letters() -> None:
    text = rendered("{{ a }} {{ b | tojson }}", variables={"a": "<b> & 'c'", "b": {"k": "it's <é>"}})
    assert text == """<b> & 'c' {"k": "it's <é>"}"""


# --- stakes and thinking method ---------------------------------------------------------------------------------------


def test_stakes_and_thinking_method_are_appended_when_the_template_uses_neither() -> None:
    assert rendered("Do it.\n", stakes="Much.", thinking_method="Slowly.") == "Do it.\n\nMuch.\n\nSlowly."


@pytest.mark.parametrize("template", ["{{ stakes }} go", "go {% if stakes %}{{ stakes }}{% endif %}"])
def test_nothing_is_appended_to_a_template_that_uses_one_of_them(template: str) -> None:
    assert rendered(template, stakes="Much.", thinking_method="Slowly.").count("Much.") == 1
    assert "Slowly." not in rendered(template, stakes="Much.", thinking_method="Slowly.")


def test_the_word_stakes_in_the_text_is_no_use_of_the_variable() -> None:
    assert rendered("Mind the stakes. {# {{ stakes }} #}", stakes="Much.") == "Mind the stakes. \n\nMuch."


def test_an_extension_that_prints_the_stakes_is_a_use() -> None:
    assert rendered("go", stakes="Much.", prompt_extensions=["So: {{ stakes }}"]) == "go\n\nSo: Much."


# --- templates and extensions -----------------------------------------------------------------------------------------


def test_without_a_template_the_batch_and_its_items_are_named() -> None:
    assert rendered(None, 2, stakes="Much.") == "Process batch 2 of 10: items 11 to 20.\n\nMuch."
    assert rendered(None, 2, batch={"size": 1}) == "Process batch 2 of 100: item 2."
    fan = {"size": 1, "total_items": 2, "fan_out": {2: 3}}
    assert rendered(None, 3, batch=fan) == "Process batch 3 of 4 (stage 2, instance 2 of 3): item 3."


def test_without_a_template_the_rows_are_listed() -> None:
    text = rendered(None, rows=["plain", {"name": "Ada"}, "two\nlines"])
    assert text == 'Process batch 1 of 10: items 1 to 10.\n\n- plain\n- {"name": "Ada"}\n- "two\\nlines"\n'


def test_the_text_of_a_template_file_is_rendered_in_its_place() -> None:
    config = job({"template_file": "ask.j2"})
    files = {"ask.j2": "From file {{ batch_num }}"}
    plan = plan_job(config)
    assert PromptRenderer(config, plan, template="Frozen {{ batch_num }}").render(context(config)) == "Frozen 1"
    assert PromptRenderer(config, plan, read_text=files.get).render(context(config)) == "From file 1"
    with pytest.raises(PromptError, match=r"template_file: ask\.j2 cannot be read"):
        PromptRenderer(config, plan)


def test_extensions_of_the_job_come_before_those_of_the_batch_and_both_are_rendered() -> None:
    prompt = {
        "prompt_extensions": ["All {{ total_batches }}"],
        "batch": {"prompt_extensions": {2: ["Two {{ stage }}"]}},
    }
    assert rendered("a", 2, **prompt) == "a\n\nAll 10\n\nTwo 2"
    assert rendered("a", 1, **prompt) == "a\n\nAll 10"


def test_batch_extensions_are_keyed_by_stage_when_there_is_a_fan_out() -> None:
    batch = {"size": 1, "total_items": 3, "fan_out": {2: 3}, "prompt_extensions": {2: ["second"], 3: ["third"]}}
    assert [rendered("a", n, batch=batch)[1:].strip() for n in range(1, 6)] == [
        "",
        "second",
        "second",
        "second",
        "third",
    ]


def test_an_extension_that_names_a_file_stands_for_its_text() -> None:
    config = job({"template": "a", "prompt_extensions": ["rules.md", "Read notes.txt", "gone.md", "RULES.MD"]})
    files = {"rules.md": "Rule for {{ batch_num }}\n", "RULES.MD": "loud"}
    text = PromptRenderer(config, plan_job(config), read_text=files.get).render(context(config))
    assert text == "a\n\nRule for 1\n\nRead notes.txt\n\ngone.md\n\nloud"


def test_braces_in_values_are_never_rendered() -> None:
    config = job({"template": "{{ previous_outputs[1] }} {{ previous_files['a'] }} {{ item }} {{ v }}"}, size=1)
    config = config.model_copy(update={"prompt": config.prompt.model_copy(update={"variables": {"v": "{{ 4 }}"}})})
    values = context(
        config, 2, rows=["{% raw %}{{ 3 }}"], previous_outputs={1: "{{ 1 + 1 }}"}, previous_files={"a": "{{ 2 }}"}
    )
    text = PromptRenderer(config, plan_job(config)).render(values)
    assert text == "{{ 1 + 1 }} {{ 2 }} {% raw %}{{ 3 }} {{ 4 }}"


@given(st.text())
def test_any_text_of_a_row_arrives_unchanged(row: str) -> None:
    config = job({"template": "<{{ item }}>"}, size=1)
    assert PromptRenderer(config, plan_job(config)).render(context(config, rows=[row])) == f"<{row}>"


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_an_undefined_variable_names_itself_its_line_and_the_nearest_known_name() -> None:
    assert failure("a\nb {{ batchnum }}") == (
        "prompt.template, line 2: unknown variable `batchnum`; did you mean `batch_num`?"
    )


def test_an_unknown_column_names_the_nearest_column() -> None:
    row = {"title": "x", "body": "y"}
    assert failure("\n{{ item.titel }}", rows=[row], batch={"size": 1}) == (
        "prompt.template, line 2: there is no `titel`; did you mean `title`?"
    )


def test_a_previous_output_that_is_not_there_says_which_are() -> None:
    config = job({"template": "{{ previous_outputs[1] }}"})
    with pytest.raises(PromptError, match="there is no `1`") as caught:
        PromptRenderer(config, plan_job(config)).render(context(config, 4, previous_outputs={2: "a", 3: "b"}))
    assert caught.value.hint == "there is: `2`, `3`"
    assert caught.value.batch == 4
    assert caught.value.code == "E502"


def test_a_syntax_error_names_the_line_before_anything_runs() -> None:
    config = job({"template": "a\n\n{% for x in %}"})
    with pytest.raises(PromptError, match=r"prompt\.template, line 3: "):
        PromptRenderer(config, plan_job(config))


def test_a_mistake_in_an_extension_names_the_extension() -> None:
    assert failure("a", prompt_extensions=["fine", "{{ oops }}"]).startswith("prompt.prompt_extensions[1], line 1: ")


def test_unknown_names_are_listed_without_rendering() -> None:
    config = job(
        {
            "template": "{{ tone }}\n{% if worspace is defined %}{{ len(items) }}{% endif %}",
            "variables": {"tone": "dry"},
        },
        prompt_extensions={1: ["{{ nothing_like_it }}"]},
    )
    found = PromptRenderer(config, plan_job(config)).unknown()
    assert [(label, name.name, name.line, name.nearest) for label, name in found] == [
        ("prompt.template", "worspace", 2, "workspace"),
        ("batch.prompt_extensions.1[0]", "nothing_like_it", 1, ""),
    ]


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ stakes.__class__ }}", "unsafe"),
        ("{{ items.append(1) }}", "unsafe"),
        ("{{ str.format('{0.__class__}', 1) }}", "has no `format`"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "cannot include"),
        ("{% import 'x' as y %}", "cannot include"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_templates_cannot_leave_the_sandbox(template: str, what: str) -> None:
    assert what in failure(template)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{{ 'x' * 10 ** 10 }}",
        "{{ [1] * 10 ** 10 }}",
        "{{ 9 ** 999999999 }}",
        "{% set n = namespace(x=9) %}{% for a in range(100) %}{% set n.x = n.x * n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for a in range(99) %}"
        "{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
        "{{ 'x' | center(1000000000) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 1000000000) }}",
        "{{ [1] | slice(1000000000) | list }}",
    ],
)
def test_a_runaway_template_ends_in_a_message(template: str) -> None:
    message = failure(template)
    assert "too much" in message or "without end" in message


def test_ordinary_formatting_is_within_the_bounds() -> None:
    template = "{{ '%03d-%s' % (batch_num, 'a') }} {{ '{:>4}'.format('b') }} {{ 'c' | center(3) }} {{ 2 ** 10 * 3 }}"
    assert rendered(template, 7) == "007-a    b  c  3072"


def test_two_thousand_rows_render_without_meeting_a_bound() -> None:
    rows = [{"id": n, "text": "x" * 100} for n in range(2000)]
    template = (
        "{% for row in items %}{% for key, value in row.items() %}{{ key }}={{ value }} {% endfor %}\n{% endfor %}"
    )
    assert rendered(template, rows=rows, batch={"size": 100}).count("\n") == 2000


# --- asking again -----------------------------------------------------------------------------------------------------


def result(type: str, status: Any = "failed", **fields: Any) -> RuleResult:
    return RuleResult(rule=0, type=type, status=status, **fields)


PASSED = (result("file_exists", "passed", path="/w/a.md", description="the summary"),)
FAILED = (
    result("file_exists", path="/w/b.md", actual="no such file"),
    result("content_contains", path="/w/a.md", expected="`## Verdict`", actual="not found", description="a verdict"),
    result("command_succeeds", expected="exit code 0 of `make test`", actual="exit code 2\nFAILED test_x"),
)


def test_a_continued_session_is_told_what_passes_and_what_is_missing_but_not_the_task_again() -> None:
    assert completion_prompt("THE TASK", PASSED, FAILED, 1, 3, continues=True) == (
        "Part of this task is done and has been checked. This is completion attempt 1 of 3: do only what is missing.\n"
        "\n"
        "Already right, leave it as it is:\n"
        "- the summary: `/w/a.md`\n"
        "\n"
        "Still missing:\n"
        "1. Create the file `/w/b.md`.\n"
        "   Found: no such file\n"
        "2. Make the file `/w/a.md` contain the text that is expected.\n"
        "   What for: a verdict\n"
        "   Expected: `## Verdict`\n"
        "   Found: not found\n"
        "3. Make the check command succeed.\n"
        "   Expected: exit code 0 of `make test`\n"
        "   Found: exit code 2\n"
        "     FAILED test_x\n"
        "\n"
        "Everything else you were asked at the beginning of this conversation still holds."
    )


def test_a_new_session_gets_the_whole_task_at_the_end() -> None:
    task = "THE TASK " * 2000
    text = completion_prompt(task, PASSED, FAILED, 2, 3, continues=False)
    assert text.endswith(task)
    assert "completion attempt 2 of 3" in text


WRONG = result("answer", message="item 3: `stars`: 9 is more than 5")


def test_an_answer_that_is_not_right_is_asked_for_again_as_a_whole() -> None:
    assert completion_prompt("THE TASK", (), [WRONG], 1, 3, continues=True, has_form=True) == (
        "The answer to this task has been checked and is not right yet. This is completion attempt 1 of 3: give the "
        "whole answer again, corrected. It takes the place of the earlier one, so do not describe what you changed.\n"
        "\n"
        "Not right:\n"
        "1. Give the whole answer again as JSON of the form that was asked for, with these mistakes corrected.\n"
        "   Found: item 3: `stars`: 9 is more than 5\n"
        "\n"
        "Everything else you were asked at the beginning of this conversation still holds."
    )
    matched = completion_prompt("t", (), [result("answer_matches", expected="a match")], 1, 1, continues=True)
    assert "give the whole answer again" in matched


@pytest.mark.parametrize(
    ("passed", "failed", "has_form"),
    [
        (PASSED, FAILED, True),
        ([result("answer_matches", "passed", expected="a match of: yes")], FAILED, False),
        ((), [*FAILED, WRONG], True),
    ],
)
def test_work_that_is_missing_besides_ends_with_the_whole_answer(passed: Any, failed: Any, has_form: bool) -> None:
    text = completion_prompt("t", passed, failed, 1, 3, continues=True, has_form=has_form)
    assert "do only what is missing" in text
    assert "Then give the whole final answer again as it was asked for" in text


@pytest.mark.parametrize(
    ("type", "sentence"),
    [
        ("file_exists", "Create the file `x`."),
        ("file_modified", "Write your changes to the file `x`."),
        ("content_contains", "Make the file `x` contain the text that is expected."),
        ("content_regex", "Make the content of the file `x` match the pattern that is expected."),
        ("command_succeeds", "Make the check command succeed."),
        ("answer_matches", "Give a final answer that matches the pattern that is expected."),
        ("python", "Correct what this check complains about."),
    ],
)
def test_each_type_of_rule_has_its_own_instruction(type: str, sentence: str) -> None:
    assert f"1. {sentence}" in completion_prompt("t", (), [result(type, path="x")], 1, 1, continues=True)


def test_a_rule_that_was_skipped_claims_to_have_found_nothing() -> None:
    skipped = result("file_exists", "skipped", path="x", message="an earlier stage failed")
    assert "Found" not in completion_prompt("t", (), [skipped], 1, 1, continues=True)


def test_braces_in_paths_and_findings_stay_as_they_are() -> None:
    text = completion_prompt("t", (), [result("file_exists", path="/w/{x}.md", actual="{{ y }}")], 1, 1, continues=True)
    assert "`/w/{x}.md`" in text
    assert "{{ y }}" in text


def test_long_findings_are_cut() -> None:
    text = completion_prompt("t", (), [result("content_regex", path="x", actual="a" * 50_000)], 1, 1, continues=True)
    assert len(text) < 2000


def test_a_retry_repeats_the_task_and_adds_what_failed() -> None:
    assert retry_prompt("THE TASK\n", FAILED[:1], "E201", "1 of 2 rules failed") == (
        "THE TASK\n"
        "\n"
        "An earlier attempt at this task did not succeed (output validation failed: 1 of 2 rules failed). "
        "It may have left partial results.\n"
        "\n"
        "What its checks found; make sure that this time each of these holds:\n"
        "1. Create the file `/w/b.md`.\n"
        "   Found: no such file"
    )


def test_a_retry_after_a_timeout_says_so() -> None:
    text = retry_prompt("T", (), "E302", "no result after 1800 s")
    assert text.startswith("T\n\nAn earlier attempt at this task did not succeed (killed after its timeout: no result")


@pytest.mark.parametrize("code", ["E001", "E002", "E003", "E101", "E102"])
def test_a_failure_the_work_had_no_part_in_leaves_the_prompt_alone(code: str) -> None:
    assert retry_prompt("T\n", (), code, "overloaded") == "T\n"
