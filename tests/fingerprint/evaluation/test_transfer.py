"""Planted features: what tells authors is the same in every repository, its scale is not."""

from __future__ import annotations

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import centre_rows, macro_auroc
from fingerprint.evaluation.transfer import Labelled, fit_transferred

N_FEATURES = 5


def repository(seed: int, n_authors: int, scale: float, n: int = 300) -> Labelled:
    """Feature 0 tells the author, feature 4 is loud noise, the rest is quiet; all times one scale."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_authors, n)
    features = rng.normal(0, 0.3, (n, n_authors, N_FEATURES))
    features[np.arange(n), labels, 0] += 1.0
    features[:, :, 4] += rng.normal(0, 5.0, (n, n_authors))
    return Labelled(scale * features, labels)


def test_weights_of_other_repositories_serve_one_never_labelled() -> None:
    found = fit_transferred(
        {"a": repository(0, 4, 1.0), "b": repository(1, 7, 0.01), "c": repository(2, 2, 30.0)}
    )
    new = repository(3, 5, 0.2)
    scores = found.score(new.features, new.features)
    plain = macro_auroc(centre_rows(new.features.sum(axis=2)), new.labels)
    assert plain < 0.65
    assert macro_auroc(centre_rows(scores), new.labels) > 0.9
    assert found.repositories == ("a", "b", "c")


def test_what_only_one_repository_shows_is_not_trusted() -> None:
    """Feature 1 tells authors in one donor alone; left out in turn, it would harm the others."""
    one = repository(0, 4, 1.0)
    one.features[np.arange(len(one.labels)), one.labels, 1] += 1.0
    found = fit_transferred({"one": one, "b": repository(1, 4, 1.0), "c": repository(2, 4, 1.0)})
    assert abs(found.weights[2]) < 0.5 * found.weights[1]


def test_a_constant_feature_changes_nothing() -> None:
    plain = repository(0, 3, 1.0)
    more = Labelled(np.concatenate([plain.features, np.ones((300, 3, 1))], axis=2), plain.labels)
    one, two = (fit_transferred({"a": part}).score(part.features, part.features) for part in (plain, more))
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_donors_of_two_bases_are_refused() -> None:
    other = Labelled(np.zeros((2, 2, 3)), np.array([0, 1]))
    with pytest.raises(FingerprintError, match="same features"):
        fit_transferred({"a": repository(0, 3, 1.0), "b": other})
    with pytest.raises(FingerprintError, match="no donor"):
        fit_transferred({})
