"""
The words that tables are written in: kinds of columns, and where a table becomes one of ours.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text
from sqlalchemy.types import UserDefinedType


class VenueId(UserDefinedType[Any]):
    """An id of the venue: 16 bytes when it is a UUID, else text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "ANY"


metadata = MetaData()


def number(name: str, *, null: bool = False, **more: Any) -> Column[int]:
    return Column(name, Integer, nullable=null, **more)


def words(name: str, *, null: bool = False, **more: Any) -> Column[str]:
    return Column(name, Text, nullable=null, **more)


def event_seq(*, key: bool = False) -> Column[int]:
    """The event that a row follows from; there is none without it."""
    return Column("seq", Integer, ForeignKey("journal.seq"), primary_key=key, nullable=False)


def table(name: str, *columns: Any, rowid: bool = True) -> Table:
    return Table(name, metadata, *columns, sqlite_strict=True, sqlite_with_rowid=rowid)
