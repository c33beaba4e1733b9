"""What a line of a magic means, and what is said about one that means nothing."""

from __future__ import annotations

import pytest

from mozart_nb.errors import OptionError
from mozart_nb.jupyter.magics.lines import RunWish, help_of, overview, parse_cell, parse_verb, split_line, verb_called
from mozart_nb.jupyter.magics.options import CELL, HELP_FLAGS, VERBS, Verb

EVERY_VERB = [CELL, *VERBS.values()]


def cell(line: str) -> RunWish:
    return parse_cell(split_line(line))


def said(line: str, verb: str = "") -> tuple[str, str]:
    """Message and hint about a line that is wrong."""
    with pytest.raises(OptionError) as caught:
        parse_verb(verb, split_line(line).words) if verb else cell(line)
    return caught.value.message, caught.value.hint


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ()),
        ("  run  job.yaml ", ("run", "job.yaml")),
        ("run 'my job.yaml'", ("run", "my job.yaml")),
        (r"run my\ job.yaml", ("run", "my job.yaml")),
        ('--set "prompt.template=it\'s {x} $HOME"', ("--set", "prompt.template=it's {x} $HOME")),
        ("--set a=b#c", ("--set", "a=b#c")),
        ("list # all of them", ("list",)),
        ("# nothing", ()),
        ("--set 'a= # kept'", ("--set", "a= # kept")),
        ("-o größe", ("-o", "größe")),
    ],
)
def test_a_line_is_split_as_a_shell_would_and_nothing_is_expanded(line: str, words: tuple[str, ...]) -> None:
    assert split_line(line, windows=False).words == words


def test_a_backslash_is_part_of_a_path_on_windows() -> None:
    assert split_line(r'run C:\Users\me\job.yaml -w "D:\my work"', windows=True).words == (
        "run",
        r"C:\Users\me\job.yaml",
        "-w",
        r"D:\my work",
    )


@pytest.mark.parametrize("line", ["list;", "list ;", "list;  "])
def test_a_semicolon_at_the_end_asks_for_silence(line: str) -> None:
    assert split_line(line).words == ("list",)
    assert split_line(line).is_silent


def test_a_semicolon_in_quotes_is_part_of_the_word() -> None:
    line = split_line("--set 'a=b;'")
    assert line.words == ("--set", "a=b;")
    assert not line.is_silent


def test_a_quote_that_is_not_closed_is_named() -> None:
    message, _ = said("--set 'a=b")
    assert message == "a quote is not closed: --set 'a=b"


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_a_cell_without_options_leaves_everything_to_job_and_settings() -> None:
    assert cell("") == RunWish()


def test_every_option_of_a_cell_is_understood() -> None:
    line = (
        "-o mine --wait -n --show 3 --items df --set retry.max_retries=5 --set name=x --var a --var b --rehearse "
        "--fresh --limit 1_000 --batches 3,7-9 -s 2 --max-concurrent 8 --strict -H -w ws --no-dashboard --no-raise "
        "--debug"
    )
    assert cell(line) == RunWish(
        out="mine",
        wait=True,
        dry_run=True,
        show=3,
        items="df",
        overrides=["retry.max_retries=5", "name=x"],
        variables=["a", "b"],
        rehearse=True,
        fresh=True,
        limit=1000,
        batches="3,7-9",
        start_batch=2,
        max_concurrent=8,
        strict=True,
        self_healing=True,
        workspace="ws",
        dashboard=False,
        raises=False,
        debug=True,
    )


def test_not_to_wait_is_something_else_than_to_say_nothing() -> None:
    assert (cell("--no-wait").wait, cell("--wait").wait, cell("").wait) == (False, True, None)


def test_two_lines_share_nothing() -> None:
    assert cell("--set a=1").overrides == ["a=1"]
    assert cell("--set b=2").overrides == ["b=2"]


def test_values_may_stand_behind_an_equals_sign() -> None:
    assert (cell("--limit=3 --out=mine").limit, cell("-omine").out) == (3, "mine")


def test_verbs_take_a_job_or_a_file() -> None:
    assert parse_verb("batches", ("nightly", "--status", "failed")).job == "nightly"
    assert parse_verb("batches", ()).job == ""
    assert RunWish.of(parse_verb("run", ("job.yaml", "--wait"))) == RunWish(file="job.yaml", wait=True)
    assert parse_verb("modify", ("-c", "new.yaml", "-r")).config == "new.yaml"


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("--wiat", "there is no option `--wiat`", "did you mean `--wait`?"),
        ("--limitt 3", "there is no option `--limitt`", "did you mean `--limit`?"),
        ("--limitt=3", "there is no option `--limitt`", "did you mean `--limit`?"),
        ("--xyzzy", "there is no option `--xyzzy`", "`%%mozart --help` lists the options"),
        ("--wai", "there is no option `--wai`", "did you mean `--wait`?"),
        ("job.yaml", "`job.yaml` is no option", "`%mozart run FILE` runs a file"),
        ("--limit 3 --limit 4", "`--limit` is given twice", "--help"),
        ("-n --dry-run", "`--dry-run` is given twice, first as `-n`", "--help"),
        ("--wait --no-wait", "`--wait` and `--no-wait` contradict each other", "--help"),
        ("--limit none", "--limit: a number from 1 expected, not `none`", "--help"),
        ("--limit -3", "--limit: a number from 1 expected, not `-3`", "--help"),
        ("--limit", "--limit: expected one argument", "--help"),
        ("--set a", "--set: KEY=VALUE expected, not `a`", "--help"),
        ("-o 3x", "-o/--out: the name of a variable expected, not `3x`", "--help"),
    ],
)
def test_a_mistake_is_one_message_with_the_nearest_way_out(line: str, message: str, hint: str) -> None:
    found = said(line)
    assert message in found[0]
    assert hint in found[1]


def test_a_verb_that_does_not_exist_leads_to_the_nearest() -> None:
    with pytest.raises(OptionError) as caught:
        verb_called("stauts")
    assert caught.value.message == "`%mozart stauts`: there is no such verb"
    assert caught.value.hint == "did you mean `%mozart status`?"


@pytest.mark.parametrize(
    ("verb", "line", "message"),
    [
        ("run", "", "%mozart run: FILE is missing"),
        ("modify", "x", "%mozart modify: -c/--config is missing"),
        ("status", "a b", "%mozart status: `b` is one word too many"),
        ("list", "-x", "%mozart list: there is no option `-x`"),
        ("logs", "-n many", "%mozart logs: -n/--lines: a number from 0 expected, not `many`"),
    ],
)
def test_a_mistake_names_the_verb_it_was_made_with(verb: str, line: str, message: str) -> None:
    assert said(line, verb)[0] == message


# --- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", EVERY_VERB, ids=lambda verb: verb.name or "cell")
def test_help_names_every_option_with_what_it_is_for(verb: Verb) -> None:
    page = help_of(verb)
    assert page.startswith(f"usage: {verb.command}")
    flat = " ".join(page.split())
    for option in verb.options:
        assert all(name in flat for name in option.names)
        assert option.help in flat
    assert all(len(line) <= 100 for line in page.splitlines())


def test_the_usage_shows_what_is_required() -> None:
    assert " FILE" in help_of(VERBS["run"])
    assert "[FILE]" not in help_of(VERBS["run"])
    assert "modify -c FILE [-r]" in help_of(VERBS["modify"])
    assert "[ID]" in help_of(VERBS["status"])


def test_the_overview_has_every_verb_in_a_line_of_its_own() -> None:
    lines = [line.split() for line in overview().splitlines()]
    assert [words[0] for words in lines if words and words[0] in VERBS] == list(VERBS)


@pytest.mark.parametrize("verb", EVERY_VERB, ids=lambda verb: verb.name or "cell")
def test_no_two_options_of_a_verb_share_a_name(verb: Verb) -> None:
    names = [name for option in verb.options for name in option.names]
    assert len(names) == len(set(names))
    assert not set(names) & set(HELP_FLAGS)
    assert all(option.help.endswith(".") for option in verb.options)
