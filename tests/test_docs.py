"""The documentation says what the code does: pages made from it, links, job files, commands and options."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mozart_nb.codes import CODES
from mozart_nb.events import event_types, kind_of
from mozart_nb.job.items import read_items
from mozart_nb.job.lint import V_CODES, lint
from mozart_nb.job.load import DiskFiles, LoadedJob, load_job, load_text
from mozart_nb.job.model import JobConfig
from mozart_nb.job.plan import plan_job
from mozart_nb.job.prompt import PromptRenderer, context_for

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)


def issues_of(loaded: LoadedJob, tmp_path: Path) -> list[str]:
    """What `validate` would say on a machine that has the `claude` program."""
    program = tmp_path / "claude"
    program.touch(mode=0o755)
    return [str(issue) for issue in lint(loaded, DiskFiles(), {"PATH": str(tmp_path)}, is_root=True)]


# --- pages made from the code -----------------------------------------------------------------------------------------


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_that_are_made_from_the_code_are_up_to_date() -> None:
    assert list(generator().outdated()) == [], "run `make docs`"


def test_a_page_that_was_changed_by_hand_is_noticed(tmp_path: Path) -> None:
    pages = generator().pages()
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "events.md").write_text("# Events\n", encoding="utf-8")
    (tmp_path / "job-file.md").unlink()
    assert sorted(generator().outdated(tmp_path)) == ["events.md", "job-file.md"]


# --- links ------------------------------------------------------------------------------------------------------------


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Target file and anchor of every relative link."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, made as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), f"{page.name}: {target} does not exist"
        assert not anchor or anchor in anchors(target), f"{page.name}: {target.name} has no heading #{anchor}"


def test_every_page_and_example_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            waiting += [target for target, _ in links(page) if target.suffix == ".md"]
    linked = {target for page in seen for target, _ in links(page)}
    assert {*PAGES, *EXAMPLES} <= {*seen, *linked}


# --- job files --------------------------------------------------------------------------------------------------------


@each_example
def test_an_example_has_no_mistakes_and_nothing_to_warn_about(example: Path, tmp_path: Path) -> None:
    assert issues_of(load_job(example, strict=True), tmp_path) == []


@each_example
def test_every_prompt_of_an_example_can_be_rendered(example: Path) -> None:
    loaded = load_job(example)
    config = loaded.config
    rows = read_items(config.items, loaded.base_dir) if config.items is not None else []
    plan = plan_job(config, len(rows) if rows else None)
    renderer = PromptRenderer(config, plan)
    assert renderer.unknown() == []
    for number in range(1, plan.count + 1):
        context = context_for(
            plan,
            number,
            workspace="/somewhere/results",
            job_name=config.name,
            prompt=config.prompt,
            rows=rows[plan.rows_of(number)[0] - 1 : plan.rows_of(number)[1]],
            previous_outputs=dict.fromkeys(range(1, number), "an answer"),
        )
        assert renderer.render(context).strip()


def test_the_review_example_covers_552_commits_in_56_batches() -> None:
    config = load_job(ROOT / "examples" / "commit-review.yaml").config
    plan = plan_job(config)
    assert (plan.count, plan.items_of(1), plan.items_of(56)) == (56, (1, 10), (551, 552))
    kinds = [rule.type for rule in config.validations]
    assert (kinds.count("file_exists"), kinds.count("file_modified")) == (3, 2)
    assert config.prompt.stakes
    assert config.prompt.thinking_method


def yaml_blocks() -> list[Any]:
    return [
        pytest.param(block, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page, "yaml"), 1)
    ]


@pytest.mark.parametrize("block", yaml_blocks())
def test_a_job_file_shown_in_the_documentation_is_valid(block: str, tmp_path: Path) -> None:
    data = yaml.safe_load(block)
    if not isinstance(data, dict) or "name" not in data:
        pytest.fail("show whole job files, so that they can be checked and copied")
    for name in ("questions.csv", "reviews.csv"):
        (tmp_path / name).write_text("question\nWhy?\n", encoding="utf-8")
    loaded = load_text(block, base_dir=tmp_path, strict=True)
    assert [issue for issue in issues_of(loaded, tmp_path) if "ERROR" in issue] == []


# --- commands ---------------------------------------------------------------------------------------------------------

PROGRAM = re.compile(r"^\s*(?:\$ )?(?:mozart|mozart-nb|python -m mozart_nb) ([^#|>]*)")


def shown_commands() -> list[Any]:
    """Every invocation of the program in code blocks, code spans and comments of examples."""
    found = {}
    for page in PAGES:
        lines = [
            line for language in ("sh", "text", "") for block in blocks(page, language) for line in block.split("\n")
        ]
        prose = re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)
        lines += [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose)]
        found.update({match[1].strip(): page.name for line in lines if (match := PROGRAM.match(line))})
    for example in EXAMPLES:
        lines = [line.removeprefix("#") for line in text_of(example).split("\n") if line.startswith("#")]
        # Comments follow after two blanks.
        found.update({re.split(r"  +", m[1].strip())[0]: example.name for line in lines if (m := PROGRAM.match(line))})
    return [pytest.param(command, id=f"{where}: {command}") for command, where in sorted(found.items())]


@pytest.mark.parametrize("command", shown_commands())
def test_a_command_shown_in_the_documentation_exists_with_its_options(command: str) -> None:
    words = [word for word in shlex.split(command) if word not in ("…", "...")]
    program = command_line()
    known = option_names(program)
    while words and words[0].startswith("-"):
        assert words.pop(0).partition("=")[0] in known
    if words:
        name = words.pop(0).rstrip(",")
        assert name in program.commands, f"there is no command `{name}`"
        known |= option_names(program.commands[name])
    unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - known
    assert not unknown, f"`{command}`: no such option: {', '.join(unknown)}"


@each_page
def test_a_line_of_a_notebook_shown_in_the_documentation_can_be_typed(page: Path) -> None:
    from mozart_nb.jupyter.magics.lines import parse_cell, parse_verb, split_line

    spans = re.findall(r"`(%%?mozart [^`]+)`", text_of(page))
    lines = [
        line
        for block in blocks(page, "text")
        for line in block.split("\n")
        if line.startswith(("%mozart ", "%%mozart "))
    ]
    for line in [*(span.replace("\n", " ") for span in spans), *lines]:
        magic, _, rest = line.partition(" ")
        words = split_line(rest)
        if magic == "%%mozart":
            parse_cell(words)
        elif words.words[0] not in ("VERB", "…") and not words.words[0].startswith("-"):
            parse_verb(words.words[0], words.words[1:])


def command_line() -> Any:
    import typer.main

    from mozart_nb.cli import main

    return typer.main.get_command(main.app)


def option_names(command: Any) -> set[str]:
    return {"--help", *(name for one in command.params for name in (*one.opts, *one.secondary_opts))}


def test_every_command_is_in_the_readme() -> None:
    overview = text_of(ROOT / "README.md").partition("## Commands")[2].partition("\n## ")[0]
    shown = {name for span in re.findall(r"`([a-z-]+)[^`]*`", overview) for name in [span]}
    missing = {name for name, one in command_line().commands.items() if not one.hidden} - shown
    assert not missing


def test_every_command_and_option_has_its_row() -> None:
    page = text_of(ROOT / "docs" / "commands.md")
    program = command_line()
    for name, command in {"Every command": program, **program.commands}.items():
        section = re.split(r"^##+ ", page.partition(f" {name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
        rows = {span.split()[0] for line in section.split("\n") for span in re.findall(r"`(-[^`]+)`", line[:80])}
        options = {option for option in option_names(command) if option.startswith("-")} - {"--help"}
        assert options <= rows, name


def test_every_code_event_and_check_has_its_row() -> None:
    codes, events = text_of(ROOT / "docs" / "error-codes.md"), text_of(ROOT / "docs" / "events.md")
    assert [code for code in (*CODES, *V_CODES) if f"| `{code}` |" not in codes] == []
    assert [kind for kind in map(kind_of, event_types()) if f"### `{kind}`" not in events] == []


def test_every_symptom_of_the_troubleshooting_guide_names_the_command_that_shows_it_and_every_code_is_there() -> None:
    page = text_of(ROOT / "docs" / "troubleshooting.md")
    rows = [line.split(" | ") for line in page.split("\n") if line.startswith("| ") and "---" not in line]
    assert [cells[0] for cells in rows if len(cells) != 4] == []
    assert [cells[0] for cells in rows if cells[0] != "| symptom" and not re.match(r"`%?mozart ", cells[1])] == []
    assert [code for code in CODES if code not in page] == []


def test_every_file_of_a_job_and_every_table_has_its_row() -> None:
    generator()
    files = sys.modules["file_page"]
    assert files.described() == files.of_layout()
    page = text_of(ROOT / "docs" / "files.md")
    assert [name for name in files.every_table() if f"### `{name}`" not in page] == []


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_every_dependency_is_justified() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(text for extra in project["optional-dependencies"].values() for text in extra),
    ]
    names = {re.split(r"[\[<>=~! ]", text, maxsplit=1)[0] for text in wanted} - {"mozart-nb"}
    section = text_of(ROOT / "docs" / "architecture.md").partition("## Dependencies")[2].partition("\n## ")[0]
    assert {name for name in names if name not in section} == set()


def test_the_layers_are_drawn_with_every_module_at_the_top() -> None:
    section = text_of(ROOT / "docs" / "architecture.md").partition("## Layers")[2].partition("\n## ")[0]
    package = ROOT / "src" / "mozart_nb"
    top = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    public = {name for name in top if not name.startswith("_")} | {"__main__"}
    assert {name for name in public if not re.search(rf"`{name}/?`", section)} == set()


def test_nothing_that_works_is_among_what_the_limitations_say_is_not_here() -> None:
    section = text_of(ROOT / "docs" / "limitations.md").partition("## Not here yet")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)", section))
    assert not named & set(JobConfig.model_fields)


def test_the_numbers_of_the_readme_are_those_of_the_code() -> None:
    from mozart_nb.job.policies import CircuitBreakerPolicy, RetryPolicy

    breaker, retry = CircuitBreakerPolicy(), RetryPolicy()
    assert (breaker.failure_threshold, breaker.recovery_timeout_seconds) == (5, 300)
    assert retry.completion_threshold_percent == 50
