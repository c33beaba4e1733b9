"""From the events of a job to one outcome per attempt: what was tried, what came of it, what fixed what had failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from mozart_nb import events as ev
from mozart_nb.codes import Category, Scope, lookup

Kind = Literal["judged", "refused", "lost"]
"""`refused`: by a rate limit; `lost`: with its host, or by what stops the whole job. Neither judges the work."""

Fix = Literal["completion", "retry", "healed", "later_run", "recovered"]

ANSWER_FORM: Final = "answer: its form"
"""What rule 0 is called."""


class RuleOutcome(msgspec.Struct, frozen=True, gc=False):
    """What one rule found. `began` to fail here; `fixed` by what, where it had failed before. Neither for `skipped`."""

    name: str
    passed: bool
    began: bool = False
    fixed: Fix | None = None
    judged: bool = True


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One attempt. Seconds, tokens, US dollars (None: unknown).

    `is_first_try`: nothing that was asked before came to a judgement. `share` of its rules passed; `share_before`: of
    those of the attempt that this one completes. `at_once` sessions ran when it began, itself included; 0 where that
    cannot be told, and where a service answers hours later.
    """

    batch: int
    attempt: int
    mode: ev.Mode
    kind: Kind
    at: float
    passed: bool = False
    is_first_try: bool = False
    reused: bool = False
    outcome: str = ""
    code: str = ""
    model: str = ""
    duration: float = 0.0
    usage: ev.Usage = ev.Usage()
    cost_usd: float | None = None
    prompt_tokens: int = 0
    share: float = 0.0
    share_before: float = 0.0
    at_once: int = 0
    rules: tuple[RuleOutcome, ...] = ()


class Try(msgspec.Struct, omit_defaults=True, gc=False):
    """An attempt that is not over."""

    attempt: int
    mode: ev.Mode = "first"
    is_first: bool = False
    live: bool = False
    at_once: int = 0
    prompt_tokens: int = 0
    finished: ev.SessionFinished | None = None


class Watch(msgspec.Struct, omit_defaults=True):
    """All that has to be remembered between two events, plain data so that another process can go on with it.

    `seq` is the last event heard. `live` sessions run. `tries` are the attempts that are not over, by batch (but for
    first ones that a service answers hours later: there may be a hundred thousand of them); `still_first` the attempt
    that would be a first try, for batches whose earlier ones were refused or lost; `failing` the numbers of the rules
    that a batch fails, each with the run that found it so; `shares` of rules that passed, for batches not done yet.
    """

    seq: int = 0
    run: int = 0
    live: int = 0
    wording: ev.Wording = ev.Wording()
    tries: dict[int, Try] = msgspec.field(default_factory=dict)
    still_first: dict[int, int] = msgspec.field(default_factory=dict)
    failing: dict[int, dict[int, int]] = msgspec.field(default_factory=dict)
    shares: dict[int, float] = msgspec.field(default_factory=dict)


def outcomes_of(events: Iterable[ev.Event], watch: Watch | None = None) -> Iterator[Outcome]:
    """The outcomes among `events`, in the order in which they were judged. `watch` goes on where it stopped.

    Costs O(1) per event, and memory for what is not over: running attempts and batches that fail.
    """
    reader = OutcomeReader(watch if watch is not None else Watch())
    for event in events:
        outcome = reader.hear(event)
        if outcome is not None:
            yield outcome


class OutcomeReader:
    """Hears events one by one; `watch` is what it remembers."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def hear(self, event: ev.Event) -> Outcome | None:
        """The outcome that this event brings, if it is the end of an attempt."""
        watch = self.watch
        if event.seq:
            if event.seq <= watch.seq:
                return None  # heard before
            watch.seq = event.seq
        heard = _HEARD.get(type(event))
        return heard(self, event) if heard is not None else None

    # --- the way of an attempt ----------------------------------------------------------------------------------------

    def _run_began(self, event: ev.JobStarted | ev.JobResumed) -> None:
        self.watch.run += 1

    def _started(self, event: ev.BatchStarted) -> None:
        left = self.watch.tries.get(event.batch)
        if left is not None and left.live:  # nobody ever said how it ended
            self.watch.live -= 1
        self.watch.tries[event.batch] = Try(event.attempt, event.mode, self._is_first(event.batch, event.attempt))

    def _is_first(self, batch: int, attempt: int) -> bool:
        return attempt == (self.watch.still_first.get(batch, 1) if self.watch.still_first else 1)

    def _opened(self, event: ev.SessionOpened) -> None:
        going = self._try_of(event.batch, event.attempt)
        going.prompt_tokens = event.prompt_tokens
        if event.parked and going.is_first and going.mode == "first":
            del self.watch.tries[event.batch]
        elif not event.parked and not going.live:
            self.watch.live += 1
            going.live, going.at_once = True, self.watch.live

    def _try_of(self, batch: int, attempt: int) -> Try:
        going = self.watch.tries.get(batch)
        if going is None:
            going = self.watch.tries[batch] = Try(attempt, is_first=self._is_first(batch, attempt))
        return going

    def _over(self, batch: int, attempt: int) -> Try:
        """The attempt whose session is over: it no longer counts as live."""
        going = self._try_of(batch, attempt)
        if going.live:
            going.live = False
            self.watch.live -= 1
        return going

    def _finished(self, event: ev.SessionFinished) -> None:
        self._over(event.batch, event.attempt).finished = event

    def _judged(self, event: ev.ValidationPassed | ev.ValidationFailed) -> Outcome:
        watch, batch = self.watch, event.batch
        going = self._over(batch, event.attempt)
        watch.tries.pop(batch, None)
        passed = isinstance(event, ev.ValidationPassed)
        kind = "judged" if passed else _kind_of(event.code)
        before = watch.shares.pop(batch, 0.0) if watch.shares else 0.0
        if kind != "judged":
            if before:
                watch.shares[batch] = before
            return self._unjudged(event, going, kind)
        if watch.still_first:
            watch.still_first.pop(batch, None)
        share = _share(event.results)
        if not passed:
            watch.shares[batch] = share
        rules = self._rules(event, going)
        return _outcome(event, going, kind, passed=passed, share=share, share_before=before, rules=rules)

    def _unjudged(self, event: ev.ValidationFailed | ev.ValidationPassed, going: Try, kind: Kind) -> Outcome:
        if going.is_first:
            self.watch.still_first[event.batch] = event.attempt + 1
        return _outcome(event, going, kind)

    def _abandoned(self, event: ev.SessionAbandoned) -> Outcome:
        going = self._over(event.batch, event.attempt)
        self.watch.tries.pop(event.batch, None)
        if going.is_first:
            self.watch.still_first[event.batch] = event.attempt + 1
        return Outcome(
            event.batch,
            event.attempt,
            going.mode,
            "lost",
            event.at,
            outcome="abandoned",
            cost_usd=event.cost_usd if going.finished is None else going.finished.cost_usd,
            prompt_tokens=going.prompt_tokens,
        )

    def _given_back(self, event: ev.BatchQuestionWithdrawn | ev.BatchAnswered) -> None:
        """It ended at the question whether it may begin: nothing was tried, so the next one is the first try."""
        going = self.watch.tries.get(event.batch)
        ends = isinstance(event, ev.BatchQuestionWithdrawn) or event.action in ("abort", "skip")
        if going is None or not ends or going.attempt != event.attempt or going.live or going.finished is not None:
            return
        del self.watch.tries[event.batch]
        if going.is_first:
            self.watch.still_first[event.batch] = event.attempt + 1

    # --- rules --------------------------------------------------------------------------------------------------------

    def _rules(self, event: ev.ValidationPassed | ev.ValidationFailed, going: Try) -> tuple[RuleOutcome, ...]:
        failing = self.watch.failing.get(event.batch) if self.watch.failing else None
        found = []
        for result in event.results:
            number = result.rule
            if result.status == "failed":
                began = failing is None or number not in failing
                if failing is None:
                    failing = self.watch.failing[event.batch] = {}
                failing[number] = self.watch.run
                found.append(RuleOutcome(self._name(number), False, began=began))
            elif result.status == "passed":
                since = failing.pop(number, None) if failing is not None else None
                fixed = None if since is None else self._fix(since, going.mode)
                found.append(RuleOutcome(self._name(number), True, fixed=fixed))
        if failing is not None and not failing:
            del self.watch.failing[event.batch]
        return tuple(found)

    def _name(self, number: int) -> str:
        names = self.watch.wording.rules
        if 0 < number <= len(names):
            return names[number - 1]
        return f"rule {number}" if number else ANSWER_FORM

    def _planned(self, event: ev.JobPlanned | ev.ConfigReloaded) -> None:
        """Rules keep their names when a new config gives them other numbers; those that are gone are never fixed."""
        watch, wording = self.watch, event.wording
        if watch.failing and wording.rules != watch.wording.rules:
            now = {name: number for number, name in enumerate(wording.rules, 1)}
            moved = {0: 0, **{old: now[name] for old, name in enumerate(watch.wording.rules, 1) if name in now}}
            for batch, failing in list(watch.failing.items()):
                watch.failing[batch] = {moved[rule]: run for rule, run in failing.items() if rule in moved}
        watch.wording = wording

    def _fix(self, since: int, mode: ev.Mode) -> Fix:
        if since != self.watch.run:
            return "later_run"
        return "retry" if mode == "first" else mode

    def _recovered(self, event: ev.BatchCompleted) -> Outcome | None:
        """No attempt mended it, and yet it is mended."""
        if not event.recovered:
            return None
        self.watch.shares.pop(event.batch, None)
        failing = self.watch.failing.pop(event.batch, {})
        rules = tuple(RuleOutcome(self._name(rule), True, fixed="recovered", judged=False) for rule in failing)
        return Outcome(event.batch, 0, "first", "judged", event.at, rules=rules) if rules else None


_HEARD: Final[Mapping[type[ev.Event], Callable[[OutcomeReader, Any], Outcome | None]]] = {
    ev.JobPlanned: OutcomeReader._planned,
    ev.ConfigReloaded: OutcomeReader._planned,
    ev.JobStarted: OutcomeReader._run_began,
    ev.JobResumed: OutcomeReader._run_began,
    ev.BatchStarted: OutcomeReader._started,
    ev.SessionOpened: OutcomeReader._opened,
    ev.SessionFinished: OutcomeReader._finished,
    ev.SessionAbandoned: OutcomeReader._abandoned,
    ev.BatchQuestionWithdrawn: OutcomeReader._given_back,
    ev.BatchAnswered: OutcomeReader._given_back,
    ev.ValidationPassed: OutcomeReader._judged,
    ev.ValidationFailed: OutcomeReader._judged,
    ev.BatchCompleted: OutcomeReader._recovered,
}

KINDS: Final = frozenset(_HEARD)
"""The events that are heard; others change nothing."""


def _kind_of(code: str) -> Kind:
    """Whether a failure says something about the work, whatever the rules found of earlier attempts."""
    row = lookup(code)
    if row.category is Category.RATE_LIMIT:
        return "refused"
    return "lost" if row.pauses or row.scope is Scope.JOB else "judged"


def _share(results: tuple[ev.RuleResult, ...]) -> float:
    """The part of the executed rules that passed, as the decision about a completion attempt takes it."""
    executed = [result for result in results if result.status != "skipped"]
    return sum(result.status != "failed" for result in executed) / len(executed) if executed else 0.0


def _outcome(
    event: ev.ValidationPassed | ev.ValidationFailed,
    going: Try,
    kind: Kind,
    *,
    passed: bool = False,
    share: float = 0.0,
    share_before: float = 0.0,
    rules: tuple[RuleOutcome, ...] = (),
) -> Outcome:
    done = going.finished
    return Outcome(
        event.batch,
        event.attempt,
        going.mode,
        kind,
        event.at,
        passed=passed,
        is_first_try=going.is_first and kind == "judged",
        reused=done is not None and done.reused,
        outcome=done.outcome if done is not None else "",
        code=event.code,
        model=done.model if done is not None else "",
        duration=done.duration if done is not None else 0.0,
        usage=done.usage if done is not None else ev.Usage(),
        cost_usd=done.cost_usd if done is not None else 0.0,
        prompt_tokens=going.prompt_tokens,
        share=share,
        share_before=share_before,
        at_once=going.at_once,
        rules=rules,
    )
