"""A trained autoencoder on disk: tensors and facts, tied to the base and block it was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.provenance import Provenance
from fingerprint.sae.autoencoder import TopKAutoencoder
from fingerprint.sae.config import SaeConfig
from fingerprint.storage import write_json, written_whole

FORMAT = 1
_TENSORS, _FACTS = "autoencoder.safetensors", "facts.json"


class SaeError(FingerprintError):
    """A stored autoencoder is missing, damaged, of an unknown format, or of another base or block."""


@dataclass(frozen=True)
class SaeFacts:
    """What happened in training.

    Attributes:
        steps, tokens: optimiser steps and activations seen, with repetition.
        first_fvu, last_fvu: mean share of variance unexplained over the first and last eighth of the steps,
            on the training text. dead_share: latents silent for ``dead_tokens`` at the end.
    """

    steps: int
    tokens: int
    first_fvu: float
    last_fvu: float
    dead_share: float

    @classmethod
    def of(cls, losses: Sequence[float], config: SaeConfig, dead_share: float) -> SaeFacts:
        """The facts of a finished run with one FVU a step."""
        eighth = max(1, len(losses) // 8)
        first, last = float(np.mean(losses[:eighth])), float(np.mean(losses[-eighth:]))
        return cls(len(losses), len(losses) * config.batch_tokens, first, last, dead_share)


@dataclass(frozen=True, eq=False)
class Sae:
    """A dictionary of one base's residual stream.

    Attributes:
        autoencoder: frozen. layer: the block whose output it reads, counted from 0.
        provenance: base, revision, text and dials (it has no routes). facts: of the training.
    """

    autoencoder: TopKAutoencoder
    layer: int
    provenance: Provenance
    facts: SaeFacts

    @property
    def digest(self) -> str:
        """SHA-256 over the tensors' names, shapes and fp32 values."""
        return digest_autoencoder(self.autoencoder)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name, fp32 on the CPU."""
        return _stored(self.autoencoder)

    def check(self, base: Base) -> None:
        """Refuse a base this dictionary was not trained on.

        Raises:
            SaeError: on another revision.
        """
        if self.provenance.revision != base.revision:
            raise SaeError(
                f"This autoencoder belongs to the base {self.provenance.base!r} at "
                f"{self.provenance.revision[:12]}, but the base is {base.name!r} at {base.revision[:12]}. "
                "Train one for it, or load the base it belongs to."
            )

    def save(self, directory: Path) -> None:
        """Write autoencoder.safetensors and facts.json, replacing the directory in one move."""
        with written_whole(directory) as fresh:
            save_file(self.tensors(), fresh / _TENSORS)
            write_json(
                fresh / _FACTS,
                {
                    "format": FORMAT,
                    "layer": self.layer,
                    "k": self.autoencoder.k,
                    "digest": self.digest,
                    "provenance": asdict(self.provenance),
                    "facts": asdict(self.facts),
                },
            )

    @classmethod
    def load(cls, directory: Path, base: Base, layer: int | None = None) -> Sae:
        """Read what ``save`` wrote, for this base, onto its device.

        Args:
            layer: when given, the block it must read.

        Raises:
            SaeError: missing, damaged, of another format, base or block.
        """
        facts, tensors = _read(directory)
        if facts.get("format") != FORMAT:
            raise SaeError(
                f"The autoencoder in {directory} has format {facts.get('format')!r}, this version reads "
                f"{FORMAT}: train it again."
            )
        n_latents, width = tensors["W_dec"].shape
        autoencoder = TopKAutoencoder(width, n_latents, facts["k"])
        autoencoder.load_state_dict(tensors)
        provenance, of_training = Provenance(**facts["provenance"]), SaeFacts(**facts["facts"])
        found = cls(autoencoder.requires_grad_(False), facts["layer"], provenance, of_training)
        found.check(base)
        if layer not in (None, found.layer):
            raise SaeError(
                f"The autoencoder in {directory} reads block {found.layer}, not {layer}: train one for it."
            )
        if found.digest != facts["digest"]:
            raise SaeError(f"The autoencoder in {directory} is damaged: the digest is not the one noted.")
        autoencoder.to(base.device)
        return found


def digest_autoencoder(autoencoder: TopKAutoencoder) -> str:
    """SHA-256 over the tensors' names, shapes and fp32 values."""
    digest = hashlib.sha256()
    for name, values in sorted(_stored(autoencoder).items()):
        digest.update(f"{name}{tuple(values.shape)}".encode())
        digest.update(values.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _stored(autoencoder: TopKAutoencoder) -> dict[str, Tensor]:
    stored = autoencoder.state_dict()
    return {name: v.detach().to("cpu", torch.float32).contiguous() for name, v in stored.items()}


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        facts = json.loads((directory / _FACTS).read_text(encoding="utf-8"))
        return facts, load_file(directory / _TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise SaeError(f"No readable autoencoder in {directory}: {error}. Train it again.") from error
