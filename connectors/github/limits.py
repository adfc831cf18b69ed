"""How long to wait when GitHub says "too much": pure.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
names the order: ``retry-after``; else the reset when nothing remains; else at least a minute, then longer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

SECONDARY_WAIT_S = 60.0
MAX_SECONDARY_WAIT_S = 900.0
_SECONDARY = re.compile(r"secondary rate limit|abuse detection|API rate limit exceeded", re.IGNORECASE)


def wait_for_limit(
    status: int, headers: Mapping[str, str], body: str, *, now: float, n_before: int
) -> float | None:
    """Seconds to wait before the request may be repeated, or None when no limit was reached.

    Args:
        headers: names in lower case.
        body: the answer's text. GraphQL reports limits with status 200, in the body.
        now: seconds since the epoch, by GitHub's clock if possible.
        n_before: how often this request has been limited already.
    """
    is_limit_status = status in {403, 429}
    if not is_limit_status and not (status == 200 and '"RATE_LIMIT' in body):
        return None
    after = _retry_after(headers.get("retry-after", ""), now)
    if after is not None:
        return after
    if headers.get("x-ratelimit-remaining") == "0" and (reset := _number(headers.get("x-ratelimit-reset"))):
        return max(0.0, reset - now) + 1.0
    if status == 403 and not _SECONDARY.search(body):
        return None  # a missing permission
    return min(SECONDARY_WAIT_S * 2**n_before, MAX_SECONDARY_WAIT_S)


def _retry_after(value: str, now: float) -> float | None:
    """Seconds, or a date (RFC 9110, 10.2.3)."""
    seconds = _number(value)
    if seconds is not None:
        return max(0.0, seconds)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def _number(value: str | None) -> float | None:
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if found == found and abs(found) < 1e12 else None  # noqa: PLR0124 - not a number is not itself
