"""Operations on the batches of a job, their answers and their questions."""

from __future__ import annotations

from mozart_nb.jupyter.server.api import models, queries, showing
from mozart_nb.jupyter.server.api.operation import Ask
from mozart_nb.looking.board import BatchWish


def list_batches(ask: Ask[queries.BatchesQuery, None]) -> models.BatchList:
    query = ask.query
    wish = BatchWish(
        statuses=query.status,
        codes=query.code,
        numbers=query.numbers,
        text=query.q,
        sort=query.sort,
        descending=query.order == "desc",
        offset=query.offset,
        limit=query.limit,
    )
    page = ask.board.batches(ask.key, wish)
    return models.BatchList(
        batches=[showing.batch_row(view) for view in page.batches],
        matching=page.matching,
        total=page.total,
        offset=query.offset,
        limit=query.limit,
        counts=dict(page.counts),
        version=page.version,
    )


def one_batch(ask: Ask[queries.Query, None]) -> models.BatchDocument:
    details = ask.board.batch(ask.key, ask.number)
    asked = next((one for one in ask.board.questions(ask.key) if one.batch == ask.number), None)
    return showing.batch(details, asked)


def output(ask: Ask[queries.OutputQuery, None]) -> models.Output:
    return showing.output(ask.board.output(ask.key, ask.number, ask.query.attempt, lines=ask.query.lines))


def questions(ask: Ask[queries.Query, None]) -> models.QuestionList:
    return models.QuestionList(questions=[showing.question(one) for one in ask.board.questions(ask.key)])


def answers(ask: Ask[queries.AnswersQuery, None]) -> models.AnswerList:
    query = ask.query
    page = ask.board.answers(ask.key, first_batch=query.first_batch, limit=query.limit, only_failed=query.failed)
    columns = page.table.columns
    return models.AnswerList(
        columns=[
            models.AnswerColumnDocument(name=column.name, dtype=column.dtype, meaning=column.meaning)
            for column in columns
        ],
        rows=[showing.answer_row(columns, record) for record in page.records],
        next_batch=page.next_batch or None,
        version=page.version,
    )
