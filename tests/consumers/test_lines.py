"""Events as lines: a format that scripts may rely on."""

from __future__ import annotations

import re

import msgspec
import pytest
from support.event_samples import sample

from mozart_nb import events as ev
from mozart_nb.consumers.lines import LEVELS, event_document, level_of, line_of

LINE = re.compile(r'\d\d:\d\d:\d\d [a-z]+\.[a-z_]+( [a-z_]+=([^\s"=]+|"(\\.|[^"\\])*"))*')
AT = 1_700_000_000.0


@pytest.mark.parametrize("kind", ev.event_types(), ids=ev.kind_of)
def test_every_event_is_one_line_of_keys_and_values(kind: type[ev.Event]) -> None:
    line = line_of(sample(kind))
    assert LINE.fullmatch(line), line
    assert line.split()[1] == ev.kind_of(kind)


@pytest.mark.parametrize("kind", ev.event_types(), ids=ev.kind_of)
def test_every_event_has_a_level_and_a_document(kind: type[ev.Event]) -> None:
    event = sample(kind)
    assert level_of(event) in LEVELS
    assert event_document(event)["event"] == ev.kind_of(kind)


def test_a_line_names_batch_attempt_and_what_happened() -> None:
    event = ev.ValidationFailed(
        seq=9,
        at=AT,
        batch=4,
        attempt=2,
        code="E201",
        message="report missing",
        results=(
            ev.RuleResult(rule=1, type="file_exists", status="passed"),
            ev.RuleResult(rule=2, type="file_exists", status="failed"),
        ),
    )
    line = line_of(event)
    assert line[8:] == ' batch.validation_failed batch=4 attempt=2 code=E201 message="report missing" rules=1/2'


def test_facts_beside_the_event_come_last() -> None:
    line = line_of(ev.BatchCompleted(at=AT, batch=3), done="3/10")
    assert line.endswith("batch.completed batch=3 done=3/10")


def test_an_unknown_cost_is_said() -> None:
    finished = ev.SessionFinished(at=AT, batch=1, attempt=1, outcome="error", code="E301")
    assert "cost=unknown" in line_of(finished)
    assert "cost=0.25" in line_of(msgspec.structs.replace(finished, cost_usd=0.25))
    assert level_of(finished) == "WARNING"
