"""Foreign diffs (T3a): another repository's commits against the team's own later ones, commit by commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fingerprint.config import Combination, DriftConfig
from fingerprint.drift.calibrate import choose_cell, conformal_p_value, flagged_share
from fingerprint.evaluation.baselines import NgramClassifier, NgramNeighbours
from fingerprint.evaluation.results import FlaggedRow, ForeignRow
from fingerprint.evaluation.tables import judge_foreign
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage
from fingerprint.routing.combination import RULES
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import Normaliser
from fingerprint.signature import TeamSignature

LEVELS = (0.05, 0.1)
LAMBDA = "Lambda_team per token (ALM)"
DRIFT = "drift v1, by the rule chosen on dev"
Novelty = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class CommitSet:
    """Commits to tell apart: the team's later ones, then the foreign ones.

    Attributes:
        passages: by commit, capped. is_foreign: per commit.
    """

    passages: tuple[tuple[Passage, ...], ...]
    is_foreign: np.ndarray

    @property
    def texts(self) -> list[str]:
        """Added text of each commit."""
        return ["".join(passage.marked for passage in commit) for commit in self.passages]

    @property
    def flat(self) -> list[Passage]:
        """Every passage, commit after commit."""
        return [passage for commit in self.passages for passage in commit]

    def take(self, kept: np.ndarray) -> CommitSet:
        """The chosen commits."""
        return CommitSet(tuple(self.passages[i] for i in kept), self.is_foreign[kept])


def ngram_novelty(
    commits: CommitSet, neighbours: NgramNeighbours, classifier: NgramClassifier | None
) -> dict[str, Novelty]:
    """One-class n-grams: distance to the nearest team texts (B5), minus the best author's value (B1)."""
    texts = commits.texts
    found = {"n-grams, nearest five (B5)": neighbours.score(texts)}
    if classifier is not None:
        found["n-grams, best author (B1)"] = -classifier.score(texts).max(axis=1)
    return found


def perplexity_novelty(
    commits: CommitSet,
    routed: RoutedModel,
    states: Mapping[str, RouteWeights],
    batch_tokens: int,
    max_tokens: int,
) -> dict[str, Novelty]:
    """Mean loss per scored token of every commit under every state: its plain perplexity, by state."""
    rows = tokenize_passages(routed.base, commits.flat, max_tokens)
    owner = np.repeat(np.arange(len(commits.passages)), [len(commit) for commit in commits.passages])
    at = np.array([owner[row.passage_index] for row in rows], dtype=int)
    n_scored = np.bincount(at, weights=[row.n_scored for row in rows], minlength=len(commits.passages))
    found: dict[str, np.ndarray] = {}
    for name, state in states.items():
        with routed.at(state, state, 0.0):
            values = scored_log_probs(routed, rows, batch_tokens)
        sums = np.array([float(value.sum(dtype=np.float64)) for value in values])
        found[name] = -np.bincount(at, weights=sums, minlength=len(n_scored)) / np.maximum(n_scored, 1)
    return found


def drift_novelty(measures: Measures, signature: TeamSignature) -> dict[str, Novelty]:
    """Drift v1 and its parts, one value a commit; larger is more foreign.

    The drift score is the one of review, by the rule that dev chose; the other rules stand beside it.
    """
    normaliser = Normaliser.of_team(signature)
    statistics = normaliser.statistics(measures)
    others: list[Combination] = [rule for rule in RULES if rule != normaliser.combination]
    return {
        LAMBDA: -measures.log_ratio / measures.n_scored,
        DRIFT: statistics.score(normaliser.combination),
        **{f"drift, rule {rule}": statistics.score(rule) for rule in others},
    }


def commit_p_values(measures: Measures, signature: TeamSignature, config: DriftConfig) -> Novelty:
    """Conformal p-values of commits, as a review computes them."""
    if not len(measures):
        return np.zeros(0)
    prefix = "calibration_"
    cells = {k.removeprefix(prefix): x for k, x in signature.readings.items() if k.startswith(prefix)}
    scores = Normaliser.of_team(signature).score(measures)
    return np.array([
        conformal_p_value(
            choose_cell(cells, language, config.least_calibration).scores, float(score),
            config.recency_half_life
        )
        for language, score in zip(measures.languages, scores, strict=True)
    ])  # fmt: skip


def flagged_rows(who: str, p_values: Novelty) -> list[FlaggedRow]:
    """Flagged shares at the usual levels."""
    found = [flagged_share(p_values, level) for level in LEVELS]
    return [
        FlaggedRow(
            who=who, level=f.level, n_flagged=f.n_flagged, n=f.n, share=f.share, low=f.low, high=f.high
        )
        for f in found
    ]


def exchangeable_shares(
    calibration: Float[np.ndarray, " c"], test: Float[np.ndarray, " t"], n_draws: int = 2000, seed: int = 0
) -> dict[float, float]:
    """Flagged share at each level once calibration and test scores are shuffled together.

    Shuffling makes them exchangeable, so the share must not exceed the level but by chance: what the real
    order flags beyond it is drift of the team, not a fault of the p-value.
    """
    rng, pooled, n = np.random.default_rng(seed), np.concatenate([calibration, test]), len(calibration)
    flagged = dict.fromkeys(LEVELS, 0.0)
    for _ in range(n_draws):
        mixed = rng.permutation(pooled)
        # the p-value of each of a few test scores among the shuffled calibration scores
        p_value = conformal_p_value(mixed[:n], float(mixed[n]))
        for level in LEVELS:
            flagged[level] += p_value <= level
    return {level: count / n_draws for level, count in flagged.items()}


def foreign_rows(
    novelty: Mapping[str, Novelty], commits: CommitSet, team_languages: Sequence[str], n_draws: int
) -> list[ForeignRow]:
    """Every system's rows, over all commits and over those in languages the team writes."""
    mains = np.array([main_language(commit) for commit in commits.passages])
    same = np.isin(mains, list(team_languages))
    strata = {"same language": same, "all": np.ones(len(mains), bool)}
    if not commits.is_foreign[same].any() or same.all():
        strata.pop("same language" if not commits.is_foreign[same].any() else "all")
    return [
        judge_foreign(name, values[kept], commits.is_foreign[kept], stratum, n_draws)
        for stratum, kept in strata.items()
        for name, values in novelty.items()
    ]


def main_language(commit: Sequence[Passage]) -> str:
    """The language with the most added text."""
    sizes: dict[str, int] = {}
    for passage in commit:
        sizes[passage.language] = sizes.get(passage.language, 0) + len(passage.marked)
    return max(sizes, key=lambda language: sizes[language], default="")
