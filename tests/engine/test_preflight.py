from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.engine.preflight import MAX_TOKENS, WARN_LINES, WARN_TOKENS, Preflight, preflight


def look(prompt: str, *there: str, expected: tuple[str, ...] = ()) -> Preflight:
    return preflight(prompt, exists=set(there).__contains__, expected=expected)


def missing(prompt: str, *there: str, expected: tuple[str, ...] = ()) -> list[str]:
    """Paths the findings list, in order."""
    texts = [finding.message for finding in look(prompt, *there, expected=expected).findings]
    return [
        path for text in texts for path in text.removeprefix("the prompt names files that do not exist: ").split(", ")
    ]


def test_an_ordinary_prompt_is_measured_and_has_no_findings():
    assert look("Say hello.\nTwice.") == Preflight(tokens=5, characters=17, lines=2)


@pytest.mark.parametrize(
    ("tokens", "code", "said"),
    [
        (WARN_TOKENS, None, None),
        (WARN_TOKENS + 1, "", "50,001 tokens (estimated from 200,004 characters)"),
        (MAX_TOKENS, "", "150,000 tokens"),
        (MAX_TOKENS + 1, "E603", "the limit is 150,000"),
    ],
)
def test_size_is_a_warning_above_one_threshold_and_an_error_above_the_other(tokens, code, said):
    found = look("x" * (4 * tokens))
    assert found.tokens == tokens
    assert [finding.code for finding in found.findings] == ([] if code is None else [code])
    if said:
        assert said in found.findings[0].message
    assert (found.error is not None) == (code == "E603")


def test_too_many_lines_are_a_warning():
    assert look("x\n" * (WARN_LINES - 1)).findings == ()
    [finding] = look("x\n" * WARN_LINES).findings
    assert "5,001 lines" in finding.message
    assert finding.code == ""


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_a_warning(prompt):
    assert [finding.message for finding in look(prompt).findings] == ["the prompt is empty"]


@pytest.mark.parametrize(
    ("prompt", "path"),
    [
        ("Read docs/plan.md first.", "docs/plan.md"),
        ("Read docs/plan.md, then begin", "docs/plan.md"),
        ("See `src/app.py`.", "src/app.py"),
        ('Open "notes.txt"!', "notes.txt"),
        ("(compare data/in.csv)", "data/in.csv"),
        ("Look at src/app.py:12 and", "src/app.py"),
        ("Look at src/app.py:12:5-20", "src/app.py"),
        ("Follow ./setup", "./setup"),
        ("Follow ../common/rules", "../common/rules"),
        ("Use /home/me/rules of the house", "/home/me/rules"),
        ("Use /srv/rules.yaml", "/srv/rules.yaml"),
        ("Use /anything/rules.yaml", "/anything/rules.yaml"),
        ("The [plan](docs/plan.md) says", "docs/plan.md"),
        ("**docs/plan.md**", "docs/plan.md"),
        ("Attach @docs/plan.md please", "docs/plan.md"),
        ("docs/plan.md's third part", "docs/plan.md"),
        ("The file .github/workflows/ci.yml is", ".github/workflows/ci.yml"),
        ("Lies «report/übersicht.md».", "report/übersicht.md"),
    ],
)
def test_a_file_that_is_named_and_does_not_exist_is_a_warning(prompt, path):
    assert missing(prompt) == [path]
    assert missing(prompt, path) == []


@pytest.mark.parametrize(
    "prompt",
    [
        "See https://example.com/docs/page.html and http://x.org/a.md.",
        "See example.com/docs/page.html or www.example.org/index.html",
        "Mail me@example.md or git@github.com:me/tool.md",
        "Yes and/or no, he/she, input/output, TCP/IP, km/h, n/a, w/o",
        "On 01/02/2024 and 2024/05/06, 3/4 of them, 1/2.5, 24/7.",
        "Write it as {workspace}/x.md or {{ workspace }}/out-{{ batch_num }}.md or out/batch{batch_num}.md",
        "All of *.md and src/**/*.py and file?.txt and data/[ab].csv",
        r"Match ^src/.*\.py$ and \d+/\w+\.md and s/a.md/b.md/g and (foo|bar)/x.md",
        "Use Node.js, Vue.js, socket.io, ASP.net, D3.js and numpy.linalg, e.g. this, i.e. that, etc.",
        "Call app.get/x(1) and f(x.py) and --config=conf/x.yaml and -I/usr/include",
        "Types are text/html, application/json and image/svg+xml.",
        "Run go test ./... and look at src/... and …/x.md",
        "GET /api/v1/users and POST /users or type /clear and /help",
        "--- a/src/main.py\n+++ b/src/main.py",
        "Open \"My Documents/plan.md\" and 'the big plan.md'",
        r"C:\Users\me\plan.md and My\ Documents/plan.md",
        "Version v1.2.3, $HOME/plan.md, ~/plan.md, ${OUT}/plan.md, %TEMP%/x.md",
        "</details> <br/> <a href='x/y.md'> //comment.md",
        "/ . .. ./ ../ ... /. .md",
    ],
)
def test_what_only_resembles_a_path_raises_no_alarm(prompt):
    assert look(prompt).findings == ()


@pytest.mark.parametrize(
    "prompt",
    [
        "Write your report to out/report.md.",
        "Write out/a.md, out/b.md and out/c.md.",
        "Save everything in `summary.json` when you are done.",
        "Your results go into two files. Create these:\n- out/a.md\n- out/b.md\n",
        "Generate a table and append it to results/table.csv",
    ],
)
def test_a_file_the_prompt_asks_to_be_written_need_not_exist(prompt):
    assert look(prompt).findings == ()


def test_a_file_to_be_read_is_missed_although_another_one_is_to_be_written():
    assert missing("Write out/report.md. Then compare it with docs/plan.md.") == ["docs/plan.md"]


@pytest.mark.parametrize("named", ["out/a.md", "./out/a.md", "/job/out/a.md", "a.md"])
def test_a_file_that_a_rule_expects_need_not_exist(named):
    assert missing(f"Look into {named} afterwards", expected=("/job/out/a.md",)) == []


def test_an_expected_file_excuses_no_other_whose_name_ends_alike():
    assert missing("Look into a.md afterwards", expected=("/job/out/data.md",)) == ["a.md"]


def test_the_first_five_missing_files_are_listed_once_each_and_the_rest_counted():
    prompt = "See " + " ".join(f"docs/{n}.md docs/{n}.md" for n in range(8))
    [finding] = look(prompt).findings
    assert finding.message == (
        "the prompt names files that do not exist: docs/0.md, docs/1.md, docs/2.md, docs/3.md, docs/4.md and 3 more"
    )


def test_a_prompt_that_names_thousands_of_files_asks_about_a_bounded_number():
    asked: list[str] = []
    preflight(" ".join(f"docs/{n}.md" for n in range(5000)), exists=lambda path: bool(asked.append(path)))
    assert len(asked) == 200


@pytest.mark.parametrize("unit", ["a/", ".", "src/app.py:1:1 ", "`", "x.md' ", "write ", "/home/", ":1"])
def test_time_grows_in_step_with_the_prompt(unit):
    prompt = (unit * 600_000)[:590_000]
    began = time.process_time()
    look(prompt)
    assert time.process_time() - began < 2


@given(st.text())
def test_any_text_can_be_looked_over(text):
    assert look(text).characters == len(text)
