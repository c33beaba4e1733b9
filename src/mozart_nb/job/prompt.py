"""What is sent: the prompt of a batch, and what is added when a batch is asked again.

Only templates from the job file are ever rendered. Rows, earlier outputs and what a check found are values: braces in
them stay as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any, Final

from mozart_nb.codes import Category, lookup
from mozart_nb.errors import PromptError
from mozart_nb.events import RuleResult
from mozart_nb.job.model import JobConfig, PromptConfig
from mozart_nb.job.names import SYNONYMS, VARIABLES
from mozart_nb.job.placeholders import expand
from mozart_nb.job.plan import Plan, expand_keyed
from mozart_nb.job.templates import CompiledTemplate, UnknownName

ReadText = Callable[[str], str | None]
"""The text of a file named in the job file, None when there is no such file."""

MAX_FINDING: Final = 1000
"""Characters kept of what a check expected or saw."""

_TEXT_FILES = (".md", ".txt")

DEFAULT_TEMPLATE: Final = """\
Process batch {{ batch_num }} of {{ total_batches }}
{%- if fan_count > 1 %} (stage {{ stage }}, instance {{ instance }} of {{ fan_count }}){% endif -%}
: {% if start_item == end_item %}item {{ start_item }}{% else %}items {{ start_item }} to {{ end_item }}{% endif %}.
{%- if items %}

{% for row in items %}- {{ row if row is string and "\\n" not in row else row | tojson }}
{% endfor %}
{%- endif %}"""
"""The prompt of a job that gives none."""


class BatchContext(dict[str, Any]):
    """The variables of one batch, for templates, placeholders and expressions.

    `number` is the batch's own number, also where a variable of the job file shadows `batch_num`.
    """

    __slots__ = ("number",)

    def __init__(self, number: int, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.number = number


def context_for(
    plan: Plan,
    n: int,
    *,
    workspace: str,
    job_name: str,
    prompt: PromptConfig,
    rows: Sequence[Any] = (),
    previous_outputs: Mapping[int, str] | None = None,
    previous_files: Mapping[str, str] | None = None,
) -> BatchContext:
    """Every variable of batch `n`. `rows` are its items in order, empty for a job without `items`.

    `item` exists only where a batch has one item. Keys of `prompt.variables` win over the names given here.
    """
    start_item, end_item = plan.items_of(n)
    values: dict[str, Any] = {
        "batch_num": n,
        "total_batches": plan.count,
        "start_item": start_item,
        "end_item": end_item,
        "workspace": workspace,
        "job_name": job_name,
        "stakes": prompt.stakes or "",
        "thinking_method": prompt.thinking_method or "",
        "stage": plan.stage_of(n),
        "instance": plan.instance_of(n),
        "fan_count": plan.fan_count(n),
        "total_stages": plan.total_stages,
        "items": list(rows),
        "previous_outputs": dict(previous_outputs or {}),
        "previous_files": dict(previous_files or {}),
    }
    values.update({earlier: values[name] for earlier, name in SYNONYMS.items()})
    if plan.shape.size == 1 and rows:
        values["item"] = rows[0]
    values.update(prompt.variables)
    return BatchContext(n, values)


def known_names(prompt: PromptConfig) -> frozenset[str]:
    """Every name that templates, placeholders and conditions of a job may use."""
    return VARIABLES | prompt.variables.keys()


class PromptRenderer:
    """Renders the prompts of one job; compiled once, used from any thread.

    `template` is the text of `prompt.template_file`; without it the file is read through `read_text`. Extensions that
    name an existing .md or .txt file stand for its text. Raises `PromptError` for what does not compile.

    `aliases` may be filled at any time: names that templates use for known ones (misspelled → meant).
    """

    def __init__(
        self, config: JobConfig, plan: Plan, *, template: str | None = None, read_text: ReadText = lambda path: None
    ) -> None:
        self._template = _main_template(config.prompt, template, read_text)
        self._for_all = _extensions(config.prompt.prompt_extensions, "prompt.prompt_extensions", read_text)
        by_key = {
            key: _extensions(texts, f"batch.prompt_extensions.{key}", read_text)
            for key, texts in config.batch.prompt_extensions.items()
        }
        self._for_batch = expand_keyed(by_key, plan)
        self._known = known_names(config.prompt)
        self.aliases: dict[str, str] = {}
        self._compiled = (self._template, *self._for_all, *(one for many in by_key.values() for one in many))

    def render(self, context: BatchContext) -> str:
        """The prompt of a batch: the template, stakes and thinking method if it prints neither, the extensions.

        Raises `PromptError` naming variable and line.
        """
        context = self._with_aliases(context)
        extensions = (*self._for_all, *self._for_batch.get(context.number, ()))
        parts = [self._template.render(context, batch=context.number)]
        written = self._template.names.union(*(extension.names for extension in extensions))
        used = {self.aliases.get(name, name) for name in written}
        if not used & {"stakes", "thinking_method"}:
            parts += [str(context["stakes"]), str(context["thinking_method"])]
        parts += [extension.render(context, batch=context.number) for extension in extensions]
        return _paragraphs(parts)

    def _with_aliases(self, context: BatchContext) -> BatchContext:
        added = {alias: context[name] for alias, name in self.aliases.items() if name in context}
        return BatchContext(context.number, {**added, **context}) if added else context

    def unknown(self) -> list[tuple[str, UnknownName]]:
        """Names nobody provides, each with the label of the template that uses it. Checked without rendering."""
        return [(template.label, name) for template in self._compiled for name in template.unknown(self._known)]


def with_hints(prompt: str, hints: Sequence[str], context: BatchContext) -> str:
    """`prompt` with what earlier runs teach at its end; `prompt` itself where they teach nothing.

    Placeholders of the hints (the path of a rule) are filled in from `context`; a hint is left out where that has not
    what they ask for.
    """
    filled = list(_filled(hints, context))
    if not filled:
        return prompt
    return _paragraphs(
        [prompt, "What earlier runs of this task have shown:\n" + "\n".join(f"- {hint}" for hint in filled)]
    )


def _filled(hints: Sequence[str], context: BatchContext) -> Iterator[str]:
    for hint in hints:
        with contextlib.suppress(PromptError):
            yield expand(hint, context, "path")


def _main_template(prompt: PromptConfig, given: str | None, read_text: ReadText) -> CompiledTemplate:
    if prompt.template_file is not None:
        text = given if given is not None else read_text(prompt.template_file)
        if text is None:
            raise PromptError(f"prompt.template_file: {prompt.template_file} cannot be read", code="E502")
        return CompiledTemplate(text, "prompt.template_file")
    text = given if given is not None else prompt.template
    return CompiledTemplate(DEFAULT_TEMPLATE if text is None else text, "prompt.template")


def _extensions(texts: Iterable[str], label: str, read_text: ReadText) -> tuple[CompiledTemplate, ...]:
    return tuple(
        CompiledTemplate(_text_or_file(text, read_text), f"{label}[{index}]") for index, text in enumerate(texts)
    )


def _text_or_file(text: str, read_text: ReadText) -> str:
    name = text.strip()
    if name.lower().endswith(_TEXT_FILES) and "\n" not in name:
        found = read_text(name)
        return text if found is None else found
    return text


def _paragraphs(parts: Sequence[str]) -> str:
    """The first part as it is; what is added to it stands apart."""
    first, added = parts[0], [part.strip("\n") for part in parts[1:] if part.strip()]
    if not added:
        return first
    return "\n\n".join([first.rstrip("\n"), *added] if first.strip() else added)


# --- asking again -----------------------------------------------------------------------------------------------------


def completion_prompt(
    original: str,
    passed: Sequence[RuleResult],
    failed: Sequence[RuleResult],
    attempt_number: int,
    max_attempts: int,
    *,
    continues: bool,
    has_form: bool = False,
) -> str:
    """Asks for what is missing and nothing else; `attempt_number` counts completion attempts from 1.

    `continues`: the session that got `original` goes on, so that it is not repeated. `failed` may hold rules that were
    skipped because an earlier stage failed. `has_form`: the answer must have a form (JSON). The new answer takes the
    place of the old one, so where anything checks answers the whole of it is asked for again.
    """
    is_answer_only = bool(failed) and all(result.type in _ABOUT_THE_ANSWER for result in failed)
    which = f"This is completion attempt {attempt_number} of {max_attempts}"
    parts = [
        f"The answer to this task has been checked and is not right yet. {which}: give the whole answer again, "
        "corrected. It takes the place of the earlier one, so do not describe what you changed."
        if is_answer_only
        else f"Part of this task is done and has been checked. {which}: do only what is missing."
    ]
    if passed:
        parts.append("Already right, leave it as it is:\n" + "\n".join(f"- {_subject(result)}" for result in passed))
    if failed:
        parts.append(("Not right:\n" if is_answer_only else "Still missing:\n") + _todo(failed))
    checks_answer = has_form or any(result.type in _LOOKS_AT_THE_ANSWER for result in (*passed, *failed))
    if checks_answer and not is_answer_only:
        parts.append(
            "Then give the whole final answer again as it was asked for: it takes the place of the earlier one."
        )
    if continues:
        parts.append("Everything else you were asked at the beginning of this conversation still holds.")
    else:
        parts.append("The task as it was first given, for reference; its finished parts need no second pass:")
        parts.append(original)
    return _paragraphs(parts)


def retry_prompt(original: str, failed: Sequence[RuleResult], code: str, message: str) -> str:
    """`original` and what went wrong last time: failing rules, else the failure `code` with its `message`.

    A failure that the work had no part in (network, overload, rate limit) adds nothing.
    """
    known = lookup(code)
    if not failed and known.category in (Category.TRANSIENT, Category.RATE_LIMIT):
        return original
    reason = known.meaning if code == known.code else "failure"
    if message and message != reason:
        reason += f": {_clipped(message)}"
    parts = [original, f"An earlier attempt at this task did not succeed ({reason}). It may have left partial results."]
    if failed:
        parts.append("What its checks found; make sure that this time each of these holds:\n" + _todo(failed))
    return _paragraphs(parts)


def _todo(results: Sequence[RuleResult]) -> str:
    return "\n".join(f"{number}. {_instruction(result)}" for number, result in enumerate(results, start=1))


_ABOUT_THE_ANSWER: Final = ("answer", "answer_matches")
_LOOKS_AT_THE_ANSWER: Final = (*_ABOUT_THE_ANSWER, "python")
# A function may look at the answer, at files, or at both.

_INSTRUCTIONS: Final[dict[str, str]] = {
    "file_exists": "Create the file {path}.",
    "file_modified": "Write your changes to the file {path}.",
    "content_contains": "Make the file {path} contain the text that is expected.",
    "content_regex": "Make the content of the file {path} match the pattern that is expected.",
    "command_succeeds": "Make the check command succeed.",
    "python": "Correct what this check complains about.",
    "answer": "Give the whole answer again as JSON of the form that was asked for, with these mistakes corrected.",
    "answer_matches": "Give a final answer that matches the pattern that is expected.",
}


def _instruction(result: RuleResult) -> str:
    """One imperative sentence, then what the rule wants, expected and saw."""
    sentence = _INSTRUCTIONS.get(result.type, "Make this check pass.").format(path=f"`{result.path}`")
    # A rule that was skipped has seen nothing yet.
    seen = "" if result.status == "skipped" else result.actual or result.message
    facts = [("What for", result.description), ("Expected", result.expected), ("Found", seen)]
    return "".join([sentence, *(f"\n   {label}: {_clipped(text)}" for label, text in facts if text)])


def _subject(result: RuleResult) -> str:
    name = f"`{result.path}`" if result.path else result.expected
    return _clipped(": ".join(part for part in (result.description, name) if part) or result.type)


def _clipped(text: str) -> str:
    text = text.strip()
    kept = text if len(text) <= MAX_FINDING else f"{text[:MAX_FINDING]} …"
    return indent(kept, "     ").lstrip() if "\n" in kept else kept
