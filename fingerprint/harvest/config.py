"""Every dial of a harvest, with its reason."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fingerprint.config import Dials

Count = Annotated[int, Field(gt=0)]


class HarvestConfig(Dials):
    """What is kept of every component."""

    radius: Annotated[int, Field(ge=1)] = 20
    """Tokens on either side of a firing in an example: windows of 41, as in the VPD paper."""
    n_examples: Count = 20
    """Example windows of a component: a uniform sample of its firings, none twice."""
    n_background: Count = 2_000
    """Windows around tokens drawn whatever fires there: what an example is told from."""
    n_tokens: Count = 12
    """Input and output tokens kept of a component."""
    n_partners: Count = 8
    """Components kept that fire with a component, by Jaccard."""
    least_count: Count = 3
    """Firings on a token below which its PMI is not considered: of rare tokens it is noise."""
    seed: int = 0
    """Which firings become examples."""
