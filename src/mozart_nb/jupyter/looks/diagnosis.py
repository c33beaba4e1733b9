"""A diagnosis as a page of a notebook: what stands in the way, why, and what to type now.

Ordered as people ask: how it stands, the cause, the next steps (a click on one selects all of it), then the failures
with what rules expected and saw, and folded away whatever explains the rest. Bounded, however much has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mozart_nb.consumers.progress import LIVE
from mozart_nb.jupyter.looks.attempt_bars import timelines_html
from mozart_nb.jupyter.looks.head import badge
from mozart_nb.jupyter.looks.pieces import framed_text, section, sentence, small_table
from mozart_nb.jupyter.looks.text import escaped_line
from mozart_nb.jupyter.looks.theme import STYLE, framed, mark
from mozart_nb.looking.diagnosis import Diagnosis, ErrorGroup
from mozart_nb.looking.diagnosis.findings import Environment, FailedRule, NextStep
from mozart_nb.words import cost, count, dollars, moment, plural, roughly, spans

_MOST_STEPS: Final = 8
_MOST_GROUPS: Final = 12
_GROUPS_IN_FULL: Final = 4
_MOST_RULES: Final = 6
_MOST_MESSAGES: Final = 3
_MOST_CHAINS: Final = 6
_MOST_REMEDIES: Final = 8
_MOST_NOTES: Final = 12
_OUTPUT_BYTES: Final = 6_000
_TAIL_BYTES: Final = 2_000
_SEVERITIES: Final = {"error": "failed", "warning": "waiting", "ok": "completed", "unknown": "pending"}


def diagnosis_html(found: Diagnosis) -> str:
    """The whole page, with its clothes; about 60 kB at most."""
    parts = (
        _title(found),
        *_why(found),
        _steps(found.next_steps),
        _failures(found),
        _blocked(found),
        section("Attempts of failed batches", timelines_html(found), is_open=True),
        section("On the way", "".join(_way(found)), is_open=not found.is_healthy),
        section("Notes", "".join(_notes(found)), is_open=not found.is_healthy),
        section("Environment", "".join(_environment(found))),
        *_outputs(found),
        f'<p class="mozart-foot"><small>as of {escaped_line(moment(found.looked_at, found.looked_at))}</small></p>',
    )
    page = f'<section aria-label="diagnosis of {escaped_line(found.job_id, 120)}">{"".join(parts)}</section>'
    return STYLE + framed(page, "details")


# --- how it stands, and why -------------------------------------------------------------------------------------------


def _title(found: Diagnosis) -> str:
    name = escaped_line(found.name or found.job_id, 80)
    share = f"{found.done:,} of {plural(found.total, 'batch')} done" if found.total else ""
    return (
        f'<p class="mozart-title"><strong class="mozart-name"><bdi>{name}</bdi></strong> {badge(found.status)} '
        f'<span class="mozart-share">{share}</span></p>'
    )


def _why(found: Diagnosis) -> Iterator[str]:
    kind = "completed" if found.is_healthy else "failed" if found.status == "failed" or found.groups else "waiting"
    yield _note(kind, sentence(found.headline))
    about = f"<b>{escaped_line(found.code, 10)}</b> {escaped_line(found.meaning)}" if found.code else ""
    told = found.cause.removeprefix(f"{found.code} {found.meaning}: ")
    cause = f"likely cause: {sentence(told)}" if told else ""
    if about or cause:
        yield _note(kind, " · ".join(part for part in (about, cause) if part))
    first = found.first or found.advice
    if first and not found.is_healthy:
        yield _note("running", f"<b>first:</b> {sentence(first)}")
    counts = " · ".join(f"{mark(status)} {number:,} {escaped_line(status, 20)}" for status, number in found.counts)
    if counts:
        yield f"<p><small>{counts}</small></p>"


def _note(status: str, html: str) -> str:
    return f'<p class="mozart-note mozart-is-{status}">{html}</p>'


# --- what to do -------------------------------------------------------------------------------------------------------


def _steps(steps: Sequence[NextStep]) -> str:
    if not steps:
        return ""
    lines = "".join(f"<li>{_step(step)}</li>" for step in steps[:_MOST_STEPS])
    return f'<p><b>What to do next</b></p><ul class="mozart-steps">{lines}</ul>'


def _step(step: NextStep) -> str:
    also = f" <small>or {copied(step.python)}</small>" if step.python else ""
    return f"{copied(step.magic)} {sentence(step.why, 300)}{also}"


def copied(command: str) -> str:
    """A line to copy: one click selects all of it, without any script."""
    return f'<code class="mozart-copy" style="user-select:all">{escaped_line(command, 400)}</code>'


# --- failures ---------------------------------------------------------------------------------------------------------


def _failures(found: Diagnosis) -> str:
    standing = [group for group in found.groups if group.unresolved]
    mended = [group for group in found.groups if not group.unresolved]
    parts = [_group(group, is_full=place < _GROUPS_IN_FULL) for place, group in enumerate(standing[:_MOST_GROUPS])]
    if len(standing) > _MOST_GROUPS:
        parts.append(f"<p>and {len(standing) - _MOST_GROUPS:,} more codes</p>")
    if mended:
        codes = ", ".join(f"{group.code} {plural(group.count, 'time')}" for group in mended[:_MOST_GROUPS])
        parts.append(_note("completed", f"{mark('completed')} mended by later attempts: {escaped_line(codes, 400)}"))
    note = plural(sum(group.unresolved for group in standing), "failure") if standing else ""
    return section("Failures", "".join(parts), note, is_open=True)


def _group(group: ErrorGroup, *, is_full: bool) -> str:
    where = f" · batch{'es' if len(group.unresolved_batches) > 1 else ''} {spans(group.unresolved_batches)}"
    times = plural(group.count, "time") + (where if group.unresolved_batches else "")
    head = (
        f"{mark('failed')} <b>{escaped_line(group.code, 10)}</b> {escaped_line(group.meaning)} "
        f"<small>{escaped_line(times, 200)}</small>"
    )
    parts = [f"<p>{head}</p>"]
    if group.cause:
        parts.append(f"<p>likely cause: {sentence(group.cause)}</p>")
    parts.append(f"<p>what helps: {sentence(group.advice)}</p>")
    if is_full:
        parts += [*_messages(group), _rules(group.rules), *_tails(group)]
    return f'<div class="mozart-note mozart-is-failed">{"".join(parts)}</div>'


def _messages(group: ErrorGroup) -> Iterator[str]:
    example = group.example
    messages = group.messages or (((example.message, 1),) if example is not None and example.message else ())
    for text, times in messages[:_MOST_MESSAGES]:
        often = f"<small>{times:,}×</small> " if times > 1 else ""
        yield f'<p class="mozart-quote">{often}<bdi>{escaped_line(text, 400)}</bdi></p>'
    left = len(messages) - _MOST_MESSAGES
    if left > 0:
        yield f"<p><small>and {left:,} other messages</small></p>"


def _rules(rules: Sequence[FailedRule]) -> str:
    left = len(rules) - _MOST_RULES
    heads = ("rule", "what", "times", "expected", "saw", "for example")
    more = f"<p><small>and {left:,} more rules</small></p>" if left > 0 else ""
    return small_table(heads, map(_rule, rules[:_MOST_RULES]), "rules that were not passed") + more


def _rule(rule: FailedRule) -> Sequence[str]:
    what = " ".join(text for text in (rule.type, rule.path, rule.description) if text)
    saw = rule.actual or rule.message
    return (
        f"{rule.rule}" if rule.rule else "form",
        escaped_line(what, 240),
        f"{rule.count:,}",
        escaped_line(rule.expected, 300),
        ("could not be checked: " if rule.could_not_run else "") + escaped_line(saw, 300),
        f"batch {rule.batch}" if rule.batch else "",
    )


def _tails(group: ErrorGroup) -> Iterator[str]:
    example = group.example
    if example is None:
        return
    for label, text in (("output", example.stdout_tail), ("error output", example.stderr_tail)):
        if text:
            whose = f" of batch {example.batch}, attempt {example.attempt}" if example.batch else ""
            yield section(f"The end of the {label}{whose}", framed_text(text, _TAIL_BYTES))


def _blocked(found: Diagnosis) -> str:
    lines = []
    for chain in found.blocked[:_MOST_CHAINS]:
        what = f"batch{'es' if len(chain.blocked) > 1 else ''} {spans(chain.blocked)}"
        because = escaped_line(f"{chain.code} {chain.message}", 200)
        lines.append(f"<p>{mark('blocked')} {escaped_line(what, 200)}: behind batch {chain.failed}, {because}</p>")
    left = len(found.blocked) - _MOST_CHAINS
    if left > 0:
        lines.append(f"<p>and behind {plural(left, 'other failed batch', 'other failed batches')}</p>")
    number = sum(len(chain.blocked) for chain in found.blocked)
    return section("Blocked", "".join(lines), plural(number, "batch"), is_open=True)


# --- what happened on the way -----------------------------------------------------------------------------------------


def _way(found: Diagnosis) -> Iterator[str]:
    for label, text in _facts(found):
        yield f"<p><small>{label}</small> {escaped_line(text, 400)}</p>"
    for remedy in found.remedies[:_MOST_REMEDIES]:
        whose = f"batch{'es' if len(remedy.batches) > 1 else ''} {spans(remedy.batches)}: " if remedy.batches else ""
        yield f"<p><small>self-healing</small> {escaped_line(whose, 120)} {sentence(remedy.text, 300)}</p>"
    if len(found.remedies) > _MOST_REMEDIES:
        yield f"<p>and {len(found.remedies) - _MOST_REMEDIES:,} more remedies</p>"


def _facts(found: Diagnosis) -> Iterator[tuple[str, str]]:
    waits, breaker, crashes, budget, prompts = found.waits, found.breaker, found.crashes, found.budget, found.prompts
    limit = f" of {dollars(budget.limit_usd)}" if budget.limit_usd is not None else ""
    saved = f", {dollars(budget.saved_usd)} saved by cache" if budget.saved_usd else ""
    earlier = f", {dollars(budget.earlier_usd)} before it was started over" if budget.earlier_usd else ""
    spent = f"{cost(budget.cost_usd, budget.unknown_costs)}{limit}{saved}{earlier}"
    yield "cost", f"{spent}{': used up' if budget.is_exhausted else ''}"
    if waits.hits:
        codes = ", ".join(f"{code} {plural(hits, 'time')} {roughly(held)}" for code, hits, held in waits.by_code)
        yield "rate limits", f"{roughly(waits.seconds)} of waiting, {roughly(waits.longest_seconds)} at most: {codes}"
    if waits.until and found.status in LIVE:
        yield "goes on", f"by itself at {moment(waits.until, found.looked_at)}"
    if breaker.opened or breaker.status != "closed":
        yield "circuit breaker", f"{breaker.status}, opened {plural(breaker.opened, 'time')}"
    if crashes.runs or crashes.lost_sessions:
        ended, lost = plural(crashes.runs, "run"), plural(crashes.lost_sessions, "session")
        yield "crashes", f"{ended} ended without settling, {lost} lost"
    if prompts.sent:
        largest = f", at most {count(prompts.largest_tokens)} (batch {prompts.largest_batch})"
        yield "prompts", f"{prompts.sent:,} sent, about {count(prompts.mean_tokens)} tokens each{largest}"


def _notes(found: Diagnosis) -> Iterator[str]:
    for trouble in found.troubles[:_MOST_NOTES]:
        words = "; ".join(text for text in (trouble.what, trouble.cause, trouble.advice) if text)
        yield _note(_SEVERITIES[trouble.severity], f"{mark(_SEVERITIES[trouble.severity])} {sentence(words)}")
    for finding in found.prompts.findings[:_MOST_NOTES]:
        whose = f"batch{'es' if len(finding.batches) > 1 else ''} {spans(finding.batches)}"
        yield _note(
            "waiting", f"<small>{escaped_line(whose, 120)}</small> {sentence(f'{finding.code} {finding.message}')}"
        )
    for warning in found.warnings[:_MOST_NOTES]:
        yield _note("waiting", sentence(warning))
    left = sum(max(0, len(many) - _MOST_NOTES) for many in (found.troubles, found.prompts.findings, found.warnings))
    if left:
        yield f"<p>and {left:,} more</p>"


# --- around it --------------------------------------------------------------------------------------------------------


def _environment(found: Diagnosis) -> Iterator[str]:
    place = found.environment
    rows = [(fact.status, fact.name, fact.detail, fact.hint) for fact in place.facts]
    rows += [("ok", name, text, "") for name, text in _places(place) if text]
    cells = (
        (f"{mark(_SEVERITIES[status])}&nbsp;{escaped_line(name, 60)}", escaped_line(detail, 300), sentence(hint, 300))
        for status, name, detail, hint in rows
    )
    yield small_table(("what", "is", "hint"), cells, "environment")


def _places(place: Environment) -> Iterable[tuple[str, str]]:
    holder = place.holder
    yield "backend", place.backend
    yield "workspace", place.workspace
    yield "record", place.state
    if holder is not None:
        lives = {True: "runs it", False: "is dead", None: "is on another machine"}[holder.is_alive]
        yield "lock", f"process {holder.pid} on {holder.host}, which {lives}"
    for orphan in place.orphans:
        yield "orphaned", f"process{'es' if len(orphan.pids) > 1 else ''} {spans(orphan.pids)}, writing {orphan.log}"


def _outputs(found: Diagnosis) -> Iterator[str]:
    for output in found.outputs:
        title = f"Output of batch {output.batch}, attempt {output.attempt}"
        files = ", ".join(escaped_line(file, 200) for file in output.files)
        note = f"{'only its end; ' if output.is_cut else ''}{files}"
        yield section(title, framed_text(output.text, _OUTPUT_BYTES) if output.text else "<p>empty</p>", note)
