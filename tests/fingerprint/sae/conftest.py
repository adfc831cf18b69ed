"""An autoencoder trained on the tiny base."""

from __future__ import annotations

import pytest

from fingerprint.sae.artifact import Sae
from fingerprint.sae.train import train_sae
from tests.fingerprint.sae.planted import TINY, code_of


@pytest.fixture(scope="session")
def tiny_sae(tiny_base) -> Sae:
    """An autoencoder of the tiny base's first block."""
    return train_sae(tiny_base, code_of("config", 80), TINY)
