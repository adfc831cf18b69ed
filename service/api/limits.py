"""How often a token may ask: one bucket a token, in this process.

Several processes each keep their own buckets, so n of them let n times as much through; the limit protects
a process, it is no quota. A quota belongs into the proxy in front.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MOST_BUCKETS = 10_000


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class Buckets:
    """Token buckets by name: ``burst`` requests at once, ``per_minute`` in the long run.

    Args:
        clock: seconds, never going back.
    """

    def __init__(
        self, per_minute: float = 600, burst: int = 100, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = per_minute / 60, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Take one request out of a bucket; returns 0, or the seconds until there is one to take."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
            self._buckets.move_to_end(name)
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)  # unused for longest, so full again or nearly
            bucket.level = min(self._burst, bucket.level + (now - bucket.at) * self._rate)
            bucket.at = now
            if bucket.level >= 1:
                bucket.level -= 1
                return 0.0
            return (1 - bucket.level) / self._rate
