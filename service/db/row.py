"""What every table shares."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.orm import declared_attr
from sqlmodel import SQLModel

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables. Constraints have names, because a migration on SQLite can only drop what has one."""


class Row(SQLModel):
    """What every table shares: where it is registered, and a name made from its class's."""

    metadata = METADATA

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - as SQLModel itself does
        """``PullRequest`` is kept in ``pull_request``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
