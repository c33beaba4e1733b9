"""Operations on job files that are not jobs yet: checking one, and working out what it would do."""

from __future__ import annotations

from typing import Final

from mozart_nb.errors import ConfigError, MisuseError, MozartError, Problem, PromptError
from mozart_nb.events import RunOptions
from mozart_nb.job.lint import Issue, Severity
from mozart_nb.jupyter.server.api import models, queries, showing
from mozart_nb.jupyter.server.api.jobs import folder_of, require_sound
from mozart_nb.jupyter.server.api.operation import Ask
from mozart_nb.looking.board.masks import masked_data
from mozart_nb.looking.details.batch import Excerpt
from mozart_nb.masking import masked
from mozart_nb.plans.checking import check
from mozart_nb.plans.outlook import plan_document
from mozart_nb.plans.prepared import Prepared, prepare
from mozart_nb.selection import parse_batches

REFUSED: Final = "E502"
"""Stands where a V-code would for what the loader itself refuses."""

MOST_ISSUES: Final = 500
LONGEST_PROMPT: Final = 50_000
MOST_LISTED: Final = 200


def validate(ask: Ask[queries.Query, queries.ConfigBody]) -> models.Validation:
    try:
        loaded = require_sound(ask.body, folder_of(ask.folder, ask.body.folder))
        issues = [_issue(issue) for issue in check(loaded)]
    except ConfigError as error:
        return _verdict([_problem(problem) for problem in error.problems])
    prepared: Prepared | None = None
    items = loaded.config.items
    if items is not None and items.command is not None:
        return _verdict(issues, loaded.config.job_id)  # checks execute nothing
    try:
        prepared = prepare(loaded)
    except ConfigError as error:
        issues += [_problem(problem) for problem in error.problems]
    except (MozartError, OSError) as error:
        issues.append(_problem(Problem(error.message if isinstance(error, MozartError) else str(error))))
    return _verdict(issues, loaded.config.job_id, prepared)


def rehearse(ask: Ask[queries.Query, queries.RehearseBody]) -> models.Rehearsal:
    body = ask.body
    prepared = prepare(require_sound(ask.body, folder_of(ask.folder, ask.body.folder)))
    count = prepared.plan.count
    only = parse_batches(body.batches, count) if body.batches else ()
    options = RunOptions(limit=body.limit, only=only)
    if body.show > count:
        raise MisuseError(f"`show`: there are batches 1 to {count}")
    try:
        document = plan_document(prepared, options, show=body.show)
    except PromptError:  # that prompt needs what only a run has
        document = plan_document(prepared, options)
    shown = document.pop("show", {})
    document["batches_omitted"] = max(0, count - MOST_LISTED)
    document["batches"] = document["batches"][:MOST_LISTED]
    return models.Rehearsal(
        plan=masked_data(document),
        prompt=showing.text(Excerpt.of(shown["prompt"], LONGEST_PROMPT)) if shown else None,
        rules=masked_data(shown.get("rules", [])),
    )


def _verdict(
    issues: list[models.IssueDocument], job_id: str = "", prepared: Prepared | None = None
) -> models.Validation:
    severities = [issue.severity for issue in issues]
    errors = severities.count(Severity.ERROR.value)
    return models.Validation(
        valid=not errors,
        errors=errors,
        warnings=severities.count(Severity.WARNING.value),
        issues=issues[:MOST_ISSUES],
        job_id=job_id,
        batches=prepared.plan.count if prepared is not None else None,
    )


def _issue(issue: Issue) -> models.IssueDocument:
    return models.IssueDocument(
        code=issue.code,
        severity=issue.severity.value,
        message=masked(issue.message),
        path=masked(issue.path),
        line=issue.line,
        column=issue.column,
        source=masked(issue.source),
        suggestion=masked(issue.suggestion),
    )


def _problem(problem: Problem) -> models.IssueDocument:
    allowed = f"allowed: {problem.allowed}" if problem.allowed else ""
    nearest = f"did you mean `{problem.nearest}`?" if problem.nearest else ""
    return models.IssueDocument(
        code=REFUSED,
        severity=Severity.ERROR.value,
        message=masked(problem.message),
        path=masked(problem.path),
        line=problem.line,
        column=problem.column,
        source=masked(problem.source),
        suggestion=masked("; ".join(filter(None, (allowed, nearest)))),
    )
