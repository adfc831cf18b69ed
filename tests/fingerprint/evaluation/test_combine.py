"""Planted sites: some tell who wrote, one is loud and says nothing."""

import numpy as np

from fingerprint.evaluation.combine import (
    cross_fit,
    fit_author_logistic,
    fit_site_weights,
    remove_bias,
    sum_sites,
)
from fingerprint.evaluation.metrics import centre_rows, macro_auroc

N_AUTHORS, N_SITES = 4, 6


def draw(n: int, seed: int, *, noise: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Site 0 raises the true author by one; site 5 is noise of the given size; the rest is quiet."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, N_AUTHORS, n)
    values = rng.normal(0, 0.3, (n, N_AUTHORS, N_SITES))
    values[np.arange(n), labels, 0] += 1.0
    values[:, :, 5] += rng.normal(0, noise, (n, N_AUTHORS))
    return values, labels, [f"c{i // 2}" for i in range(n)]


def test_shared_weights_learn_which_site_to_trust() -> None:
    values, labels, groups = draw(300, 0, noise=4.0)
    model = fit_site_weights(values, labels, groups)
    new, truth, _ = draw(400, 1, noise=4.0)
    plain, learnt = macro_auroc(sum_sites(new), truth), macro_auroc(model.score(new), truth)
    assert plain < 0.65
    assert learnt > 0.9
    trusted = model.temperature + model.weights / model.spread
    assert trusted[0] > 10 * abs(trusted[5])


def test_without_evidence_the_sum_stays() -> None:
    """Equally good sites: the learnt score ranks as the sum does."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, N_AUTHORS, 60)
    values = rng.normal(0, 1, (60, N_AUTHORS, N_SITES))
    values[np.arange(60), labels] += 0.4
    model = fit_site_weights(values, labels, [str(i) for i in range(60)])
    learnt, plain = centre_rows(model.score(values)).ravel(), centre_rows(sum_sites(values)).ravel()
    assert np.corrcoef(learnt, plain)[0, 1] > 0.9


def test_row_levels_change_nothing() -> None:
    values, labels, groups = draw(100, 3, noise=1.0)
    level = np.random.default_rng(4).normal(0, 50, (100, 1, N_SITES))
    first = fit_site_weights(values, labels, groups).score(values)
    second = fit_site_weights(values + level, labels, groups).score(values + level)
    np.testing.assert_allclose(centre_rows(first), centre_rows(second), atol=1e-2)


def test_author_logistic_uses_what_one_author_alone_shows() -> None:
    """Author 1 is marked by site 2 of *candidate 3*: no shared weight can see it."""
    rng = np.random.default_rng(5)

    def planted(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, N_AUTHORS, n)
        values = rng.normal(0, 0.5, (n, N_AUTHORS, N_SITES))
        values[labels == 1, 3, 2] += 3
        return values, labels

    values, labels = planted(300)
    model = fit_author_logistic(values, labels, [str(i) for i in range(300)])
    new, truth = planted(300)
    is_one = truth == 1
    scores = centre_rows(model.score(new))[:, 1]
    assert scores[is_one].mean() > scores[~is_one].mean() + 0.3


def test_absent_authors_come_last() -> None:
    values, labels, groups = draw(120, 6, noise=0.1)
    seen = labels != 3
    model = fit_author_logistic(
        values[seen], labels[seen], [g for g, s in zip(groups, seen, strict=True) if s]
    )
    assert (model.score(values).argmin(axis=1) == 3).all()


def test_bias_is_the_background_mean_per_author() -> None:
    background = np.array([[[1.0], [2.0]], [[3.0], [2.0]]])
    assert remove_bias(np.array([[[5.0], [5.0]]]), background).tolist() == [[[3.0], [3.0]]]


def test_cross_fitted_scores_come_from_the_other_commits() -> None:
    groups = [f"c{i // 2}" for i in range(40)]
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def fit(rows: np.ndarray):
        def score(other: np.ndarray) -> np.ndarray:
            seen.append((rows, other))
            return np.stack([other, -other], axis=1).astype(float)

        return score

    labels = np.arange(40) % 2
    found = cross_fit(fit, labels, groups)
    assert np.array_equal(found[:, 0], np.arange(40))
    assert np.array_equal(np.sort(np.concatenate([other for _, other in seen])), np.arange(40))
    for rows, other in seen:
        assert not {groups[i] for i in rows} & {groups[i] for i in other}


def test_a_fold_without_two_other_authors_is_fitted_with_itself() -> None:
    def fit(rows: np.ndarray):
        assert len(np.unique(labels[rows])) > 1
        return lambda other: np.zeros((len(other), 2))

    labels = np.array([0, 0, 1, 1])
    assert cross_fit(fit, labels, ["a", "a", "b", "b"]).shape == (4, 2)
