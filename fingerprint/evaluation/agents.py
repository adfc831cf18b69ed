"""What agents write alike everywhere (T3d): learned in repositories that declare them, tried in another.

Routes belong to the base, so that what they say of an agent in one repository can hold in the next
(routing.md section 1). A logistic regression tells agents' hunks from people's of the same months by their
Fisher scores at the base (``fisher``), or by another reading, on repositories that share no person with the
one it is tried on. Every reading is centred on the code that the team wrote before the cut. Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression

from fingerprint import FingerprintError
from fingerprint.evaluation.baselines import fit_ngram_classifier
from fingerprint.evaluation.layout import fit_layout
from fingerprint.evaluation.metrics import auroc, cluster_bootstrap, pool_by_group
from fingerprint.evaluation.results import ContrastRow, DetectionRow
from fingerprint.evaluation.significance import paired_difference
from fingerprint.evaluation.systems import B1, B2, B8, FISHER, PERPLEXITY, SIZE
from fingerprint.evaluation.tables import figure, judge_sides, number

AGAINST = "declared agents"
STRENGTH = 0.3
"""C of the logistic regressions. From .03 to 1 a trial's mean AUROC lay between .585 and .592: not chosen."""


def shuffled(number: int) -> str:
    """The routes' null: learned with agents and people dealt anew over commits within quarters."""
    return f"{FISHER}, labels shuffled {number}"


@dataclass(frozen=True, eq=False)
class AgentTexts:
    """One repository's hunks by declared agents, and by people of the same months.

    Attributes:
        readings: [n, f] by FISHER and B8, centred. texts: added lines. authors: key of each, an agent's
            for whatever an agent had a part in. is_agent: [n]. commits: of each. quarters: calendar quarter.
        log_probs: nats of the scored tokens under the base. n_scored: their number.
    """

    readings: Mapping[str, Float[np.ndarray, "n f"]]
    texts: tuple[str, ...]
    authors: tuple[str, ...]
    is_agent: Bool[np.ndarray, " n"]
    commits: tuple[str, ...]
    quarters: tuple[str, ...]
    log_probs: Float[np.ndarray, " n"]
    n_scored: Float[np.ndarray, " n"]

    @property
    def people(self) -> set[str]:
        """Keys of the people among the authors."""
        return {author for author, is_agent in zip(self.authors, self.is_agent, strict=True) if not is_agent}

    def shuffled_labels(self, seed: int) -> Bool[np.ndarray, " n"]:
        """``is_agent`` permuted over commits within calendar quarters."""
        first = {commit: i for i, commit in reversed(list(enumerate(self.commits)))}
        at = np.array(list(first.values()))
        labels, quarters = self.is_agent[at], np.array(self.quarters)[at]
        rng = np.random.default_rng(seed)
        for quarter in np.unique(quarters):
            own = np.flatnonzero(quarters == quarter)
            labels[own] = labels[rng.permutation(own)]
        dealt = dict(zip(first, labels, strict=True))
        return np.array([dealt[commit] for commit in self.commits], dtype=bool)


def donors_of(name: str, every: Mapping[str, AgentTexts]) -> dict[str, AgentTexts]:
    """The other repositories whose people are all others: whoever writes in both would be told by name."""
    people = every[name].people
    return {other: one for other, one in every.items() if other != name and not people & one.people}


def score_elsewhere(
    target: AgentTexts, donors: Mapping[str, AgentTexts], *, n_nulls: int = 3
) -> dict[str, Float[np.ndarray, " n"]]:
    """Every system's scores of the target's hunks, larger for more like an agent; no label of it is used.

    Raises:
        FingerprintError: no donor, or donors without an agent's or a person's hunk.
    """
    given = list(donors.values())
    labels = [one.is_agent for one in given]
    if not given or not np.concatenate(labels).any() or np.concatenate(labels).all():
        raise FingerprintError(
            f"expected other repositories with code of agents and of people, saw {len(given)} usable: name "
            "repositories with declared agents that share no person with this one"
        )
    texts, flat = [text for one in given for text in one.texts], np.concatenate(labels).astype(int)
    found = {name: _by_reading(name, target, given, labels) for name in (FISHER, B8)}
    for name, fit in ((B1, fit_ngram_classifier), (B2, fit_layout)):
        columns = fit(texts, flat, 2).score(target.texts)
        found[name] = columns[:, 1] - columns[:, 0]
    sizes = np.maximum(target.n_scored, 1)
    found |= {PERPLEXITY: -target.log_probs / sizes, SIZE: -sizes}
    for null in range(n_nulls):
        dealt = [one.shuffled_labels(null) for one in given]
        found[shuffled(null)] = _by_reading(FISHER, target, given, dealt)
    return found


def _by_reading(
    name: str, target: AgentTexts, donors: Sequence[AgentTexts], labels: Sequence[np.ndarray]
) -> Float[np.ndarray, " n"]:
    """Log-odds by a regression in which repositories count alike, and in each agents and people."""
    shares = [
        np.where(own, 1 / max(own.sum(), 1), 1 / max((~own).sum(), 1)) if own.any() and not own.all()
        else np.zeros(len(own))
        for own in labels
    ]  # fmt: skip
    weights = np.concatenate(shares)
    model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(
        np.concatenate([_unit(one.readings[name]) for one in donors]), np.concatenate(labels),
        sample_weight=weights * len(weights) / weights.sum(),
    )  # fmt: skip
    return np.asarray(model.decision_function(_unit(target.readings[name])))


def _unit(values: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
    values = values.astype(np.float32)
    return values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-9)


# ------------------------------------------------------------------------------------------- judging


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores of one repository's texts by system, in one unit."""

    scores: Mapping[str, Float[np.ndarray, " n"]]
    is_agent: Bool[np.ndarray, " n"]
    commits: tuple[str, ...]
    sizes: Float[np.ndarray, " n"]

    @classmethod
    def of(cls, texts: AgentTexts, scores: Mapping[str, np.ndarray], unit: str) -> Judged:
        """By "hunk", or by "commit": the mean over its hunks, by scored tokens (sizes are summed)."""
        if unit == "hunk":
            return cls(scores, texts.is_agent, texts.commits, texts.n_scored)
        columns = np.stack(list(scores.values()), axis=1)
        pooled, labels, commits, sizes = pool_by_group(
            columns, texts.is_agent.astype(int), texts.commits, texts.n_scored
        )
        by_name = {name: pooled[:, i] for i, name in enumerate(scores)} | {SIZE: -sizes}
        return cls(by_name, labels.astype(bool), tuple(commits), sizes)

    def rows(self, unit: str, n_draws: int) -> Iterator[DetectionRow]:
        """A row a system."""
        yield from judge_sides(
            AGAINST, unit, self.scores, self.is_agent, self.commits, sizes=self.sizes, n_draws=n_draws
        )


class MeanOver:
    """AUROC averaged over repositories, each counting alike, with intervals by whole commits."""

    def __init__(self, repositories: Sequence[Judged], unit: str, n_draws: int) -> None:
        """Join the texts of all."""
        self.unit, self.n_draws = unit, n_draws
        self.owner = np.repeat(np.arange(len(repositories)), [len(one.is_agent) for one in repositories])
        self.is_agent = np.concatenate([one.is_agent for one in repositories])
        self.clusters = [f"{i} {commit}" for i, one in enumerate(repositories) for commit in one.commits]
        names = repositories[0].scores
        self.scores = {name: np.concatenate([one.scores[name] for one in repositories]) for name in names}
        self.n = len(repositories)

    def _statistic(self, name: str) -> Callable[[np.ndarray], float]:
        scores = self.scores[name]

        def mean(rows: np.ndarray) -> float:
            parts = [rows[self.owner[rows] == i] for i in range(self.n)]
            areas = [auroc(scores[at][self.is_agent[at]], scores[at][~self.is_agent[at]]) for at in parts]
            return float(np.nanmean(areas))

        return mean

    def rows(self) -> Iterator[DetectionRow]:
        """A row a system."""
        for name in self.scores:
            area = cluster_bootstrap(self._statistic(name), self.clusters, n_draws=self.n_draws)
            yield DetectionRow(
                system=name, against=f"{AGAINST}, mean of {self.n}", unit=self.unit,
                n_team=int((~self.is_agent).sum()), n_strangers=int(self.is_agent.sum()), auroc=figure(area),
                tpr_at_1=number(np.nan), tpr_at_5=number(np.nan),
            )  # fmt: skip

    def contrast(self, first: str, second: str) -> ContrastRow:
        """Paired difference of two systems' means."""
        found = paired_difference(
            self._statistic(first), self._statistic(second), self.clusters, n_draws=self.n_draws
        )
        return ContrastRow(first=first, second=second, unit=self.unit, auroc=figure(found.interval))
