"""Curves over checkpoints: parts, texts, resumption; clusters and specialisation that are planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from fingerprint import FingerprintError
from fingerprint.development.checkpoints import state_series, trained_parameters
from fingerprint.development.config import SamplerConfig
from fingerprint.development.curves import (
    CurvePoint,
    CurveTable,
    cluster_curves,
    curve_table,
    measure_curves,
    specialisation,
)
from fingerprint.development.llc import learning_coefficient
from fingerprint.development.parts import parts_of
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from tests.fingerprint.development.test_llc import made_up, noise
from tests.fingerprint.development.test_sampling import passages

CFG = SamplerConfig(n_chains=2, n_draws=6, burn_in=2, gradient_batches=4, curvature_rounds=3)


def test_the_parts_of_a_whole_model(tiny_base):
    names = set(trained_parameters(tiny_base))
    (whole,) = parts_of(tiny_base, "whole")
    assert set(whole.parameters) == names
    for found, n in ((parts_of(tiny_base, "block"), 3), (parts_of(tiny_base, "site"), 14 + 6)):
        assert sorted(name for part in found for name in part.parameters) == sorted(names)
        assert len(found) == n


def test_the_heads_of_a_whole_model(tiny_base):
    heads = parts_of(tiny_base, "head")
    assert [head.name for head in heads] == [f"head {block}.{n}" for block in (0, 1) for n in range(4)]
    names = heads[0].parameters
    assert {name.rpartition("self_attn.")[2] for name in names} == {
        "q_proj.weight", "q_proj.bias", "o_proj.weight",
    }  # fmt: skip
    for name in names:  # the four heads of a block tile its matrices
        assert (torch.stack([head.masks[name] for head in heads[:4]]).sum(0) == 1).all()
    assert heads[1].masks["model.layers.0.self_attn.o_proj.weight"][:, 8:16].all()


def test_the_parts_of_an_adapter(tiny_base):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    assert [part.parameters for part in parts_of(routed, "site")] == [(site,) for site in routed.sites]
    head = parts_of(routed, "head")[0]
    assert list(head.parameters) == ["model.layers.0.self_attn.q_proj"]
    assert head.masks[head.parameters[0]][:8].all() and head.masks[head.parameters[0]].sum() == 8 * 2


def test_curves_over_checkpoints_resume(tiny_base, tmp_path: Path):
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    generator = torch.Generator().manual_seed(0)
    states = {
        step: {
            site: 0.02 * step * torch.randn(b.shape, generator=generator)
            for site, b in routed.weights().items()
        }
        for step in (0, 1)
    }
    series = state_series(routed, states, {0: 0, 1: 99})
    windows = tokenize_passages(tiny_base, passages(4), 64)
    texts = {"author": windows[:2], "team": windows[2:]}
    options = {"gammas": (10.0, 100.0), "split": "block", "n_rows": 2, "store": tmp_path}
    seen: list[int] = []
    points = measure_curves(series, texts, CFG, progress=lambda p: seen.append(p.done), **options)
    assert len(points) == 2 * 2 * 2 * 2 == max(seen) + 1
    assert {(p.step, p.tokens_seen) for p in points} == {(0, 0), (1, 99)}
    assert all(p.found and p.found.gamma == p.gamma and len(p.found.by_chain) == 2 for p in points)
    author, team = (curve_table(points, text, 10.0).values for text in texts)
    assert not np.array_equal(author, team)
    again: list[int] = []
    found = measure_curves(series, texts, CFG, progress=lambda p: again.append(p.done), **options)
    assert again == []
    assert [p.found for p in found] == [p.found for p in points]
    assert [CurvePoint.of_dict(p.to_dict()) for p in points] == points


def points_of(values: np.ndarray, text: str = "t") -> list[CurvePoint]:
    """Points whose two chains stand a little apart."""
    found = []
    for part, row in enumerate(values):
        for step, value in enumerate(row):
            one = learning_coefficient(made_up(noise(part, 2, 40) * 0.01 + value))
            found.append(CurvePoint(step, None, f"p{part}", text, 1.0, one, 0.0))
    return found


def test_curves_of_like_shape_are_clustered_whatever_their_height():
    t = np.linspace(0, 1, 8)
    shapes = [t, t**2, 1 - t, (1 - t) ** 2, np.sin(2 * np.pi * t), np.sin(2 * np.pi * t) * 2]
    table = curve_table(points_of(np.array([20 + 10 * shape for shape in shapes])), "t", 1.0)
    found = cluster_curves(table)
    assert adjusted_rand_score(found.labels, [0, 0, 1, 1, 2, 2]) == 1
    assert found.stability > 0.95 and found.silhouette > 0.5


def test_noise_has_no_stable_clusters():
    by_chain = noise(0, 12, 8, 4)
    table = CurveTable(tuple("abcdefghijkl"), tuple(range(8)), by_chain.mean(2), by_chain)
    assert cluster_curves(table).stability < 0.6


def test_specialisation_finds_the_part_that_is_bent_to_the_author():
    base = np.full((6, 4), 20.0)
    author = base.copy()
    author[2, 2:] += 15
    table, z = specialisation([*points_of(author, "author"), *points_of(base, "team")], "author", "team", 1.0)
    assert np.argmax(z[:, 3]) == 2 and z[2, 3] > 2
    assert table.values[2, 3] == pytest.approx(15, abs=0.1)
    assert np.abs(table.values[:, 0]).max() < 0.1


def test_missing_points_are_refused():
    points = points_of(np.full((3, 3), 20.0))
    with pytest.raises(FingerprintError, match="every checkpoint"):
        curve_table(points[:-1], "t", 1.0)
    with pytest.raises(FingerprintError, match="three parts"):
        cluster_curves(curve_table(points[:6], "t", 1.0))
