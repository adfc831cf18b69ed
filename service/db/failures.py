"""What can be said of a database error without SQLAlchemy at hand."""

from __future__ import annotations

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

NOT_NOW = (OperationalError, InterfaceError, PoolTimeoutError)
"""The database is away, locked or out of connections: the same request may work later."""
