"""Activations with known atoms, passages for the tiny base, and dials for both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional as F

from fingerprint.passage import Passage, passage_from_lines
from fingerprint.sae.config import SaeConfig

TINY = SaeConfig(
    layer=0,
    n_latents=64,
    k=4,
    tokens=6_000,
    batch_tokens=128,
    shuffle_tokens=512,
    sample_tokens=512,
    window_tokens=64,
    learning_rate=3e-4,
    dead_tokens=500,
)


@dataclass(frozen=True)
class PlantedAtoms:
    """Activations that are sparse sums of known unit atoms around a centre far from zero."""

    atoms: Tensor
    batch_tokens: int
    rate: float
    seed: int = 0

    @classmethod
    def of(cls, n_atoms: int, width: int, *, batch_tokens: int, rate: float) -> PlantedAtoms:
        generator = torch.Generator().manual_seed(1)
        atoms = F.normalize(torch.randn(n_atoms, width, generator=generator), dim=1)
        return cls(atoms, batch_tokens, rate)

    @property
    def device(self) -> torch.device:
        return self.atoms.device

    @property
    def width(self) -> int:
        return self.atoms.shape[1]

    @property
    def key(self) -> str:
        return f"planted-{tuple(self.atoms.shape)}-{self.batch_tokens}-{self.rate}-{self.seed}"

    def batches(self, first: int) -> Iterator[Tensor]:
        for number in count(first):
            generator = torch.Generator().manual_seed(1000 * self.seed + number)
            shape = (self.batch_tokens, len(self.atoms))
            fires = torch.rand(shape, generator=generator) < self.rate
            sizes = 1 + torch.rand(shape, generator=generator)
            yield 3 * ((fires * sizes) @ self.atoms + 2)


def code_of(word: str, n: int, *, n_groups: int | None = None) -> list[Passage]:
    """Passages of a few lines around one word, each a commit of its own unless told."""
    return [
        passage_from_lines(
            [
                (False, f"def run{i}(value, {word}):"),
                (True, f"    x{i} = {word}({i * 7})"),
                (True, "    return x"),
            ],
            path=f"{word}{i}.py",
            language="python",
            group=f"c{i % (n_groups or n)}",
        )
        for i in range(n)
    ]
