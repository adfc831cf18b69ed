"""Deliveries are written down one transaction at a time, all that wait in the same one.

SQLite has one writer, and who waits for it is not served in order: twenty threads of ours that each wanted a
transaction would starve each other. PostgreSQL saves round trips.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from service.db.queries.deliveries import Arrival, keep_delivery
from service.db.session import Database, Session

EnqueueDelivery = Callable[[Session, int], None]
"""Called with a delivery's number in the transaction that writes its row: never one without the other."""
MOST_AT_ONCE = 100
_Waiting = tuple[Arrival, "Future[int | None]"]


class DeliveryWriter:
    """One thread that writes. Safe to share between threads."""

    def __init__(self, database: Database, enqueue: EnqueueDelivery) -> None:
        self._database, self._enqueue = database, enqueue
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "deliveries")

    def write(self, arrival: Arrival) -> Future[int | None]:
        """Write a delivery down and ask for it to be worked on.

        Returns:
            when it is committed: the row's number, or None for a delivery that needs nothing more.
        """
        promise: Future[int | None] = Future()
        self._waiting.append((arrival, promise))
        self._thread.submit(self._flush)
        return promise

    def _flush(self) -> None:
        """Write all that wait; often nothing does any more, because the flush before took it."""
        n = min(len(self._waiting), MOST_AT_ONCE)
        # in order of their names: processes that get the same ones must not wait for each other in a circle
        waiting = [self._waiting.popleft() for _ in range(n)]
        batch = sorted(waiting, key=lambda one: (one[0].guid, one[0].event))
        if batch and not self._is_written(batch) and len(batch) > 1:
            for one in batch:  # one that fails must not take the others with it
                self._is_written([one])

    def _is_written(self, batch: Sequence[_Waiting]) -> bool:
        try:
            with self._database.writing() as session:
                numbers = [self._keep(session, arrival) for arrival, _ in batch]
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            return False
        for (_, promise), number in zip(batch, numbers, strict=True):
            promise.set_result(number)
        return True

    def _keep(self, session: Session, arrival: Arrival) -> int | None:
        number = keep_delivery(session, arrival)
        if number is not None:
            self._enqueue(session, number)
        return number
