"""Statements that write whole rows, as text: a hundred thousand rows pass by SQLAlchemy's own handling.

Imported late.
"""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert


def upsert(table: Table) -> str:
    """The statement that writes a row of `table`; its parameters stand in the order of the columns."""
    wish = insert(table).values({column.name: None for column in table.columns})
    others = {column.name: wish.excluded[column.name] for column in table.columns if not column.primary_key}
    key = list(table.primary_key.columns)
    return str(wish.on_conflict_do_update(index_elements=key, set_=others).compile(dialect=sqlite.dialect()))
