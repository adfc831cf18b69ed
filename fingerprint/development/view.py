"""The developmental view as a noun: maps over checkpoints, with all that a page draws. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from fingerprint.storage import FrozenModel

Point = tuple[float, float]


class Quality(FrozenModel):
    """What one map is worth at one checkpoint.

    Attributes:
        trust: trustworthiness: 1 when all neighbours on the map are neighbours in truth (Venna and Kaski
            2001).
        purity: share of a row's neighbours on the map that are of its class, mean over rows. chance: the same
            with classes in random order. null_trust, null_purity: of the map of shuffled columns.
        stability: share of a row's neighbours that another seed gives it too; None: the map has no seed.
        move: mean distance of a row from its place at the checkpoint before, in root mean square radii of
            the map; None at the first.
    """

    trust: float
    purity: float
    chance: float
    null_trust: float
    null_purity: float
    stability: float | None
    move: float | None


class MapView(FrozenModel):
    """One method's map of the same rows at every checkpoint.

    Attributes:
        points: by checkpoint and row. explained: share of variance of either axis (PCA). axes: of either axis
            the columns that load most on it, with their loading.
    """

    method: Literal["PCA", "UMAP"]
    points: tuple[tuple[Point, ...], ...]
    quality: tuple[Quality, ...]
    explained: Point | None = None
    axes: tuple[tuple[tuple[str, float], ...], ...] = ()


class RowsView(FrozenModel):
    """The rows of a map.

    Attributes:
        what: "tokens" or "components". labels: of every row. contexts: what stands before and after a token,
            "" for a component. classes: number of every row's class. class_names: theirs.
    """

    what: Literal["tokens", "components"]
    labels: tuple[str, ...]
    contexts: tuple[tuple[str, str], ...]
    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    maps: tuple[MapView, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> RowsView:
        n = len(self.labels)
        counts = {len(self.contexts), len(self.classes)} | {len(step) for m in self.maps for step in m.points}
        if counts - {n}:
            raise ValueError(f"{self.what}: {n} labels, but {sorted(counts)} contexts, classes or points")
        return self


class DevelopmentView(FrozenModel):
    """Token map and component map over the checkpoints of one training.

    Attributes:
        subject: what was trained. steps, tokens_seen: of the checkpoints. losses: mean loss at each of them,
            nats a token, on the text that was sampled on. n_draws: draws in all, at each of them.
    """

    subject: str
    steps: tuple[int, ...]
    tokens_seen: tuple[int | None, ...]
    losses: tuple[float, ...]
    n_draws: int
    views: tuple[RowsView, ...]
