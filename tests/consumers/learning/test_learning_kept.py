"""Counts in the history's database: in step with the journal whatever fails in between, the same when made anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.lessons import WORDING, add_job, first_tries, judged, life, news, numbered, planned, teach

from mozart_nb import events as ev
from mozart_nb.consumers.history.database import Database, opened
from mozart_nb.consumers.learning import LearningSection
from mozart_nb.consumers.learning.reading import read_counts, together
from mozart_nb.consumers.learning.section import Account
from mozart_nb.errors import WorldError

a_few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[Database]:
    with opened(path) as database:
        with database.writing() as connection:
            add_job(connection, 1)
        yield database


def tell(history: Database, section: LearningSection, events: list[ev.Event], journal: str = "one") -> None:
    with history.writing() as connection:
        section.write(connection, news(events, journal=journal))


@a_few
@given(st.integers(0, 1 << 30), st.lists(st.integers(0, 160), max_size=4), st.booleans())
def test_counts_told_in_parts_by_one_process_or_several_are_those_of_the_whole_journal(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cuts: list[int], goes_on: bool
) -> None:
    path = tmp_path_factory.mktemp("parts") / "history.db"
    events, section = life(seed), LearningSection()
    whole = Account()
    for event in events:
        whole.hear(event)
    with opened(path) as history:
        with history.writing() as connection:
            add_job(connection, 1)
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(events)], strict=True):
            section = section if goes_on else LearningSection()
            tell(history, section, events[start:end])
    found = {(one.template, one.hints): one.tally for one in read_counts(path)}
    assert found == {key: one.tally for key, one in whole.counted.items()}


def test_a_transaction_that_fails_counts_nothing_and_is_told_again(history: Database, path: Path) -> None:
    events, section = numbered(first_tries(6, 4)), LearningSection()
    tell(history, section, events[:10])
    with contextlib.suppress(ZeroDivisionError), history.writing() as connection:
        section.write(connection, news(events[10:]))
        raise ZeroDivisionError
    tell(history, section, events[10:])
    [found] = read_counts(path)
    assert (found.tally.first_tries, found.tally.passed_first) == (10, 6)


def test_a_journal_that_is_read_anew_gives_the_same_counts(history: Database, path: Path) -> None:
    events, section = life(7), LearningSection()
    tell(history, section, events)
    live = read_counts(path)
    with history.writing() as connection:
        section.forget(connection, 1, "one")
    assert read_counts(path) == []
    tell(history, section, events)
    assert read_counts(path) == live


def test_what_an_earlier_journal_taught_stays_when_a_job_is_started_over(history: Database, path: Path) -> None:
    section = LearningSection()
    tell(history, section, numbered(first_tries(3, 0)), journal="one")
    tell(history, section, numbered(first_tries(1, 1)), journal="two")
    with history.writing() as connection:
        section.forget(connection, 1, "two")
    tell(history, section, numbered(first_tries(1, 1)), journal="two")
    [found] = together(read_counts(path))
    assert (found.tally.first_tries, found.tally.passed_first, len(found.jobs)) == (5, 4, 1)


def test_a_job_that_changes_its_template_counts_for_both(history: Database, path: Path) -> None:
    other = ev.Wording("u" * 64, "other.j2", WORDING.rules)
    reloaded = ev.ConfigReloaded(config_digest="e", plan=ev.PlanShape(9), wording=other)
    events = numbered([planned(), *judged(1, "passed"), reloaded, *judged(1, "failed", batch=2)])
    tell(history, LearningSection(), events)
    assert {one.name: one.tally.passed_first for one in read_counts(path)} == {"review.j2": 1, "other.j2": 0}


def test_jobs_of_one_template_add_up_and_rehearsals_and_hints_stand_apart(path: Path) -> None:
    hinted = ev.Wording(WORDING.template, WORDING.name, WORDING.rules, ("make sure",))
    teach(path, first_tries(3, 1), job_id="a")
    teach(path, first_tries(2, 2), job_id="b")
    teach(path, first_tries(5, 0), job_id="c", is_rehearsal=True)
    teach(path, first_tries(4, 0, hinted), job_id="d")
    found = {(one.is_rehearsal, one.hints): one for one in together(read_counts(path))}
    assert {key: one.tally.first_tries for key, one in found.items()} == {
        (False, False): 8,
        (True, False): 5,
        (False, True): 4,
    }
    assert len(found[False, False].jobs) == 2


def test_without_a_history_nothing_is_known_and_none_is_made(path: Path) -> None:
    assert read_counts(path) == []
    assert not path.exists()


def test_a_history_that_cannot_be_read_says_so(path: Path) -> None:
    path.write_bytes(b"no database at all, whatever its name says" * 100)
    with pytest.raises(WorldError, match=r"history\.db cannot be read"):
        read_counts(path)
