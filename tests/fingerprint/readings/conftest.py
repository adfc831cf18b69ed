"""The tiny routed model, its dictionary of components, and a dictionary of latents."""

from __future__ import annotations

import pytest

from tests.fingerprint.vpd.conftest import dictionary, routed, state, text

__all__ = ["dictionary", "latents", "routed", "state", "text"]


@pytest.fixture(scope="session")
def latents(routed, text):
    """An untrained dictionary of the first block."""
    from fingerprint.sae.config import SaeConfig
    from fingerprint.sae.train import train_sae

    dials = {"layer": 0, "n_latents": 24, "k": 4, "tokens": 512, "batch_tokens": 64, "shuffle_tokens": 128}
    return train_sae(routed.base, text, SaeConfig.model_validate(SaeConfig.tiny().model_dump() | dials))
