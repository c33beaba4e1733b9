"""Rules about templates: their syntax, their variables, and how long the prompts get."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from jinja2 import TemplateSyntaxError, nodes

from mozart_nb.errors import PromptError
from mozart_nb.job.document import KeyPath, show_path
from mozart_nb.job.lint_places import expressions_compile
from mozart_nb.job.lint_rules import extensions
from mozart_nb.job.plan import Plan
from mozart_nb.job.prompt import PromptRenderer, known_names
from mozart_nb.job.report import Respelling, beyond_doubt
from mozart_nb.job.sandbox import SANDBOX
from mozart_nb.job.templates import CompiledTemplate
from mozart_nb.job.vcodes import Finding, Rule, Subject

CHARACTERS_PER_TOKEN: Final = 4
WARN_TOKENS: Final = 50_000
MAX_TOKENS: Final = 150_000

MAX_RENDERED: Final = 200
"""Batches whose prompts are rendered to see how long they get."""


def templates_compile(subject: Subject) -> Iterator[Finding]:
    for path, text in _templates(subject):
        try:
            CompiledTemplate(text, show_path(path))
        except PromptError as error:
            cause = error.__cause__
            line = cause.lineno if isinstance(cause, TemplateSyntaxError) else 0
            yield Finding(path, error.message, line_below=0 if path in _FROM_FILES else line)
    yield from expressions_compile(subject)


def template_variables_exist(subject: Subject) -> Iterator[Finding]:
    known = set(known_names(subject.loaded.config.prompt))
    if subject.loaded.config.batch.size > 1 and "item" not in subject.loaded.config.prompt.variables:
        known.discard("item")
    for path, text in _templates(subject):
        try:
            unknown = CompiledTemplate(text, "").unknown(known)
        except PromptError:
            continue  # V001 has said so
        optional = _optional_names(text)
        for name in unknown:
            if name.name not in optional:
                where = f" (line {name.line} of the file)" if path in _FROM_FILES else ""
                advice = f"did you mean `{name.nearest}`?" if name.nearest else "define it in `prompt.variables`"
                line = 0 if path in _FROM_FILES else name.line
                if name.name == "item":
                    advice = "it needs `batch.size: 1`; all rows of the batch are in `items`"
                meant = beyond_doubt(name.name, known) if path not in _FROM_FILES else ""
                respells = Respelling(path, name.name, meant, "template") if meant else None
                message = f"there is no variable `{name.name}`{where}"
                yield Finding(path, message, advice, line_below=line, respells=respells)


def prompts_are_not_too_long(subject: Subject) -> Iterator[Finding]:
    """Without rows: those of `items` are only known when the job is planned."""
    loaded = subject.loaded
    longest = max(((len(text), number) for text, number in prompt_texts(subject)), default=(0, 0))
    tokens = longest[0] // CHARACTERS_PER_TOKEN
    if tokens > WARN_TOKENS:
        key = "template" if loaded.config.prompt.template is not None else "template_file"
        limit = f"over {MAX_TOKENS:,} it is not sent" if tokens > MAX_TOKENS else f"over {WARN_TOKENS:,} is a lot"
        yield Finding(("prompt", key), f"the prompt of batch {longest[1]} has about {tokens:,} tokens; {limit}")


RULES: Final[Mapping[str, Rule]] = {
    "V001": templates_compile,
    "V101": template_variables_exist,
    "V115": prompts_are_not_too_long,
}

_FROM_FILES: Final = frozenset({("prompt", "template_file")})


def _templates(subject: Subject) -> Iterator[tuple[KeyPath, str]]:
    """Every template of the job and where it stands. Files that cannot be read are V003."""
    config = subject.loaded.config
    if config.prompt.template is not None:
        yield ("prompt", "template"), config.prompt.template
    if config.prompt.template_file is not None:
        text = subject.text_of(config.prompt.template_file)
        if text is not None:
            yield ("prompt", "template_file"), text
    yield from extensions(config)
    if config.rehearsal.answer is not None:
        yield ("rehearsal", "answer"), config.rehearsal.answer
    for path, content in config.rehearsal.writes.items():
        yield ("rehearsal", "writes", path), content
    for index, pattern in enumerate(config.cross_batch.capture_files):
        yield ("cross_batch", "capture_files", index), pattern
    for index, name in enumerate(config.backend.attachments):
        yield ("backend", "attachments", index), name


def _optional_names(text: str) -> set[str]:
    """Names a template can do without: those it asks for with `is defined` or gives a default."""
    tree = SANDBOX.parse(text)
    asked = [test.node for test in tree.find_all(nodes.Test) if test.name in ("defined", "undefined")]
    asked += [one.node for one in tree.find_all(nodes.Filter) if one.name in ("default", "d") and one.node is not None]
    return {node.name for node in asked if isinstance(node, nodes.Name)}


def prompt_texts(subject: Subject) -> Iterator[tuple[str, int]]:
    """Prompts of chosen batches as far as they can be rendered without rows, and the number of each."""
    plan = subject.plan
    if plan is None:
        return
    try:
        renderer = PromptRenderer(subject.loaded.config, plan, read_text=subject.text_of)
    except PromptError:
        return  # V001 and V003 say why
    for number in _chosen(plan, subject):
        try:
            yield renderer.render(subject.context_of(number, plan)), number
        except PromptError:
            continue  # a template that needs its rows or earlier outputs


def _chosen(plan: Plan, subject: Subject) -> list[int]:
    """All batches of a small job; else some from both ends and those with extensions of their own."""
    if plan.count <= MAX_RENDERED:
        return list(range(1, plan.count + 1))
    stages = list(subject.loaded.config.batch.prompt_extensions)[: MAX_RENDERED // 2]
    special = [plan.first_batch(stage) for stage in stages if 1 <= stage <= plan.total_stages]
    edge = MAX_RENDERED // 4
    return sorted({*range(1, edge + 1), *special, *range(plan.count - edge + 1, plan.count + 1)})
