"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlmodel import Field

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""GitHub's ids outgrew 32 bits. SQLite's own integers have 64, and only ``INTEGER`` counts up by itself."""


class Utc(sa.TypeDecorator[datetime]):
    """A moment, stored as UTC and read back with its zone; one without a zone is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """To the database: SQLite forgets zones, so everything is UTC before it gets there."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with its zone, saw {value!r}: use datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """From the database, in UTC whatever the session's zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """This moment, with its zone."""
    return datetime.now(UTC)


def word(states: type[StrEnum]) -> sa.Enum:
    """A column of one of our own words: plain text, so that a new word needs no migration."""
    return sa.Enum(
        states, native_enum=False, create_constraint=False, length=32, values_callable=lambda e: [*e],
        validate_strings=True,
    )  # fmt: skip


def own_id() -> Any:
    """A row's own number."""
    return Field(default=None, sa_column=sa.Column("id", BIG, primary_key=True, autoincrement=True))


def belongs_to(target: str, *, nullable: bool = False, keeps: bool = False) -> Any:
    """A reference to another table's ``id``, indexed.

    Args:
        keeps: the row outlives what it refers to (the reference becomes NULL) instead of going with it.
    """
    rule = sa.ForeignKey(f"{target}.id", ondelete="SET NULL" if keeps else "CASCADE")
    column = sa.Column(BIG, rule, nullable=nullable or keeps, index=True)
    return Field(default=None, sa_column=column) if nullable or keeps else Field(sa_column=column)


def moment(*, nullable: bool = False, index: bool = False) -> Any:
    """A time: now by default, or None where that means "not yet"."""
    column = sa.Column(Utc(), nullable=nullable, index=index)
    return Field(default=None, sa_column=column) if nullable else Field(default_factory=now, sa_column=column)


def document(default: type) -> Any:
    """A JSON value of any shape, empty by default (``list`` or ``dict``)."""
    return Field(default_factory=default, sa_column=sa.Column(sa.JSON(), nullable=False))


def in_state(default: StrEnum, *, index: bool = False) -> Any:
    """One of our own words, with the one a row begins with."""
    return Field(default=default, sa_column=sa.Column(word(type(default)), nullable=False, index=index))


def id_at_github(*, nullable: bool = True, unique: bool = False, index: bool = False) -> Any:
    """An id that GitHub gave."""
    column = sa.Column(BIG, nullable=nullable, unique=unique, index=index)
    return Field(default=None, sa_column=column) if nullable else Field(sa_column=column)
