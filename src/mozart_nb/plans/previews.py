"""Prompts and rules of batches that have not run: what a dry run shows and an estimate measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mozart_nb.errors import PromptError
from mozart_nb.job.backends import BatchOverride
from mozart_nb.job.expressions import Condition, compile_condition
from mozart_nb.job.model import JobConfig, RuleConfig
from mozart_nb.job.placeholders import expand
from mozart_nb.job.plan import Plan, expand_keyed
from mozart_nb.job.prompt import BatchContext, PromptRenderer, context_for, known_names, with_hints
from mozart_nb.job.tokens import estimate_tokens
from mozart_nb.parts import contract_for
from mozart_nb.plans.frozen import PlanMaterials
from mozart_nb.plans.hints import planned_hints
from mozart_nb.plans.prepared import Prepared


class Preview:
    """Renders prompts and rules of batches before they run: earlier outputs are empty.

    `hints` are those of the job's plan, where they are known already.
    """

    def __init__(self, prepared: Prepared, hints: Sequence[str] | None = None) -> None:
        self._hints = planned_hints(prepared) if hints is None else hints
        self._prepared = prepared
        self._config: JobConfig = prepared.loaded.config
        self._plan: Plan = prepared.plan
        self._materials = PlanMaterials(prepared.frozen, prepared.places.workspace)
        self._renderer = PromptRenderer(self._config, self._plan, read_text=self._materials.read_text)
        self._contract = contract_for(prepared)
        self._overrides: Mapping[int, BatchOverride] = expand_keyed(self._config.backend.batch_overrides, self._plan)
        names = known_names(self._config.prompt)
        self._rules: list[tuple[RuleConfig, Condition | None]] = [
            (rule, compile_condition(rule.condition, names) if rule.condition else None)
            for rule in self._config.validations
        ]

    def context(self, number: int, outputs: Mapping[int, str] | None = None) -> BatchContext:
        """The template variables of a batch; `outputs` are what earlier ones answered, none by default."""
        rows: Sequence[Any] = ()
        if self._config.items is not None:
            rows = self._materials.rows(*self._plan.rows_of(number))
        return context_for(
            self._plan,
            number,
            workspace=str(self._prepared.places.workspace),
            job_name=self._config.name,
            prompt=self._config.prompt,
            rows=rows,
            previous_outputs=outputs,
        )

    def prompt(self, number: int, outputs: Mapping[int, str] | None = None) -> str:
        """What the first attempt is sent. Raises `PromptError` for a template that needs what only a run has."""
        context = self.context(number, outputs)
        prompt = with_hints(self._renderer.render(context), self._hints, context)
        first, last = self._plan.items_of(number)
        instructions = self._contract.instructions(last - first + 1)
        return f"{prompt.rstrip()}\n\n{instructions}" if instructions else prompt

    def tokens(self, number: int) -> int:
        """The estimated size of that prompt. Raises as `prompt`."""
        return estimate_tokens(self.prompt(number), self.model(number))

    def prompts(self, numbers: Iterable[int]) -> dict[int, str]:
        """The prompts of those batches that can be rendered before they run."""
        found = {}
        for number in numbers:
            try:
                found[number] = self.prompt(number)
            except PromptError:
                continue
        return found

    def model(self, number: int) -> str:
        """The model that is asked for this batch; empty where the `claude` program or a rehearsal chooses."""
        backend, override = self._config.backend, self._overrides.get(number)
        if backend.type.startswith("anthropic"):
            return (override.model if override is not None else None) or backend.model
        if backend.type == "claude_cli":
            return (override.cli_model if override is not None else None) or backend.cli_model or ""
        return ""

    def rules(self, number: int) -> list[dict[str, Any]]:
        """The rules that apply to a batch, their placeholders filled in."""
        context = self.context(number)
        return [
            {
                "type": rule.type,
                "stage": rule.stage,
                "path": expand(rule.path, context, "path") if rule.path else None,
                "pattern": expand(rule.pattern, context, "regex") if rule.pattern else None,
                "command": expand(rule.command, context, "command") if rule.command else None,
                "description": rule.description,
            }
            for rule, condition in self._rules
            if condition is None or condition(context)
        ]


def spread(total: int, most: int) -> list[int]:
    """Numbers of at most `most` batches, evenly spread over 1 to `total`, both ends among them."""
    if total <= most:
        return list(range(1, total + 1))
    step = (total - 1) / (most - 1)
    return sorted({1 + round(index * step) for index in range(most)})


def require_first_prompt(prepared: Prepared) -> None:
    """Raise `PromptError` where not even the first batch can be asked: its rows are known, and nothing came before it.

    Batches that are skipped are not looked at.
    """
    config = prepared.loaded.config
    if config.batch.skip_when or config.batch.skip_when_command:
        return
    try:
        Preview(prepared).prompt(1)
    except PromptError as error:
        place = f" ({prepared.loaded.place_of(('prompt', 'template'))})" if prepared.loaded.source_text else ""
        raise PromptError(f"{error.message}{place}", hint=error.hint, job_id=prepared.job_id, batch=1) from error
