"""What a gate would have done to merged changes, and how that is said."""

from __future__ import annotations

from dataclasses import dataclass

from service.reports.escape import visible
from service.reports.wording import percent, plural

MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Backtest:
    """What the gate would have done to merged changes, all of which people had accepted.

    Attributes:
        n_scored: changes with a verdict; n_flagged: of them, unusual ones: false alarms.
        n_unscored: changes that would have passed as NOT SCORED.
        low, high: 95 % Clopper-Pearson interval of the rate.
        limit: the largest rate at which a gate is acceptable.
        flagged: names of the flagged, to be looked at.
        signature: of the team signature that was tested.
    """

    n_scored: int
    n_flagged: int
    n_unscored: int
    low: float
    high: float
    limit: float
    flagged: tuple[str, ...]
    signature: str

    @property
    def rate(self) -> float | None:
        """Share of scored changes that were flagged."""
        return self.n_flagged / self.n_scored if self.n_scored else None

    @property
    def is_passed(self) -> bool:
        """Whether the gate may be switched on: the whole interval lies at or below the limit."""
        return self.n_scored > 0 and self.high <= self.limit


def render_backtest(found: Backtest) -> str:
    """Plain text: counts, the rate with its interval, the verdict on the gate, and what was flagged."""
    if found.rate is None:
        return (
            f"No merged change could be scored ({plural(found.n_unscored, 'change')} looked at): no gate.\n"
        )
    interval = f"95 % interval {found.low * 100:.1f} to {found.high * 100:.1f} %"
    counts = f"{found.n_flagged} of {plural(found.n_scored, 'merged change')} flagged"
    lines = [
        f"{counts}: false-alarm rate {found.rate * 100:.1f} %, {interval}.",
        f"{plural(found.n_unscored, 'change')} not scored; a gate lets those pass.",
        "Changes that the profile has learnt from count too; on later ones expect a higher rate.",
    ]
    if found.is_passed:
        lines.append(f"The gate may be switched on: the interval lies below {percent(found.limit)}.")
    else:
        lines.append(f"The gate stays off: the interval reaches above {percent(found.limit)}.")
    named = [visible(name) for name in found.flagged[:MOST_NAMED]]
    more = len(found.flagged) - len(named)
    if named:
        lines.append("Flagged: " + ", ".join(named) + (f" and {more} more." if more else "."))
    return "\n".join(lines) + "\n"
