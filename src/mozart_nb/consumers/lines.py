"""Events as lines of text: `HH:MM:SS event key=value …`, one per event, in a format that stays.

Keys are the fields of the event; empty ones are left out and bulky ones are counted. Values with spaces are quoted as
JSON strings. Times are this machine's, durations seconds, costs US dollars.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, Literal

import msgspec

from mozart_nb import events as ev
from mozart_nb.words import one_line, spans, time_of_day

_Expand = Callable[[Any], Iterator[tuple[str, str]]]
_Shown = tuple[str, str, Any, _Expand | None]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LEVELS: Final[tuple[Level, ...]] = ("DEBUG", "INFO", "WARNING", "ERROR")

_LEVELS: Final[dict[type[ev.Event], Level]] = {
    ev.SessionProgress: "DEBUG",
    ev.SessionOpened: "DEBUG",
    ev.BatchPreflight: "WARNING",
    ev.BatchRetrying: "WARNING",
    ev.BatchCompleting: "WARNING",
    ev.BatchWaiting: "WARNING",
    ev.BatchBlocked: "WARNING",
    ev.BatchHealing: "WARNING",
    ev.BatchHealed: "WARNING",
    ev.BatchAsked: "WARNING",
    ev.BatchQuestionWithdrawn: "WARNING",
    ev.ValidationFailed: "WARNING",
    ev.SessionAbandoned: "WARNING",
    ev.LimitHit: "WARNING",
    ev.BreakerOpened: "WARNING",
    ev.JobWaiting: "WARNING",
    ev.JobPausing: "WARNING",
    ev.JobPaused: "WARNING",
    ev.JobCancelled: "WARNING",
    ev.JobNotice: "WARNING",
    ev.WorktreeKept: "WARNING",
    ev.BatchFailed: "ERROR",
    ev.JobFailed: "ERROR",
}
_is_bare = re.compile(r"[\w.,:;/@#%+*()<>\-]+").fullmatch
_LEFT_OUT: Final = frozenset(
    "seq at stdout_tail stderr_tail answer_at answer_size files marker config_digest prompt prompt_hash".split()
)
_NOTHING: Final = object()
_ALWAYS: Final = frozenset({"batch", "attempt", "cost_usd"})
_LONGEST_VALUE: Final = 300


def level_of(event: ev.Event) -> Level:
    """How much an event matters."""
    if isinstance(event, ev.SessionFinished) and event.code:
        return "WARNING"
    if isinstance(event, ev.JobIsolated) and event.fallback:
        return "WARNING"
    return _LEVELS.get(type(event), "INFO")


def highest_level(kind: type[ev.Event]) -> Level:
    """The most that an event of this kind can matter."""
    return "WARNING" if kind in (ev.SessionFinished, ev.JobIsolated) else _LEVELS.get(kind, "INFO")


def line_of(event: ev.Event, at: float = 0.0, **more: Any) -> str:
    """One event as a line. `at` (epoch seconds) stands in for an event without a time; `more` is added at the end."""
    pairs = pairs_of(event)
    for key, value in more.items():
        text = _plain(value)
        pairs = f"{pairs} {key}={quoted(text)}" if text else pairs
    return f"{time_of_day(event.at or at)} {ev.kind_of(event)}{pairs}"


def pairs_of(event: ev.Event, without: frozenset[str] = frozenset()) -> str:
    """The fields of an event that say something, as ` key=value key=value`, but for those in `without`."""
    line = ""
    for name, head, default, expand in _shown_fields(type(event), without):
        value = getattr(event, name)
        if value is default or value == default:
            continue
        if expand is not None:
            line += "".join([f" {key}={quoted(text)}" for key, text in expand(value) if text])
        elif type(value) is int or (type(value) is str and _is_bare(value) and len(value) <= _LONGEST_VALUE):
            line += f"{head}{value}"
        elif text := _plain(value):
            line += f"{head}{quoted(text)}"
    return line


def event_document(event: ev.Event) -> dict[str, Any]:
    """An event as JSON data, its kind first."""
    document = msgspec.to_builtins(event)
    assert isinstance(document, dict)
    return {"event": document.pop("kind"), **document}


@cache
def _shown_fields(kind: type[ev.Event], without: frozenset[str]) -> tuple[_Shown, ...]:
    """Fields that a line may show: name, ` name=`, the value that is left out, and how it is written."""
    return tuple(
        (info.name, f" {info.name}=", _NOTHING if info.name in _ALWAYS else info.default, _EXPANDED.get(info.name))
        for info in msgspec.structs.fields(kind)
        if info.name not in _LEFT_OUT and info.name not in without
    )


def _plain(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None or value == () or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return "; ".join(str(part) for part in value)
    return str(value)


def quoted(text: str) -> str:
    """A value as it stands in a line: bare where it can be, else as a JSON string; long ones are cut."""
    if len(text) <= _LONGEST_VALUE and _is_bare(text):
        return text
    text = one_line(text, _LONGEST_VALUE)
    return text if _is_bare(text) else json.dumps(text, ensure_ascii=False)


# --- fields that are not simply a value -------------------------------------------------------------------------------


def _plan(shape: ev.PlanShape) -> Iterator[tuple[str, str]]:
    yield "batches", str(shape.total)
    yield "size", str(shape.size)


def _wording(wording: ev.Wording) -> Iterator[tuple[str, str]]:
    yield "template", wording.template[:12]
    yield "hints", str(len(wording.hints) or "")


def _options(options: ev.RunOptions) -> Iterator[tuple[str, str]]:
    for info in msgspec.structs.fields(options):
        value = getattr(options, info.name)
        if value == info.default:
            continue
        if info.name == "only":
            yield "only", ",".join(str(low) if low == high else f"{low}-{high}" for low, high in value)
        else:
            yield info.name, _plain(value)


def _results(results: tuple[ev.RuleResult, ...]) -> Iterator[tuple[str, str]]:
    if results:
        passed = sum(result.status in ("passed", "rehearsed") for result in results)
        yield "rules", f"{passed}/{len(results)}"


def _usage(usage: ev.Usage) -> Iterator[tuple[str, str]]:
    yield "tokens", str(usage.total)


def _moment(key: str) -> _Expand:
    def moment(at: float) -> Iterator[tuple[str, str]]:
        if at:
            yield key, time_of_day(at)

    return moment


def _cost(amount: float | None) -> Iterator[tuple[str, str]]:
    yield "cost", "unknown" if amount is None else _plain(amount)


def _findings(findings: tuple[ev.Finding, ...]) -> Iterator[tuple[str, str]]:
    yield "findings", "; ".join(finding.message for finding in findings)


def _batches(numbers: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    yield "batches", spans(numbers).replace(", ", ",")


_EXPANDED: Final[dict[str, _Expand]] = {
    "plan": _plan,
    "wording": _wording,
    "options": _options,
    "results": _results,
    "usage": _usage,
    "until": _moment("until"),
    "due": _moment("due"),
    "cost_usd": _cost,
    "findings": _findings,
    "batches": _batches,
}
