"""Placeholders in paths, commands and patterns; values are hostile until shown otherwise."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mozart_nb.errors import PromptError
from mozart_nb.job.placeholders import Mode, expand, placeholders_in, unknown_placeholders
from mozart_nb.job.prompt import BatchContext

VALUES: dict[str, Any] = {
    "batch_num": 7,
    "sheet_num": 7,
    "workspace": "/work space",
    "tone": "dry",
    "item": {"name": "Ada", "tags": ["x", "y"]},
}
MODES: tuple[Mode, ...] = ("path", "command", "regex", "text")


# --- which braces are placeholders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "text", ["{batch_num}", "{{ batch_num }}", "{{batch_num}}", "{sheet_num}", "{{- batch_num -}}"]
)
def test_single_and_double_braces_are_alike_everywhere(text: str, mode: Mode) -> None:
    assert expand(f"a{text}b{text}", VALUES, mode) == "a7b7"


def test_both_spellings_of_the_job_file_in_the_docs_work() -> None:
    assert expand("output/batch{{ batch_num }}-result.md", VALUES, "path") == "output/batch7-result.md"
    assert expand("{workspace}/batch{batch_num}-output.md", VALUES, "path") == "/work space/batch7-output.md"


def test_variables_of_the_job_file_are_filled_in() -> None:
    assert expand("{tone}.{{ tone | upper }}", VALUES, "path") == "dry.DRY"


def test_full_expressions_work_in_double_braces() -> None:
    assert expand("{{ batch_num - 1 }}/{{ item.name | lower }}/{{ item['tags'][0] }}", VALUES, "path") == "6/ada/x"
    assert expand("{{ {'a}}': tone}['a}}'] }}", VALUES, "path") == "dry"
    assert expand("{item.name}", VALUES, "path") == "Ada"


def test_lists_and_mappings_are_written_as_json() -> None:
    assert expand("{{ item.tags }}", VALUES, "text") == '["x", "y"]'


def test_paths_keep_the_format_specs_of_the_earlier_tool() -> None:
    assert expand("sheet{sheet_num:02d}.md", VALUES, "path") == "sheet07.md"
    assert expand("{batch_num:>3}", VALUES, "path") == "  7"
    with pytest.raises(PromptError, match=r"placeholder `\{workspace:03d\}`"):
        expand("{workspace:03d}", VALUES, "path")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "}}",
        "{}",
        "{{}}",
        "{{ }}",
        "a{1,3}b{2}",
        r"\d{4}-\d{2}",
        "${HOME} ${batch_num} ${{ batch_num }}",
        '{"a": {"b": 1}}',
        "awk '{print $1}'",
        "docker ps --format '{{.Names}} {{json .}}'",
        "{ batch_num }",
        "{batch_num!r}",
        "{batch-num}",
        "{0}",
        "{{ 1 + 1 }}",
        "{{ 'x' }}",
        "{true}",
        "{nobody} {{ nobody }} {{ nobody + batch_num }}",
        "{stage: 1}",
        "{{ batch_num",
        "{batch_num",
    ],
)
def test_other_braces_stay_as_they_are(text: str, mode: Mode) -> None:
    assert expand(text, VALUES, mode) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"n": {batch_num}}', '{"n": 7}'),
        ('{"n": {{ batch_num }}}', '{"n": 7}'),
        ('{"a":{"n":{{batch_num}}}}', '{"a":{"n":7}}'),
        ("{{{batch_num}}}", "{7}"),
        ("{{.Names}} {{batch_num}}", "{{.Names}} 7"),
        ("x{2}{batch_num}{3}", "x{2}7{3}"),
    ],
)
def test_placeholders_are_found_among_other_braces(text: str, expected: str) -> None:
    assert expand(text, VALUES, "text") == expected


def test_what_is_filled_in_is_never_looked_at_again() -> None:
    hostile = {"batch_num": "{workspace}", "workspace": "{{ batch_num }}", "tone": "{{ 1 + 1 }}"}
    assert expand("{batch_num}/{workspace}/{tone}", hostile, "path") == "{workspace}/{{ batch_num }}/{{ 1 + 1 }}"


def test_a_known_name_without_a_value_here_is_an_error_and_not_a_literal() -> None:
    values = BatchContext(4, {"items": [1, 2], "batch_num": 4})
    with pytest.raises(PromptError, match=r"unknown variable `item`; did you mean `items`\?") as caught:
        expand("out/{item}.md", values, "path")
    assert caught.value.batch == 4


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(PromptError, match=r"there is no `nam`; did you mean `name`\?"):
        expand("{{ item.nam }}", VALUES, "path")


def test_expressions_run_in_the_sandbox() -> None:
    with pytest.raises(PromptError, match="unsafe"):
        expand("{{ tone.__class__ }}", VALUES, "path")


@given(st.text())
def test_text_without_known_names_is_never_changed(text: str) -> None:
    if not placeholders_in(text):
        for mode in MODES:
            assert expand(text, {}, mode) == text


@given(before=st.text(), value=st.text(), after=st.text())
def test_plain_modes_write_the_value_as_it_is(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", "").replace("$", ""), after.replace("}", "").replace("{", "")
    assert expand(f"{before}{{v}}{after}", {"v": value}, "text") == before + value + after


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(PromptError, match="NUL"):
        expand("{tone}", {"tone": "a\0b"}, "path")


# --- names, for checks ------------------------------------------------------------------------------------------------


def test_placeholders_in_lists_names_known_or_not() -> None:
    text = "{workspace}/{{ item.name | lower }}-{{ batch_num + offset }}.{ext} ${HOME} {1,2} {{.Names}}"
    assert placeholders_in(text) == {"workspace", "item", "batch_num", "offset", "ext"}


def test_unknown_placeholders_come_with_the_nearest_known_name() -> None:
    known = {"batch_num", "workspace"}
    assert unknown_placeholders("{batchnum}/{{ worspace }}/{batch_num}/{zzz}", known) == [
        ("batchnum", "batch_num"),
        ("worspace", "workspace"),
        ("zzz", ""),
    ]


# --- regular expressions ----------------------------------------------------------------------------------------------


@given(st.text())
@example(value="a.b*c")
@example(value="[x]-(y)|{1,2}")
@example(value=" # ~&&")
def test_values_in_regular_expressions_match_themselves_and_nothing_else(value: str) -> None:
    for flags in (regex.V0, regex.V1, regex.VERBOSE):
        assert regex.fullmatch(expand("{v}", {"v": value}, "regex"), value, flags)
        assert regex.fullmatch(expand("<{{ v }}>", {"v": value}, "regex"), f"<{value}>", flags)
        assert not regex.fullmatch(expand("<{v}>", {"v": value}, "regex"), f"<{value}x>", flags)


def test_quantifiers_and_escaped_braces_of_a_regular_expression_stay() -> None:
    values = {"batch_num": 7, "L": "x"}
    assert expand(r"\d{2,3} \{batch_num} \\{batch_num} \p{L} x{batch_num}", values, "regex") == (
        r"\d{2,3} \{batch_num} \\7 \p{L} x7"
    )


# --- commands ---------------------------------------------------------------------------------------------------------

SHELLS = [shell for shell in ("sh", "bash") if shutil.which(shell)]
pytestmark = pytest.mark.skipif(not SHELLS, reason="needs a POSIX shell")

hostile = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.text(st.sampled_from(list("'\"`$()\\{};&|<>#!*?~=- \t\nEOFax")), max_size=10),
    st.sampled_from(
        [
            "",
            "-rf",
            "--",
            "$(touch pwned)",
            "`touch pwned`",
            "'; touch pwned; '",
            '"; touch pwned; "',
            "\\'; touch pwned #",
            "a\nEOF\ntouch pwned\n",
            "EOF",
            "\\",
            "\\\\",
            "$HOME",
            "${HOME}",
            "!!",
            "~",
            "*",
            "a\rb",
            "){ :; }; touch pwned",
        ]
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty, and to stay so."""
    return tmp_path_factory.mktemp("empty")


def run(shell: str, command: str, folder: Path) -> str:
    done = subprocess.run(
        [shell, "-c", command], cwd=folder, capture_output=True, check=False, timeout=20, stdin=subprocess.DEVNULL
    )
    assert not list(folder.iterdir()), f"the command did more than it says: {command!r}"
    return done.stdout.decode()


# Command, and what it prints for a value. Each is complete in itself, so that any of them can follow any other.
Snippet = tuple[str, Callable[[str], str]]
SNIPPETS: dict[str, Snippet] = {
    "word": ("printf '%s|' {v}", lambda v: v + "|"),
    "double braces": ("printf '%s|' {{ v }}", lambda v: v + "|"),
    "filtered": ("printf '%s|' {{ v ~ v }}", lambda v: v + v + "|"),
    "twice": ("printf '%s|%s|' {v} {v}", lambda v: f"{v}|{v}|"),
    "part of a word": ("printf '%s|' a{v}b", lambda v: f"a{v}b|"),
    "double quotes": ("printf '%s|' \"a {v} b\"", lambda v: f"a {v} b|"),
    "single quotes": ("printf '%s|' 'a {v} b'", lambda v: f"a {v} b|"),
    "mixed quotes": ("printf '%s|' 'it'\\''s'\"{v}\"'{v}'{v}", lambda v: f"it's{v}{v}{v}|"),
    "escaped quotes": ("printf '%s|' \"\\\"{v}\\\"\" \\'{v}\\'", lambda v: f"\"{v}\"|'{v}'|"),
    "substitution": ("printf '%s|' \"$(printf '%s.' {v})\"", lambda v: f"{v}.|"),
    "quotes in a substitution": ("printf '%s|' \"$(printf '%s.' \"{v}\" '{v}')\"", lambda v: f"{v}.{v}.|"),
    "nested": ("printf '%s|' \"$(printf '%s.' \"$(printf '%s,' {v})\" \"{v}\")\"", lambda v: f"{v},.{v}.|"),
    "subshell": ("(printf '%s|' {v}; (printf '%s|' \"{v}\"))", lambda v: f"{v}|{v}|"),
    "paren then quote": ("printf '%s|' \"$( (printf '%s.' {v}) )\" '{v}'", lambda v: f"{v}.|{v}|"),
    "assignment": ("x={v}; printf '%s|' \"$x\"", lambda v: v + "|"),
    "comment with an apostrophe": (
        "# don't \"mind\nprintf '%s|' {v} # isn't\nprintf '%s|' '{v}'",
        lambda v: f"{v}|{v}|",
    ),
    "value in a comment": ("# about {v}\nprintf '%s|' ok", lambda v: "ok|"),
    "hash inside a word": ("printf '%s|' a#'b {v}' \"$#\" ${#}", lambda v: f"a#b {v}|0|0|"),
    "continued line": ("printf '%s|%s|' \\\n  {v} \\\n  '{v}'", lambda v: f"{v}|{v}|"),
    "function": ("f() { printf '%s|' \"$1\"; }; f {v}", lambda v: v + "|"),
    "case": ("case {v} in (zz) :;; *) printf '%s|' {v};; esac", lambda v: v + "|"),
    "parameter before": ("printf '%s|' \"${HOME:+x}{v}\" ${HOME:+x}{v}", lambda v: f"x{v}|x{v}|"),
    "arithmetic before": ("printf '%s|' \"$((1 + (2 * 3)))\"{v}", lambda v: f"7{v}|"),
    "here-document": ("cat <<EOF\nit's {v} \"so\nEOF\nprintf '%s|' {v}", lambda v: f"it's {v} \"so\n{v}|"),
    "here-document with expansions": (
        "cat <<EOF\n${nope}$(printf x) $nope {v}\nEOF\nprintf '%s|' {v}",
        lambda v: f"x  {v}\n{v}|",
    ),
    "after a variable": ("x=1; printf '%s|%s|' $x{v} \"$x{v}\"", lambda v: f"1{v}|1{v}|"),
    "here-document after a variable": ("x=1; cat <<EOF\n$x{v}\nEOF", lambda v: f"1{v}\n"),
    "literal here-document": ("cat <<'EOF'\nit's {v} $x `\nEOF\nprintf '%s|' {v}", lambda v: f"it's {v} $x `\n{v}|"),
    "tabs stripped": ("cat <<-EOF\n\ta {v}\n\tEOF\nprintf '%s|' '{v}'", lambda v: f"a {v}\n{v}|"),
    "two here-documents": (
        "printf '%s|' {v} <<A <<B\nx'\nA\ny\"\nB\nprintf '%s|' {v}",
        lambda v: f"{v}|{v}|",
    ),
    "word before a here-document": (
        "cat <<E; printf '%s|' {v}\nit's\nE\nprintf '%s|' \"{v}\"",
        lambda v: f"it's\n{v}|{v}|",
    ),
    "here-document in a substitution": ('printf \'%s|\' "$(cat <<E\nit\'s )\nE\n)" "{v}"', lambda v: f"it's )|{v}|"),
    "backticks before": ("printf '%s|' `printf x`{v} \"`printf y`{v}\"", lambda v: f"x{v}|y{v}|"),
    "backticks": ("printf '%s|' \"`printf '%s' \"{v}\"`\"", lambda v: v + "|"),
    "parameter expansion": ("printf '%s|' \"${nope:-{v}}\" {v}", lambda v: f"{v}|{v}|"),
    "quoted parameter expansion": ('printf \'%s|\' "${nope:-"x"}" {v}', lambda v: f"x|{v}|"),
    "arithmetic": ("printf '%s|' \"$(({v}0 - {v}0))\"", lambda v: "0|"),
    "case in a substitution": ("printf '%s|' \"$(case x in x) printf %s {v};; esac)\" {v}", lambda v: f"{v}|{v}|"),
    "character class": ("case a in [[:alpha:]]) printf '%s|' {v};; esac", lambda v: f"{v}|"),
    "here-document after a class": ("echo [[:x:]] >/dev/null; cat <<E\n{v}\nE", lambda v: f"{v}\n"),
    "wildcard": ("printf '%s|' [zZ]oo?[[:digit:]]q {v}", lambda v: f"[zZ]oo?[[:digit:]]q|{v}|"),
    "escaped dollar": ("printf '%s|' \"\\$(x) {v}\" \\$'{v}'", lambda v: f"$(x) {v}|${v}|"),
}
# Places where only harmless values are let through, or some values are refused.
GUARDED = {
    "here-document after a class",
    "here-document with expansions",
    "here-document after a variable",
    "here-document",
    "literal here-document",
    "tabs stripped",
    "two here-documents",
    "word before a here-document",
    "backticks",
    "parameter expansion",
    "quoted parameter expansion",
    "arithmetic",
    "case in a substitution",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", SNIPPETS)
@settings(max_examples=25, deadline=None)
@given(value=hostile)
@example(value="it's")
@example(value="$(touch pwned)")
@example(value="a b")
@example(value="-n")
@example(value="E\x80")
@example(value="Eé")
def test_a_value_arrives_in_the_shell_as_it_is(shell: str, name: str, value: str, folder: Path) -> None:
    command, prints = SNIPPETS[name]
    try:
        expanded = expand(command, {"v": value}, "command")
    except PromptError:
        assert name in GUARDED
        return
    if name == "arithmetic" and not re.fullmatch(r"[1-9]\d*", value):
        return  # harmless, but not a number
    assert run(shell, expanded, folder) == prints(value)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=150, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(SNIPPETS.keys() - GUARDED)), min_size=2, max_size=5), value=hostile)
def test_what_stands_before_a_value_does_not_confuse_its_quoting(
    shell: str, names: list[str], value: str, folder: Path
) -> None:
    command = "\n".join(SNIPPETS[name][0] for name in names)
    printed = "".join(SNIPPETS[name][1](value) for name in names)
    assert run(shell, expand(command, {"v": value}, "command"), folder) == printed


FRAGMENTS = [
    *[
        "'",
        '"',
        "`",
        "$",
        "$(",
        "${",
        "}",
        ")",
        "(",
        "#",
        "<<",
        "<<-",
        "<<<",
        "E",
        "EOF",
        "\n",
        " ",
        "\\",
        "\\\n",
        ";",
        "&",
        "|",
        "=",
    ],
    *[
        "a",
        "echo ",
        "cat ",
        "case a in a) ",
        "esac",
        "x=",
        "$((",
        "))",
        "((",
        "[[ ",
        " ]]",
        "$[",
        "[",
        "]",
        "a[",
        " -eq 1",
    ],
    *[
        "{ ",
        "; }",
        "$y",
        "\t",
        "$'",
        "f(){ ",
        "*",
        ":-",
        "it's",
        '"q"',
        "\nEOF\n",
        "<<EOF\n",
        "<<'EOF'\n",
        '"$(',
        '"${x:-',
        "<(",
    ],
]
INJECTIONS = [
    *[
        "$(touch pwned)",
        "`touch pwned`",
        "';touch pwned;'",
        '";touch pwned;"',
        "\ntouch pwned\n",
        "a\nEOF\ntouch pwned\n",
    ],
    *[
        "\\';touch pwned;#",
        "x;touch pwned\\",
        "'$(touch pwned)'",
        "}; touch pwned; {",
        ") ; touch pwned ; (",
        "(touch pwned)",
    ],
    *["a[$(touch pwned)]", "' ; touch pwned #", "&& touch pwned ||", "EOF", "E\ntouch pwned", "\t"],
]


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    before=st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join),
    after=st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join),
    value=st.sampled_from(INJECTIONS),
)
@example(before='echo "$\\\n', after='"', value="(touch pwned)")
@example(before="<<EOF\n$(", after="\n)\nEOF\n", value="x;touch pwned\\")
@example(before="[<<EOF\n]", after=" -eq 1", value="a[$(touch pwned)]")
def test_no_command_however_odd_lets_a_value_run(shell: str, before: str, after: str, value: str, folder: Path) -> None:
    try:
        command = expand(f"{before}{{v}}{after}{{v}}", {"v": value}, "command")
    except PromptError:
        return
    run(shell, command, folder)


@pytest.mark.parametrize("name", sorted(GUARDED - {"here-document after a variable"}))
def test_harmless_values_go_anywhere(name: str, tmp_path: Path) -> None:
    command, prints = SNIPPETS[name]
    assert run("sh", expand(command, {"v": "42"}, "command"), tmp_path) == prints("42")


@pytest.mark.parametrize(
    ("command", "value", "why"),
    [
        ("echo `cat {v}`", "a b", r"inside backticks \(use \$\(…\)\)"),
        ("echo $((1 + {v}))", "a[$(id)]", "inside"),
        ('echo "${x:-{v}}"', "$(id)", "inside"),
        ("echo $'{v}'", "\\x27", "inside"),
        ("cat <<EOF\n{v}\nEOF", "a\nEOF\nid", "several lines"),
        ("cat <<EOF\n{v}\nEOF", "EOF", "could end a here-document"),
        ("cat <<EOF\nE{v}\nEOF", "OF", "could end a here-document"),
        ("cat <<-EOF\n{v}EOF\nEOF", "\t", "could end a here-document"),
        ("cat <<EOF {v}\nEOF", "a\nb", "several lines"),
        ("cat <<$x\n{v}\n$x", "1", "here-document whose end is not plain"),
        ('x="$(cat <<E)"; echo {v}', "1", "here-document whose end is not plain"),
        ('echo "$\\\n{v}"', "(id)", "operators are split over lines"),
        ("cat <\\\n<E\nit's {v}\nE", "; id", "operators are split over lines"),
        ("ls a[<<EOF\nit's {v}]\nEOF", "1", "here-document whose end is not plain"),
        ('x="$(ls a[x)"; echo ] {v}', "a b", "inside"),
        ("cat <<E\n$(echo {v})\nE", "a b", "here-document whose end is not plain"),
        ("x=(a {v})", "a\nb", "several lines cannot be written safely inside an array"),
        ("[[ \n<<E\n{v}\nE\n ]]", "1", "here-document whose end is not plain"),
        ("(( {v} > 1 ))", "$(id)", "inside"),
        ("a[{v}]=1", "x[$(id)]", "inside"),
        ('[ "{v}" -eq 3 ]', "a[$(id)]", "a comparison of numbers"),
        ("[ 3 -lt {v} ]", "a[$(id)]", "a comparison of numbers"),
        ('x="$(case a in a) echo;; esac; echo {v})"', "a b", "`case`"),
        ("echo {v}", "a\0b", "NUL"),
    ],
)
def test_values_that_cannot_be_quoted_are_refused_with_the_reason(command: str, value: str, why: str) -> None:
    with pytest.raises(PromptError, match=why) as caught:
        expand(command, BatchContext(3, {"v": value}), "command")
    assert "placeholder `{v}`" in str(caught.value)
    assert caught.value.batch == 3


def test_a_placeholder_behind_a_backslash_is_the_shells() -> None:
    assert expand("echo \\{v} \"\\{v}\" '\\{v}' \\\\{v}", {"v": "x y"}, "command") == (
        "echo \\{v} \"\\{v}\" '\\x y' \\\\'x y'"
    )


def test_a_command_with_its_own_braces_keeps_them() -> None:
    command = """awk '{print $1}' {workspace}/a{1,2}.txt | jq '{"n": .x}' && test "${HOME}" -a -f "{workspace}/x" """
    assert expand(command, VALUES, "command") == (
        """awk '{print $1}' '/work space'/a{1,2}.txt | jq '{"n": .x}' && test "${HOME}" -a -f "/work space/x" """
    )


def test_quotes_the_author_wrote_are_not_doubled(tmp_path: Path) -> None:
    (target := tmp_path / "with space").mkdir()
    (target / "x").write_text("found")
    for command in ("cat {workspace}/x", 'cat "{workspace}/x"', "cat '{workspace}/x'", 'cat "{{ workspace }}"/x'):
        done = subprocess.run(
            ["sh", "-c", expand(command, {"workspace": str(target)}, "command")], capture_output=True, check=True
        )
        assert done.stdout == b"found"
