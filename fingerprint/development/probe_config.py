"""Dials of the probes, of stages, emergence and evasion, each with its reason. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fingerprint.config import Dials

Count = Annotated[int, Field(gt=0)]


class ProbeConfig(Dials):
    """How labelled texts are read and judged."""

    most_tokens: Count = 8_000
    """Scored tokens read, about, of either label; texts are taken evenly over time."""
    n_folds: Annotated[int, Field(ge=2)] = 5
    """Folds of whole groups (commits, files, tasks)."""
    n_draws: Count = 200
    """Bootstrap draws of whole groups for every interval."""
    n_shuffles: Count = 20
    """Shuffles of the labels through the whole procedure; 20 give no finer p than 1/21."""
    n_directions: Count = 99
    """Null directions of every kind that a stage's changes are ranked among."""
    seed: int = 0
    """Of folds, draws, shuffles and null directions."""

    @classmethod
    def tiny(cls) -> ProbeConfig:
        """The embedded base on a CPU: minutes."""
        return cls()

    @classmethod
    def full(cls) -> ProbeConfig:
        """A 1.5B base on a GPU."""
        return cls(most_tokens=60_000, n_draws=1_000, n_shuffles=100, n_directions=999)
