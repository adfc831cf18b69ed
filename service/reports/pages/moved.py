"""What of a routing signature left the null adapters: figures for the author report. Pure numpy."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from fingerprint.signature import RoutingSignature
from service.reports.escape import visible
from service.reports.pages import charts
from service.reports.pages.environment import signed, site_name

MOST_MOVES = 12
_SIZE = "difference_by_route"


class _BesideNulls:
    """A figure beside the range that the null adapters span; NaN on both ends where there are none."""

    __slots__ = ()
    low: float
    high: float

    @property
    def has_null(self) -> bool:
        """Whether any null adapter was read."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def null_band(self) -> str:
        """The range in words."""
        return band((self.low, self.high))


@dataclass(frozen=True, slots=True)
class Move(_BesideNulls):
    """One route against the null adapters.

    Attributes:
        site, route: which. size: norm of the learned output of the route. ratio: of the author's own use of
            the direction to the base's. low, high: the nulls' range of the size. is_promoted: whether the
            author's use points the way the base's does and is larger than everybody's, so that the route
            carries more; else it carries less, or something else.
    """

    site: str
    route: int
    size: float
    ratio: float
    cosine: float
    low: float
    high: float

    @property
    def is_beyond(self) -> bool:
        """Outside the nulls' range; nothing is without nulls."""
        return self.has_null and not self.low <= self.size <= self.high

    @property
    def is_promoted(self) -> bool:
        """Strengthened along the base's own use of the direction; below zero it works against it."""
        return self.cosine > 0

    @property
    def excess(self) -> float:
        """How many times the largest null."""
        return self.size / self.high if self.high else 0.0


def strongest(signature: RoutingSignature, most: int = MOST_MOVES) -> tuple[Move, ...]:
    """Routes by how far their size exceeds the largest null's; the largest alone without nulls."""
    size = signature.readings[_SIZE]
    low, high = _range(signature, _SIZE)
    # without nulls nothing can be beyond them, and the order is by size alone
    ranking = size / np.maximum(high, 1e-12) if _SIZE in signature.null else size
    order = np.dstack(np.unravel_index(np.argsort(-ranking, axis=None, kind="stable"), size.shape))[0][:most]
    ratio, cosine = signature.readings["use_against_base"], signature.readings["use_cosine"]
    sites = _sites(signature)
    return tuple(
        Move(sites[m], int(i), float(size[m, i]), float(ratio[m, i]), float(cosine[m, i]), float(low[m, i]),
             float(high[m, i]))
        for m, i in order.tolist()
    )  # fmt: skip


def _range(signature: RoutingSignature, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest null of every entry; NaN without nulls."""
    null = signature.null.get(name)
    if null is None or not len(null):
        nothing = np.full(signature.readings[name].shape, np.nan)
        return nothing, nothing
    return null.min(axis=0), null.max(axis=0)


def _sites(signature: RoutingSignature) -> tuple[str, ...]:
    return tuple(str(site) for site in signature.facts.get("sites", ()))


def _place(site: str) -> tuple[int, str]:
    """(layer, matrix) of a site's name."""
    found = re.search(r"\.(\d+)\.(.+)$", site)
    return (int(found[1]), found[2]) if found else (0, site)


@dataclass(frozen=True, slots=True)
class SiteRow(_BesideNulls):
    """A site's size beside the nulls' range, for those who read tables.

    Attributes:
        promoted: share of the squared size on routes that are strengthened along the base's own use; the rest
            works against it. promoted_nulls: the nulls' range of it.
    """

    site: str
    size: float
    low: float
    high: float
    promoted: float
    promoted_nulls: tuple[float, float] | None

    @property
    def is_beyond(self) -> bool:
        """Above every null."""
        return self.size > self.high


def site_rows(signature: RoutingSignature) -> tuple[SiteRow, ...]:
    """Norm of the difference by site, in the model's order."""
    size = np.linalg.norm(signature.readings[_SIZE], axis=1)
    null = signature.null.get(_SIZE)
    others = (
        np.linalg.norm(null, axis=2) if null is not None and len(null) else np.full((1, len(size)), np.nan)
    )
    own = _promoted(signature.readings[_SIZE], signature.readings["use_cosine"])
    cosines = signature.null.get("use_cosine")
    nulls = None if null is None or cosines is None or not len(null) else _promoted(null, cosines)
    return tuple(
        SiteRow(
            site, float(size[m]), float(others[:, m].min()), float(others[:, m].max()), float(own[m]),
            None if nulls is None else (float(nulls[:, m].min()), float(nulls[:, m].max())),
        )
        for m, site in enumerate(_sites(signature))
    )  # fmt: skip


def _promoted(size: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """Share of the squared size [..., n_sites, r] on routes with a positive cosine, [..., n_sites]."""
    energy = np.square(size)
    return (energy * (cosine > 0)).sum(axis=-1) / np.maximum(energy.sum(axis=-1), 1e-12)


def heat_map(signature: RoutingSignature) -> Markup:
    """Layers by matrices: how far each site's difference exceeds the largest null (or its size without)."""
    rows = site_rows(signature)
    places = [_place(row.site) for row in rows]
    layers = sorted({layer for layer, _ in places})
    matrices = list(dict.fromkeys(matrix for _, matrix in places))
    has_null = all(row.has_null and row.high > 0 for row in rows)
    values = [row.size / row.high - 1 if has_null else row.size for row in rows]
    largest = max((abs(value) for value in values), default=0.0) or 1.0
    wide, high, left, top = 58, 30, 62, 58
    parts = [
        charts.label(left - 8, top + n * high + 20, f"layer {layer}", "end") for n, layer in enumerate(layers)
    ]
    parts += [
        f'<text transform="translate({left + n * wide + wide / 2:.0f},{top - 8}) rotate(-35)">'
        f"{escape(visible(_short(name)))}</text>"
        for n, name in enumerate(matrices)
    ]
    for (layer, matrix), row, value in zip(places, rows, values, strict=True):
        x, y = left + matrices.index(matrix) * wide, top + layers.index(layer) * high
        css = "up" if value >= 0 else "down"
        shown = signed(100 * value, 0) + " %" if has_null else f"{value:.2f}"
        box = f'x="{x}" y="{y}" width="{wide - 3}" height="{high - 3}" rx="3"'
        told = f"{site_name(row.site)}: {row.size:.3f}, nulls {row.null_band}"
        parts.append(
            f'<g><title>{escape(told)}</title><rect class="cell" {box}/>'
            f'<rect class="{css}" fill-opacity="{0.08 + 0.62 * abs(value) / largest:.2f}" {box}/>'
            f"{charts.label(x + (wide - 3) / 2, y + 18, shown, 'middle', 'strong')}</g>"
        )
    title = "Size of the learned difference by layer and matrix" + (
        ", against the largest null adapter" if has_null else ""
    )
    return charts.svg(left + len(matrices) * wide + 40, top + len(layers) * high, title, parts)


def _short(matrix: str) -> str:
    return matrix.replace("self_attn", "attn").removesuffix("_proj")


@dataclass(frozen=True, slots=True)
class ClassRow(_BesideNulls):
    """Contributions of one pool of sites on one class of tokens, nats per scored token."""

    name: str
    value: float
    low: float
    high: float

    @property
    def is_beyond(self) -> bool:
        """Outside the nulls' range; nothing is without nulls."""
        return self.has_null and not self.low <= self.value <= self.high


def class_rows(signature: RoutingSignature, most: int = 10) -> tuple[ClassRow, ...]:
    """Mean phi on unseen code, those farthest outside the nulls first."""
    values = signature.readings["phi_mean"]
    if not np.isfinite(values).all():
        return ()
    low, high = _range(signature, "phi_mean")
    names = signature.facts.get("phi_names", [])
    rows = [
        ClassRow(str(n), float(v), float(a), float(b))
        for n, v, a, b in zip(names, values, low, high, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (-_outside(row), -abs(row.value)))[:most])


def _outside(row: ClassRow) -> float:
    """Distance from the nulls' range; 0 inside, and without nulls."""
    return float(np.nan_to_num(max(row.low - row.value, row.value - row.high, 0.0)))


def sentences(signature: RoutingSignature | None) -> tuple[str, ...]:
    """What the routes say in words, never without the nulls."""
    if signature is None:
        return ()
    rows = site_rows(signature)
    n_beyond = sum(row.is_beyond for row in rows)
    told = f"{n_beyond} of {len(rows)} matrices moved farther than in every adapter of shuffled authors"
    n_null = len(signature.null.get(_SIZE, ()))
    if not n_null:
        return ("NOT CONTROLLED: no null adapter was trained, so nothing says how far any adapter moves.",)
    gain = float(signature.readings["log_ratio_per_token"][0])
    nulls = signature.null["log_ratio_per_token"][:, 0]
    shown = band(nulls.tolist())
    return (
        f"{told} ({n_null} of them: a band, not a p-value).",
        f"On unseen code the own adapter adds {signed(gain)} nats per token to everybody's; nulls {shown}.",
    )


def band(values: Sequence[float], digits: int = 3) -> str:
    """``.012 to .034``; "no null" without values."""
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "no null"
    return f"{min(known):.{digits}f} to {max(known):.{digits}f}".replace("-", "−")


def stable_rank(values: Sequence[float]) -> float:
    """Sum of squares over the largest square: how many directions carry it. 0 for nothing."""
    squares = np.square(values)
    return float(squares.sum() / squares.max()) if len(squares) and squares.max() > 0 else 0.0


def energy_curve(spectra: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Share of the squared norm in the first k directions of every site, k = 0, 1, ..."""
    longest = max((len(values) for values in spectra), default=0)
    squares = np.zeros(longest)
    for values in spectra:
        squares[: len(values)] += np.square(values)
    total = squares.sum()
    return (0.0, *(np.cumsum(squares) / total).tolist()) if total > 0 else (0.0,)
