"""What is kept of a label along checkpoints: how well it is read, and since when. Torch-free."""

from __future__ import annotations

from typing import Literal

from fingerprint.storage import FrozenModel


class TimelinePoint(FrozenModel):
    """One reading at one checkpoint.

    Attributes:
        layer: block, from 0; -1 for what has none (the loss, the routes). auroc, low, high: held out, 95 % by
            whole groups. null_high: 95 % quantile under shuffled labels, taken at the last checkpoint alone.
    """

    step: int
    method: str
    layer: int
    auroc: float
    low: float
    high: float
    null_high: float


class EmergenceRow(FrozenModel):
    """What became of one reading along the checkpoints; as ``emergence.Emergence``.

    Attributes:
        is_above_null: whether the last checkpoint's interval lies above its null.
        first_above: first step from which on every interval lies above the null; None: never.
    """

    method: str
    layer: int
    model: Literal["constant", "linear", "logistic"]
    evidence: float
    start: float
    end: float
    t50: float | None
    low: float | None
    high: float | None
    width: float | None
    spacing: float | None
    is_sharp: bool
    is_limited: bool
    is_above_null: bool
    first_above: int | None


class WeightPoint(FrozenModel):
    """What training has added by one checkpoint, over all matrices.

    Attributes:
        size: root of the sum of squared Frobenius norms of D_t. relative: to the matrices' own.
        effective_rank: mean over matrices weighted by energy. cosine_to_final: mean |u_1(t) . u_1(final)|,
            weighted alike. distance_to_final: ||D_t - D_final|| / ||D_final||.
    """

    step: int
    size: float
    relative: float
    effective_rank: float
    cosine_to_final: float
    distance_to_final: float


class LatentPoint(FrozenModel):
    """The dictionary trained at one checkpoint, warm-started from the one before.

    Attributes:
        fvu: unexplained share of variance at the end of its training. kept_share: of its latents, the share
            that the next checkpoint's dictionary has as the same direction; None at the last. born_share: of
            the last dictionary's latents, the share that has been there unbroken since this checkpoint and no
            earlier.
    """

    step: int
    fvu: float
    kept_share: float | None
    born_share: float


class TimelineReport(FrozenModel):
    """A label along a series of checkpoints.

    Attributes:
        nulls: the same label along the trainings of shuffled authors.
    """

    format: Literal[1] = 1
    what: str
    series: str
    n_units: int
    n_positive: int
    n_groups: int
    points: tuple[TimelinePoint, ...]
    emergence: tuple[EmergenceRow, ...]
    weights: tuple[WeightPoint, ...] = ()
    latents: tuple[LatentPoint, ...] = ()
    notes: tuple[str, ...] = ()
    nulls: tuple[TimelineReport, ...] = ()

    @property
    def steps(self) -> tuple[int, ...]:
        """The checkpoints' steps, rising."""
        return tuple(sorted({point.step for point in self.points}))

    def curve(self, method: str, layer: int) -> tuple[TimelinePoint, ...]:
        """One reading's points by step."""
        found = [point for point in self.points if (point.method, point.layer) == (method, layer)]
        return tuple(sorted(found, key=lambda point: point.step))
