"""Operations on what happened: events, log, failures, diagnosis, the past of a job, the history of all."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from mozart_nb.consumers.documents import error_document, error_groups
from mozart_nb.consumers.history.rows import RUN_COLUMNS
from mozart_nb.consumers.rows import iso, row_of
from mozart_nb.jupyter.server.api import models, queries, showing
from mozart_nb.jupyter.server.api.operation import Ask
from mozart_nb.looking.board import STATUS_LETTERS
from mozart_nb.looking.board.batches import letters
from mozart_nb.looking.board.masks import masked_data
from mozart_nb.looking.failures import failure_filter
from mozart_nb.looking.history import run_wish
from mozart_nb.looking.logs import log_filter
from mozart_nb.masking import masked

MOST_NAMED: Final = 100
"""Batches of a group of failures that are named."""


def events(ask: Ask[queries.EventsQuery, None]) -> models.EventList:
    since = ask.query.since if ask.query.since is not msgspec.UNSET else 0
    page = ask.board.events(ask.key, since=since, limit=ask.query.limit)
    shown = showing.events(page.events)
    following = page.events[len(shown) - 1].seq if shown else since
    return models.EventList(events=shown, next=following, last_seq=page.last_seq, record=page.record)


def logs(ask: Ask[queries.LogsQuery, None]) -> models.LogList:
    query = ask.query
    wanted = log_filter(
        level=query.level,
        batch=query.batch,
        events=query.event,
        since=query.since,
        until=query.until,
    )
    page = ask.board.last_events(ask.key, query.limit, wanted)
    return models.LogList(
        lines=[showing.log_entry(event) for event in page.events], notices=[masked(one) for one in page.notices]
    )


def errors(ask: Ask[queries.ErrorsQuery, None]) -> models.ErrorList:
    query = ask.query
    wanted = failure_filter(
        code=query.code, batch=query.batch, kind=query.type, since=query.since, until=query.until, dashes=""
    )
    found = ask.board.errors(ask.key, wanted)
    newest = found[::-1][query.offset : query.offset + query.limit]
    return models.ErrorList(
        errors=[error_document(error) for error in newest],
        groups=[_group(group) for group in error_groups(found)],
        matching=len(found),
        offset=query.offset,
        limit=query.limit,
    )


def _group(group: dict[str, Any]) -> models.ErrorGroup:
    named = {name: group[name] for name in models.ErrorGroup.__struct_fields__}
    return models.ErrorGroup(**{**named, "batches": group["batches"][:MOST_NAMED]})


def diagnose(ask: Ask[queries.Query, None]) -> dict[str, Any]:
    return cast("dict[str, Any]", masked_data(ask.board.diagnosis(ask.key).document()))


def moments(ask: Ask[queries.Query, None]) -> models.Moments:
    found = ask.board.moments(ask.key)
    marks = [
        models.Mark(seq=mark.seq, at=iso(mark.at), kind=mark.kind, label=masked(mark.label)) for mark in found.marks
    ]
    return models.Moments(
        last_seq=found.last_seq, first_at=iso(found.first_at), last_at=iso(found.last_at), marks=marks
    )


def frame(ask: Ask[queries.Query, None]) -> models.FrameDocument:
    found = ask.board.frame(ask.key, ask.number)
    progress = found.progress
    return models.FrameDocument(
        seq=found.seq,
        at=iso(found.at),
        last_seq=found.last_seq,
        status=progress.status,
        reason=masked(progress.reason),
        progress=showing.counts(progress),
        cost=showing.money(progress),
        running=[batch.number for batch in progress.running_batches[:1000]],
        statuses=letters(found.state).decode(),
        letters={letter: status for status, letter in STATUS_LETTERS.items()},
    )


def history(ask: Ask[queries.HistoryQuery, None]) -> models.RunList:
    query = ask.query
    notices: list[str] = []
    wish = run_wish(status=query.status, since=query.since, until=query.until)
    found = ask.board.runs(query.job or None, wish, notices)
    return models.RunList(
        runs=[masked_data(row_of(RUN_COLUMNS, run)) for run in found[query.offset : query.offset + query.limit]],
        matching=len(found),
        offset=query.offset,
        limit=query.limit,
        notices=[masked(notice) for notice in notices],
    )
