"""What was done to what, and who looked at a person's data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, select

from service.db.tables import AuditEvent


def note_reads(session: Session, who: str, targets: Iterable[str]) -> None:
    """Write down that people's data was read, one event a person."""
    session.add_all(AuditEvent(who=who, what="author.read", target=target) for target in targets)


def list_newest(session: Session, target: str | None = None, limit: int = 50) -> Sequence[AuditEvent]:
    """What was done last, to one thing or to anything, newest first."""
    wanted = select(AuditEvent).order_by(col(AuditEvent.id).desc()).limit(limit)
    return session.exec(wanted if target is None else wanted.where(AuditEvent.target == target)).all()


def list_events(session: Session, targets: Sequence[str], limit: int = 50) -> Sequence[AuditEvent]:
    """What was done to one thing, by any of the names it has, newest first."""
    wanted = select(AuditEvent).where(col(AuditEvent.target).in_(targets)).order_by(col(AuditEvent.id).desc())
    return session.exec(wanted.limit(limit)).all()
