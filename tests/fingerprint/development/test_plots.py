"""Plots: small, the same bytes twice, and refused by name where they cannot be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fingerprint import FingerprintError
from fingerprint.development.plots import plot_heads, plot_learning_coefficients, plot_parts, plot_plateaus
from tests.fingerprint.development.test_curves import points_of


def test_every_plot_is_a_small_figure_and_the_same_twice(tmp_path: Path):
    points = points_of(np.array([[-3.0, 5.0, 20.0, 80.0]]))
    matrices = {"head 0": np.eye(8)}
    for name, plot in {
        "llc": lambda p: plot_learning_coefficients(points, p, "a base"),
        "parts": lambda p: plot_parts(
            {"a": [1.0, 2.0], "b": [2.0, 1.0]}, [0, 8], p, "parts", {"a": 1, "b": 2}
        ),
        "tms": lambda p: plot_plateaus([0, 10, 100], [0.1, 0.06, 0.05], {"6-gon": 0.048}, p, "toy"),
        "heads": lambda p: plot_heads(matrices, {"head 0": np.ones(8)}, p, "sorting"),
    }.items():
        first, second = tmp_path / f"{name}.svg", tmp_path / f"{name}-again.svg"
        plot(first)
        plot(second)
        assert first.read_bytes() == second.read_bytes()
        assert first.read_text().rstrip().endswith("</svg>") and first.stat().st_size < 80_000
    plot_plateaus([0, 1], [1.0, 0.5], {}, tmp_path / "tms.png", "toy")
    assert (tmp_path / "tms.png").read_bytes().startswith(b"\x89PNG")


def test_another_ending_is_refused(tmp_path: Path):
    with pytest.raises(FingerprintError, match=r"\.svg or \.png"):
        plot_plateaus([0, 1], [1.0, 0.5], {}, tmp_path / "tms.pdf", "toy")
