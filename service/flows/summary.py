"""What a profile rests on, gathered for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.identity.author import Author, AuthorKind, Label
from fingerprint.config import ProfileConfig
from fingerprint.signature import TeamSignature
from service.flows.training import Trained
from service.reports.profile_summary import AuthorRow, ProfileSummary

if TYPE_CHECKING:
    from service.flows.plan import Plan
    from service.flows.readings import Losses


def summarise(
    repository: Path, plan: Plan, trained: Trained, losses: Losses, *, signature: TeamSignature, digest: str,
    config: ProfileConfig,
) -> ProfileSummary:  # fmt: skip
    """Every figure that the report of a profile shows."""
    facts, team = signature.facts, trained.team.facts
    realised = next((r for r in facts.get("realised", ()) if r["level"] == config.drift.alarm_level), None)
    ledger = {
        reason.value: tally.lines for reason, tally in plan.ingested.ledger.dropped.items() if tally.lines
    }
    languages: Counter[str] = Counter()
    for passage in plan.slices.train:
        languages[passage.language] += passage.marked.count("\n")
    return ProfileSummary(
        repository=repository.resolve().name, team=plan.choice.describe(), signature=digest,
        base_loss=team["start_dev_loss"], team_loss=team["best_dev_loss"], null_team_loss=losses.null_team,
        n_commits=facts["n_commits"], n_tokens=sum(trained.counts.values()),
        n_trained_tokens=team["scored_tokens"], n_calibration=facts["n_calibration"].get("all", 0),
        least_tokens=facts["least_tokens"], alarm_level=config.drift.alarm_level,
        realised_false_alarms=None if realised is None else realised["share"],
        n_held_out=0 if realised is None else realised["n"],
        ledger=ledger | plan.enrolled.left_out, n_lines=plan.enrolled.n_lines, languages=dict(languages),
        authors=_rows(plan, trained, losses),
        provenance={name: str(value) for name, value in asdict(signature.provenance).items()},
        warnings=(*facts.get("warnings", ()), *plan.ingested.ledger.notes, *_caveats(plan, trained)),
    )  # fmt: skip


def _caveats(plan: Plan, trained: Trained) -> list[str]:
    found = []
    if plan.foreign.name:
        found.append(f"The team's null adapter was trained on {plan.foreign.name}.")
        languages = {passage.language for passage in plan.slices.train}
        if not languages & {passage.language for passage in plan.foreign.power}:
            found.append(
                f"{plan.foreign.name} has no code in the team's languages: the least size of a diff is "
                "the floor, and the null is one of another language. Give --null-repo."
            )
    if not trained.authors:
        found.append("No author has enough code for an adapter of their own.")
    return found


def _rows(plan: Plan, trained: Trained, losses: Losses) -> tuple[AuthorRow, ...]:
    """A row for every author with code in the training slice."""
    known = {author.key: author for author in plan.ingested.authors}
    commits: Counter[str] = Counter(key for _, key in {(p.group, p.author) for p in plan.slices.train})
    return tuple(
        _row(key, known.get(key), commits[key], plan, trained, losses) for key in sorted(trained.counts)
    )


def _row(
    key: str, author: Author | None, n_commits: int, plan: Plan, trained: Trained, losses: Losses
) -> AuthorRow:
    adapter = trained.authors.get(key)
    before = losses.of("reference", key)
    nulls = [losses.of(name, key) for name in trained.nulls] if adapter else []
    is_agent = author is not None and author.kind is AuthorKind.AGENT
    return AuthorRow(
        key=key, name=author.name if author else key, kind="agent" if is_agent else "human",
        tier=author.tier.value if author and is_agent else "",
        is_declared=is_agent or plan.enrolled.labels.get(key, Counter())[Label.HUMAN_DECLARED] > 0,
        n_commits=n_commits, n_tokens=trained.counts[key],
        n_trained_tokens=adapter.facts["scored_tokens"] if adapter else 0,
        base_loss=losses.of("base", key), team_loss=losses.of("team", key), reference_loss=before,
        author_loss=losses.of(key, key) if adapter else None,
        null_gains=tuple(before - null for null in nulls if before is not None and null is not None),
        n_missing_tokens=trained.too_little.get(key, 0),
    )  # fmt: skip
