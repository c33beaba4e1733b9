"""Mistakes in a job file are shown with the line they stand in: in notebooks, in the terminal and in scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mozart_nb.errors import AmbiguousJobError, ConfigError, MisuseError, MozartError, Problem, UnreadableError
from mozart_nb.excerpts import WIDTH, excerpt, width_of
from mozart_nb.job.answers import parse_schema
from mozart_nb.job.lint import lint
from mozart_nb.job.load import DiskFiles, load_job, load_mapping, load_text

HEAD = "name: x\nbatch: {size: 1, total_items: 2}\n"


def shown(text: str, *, strict: bool = False, first_line: int = 1) -> str:
    """How the mistakes of a cell with this text are shown."""
    with pytest.raises(ConfigError) as caught:
        load_text(text, base_dir=".", strict=strict, first_line=first_line)
    return "\n".join(caught.value.shown())


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_shown_with_its_line_a_caret_and_the_key_that_was_meant() -> None:
    assert shown(HEAD + "promt:\n  template: hi\n", strict=True) == (
        "ConfigError: <cell>:3:1: unknown key `promt`; it has no effect\n"
        "  3 | promt:\n"
        "    | ^^^^^\n"
        "  did you mean `prompt`?"
    )


def test_a_wrong_value_is_shown_below_the_section_it_belongs_to_with_what_is_allowed() -> None:
    assert shown("name: x\nbatch:\n  size: many\n  total_items: 2\n") == (
        "ConfigError: <cell>:3:9: wrong value for `batch.size`\n"
        "  2 | batch:\n"
        "  3 |   size: many\n"
        "    |         ^^^^\n"
        "  allowed: a whole number from 1"
    )


def test_lines_of_a_cell_are_counted_from_the_magic_in_its_first_line() -> None:
    text = shown("name: x\nbatch: {size: 0, total_items: 2}\n", first_line=2)
    assert "<cell>:3:15:" in text
    assert "  3 | batch: {size: 0, total_items: 2}\n    |               ^\n" in text


def test_a_mistake_of_syntax_is_shown_with_the_line_above_and_a_hint() -> None:
    text = shown(HEAD + "prompt:\n\ttemplate: hi\n")
    assert text.startswith("UnreadableError: <cell>:4:1: not valid YAML: ")
    assert "  3 | prompt:\n  4 |     template: hi\n    | ^^^^\n" in text
    assert text.endswith("allowed: indent with spaces, not with tabs")


def test_a_forbidden_character_is_made_visible() -> None:
    text = shown(HEAD + "prompt: a\x1b[31mb\n")
    assert "\x1b" not in text
    assert "  3 | prompt: a\ufffd[31mb\n    |          ^" in text


def test_several_mistakes_are_shown_in_the_order_of_the_file() -> None:
    text = shown("name: x\nbatch:\n  size: 0\n  total_items: no\nretry: 7\n")
    assert text.startswith("ConfigError: 3 mistakes\n\n<cell>:3:9:")
    assert text.index("<cell>:3:9") < text.index("<cell>:4:16") < text.index("<cell>:5:8")


def test_after_ten_mistakes_the_others_are_only_counted() -> None:
    rules = "".join(f"  - type: kind_{number}\n" for number in range(14))
    text = shown(HEAD + "validations:\n" + rules)
    assert text.startswith("ConfigError: 14 mistakes\n")
    assert text.count("wrong value for") == 10
    assert text.endswith("\n\nand 4 more")


def test_a_value_is_named_only_where_its_line_does_not_show_it() -> None:
    assert "(got" not in shown(HEAD + "retry:\n  max_retries: -1\n")
    with pytest.raises(ConfigError) as caught:
        load_mapping({"name": "x", "batch": {"size": 0, "total_items": 2}}, base_dir=".")
    assert caught.value.shown() == [
        "ConfigError: wrong value for `batch.size` (got 0)",
        "  allowed: a whole number from 1",
    ]


def test_an_override_has_no_line_to_show() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(HEAD, base_dir=".", overrides=["batch.size=0"])
    assert caught.value.shown()[0].startswith("ConfigError: --set batch.size=0: wrong value")
    assert not any("|" in line for line in caught.value.shown())


def test_a_finding_of_the_checks_has_its_line_too() -> None:
    loaded = load_text(HEAD + "prompt:\n  template: Work on {{ itm }}\n", base_dir=".")
    [issue] = [issue for issue in lint(loaded, DiskFiles(), {}) if issue.code == "V101"]
    assert issue.source == "  template: Work on {{ itm }}"
    assert issue.as_problem().shown()[1:3] == ["  3 | prompt:", "  4 |   template: Work on {{ itm }}"]


def test_a_line_of_a_block_of_text_is_shown_where_the_mistake_is() -> None:
    loaded = load_text(HEAD + "prompt:\n  template: |\n    One\n    Two {{ itm }}\n", base_dir=".")
    [issue] = [issue for issue in lint(loaded, DiskFiles(), {}) if issue.code == "V101"]
    assert (issue.line, issue.source) == (6, "    Two {{ itm }}")


def test_what_is_missing_from_a_file_has_no_line_to_show() -> None:
    loaded = load_text("batch: {size: 1, total_items: 2}\nname: x\n", base_dir=".")
    [issue] = [issue for issue in lint(loaded, DiskFiles(), {}) if issue.code == "V116"]
    assert "there are no validations" in issue.shown()
    assert "|" not in issue.shown()
    assert "|" not in shown("batch: {size: 1, total_items: 2}\n")


def test_what_a_section_lacks_is_shown_at_the_section() -> None:
    assert "  2 | batch:\n    | ^^^^^\n" in shown("name: x\nbatch:\n  total_items: 2\n")


def test_warnings_of_a_loaded_job_have_their_line() -> None:
    loaded = load_text(HEAD + "prompt:\n  templat: hi\n", base_dir=".")
    warning = next(warning for warning in loaded.warnings if warning.code == "V108")
    assert warning.shown() == [
        "<cell>:4:3: unknown key `templat`; it has no effect",
        "  3 | prompt:",
        "  4 |   templat: hi",
        "    |   ^^^^^^^",
        "  did you mean `template`?",
    ]


def test_any_error_is_its_name_its_message_and_its_hint() -> None:
    assert MisuseError("no", hint="say yes").shown() == ["MisuseError: no", "hint: say yes"]
    assert AmbiguousJobError("x", ["/a", "/b"]).shown() == [
        "AmbiguousJobError: job `x` exists in 2 workspaces:",
        "  /a",
        "  /b",
        "hint: name one with --workspace",
    ]


# --- the line and its caret -------------------------------------------------------------------------------------------


def caret_of(lines: list[str]) -> str:
    """What the carets point at, found by columns on the screen."""
    text, marks = lines[-2], lines[-1]
    start, end = marks.index("^"), len(marks)
    at, found = 0, ""
    for character in text:
        if start <= at < end:
            found += character
        at += width_of(character)
    return found


@pytest.mark.parametrize(
    ("source", "column", "marked"),
    [
        ("retry: 7", 8, "7"),
        ("\tretry:\t7", 9, "7"),
        ("名前: [日本語, 中文]", 6, "日本語"),
        ("name: 'a b' # c", 7, "'a b'"),
        ('name: "a \\" b"', 7, '"a \\" b"'),
        ("e\u0301te\u0301: x", 8, "x"),
        ("a: {b: c}", 4, "{"),
        ("a\u202eb: x", 6, "x"),
    ],
)
def test_the_caret_stands_below_the_place_whatever_is_before_it(source: str, column: int, marked: str) -> None:
    assert caret_of(excerpt(source, 3, column)) == marked


def test_a_place_behind_the_end_of_the_line_has_a_caret_behind_the_end() -> None:
    assert excerpt("a: [b", 9, 6) == ["  9 | a: [b", "    |      ^"]
    assert excerpt("a: [b", 9, 99) == ["  9 | a: [b", "    |      ^"]


def test_without_a_column_there_is_no_caret() -> None:
    assert excerpt("- a", 12) == ["  12 | - a"]


@pytest.mark.parametrize("column", [1, 50, 2_500, 4_990])
@pytest.mark.parametrize("letter", ["x", "語"])
def test_a_long_line_is_cut_around_the_place(column: int, letter: str) -> None:
    source = letter * (column - 1) + "!" + letter * (5_000 - column)
    lines = excerpt(source, 1, column, value="!")
    assert caret_of(lines) == "!"
    assert all(width_of(line) <= WIDTH + len("  1 | ") for line in lines)
    assert "…" in lines[0]


def test_a_long_word_is_marked_as_far_as_it_is_shown() -> None:
    lines = excerpt("key: " + "x" * 500, 1, 6)
    assert lines[0].endswith("…")
    assert lines[1].count("^") == 60


def test_secrets_of_a_line_are_blotted_out_in_place() -> None:
    secret = "sk-ant-api03-" + "a1B2" * 8
    text = shown(HEAD + f"prompt: {{variables: {secret}, stakes: [1]}}\n")
    assert secret not in text
    assert "sk-ant•••" in text
    lines = text.split("\n")
    at = next(number for number, line in enumerate(lines) if "prompt.stakes" in line)
    assert caret_of(lines[at + 1 : at + 3]) == "[1]"


def test_a_line_within_a_secret_of_several_lines_is_blotted_out() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\n    MIIEabc: [\n    -----END RSA PRIVATE KEY-----"
    assert "MIIEabc" not in shown(f"name: x\nprompt:\n  system: {key}\n")


def test_what_a_screen_obeys_is_not_in_any_line() -> None:
    problem = Problem("a\x1b[2Jb\u202ec", line=1, column=1, source="x\x1b]0;t\x07\u202ey", file="f\x07", value="\x9b")
    for character in "".join(problem.shown()):
        assert unicodedata.category(character) not in ("Cc", "Cf")


# --- in a notebook ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    shell = InteractiveShell()
    shell.colors = "nocolor"
    yield shell
    shell.history_manager.end_session()  # type: ignore[union-attr]


@pytest.fixture
def verbose() -> Iterator[None]:
    MozartError.verbose = True
    yield
    MozartError.verbose = False


CELL = "from mozart_nb.errors import ConfigError, Problem\nraise ConfigError([Problem('wrong', line=1, source='a')])"


def test_a_notebook_shows_exactly_the_lines_and_no_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    result = shell.run_cell(CELL)
    assert isinstance(result.error_in_exec, ConfigError)
    assert capsys.readouterr().out == "ConfigError: 1: wrong\n  1 | a\n"


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
@pytest.mark.usefixtures("verbose")
def test_verbose_brings_tracebacks_back_in_every_mode_of_xmode(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    shell.run_line_magic("xmode", mode)
    capsys.readouterr()
    shell.run_cell(CELL)
    said = capsys.readouterr().out
    assert ("Traceback" in said) == (mode != "Minimal")
    assert "ConfigError: 1: wrong" in said
    assert "1 | a" in said


# --- in scripts and in the terminal -----------------------------------------------------------------------------------


def test_a_script_that_fails_shows_line_and_hint_below_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("name: x\nbatch: {size: 0, total_items: 2}\n", base_dir=".")
    text = "".join(traceback.format_exception_only(caught.value))
    assert text.endswith(
        "ConfigError: <cell>:2:15: wrong value for `batch.size` (got 0); allowed: a whole number from 1\n"
        "  2 | batch: {size: 0, total_items: 2}\n"
        "    |               ^\n"
    )
    assert "hint: try" in "".join(traceback.format_exception_only(MisuseError("no", hint="try")))


def test_a_hint_that_is_changed_is_shown_as_it_is_now() -> None:
    error = ConfigError([Problem("wrong", line=1, source="a")], hint="one")
    error.add_note("by somebody else")
    error.hint = "another"
    assert error.shown()[-1] == "hint: another"
    assert error.__notes__ == ["  1 | a", "hint: another", "by somebody else"]
    error.hint = ""
    assert error.__notes__ == ["  1 | a", "by somebody else"]


def test_the_text_of_an_error_stays_the_message_alone() -> None:
    error = UnreadableError([Problem("wrong", line=1, source="a")], hint="right")
    assert str(error) == error.message == "1: wrong"


def mozart(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mozart_nb", *args], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_line_shows_the_line_and_gives_it_to_machines(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("name: x\nbatch:\n  size: 0\n  total_items: 2\n")
    ended = mozart("run", str(file), "--json")
    assert ended.returncode == 2
    assert "  2 | batch:\n  3 |   size: 0\n    |         ^\n  allowed: a whole number from 1\n" in ended.stderr
    [problem] = json.loads(ended.stdout)["error"]["problems"]
    assert problem["source"] == "  size: 0"


def test_validate_shows_the_lines_of_errors_and_warnings(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(HEAD + "promt: x\n")
    ended = mozart("validate", str(file))
    assert "  3 | promt: x\n    | ^^^^^\n" in ended.stdout
    issues = json.loads(mozart("validate", str(file), "--json").stdout)["issues"]
    assert "promt: x" in {issue["source"] for issue in issues}
    file.write_text("name: x\nbatch: {size: 0, total_items: 2}\n")
    assert "  2 | batch: {size: 0, total_items: 2}\n" in mozart("validate", str(file)).stdout


def test_a_file_is_shown_by_the_name_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("name: x\nbatch: {size: 0, total_items: 2}\n")
    with pytest.raises(ConfigError) as caught:
        load_job(file)
    assert caught.value.shown()[0].startswith(f"ConfigError: {file}:2:15: ")


def test_a_schema_that_is_no_json_is_shown_where_it_is_not() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_schema('{\n  "type": "object",,\n}', "schema.json")
    assert caught.value.shown()[1:] == ['  2 |   "type": "object",,', "    |                    ^"]
