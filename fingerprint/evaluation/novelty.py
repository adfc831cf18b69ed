"""Strangers' code (T3) against the team's: another repository's, an agent's, a never enrolled author's.

Each side's passages are read once by every model; commits, and files of a commit, are sums over passages. A
novelty is one number a text, larger for more foreign.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from fingerprint.config import Combination, DriftConfig
from fingerprint.drift.calibrate import (
    LEVELS,
    FlaggedShare,
    cell_p_values,
    cells_of,
    conformal_p_value,
    flagged_share,
)
from fingerprint.drift.lexical import NgramNeighbours
from fingerprint.drift.nonconformity import Nonconformity
from fingerprint.evaluation.baselines import NgramClassifier
from fingerprint.evaluation.metrics import bag_commits
from fingerprint.evaluation.results import DetectionRow, FlaggedRow
from fingerprint.evaluation.systems import PERPLEXITY, SIZE
from fingerprint.evaluation.tables import Detection
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage
from fingerprint.routing.combination import RULES
from fingerprint.routing.extract import Measures
from fingerprint.signature import TeamSignature

UNITS = ("commit", "hunk")
"""What is told apart: a whole commit, or the added lines of one of its files."""
LEAST_BAGS = 5
"""Fewer bags of ten commits on a side say nothing of an AUROC."""
LAMBDA = "Lambda_team per token (ALM)"
DRIFT = "drift of the routes alone, by the rule chosen on dev"
NEIGHBOURS = "n-grams, nearest five (B5)"
FUSED = "drift, routes and n-grams fused"
BASE, TEAM, NULL = "base", "team", "null"
"""States that every passage is read under, by name."""
Novelty = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Texts:
    """Texts of one side.

    Attributes:
        passages: of each text. commits: of each text, the cluster of every interval.
        measures: by text, under the team's adapter. log_probs: by state, [n] nats over the scored tokens.
    """

    passages: tuple[tuple[Passage, ...], ...]
    commits: tuple[str, ...]
    measures: Measures
    log_probs: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.commits)

    @property
    def added(self) -> list[str]:
        """Added text of each."""
        return ["".join(passage.marked for passage in own) for own in self.passages]

    @property
    def written_at(self) -> np.ndarray:
        """Author time of each, seconds since the epoch."""
        return np.array([own[0].written_at for own in self.passages], dtype=float)

    def take(self, kept: np.ndarray) -> Texts:
        """The chosen texts, by number or by mask."""
        at = np.flatnonzero(kept) if np.asarray(kept).dtype == bool else np.asarray(kept, dtype=int)
        return Texts(
            tuple(self.passages[i] for i in at), tuple(self.commits[i] for i in at), self.measures.take(at),
            {name: values[at] for name, values in self.log_probs.items()},
        )  # fmt: skip

    def scorable(self, languages: Sequence[str], least_tokens: int) -> Texts:
        """Those that a review would score: large enough, in a language the team writes."""
        is_known = np.isin(np.array(self.measures.languages), list(languages))
        return self.take(is_known & (self.measures.n_scored >= least_tokens))


@dataclass(frozen=True)
class Side:
    """Passages of one side as the models read them, one row a passage, in commit order."""

    passages: tuple[Passage, ...]
    measures: Measures
    log_probs: dict[str, np.ndarray]

    def texts(self, unit: str) -> Texts:
        """Sums by commit, or by file of a commit."""
        keys = _text_of(self.passages, unit)
        names = tuple(dict.fromkeys(keys))
        at = {name: i for i, name in enumerate(names)}
        owner = np.array([at[key] for key in keys], dtype=int)
        own: list[list[Passage]] = [[] for _ in names]
        for i, passage in zip(owner, self.passages, strict=True):
            own[i].append(passage)
        sums = {
            state: np.bincount(owner, weights=values, minlength=len(names))
            for state, values in self.log_probs.items()
        }
        measures = replace(self.measures, groups=tuple(keys)).by_group()
        return Texts(tuple(map(tuple, own)), tuple(p[0].group for p in own), measures, sums)


def _text_of(passages: Sequence[Passage], unit: str) -> list[str]:
    """Which text each passage belongs to."""
    return [p.group if unit == "commit" else f"{p.group}\0{p.path}" for p in passages]


def read_log_probs(
    passages: Sequence[Passage], routed: RoutedModel, states: Mapping[str, RouteWeights], config: DriftConfig
) -> dict[str, Float[np.ndarray, " n"]]:
    """Log-probability, in nats over the scored tokens, of every passage under every state."""
    rows = tokenize_passages(routed.base, passages, config.passage_tokens)
    owner = np.array([row.passage_index for row in rows], dtype=int)
    found: dict[str, np.ndarray] = {}
    for name, state in states.items():
        with routed.at(state, state, 0.0):
            values = scored_log_probs(routed, rows, config.batch_tokens)
        sums = np.array([float(value.sum(dtype=np.float64)) for value in values])
        found[name] = np.bincount(owner, weights=sums, minlength=len(passages))
    return found


def ngram_novelty(
    texts: Sequence[str], neighbours: NgramNeighbours, classifier: NgramClassifier | None
) -> dict[str, Novelty]:
    """One-class n-grams: distance to the nearest team texts (B5), minus the best author's value (B1)."""
    found = {NEIGHBOURS: neighbours.score(texts)}
    if classifier is not None:
        found["n-grams, best author (B1)"] = -classifier.score(texts).max(axis=1)
    return found


def perplexity_novelty(texts: Texts) -> dict[str, Novelty]:
    """Mean loss per scored token under base and team, and how little the null team's adapter helps."""
    n = texts.measures.n_scored
    log_probs = texts.log_probs
    found = {
        SIZE: -n,
        PERPLEXITY: -log_probs[BASE] / n,
        "perplexity of the team (B7)": -log_probs[TEAM] / n,
    }
    if NULL in log_probs:
        found["Lambda of the other repository's adapter (null)"] = (log_probs[BASE] - log_probs[NULL]) / n
    return found


def with_counts(texts: Texts, signature: TeamSignature) -> Texts:
    """The same with the n-gram counts that the signature's lexical view reads, if it has one."""
    lexical = Nonconformity.of_team(signature).lexical
    if lexical is None:
        return texts
    return replace(texts, measures=replace(texts.measures, counts=lexical.neighbours.counts(texts.added)))


def drift_novelty(measures: Measures, signature: TeamSignature) -> dict[str, Novelty]:
    """The drift score and its parts.

    Args:
        measures: with counts, when the signature has a lexical view.

    The routes' score follows the rule that dev chose; the other rules stand beside it.
    """
    scorer = Nonconformity.of_team(signature)
    normaliser = scorer.normaliser
    statistics = normaliser.statistics(measures)
    others: list[Combination] = [rule for rule in RULES if rule != normaliser.combination]
    return {
        LAMBDA: -measures.log_ratio / measures.n_scored,
        **({} if scorer.lexical is None else {FUSED: scorer.score(measures)}),
        DRIFT: statistics.score(normaliser.combination),
        **{f"drift, rule {rule}": statistics.score(rule) for rule in others},
    }


def bag_rows(
    against: str, sides: tuple[Texts, Texts],
    novelty: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], n_draws: int,
) -> Iterator[DetectionRow]:  # fmt: skip
    """Rows for bags of ten commits of one author each; none where a side has too few bags.

    Args:
        sides: commits of the team and of the strangers. novelty: [n] of either's, by system.
    """
    bags = [
        bag_commits(
            np.column_stack(list(values.values())),
            np.unique([own[0].author for own in texts.passages], return_inverse=True)[1],
            texts.commits,
        )[0]
        for texts, values in zip(sides, novelty, strict=True)
    ]
    if min(map(len, bags)) < LEAST_BAGS:
        return
    team, strangers = (tuple(map(str, range(len(side)))) for side in bags)
    judge = Detection(against, "ten commits", team, strangers, n_draws)
    for column, name in enumerate(novelty[0]):
        yield judge.judge(name, bags[0][:, column], bags[1][:, column])


def commit_p_values(
    measures: Measures, signature: TeamSignature, config: DriftConfig, part: str = ""
) -> Novelty:
    """Conformal p-values of commits, as a review computes them.

    Args:
        part: of one part of the score alone, by its name; "": of the verdict's score.
    """
    if not len(measures):
        return np.zeros(0)
    scorer = Nonconformity.of_team(signature)
    scores = scorer.parts(measures)[part] if part else scorer.score(measures)
    return cell_p_values(scores, measures.languages, cells_of(signature.readings, part), config)


def flagged_rows(who: str, p_values: Novelty) -> list[FlaggedRow]:
    """Flagged shares at the usual levels."""
    return [flagged_row(who, flagged_share(p_values, level)) for level in LEVELS]


def flagged_row(who: str, found: FlaggedShare) -> FlaggedRow:
    """One share as a row."""
    return FlaggedRow(
        who=who, level=found.level, n_flagged=found.n_flagged, n=found.n, share=found.share, low=found.low,
        high=found.high,
    )  # fmt: skip


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
