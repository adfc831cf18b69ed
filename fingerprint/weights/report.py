"""What is kept and shown of stages: norms, alignments, layer swaps. No torch, JSON both ways."""

from __future__ import annotations

from typing import Literal

from fingerprint.storage import FrozenModel


class SiteChange(FrozenModel):
    """What one stage added to one matrix.

    Attributes:
        frobenius: ||D||_F. relative: to the norm of the matrix it was added to. spectral: ||D||_2.
        stable_rank: ||D||_F^2 / ||D||_2^2. effective_rank: exp of the entropy of the energy shares.
        energy_top1, energy_top4: share of ||D||_F^2 in the strongest one and four terms.
    """

    stage: str
    site: str
    layer: int
    matrix: str
    frobenius: float
    relative: float
    spectral: float
    stable_rank: float
    effective_rank: float
    energy_top1: float
    energy_top4: float


class NullBand(FrozenModel):
    """What directions that mean nothing do at one matrix.

    Attributes:
        kind: where they come from. n: how many. mean, high: of their statistic; high is the 99 % quantile.
        p_value: (1 + those at or above the observed) / (1 + n). p_family: the same against each null
            direction's largest excess over all matrices of the stage, so that looking at every matrix is paid
            for.
    """

    kind: str
    n: int
    mean: float
    high: float
    p_value: float
    p_family: float


class Alignment(FrozenModel):
    """One matrix's change against one direction w of the residual stream, |w| = 1.

    Attributes:
        role: whether the matrix writes to the stream or reads from it.
        cosine: |u_1 . w|; the sign of a singular vector is arbitrary.
        subspace: ||U_k^T w||. gain: ||D^T w|| / ||D||_F, 0 of no change.
        written: ||D^T w||, the gain before it is divided: what a large stage has more of.
        nulls: of the gain, by kind.
    """

    stage: str
    site: str
    layer: int
    matrix: str
    role: Literal["reads", "writes"]
    cosine: float
    subspace: float
    gain: float
    written: float
    nulls: tuple[NullBand, ...]

    @property
    def p_family(self) -> float:
        """The largest family-wise p-value over the kinds of null; 1 without any."""
        return max((null.p_family for null in self.nulls), default=1.0)


class LayerSwap(FrozenModel):
    """A read-out with one layer's change switched.

    Attributes:
        layer: -1 for what stands outside the blocks. only: the read-out with this layer's change alone, minus
            that without any. without: the read-out with all changes, minus that with all but this layer's.
    """

    layer: int
    only: float
    without: float


class StageSwap(FrozenModel):
    """One stage switched layer by layer. start, end: the read-out without and with all of it."""

    stage: str
    start: float
    end: float
    layers: tuple[LayerSwap, ...]
