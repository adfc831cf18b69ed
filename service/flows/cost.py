"""What a profile would cost, measured on this machine, without making it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fingerprint.config import ProfileConfig
from service.flows.bench import Progress
from service.flows.plan import prepare
from service.flows.team import TeamChoice
from service.settings import Settings

_MEASURE_SHARE = 0.9
"""Cost of one integration point on a token, as a share of a training step on it."""


@dataclass(frozen=True)
class CostRow:
    """One step of a profile: scored tokens there are, scored tokens read, seconds."""

    name: str
    n_available: int
    n_read: int
    seconds: float
    note: str = ""


def estimate_profile(
    repository: Path, settings: Settings, config: ProfileConfig, *, choice: TeamChoice | None = None,
    report: Progress = lambda _: None,
) -> list[CostRow]:  # fmt: skip
    """The steps of `profile`, as if nothing of it were stored yet.

    Raises:
        What `profile` raises before it trains.
    """
    from fingerprint.adapters.population import count_population
    from fingerprint.adapters.train import estimate_cost
    from fingerprint.drift.reference import measured_code

    bench, plan = prepare(repository, settings, config, choice, report)
    adapter, slices = config.adapter, plan.slices
    cost = estimate_cost(
        bench.routed,
        slices.train.passages,
        slices.dev.passages,
        config=adapter,
        budget_tokens=adapter.team_tokens,
    )
    per_token = cost.seconds / max(1, cost.scored_tokens)
    found = count_population(bench.routed, slices.train, adapter)
    counts, budget = found.counts, found.budget
    missing = adapter.least_team_tokens - sum(counts.values())
    lack = f"{missing:,} more tokens needed" if missing > 0 else ""
    rows = [CostRow("team", sum(counts.values()), cost.scored_tokens, cost.seconds, lack)]
    rows += [CostRow(who, counts[who], budget, budget * per_token) for who in sorted(found.enrolled)]
    rows += [
        CostRow(author, counts[author], 0, 0.0, f"{lack.need - lack.have:,} more tokens needed")
        for author, lack in sorted(found.too_little.items())
    ]
    n_authors = len(found.enrolled)
    if n_authors:
        rows.append(CostRow("reference", sum(counts.values()), budget, budget * per_token))
    n_nulls = config.n_null_sets * min(config.null_authors, n_authors) * (n_authors > 1)
    if config.n_null_sets:
        rows.append(
            CostRow("null team", adapter.team_tokens, adapter.team_tokens, adapter.team_tokens * per_token)
        )
    rows.append(CostRow(f"null authors ({n_nulls})", 0, n_nulls * budget, n_nulls * budget * per_token))
    measured = sum(len(passage.marked) // 4 for passage in measured_code(slices.measured, config.drift))
    seconds = measured * per_token * _MEASURE_SHARE * config.drift.integration_points
    rows.append(CostRow("team signature", measured, measured, seconds * (1 + (config.n_null_sets > 0))))
    return rows
