"""Contrast: sketches against the scan, and planted directions of authors and of directories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fingerprint import FingerprintError
from fingerprint.lm.routes import Routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.routing.contrast import (
    ContrastConfig,
    ContrastTexts,
    Pairs,
    contrast_routes,
    sketch_gradients,
)
from fingerprint.routing.scan import scan

WIDTH, RANK, OUTPUTS = 12, 2, 4


def test_sketches_hold_the_scan_of_any_routes(tiny_routed, passages) -> None:
    rows = tokenize_passages(tiny_routed.base, passages, 256)
    owner = np.array([0, 2, 2])  # text 1 has no row
    wide = max(tiny_routed.base.site_shape(site)[0] for site in tiny_routed.sites)
    found = sketch_gradients(tiny_routed, rows, owner, n_texts=4, n_outputs=64 * wide, batch_tokens=64)
    K = scan(tiny_routed, tiny_routed.zero_weights(), rows, owner).K
    ratios = []
    for site, down in tiny_routed.directions.items():
        kept = found[site].astype(np.float32) @ down.detach().numpy().T
        own, other = kept[0], kept[2]
        assert not kept[1].any() and not kept[3].any()
        # products of two texts and of a text with itself, of which all kernels are made
        for a, b, i, j in ((own, own, 0, 0), (own, other, 0, 2), (other, other, 2, 2)):
            exact = float((K[site][:, :, i] * K[site][:, :, j]).sum())
            scale = float(K[site][:, :, i].norm() * K[site][:, :, j].norm())
            sketched = float((a * b).sum()) / (float((a**2).sum()) * float((b**2).sum())) ** 0.5
            assert sketched == pytest.approx(exact / scale, abs=0.1)
        ratios.append(float((own**2).sum()) / float((K[site][:, :, 0] ** 2).sum()))
    assert np.std(ratios) < 0.2 * np.mean(ratios)  # one scale a text, whatever the site


def planted(seed: int, n: int = 240) -> ContrastTexts:
    """Two authors, three directories: input direction 0 goes with the author, 1 to 3 with the directory."""
    rng = np.random.default_rng(seed)
    author, directory = rng.integers(0, 2, n), rng.integers(0, 3, n)
    by_author, by_directory = rng.normal(size=(2, OUTPUTS)), 3 * rng.normal(size=(3, OUTPUTS))
    values = 0.3 * rng.normal(size=(n, OUTPUTS, WIDTH))
    values[:, :, 0] += by_author[author]
    values[np.arange(n), :, 1 + directory] += by_directory[directory]
    return ContrastTexts(
        {"site": values.astype(np.float16)},
        [f"author {i}" for i in author], [f"directory {i}" for i in directory], [str(i) for i in range(n)],
    )  # fmt: skip


def _energy(routes: Routes) -> np.ndarray:
    """Share of each input direction that lies in the span."""
    basis = torch.linalg.qr(routes.A["site"].T).Q
    return (basis**2).sum(1).numpy()


START = Routes({"site": torch.randn(RANK, WIDTH, generator=torch.Generator().manual_seed(3))}, "base", "r")
MOMENTS = {"site": torch.diag(torch.linspace(1, 3, WIDTH))}


def test_routes_turn_to_what_authors_share_across_directories() -> None:
    told: list[tuple[int, float]] = []
    learned = contrast_routes(
        START, MOMENTS, [planted(0), planted(1)], ContrastConfig(texts=120),
        progress=lambda step, loss: told.append((step, loss)),
    )  # fmt: skip
    before, after = _energy(START), _energy(learned)
    assert after[0] > 0.9 > before[0]
    assert after[1:4].max() < 0.3
    assert [step for step, _ in told] == list(range(1, 301))
    assert np.mean([loss for _, loss in told[-20:]]) < np.mean([loss for _, loss in told[:20]])
    whitened = learned.A["site"] @ MOMENTS["site"] @ learned.A["site"].T
    assert torch.allclose(whitened, torch.eye(RANK), atol=1e-4)


def test_labels_dealt_anew_teach_nothing() -> None:
    one = planted(0)
    dealt = np.random.default_rng(1).permutation(one.authors).tolist()
    learned = contrast_routes(START, MOMENTS, [replace(one, authors=dealt)], ContrastConfig(texts=120))
    assert _energy(learned)[0] < 0.6


def test_texts_of_one_commit_or_directory_are_not_alike() -> None:
    texts = ContrastTexts({}, ["a", "a", "a", "b"], ["x", "x", "y", "y"], ["1", "2", "2", "3"])
    found = texts.pairs(np.arange(4), 5.0)
    assert found.alike.tolist() == [
        [False, False, True, False],
        [False, False, False, False],
        [True, False, False, False],
        [False, False, False, False],
    ]
    assert found.weights.tolist() == [[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 5], [1, 1, 5, 0]]


def test_the_loss_is_the_share_of_the_like() -> None:
    alike = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
    pairs = Pairs(alike, torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]))
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = pairs.loss(features, 1.0)
    assert found is not None
    assert float(found) == pytest.approx(-np.log(np.e / (np.e + 1)))
    assert Pairs(torch.zeros(3, 3, dtype=torch.bool), pairs.weights).loss(features, 1.0) is None


def test_without_two_directories_of_one_author_it_says_so() -> None:
    alone = replace(planted(0), directories=["src"] * 240)
    with pytest.raises(FingerprintError, match="an author who wrote in two directories"):
        contrast_routes(START, MOMENTS, [alone])
