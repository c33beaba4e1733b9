"""What is asked, as far as outcomes of jobs are compared by it: the template, and what each rule is called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from mozart_nb.events import Wording
from mozart_nb.job.model import JobConfig, RuleConfig
from mozart_nb.job.prompt import DEFAULT_TEMPLATE
from mozart_nb.masking import masked

LONGEST_NAME: Final = 160
"""Characters of what a rule or a template is called."""


def wording_of(config: JobConfig, texts: Mapping[str, str], hints: Sequence[str] = ()) -> Wording:
    """The wording of a job. `texts` are the files that its prompt names: name to text."""
    return Wording(template_key(config, texts), template_name(config), rule_names(config.validations), tuple(hints))


def template_key(config: JobConfig, texts: Mapping[str, str]) -> str:
    """SHA-256 (hex) of the text that prompts are made of: the template and what extends it for every batch.

    Jobs without a template have nothing in common but their name.
    """
    prompt = config.prompt
    main = prompt.template if prompt.template_file is None else texts.get(prompt.template_file, "")
    parts = [f"{DEFAULT_TEMPLATE}\n{config.name}" if main is None else main]
    parts += [texts.get(text.strip(), text) for text in prompt.prompt_extensions]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def template_name(config: JobConfig) -> str:
    """What people call the template: its file, else the job that has it."""
    file = config.prompt.template_file
    return _short(PurePath(file).name if file else config.name)


def rule_names(rules: Sequence[RuleConfig]) -> tuple[str, ...]:
    """A name for each rule, in their order; no two are the same."""
    return tuple(_distinct(map(rule_name, rules)))


def rule_name(rule: RuleConfig) -> str:
    """Its kind, and what it is for or else what it looks at, with the placeholders as they are written."""
    what = rule.description or rule.path or rule.function or rule.command or ""
    if rule.pattern and not rule.description:
        what = f"{what} {rule.pattern}".strip()
    return _short(f"{rule.type}: {what}" if what else rule.type)


def _short(text: str) -> str:
    flat = " ".join(masked(text).split())
    return flat if len(flat) <= LONGEST_NAME else f"{flat[: LONGEST_NAME - 1]}…"


def _distinct(names: Iterable[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"
