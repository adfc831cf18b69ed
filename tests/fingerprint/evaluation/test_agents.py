"""Agents learned elsewhere: a direction all repositories share is found, one repository's own is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.agents import AgentTexts, Judged, MeanOver, donors_of, score_elsewhere, shuffled
from fingerprint.evaluation.metrics import auroc
from fingerprint.evaluation.systems import B1, B8, FISHER, PERPLEXITY, SIZE

WIDTH = 40


def repository(seed: int, people: tuple[str, ...] = (), n: int = 160) -> AgentTexts:
    """Commits of two hunks; in FISHER agents share the first coordinate, in B8 each has its own.

    An agent writes "let" where people write "var"; its hunks are larger and surprise the base less.
    """
    rng = np.random.default_rng(seed)
    is_agent = np.arange(n) // 2 % 2 == 1
    readings = {}
    for name, direction in ((FISHER, 0), (B8, 1 + seed)):
        values = rng.normal(size=(n, WIDTH))
        values[is_agent, direction] += 2.5
        readings[name] = values
    people = people or (f"human:{seed}-a", f"human:{seed}-b")
    authors = ["agent:x" if own else people[i // 2 % len(people)] for i, own in enumerate(is_agent)]
    words = rng.integers(0, 50, (n, 6))
    texts = [f"{'let' if own else 'var'} {' '.join(f'w{w}' for w in row)}"
             for own, row in zip(is_agent, words, strict=True)]  # fmt: skip
    sizes = rng.integers(40, 200, n) * np.where(is_agent, 2.0, 1.0)
    return AgentTexts(
        readings, tuple(texts), tuple(authors), is_agent, tuple(f"{seed}-{i // 2}" for i in range(n)),
        tuple(f"2026-{i // 80}" for i in range(n)), -2.0 * sizes + 20 * is_agent, sizes,
    )  # fmt: skip


EVERY = {f"r{seed}": repository(seed) for seed in range(4)}


def _area(name: str, scores: dict[str, np.ndarray], target: AgentTexts) -> float:
    return auroc(scores[name][target.is_agent], scores[name][~target.is_agent])


def test_what_repositories_share_is_found_and_what_is_one_s_own_is_not():
    target = EVERY["r0"]
    scores = score_elsewhere(target, donors_of("r0", EVERY))
    assert _area(FISHER, scores, target) > 0.9
    assert _area(B1, scores, target) > 0.9
    assert abs(_area(B8, scores, target) - 0.5) < 0.15
    nulls = [_area(shuffled(i), scores, target) for i in range(3)]
    assert abs(np.mean(nulls) - 0.5) < 0.2
    assert _area(SIZE, scores, target) < 0.3
    assert _area(PERPLEXITY, scores, target) < 0.5


def test_labels_of_the_target_are_not_used():
    target = EVERY["r1"]
    turned = replace(target, is_agent=~target.is_agent)
    donors = donors_of("r1", EVERY)
    first, second = score_elsewhere(target, donors), score_elsewhere(turned, donors)
    assert all((first[name] == second[name]).all() for name in first)


def test_whoever_writes_in_both_repositories_is_no_teacher():
    every = EVERY | {"shared": repository(7, people=("human:0-a", "human:7-b"))}
    assert set(donors_of("r0", every)) == {"r1", "r2", "r3"}
    assert set(donors_of("r1", every)) == {"r0", "r2", "r3", "shared"}


def test_without_teachers_it_says_what_is_missing():
    with pytest.raises(FingerprintError, match="expected other repositories with code of agents"):
        score_elsewhere(EVERY["r0"], {})
    alone = replace(EVERY["r1"], is_agent=np.ones(160, bool))
    with pytest.raises(FingerprintError, match="saw 1 usable"):
        score_elsewhere(EVERY["r0"], {"r1": alone})


def test_shuffling_keeps_commits_whole_and_the_share_of_every_quarter():
    one = EVERY["r2"]
    dealt = one.shuffled_labels(0)
    assert (dealt.reshape(-1, 2)[:, 0] == dealt.reshape(-1, 2)[:, 1]).all()
    assert [dealt[:80].sum(), dealt[80:].sum()] == [one.is_agent[:80].sum(), one.is_agent[80:].sum()]
    assert (dealt != one.is_agent).any()


def test_a_commit_is_the_mean_of_its_hunks_by_scored_tokens():
    one = EVERY["r3"]
    scores = {FISHER: one.readings[FISHER][:, 0], SIZE: -one.n_scored}
    commits = Judged.of(one, scores, "commit")
    assert len(commits.commits) == 80
    weights, values = one.n_scored[4:6], scores[FISHER][4:6]
    at = commits.commits.index(one.commits[4])
    assert commits.scores[FISHER][at] == pytest.approx((weights * values).sum() / weights.sum())
    assert commits.sizes[at] == weights.sum() == -commits.scores[SIZE][at]
    assert commits.is_agent[at] == one.is_agent[4]


def test_the_mean_counts_every_repository_alike():
    scores = {name: {FISHER: one.readings[FISHER][:, 0], SIZE: -one.n_scored} for name, one in EVERY.items()}
    judged = [Judged.of(EVERY[name], own, "hunk") for name, own in scores.items()]
    mean = MeanOver([*judged[:2], replace_half(judged[2])], "hunk", 50)
    row = {row.system: row for row in mean.rows()}[FISHER]
    areas = [
        _area(FISHER, dict(one.scores), EVERY[name]) for one, name in zip(judged[:2], EVERY, strict=False)
    ]
    half = replace_half(judged[2])
    areas.append(auroc(half.scores[FISHER][half.is_agent], half.scores[FISHER][~half.is_agent]))
    assert row.auroc.value == pytest.approx(np.mean(areas), abs=1e-6)
    assert row.against == "declared agents, mean of 3"
    gain = mean.contrast(FISHER, SIZE).auroc
    assert gain.value is not None and gain.low is not None
    assert 0 < gain.low < gain.value


def replace_half(one: Judged) -> Judged:
    """The same with half of its texts."""
    scores = {name: values[:80] for name, values in one.scores.items()}
    return Judged(scores, one.is_agent[:80], one.commits[:80], one.sizes[:80])
