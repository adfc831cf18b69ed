"""How many rows are in which state, for the metrics. No names: whoever reads metrics may not see people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import Session, col

from service.db.states import JobStatus, ReviewStatus
from service.db.tables import Delivery, Job, Review


@dataclass(frozen=True, slots=True)
class Tallies:
    """Counts: jobs by (flow, status), queued ones by queue, reviews by verdict, deliveries by status."""

    jobs: dict[tuple[str, str], int]
    queued: dict[str, int]
    verdicts: dict[str, int]
    deliveries: dict[str, int]


def count_all(session: Session) -> Tallies:
    """Count everything once."""
    n = sa.func.count()
    jobs = session.execute(sa.select(col(Job.flow), col(Job.status), n).group_by(Job.flow, Job.status))
    waiting = sa.select(col(Job.queue), n).where(col(Job.status) == JobStatus.QUEUED).group_by(Job.queue)
    done = sa.select(col(Review.verdict), n).where(col(Review.status) == ReviewStatus.DONE)
    deliveries = sa.select(col(Delivery.status), n).group_by(Delivery.status)
    return Tallies(
        jobs={(flow.value, status.value): count for flow, status, count in jobs},
        queued=_by_name(session.execute(waiting)),
        verdicts=_by_name(session.execute(done.group_by(Review.verdict))),
        deliveries={status.value: count for status, count in session.execute(deliveries)},
    )


def _by_name(rows: Iterable[sa.Row[str, int]]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows}
