"""How much of an adapter's delta is a re-weighting of what the base already does (9.1 C).

min over theta of |D - sum_c theta_c U_c V_c^T|^2, with the Gram matrix G_cc' = (U_c . U_c')(V_c . V_c')
and the right-hand side U_c^T D V_c. Beside the share explained stands that of random deltas of the same
singular values, which lie in as many dimensions by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.vpd.components import Components
from fingerprint.vpd.report import SpanOfMatrix, SpanReport

RIDGE = 1e-6
"""Times the mean of the Gram matrix's diagonal: components can be collinear or zero."""


@dataclass(frozen=True, eq=False)
class _Span:
    """Rank-1 terms U_c V_c^T of one matrix, ready to be fitted to deltas.

    Attributes:
        U, V: the terms' factors. factor: Cholesky factor of the ridged Gram matrix.
    """

    U: Float[Tensor, "c o"]
    V: Float[Tensor, "i c"]
    factor: Float[Tensor, "c c"]

    @classmethod
    def of(cls, U: Float[Tensor, "c o"], V: Float[Tensor, "i c"]) -> _Span:
        """Terms in double precision, each scaled to norm 1; zero terms stay zero."""
        U, V = U.detach().cpu().double(), V.detach().cpu().double()
        norms = U.norm(dim=1) * V.norm(dim=0)
        U = U / torch.where(norms > 0, norms, 1.0)[:, None]
        gram = (U @ U.T) * (V.T @ V)
        ridge = RIDGE * gram.diagonal().mean().clamp(min=1e-12)
        return cls(U, V, torch.linalg.cholesky(gram + ridge * torch.eye(len(gram), dtype=gram.dtype)))

    def explained(self, up: Float[Tensor, "o r"], down: Float[Tensor, "r i"]) -> float:
        """R^2 of the delta up @ down; 0 for a zero delta."""
        size = float(((up.T @ up) * (down @ down.T)).sum())
        if size <= 0:
            return 0.0
        right = ((self.U @ up) * (down @ self.V).T).sum(1)
        theta = torch.cholesky_solve(right[:, None], self.factor)[:, 0]
        kept = theta @ right  # of the ridged problem: below |fit|^2 by the ridge's share alone
        return float(kept / size)


def measure_span(
    components: Components,
    routed: RoutedModel,
    weights: RouteWeights,
    *,
    dictionary: str,
    adapter: str = "the adapter",
    nulls: Mapping[str, RouteWeights] | None = None,
    n_rotations: int = 99,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> SpanReport:
    """Project a state's delta s B A on the components of the base's weights, matrix by matrix.

    Args:
        components: whole sites of the base. weights: B of every site (a team's or an author's, or a D).
        dictionary: digest of the components. nulls: the same of null adapters, by name.
        n_rotations: random deltas beside each matrix's own; the finest rank is 1 / (1 + n_rotations).
    """
    rng, named = np.random.default_rng(seed), {adapter: weights, **(nulls or {})}
    found: dict[str, list[tuple[SpanOfMatrix, np.ndarray, float]]] = {name: [] for name in named}
    for done, (site, own, singular) in enumerate(_spans(components)):
        for name, state in named.items():
            up = state[site].detach().cpu().double() * routed.scale
            down = routed.directions[site].detach().cpu().double()
            found[name].append(_measure_matrix(site, own, singular, (up, down), n_rotations, rng))
        progress(done + 1, len(components.sites))
    totals = {name: _total(rows) for name, rows in found.items()}
    energy = sum(size for _, _, size in found[adapter]) or 1.0
    return SpanReport(
        dictionary=dictionary,
        adapter=adapter,
        n_rotations=n_rotations,
        matrices=tuple(row.model_copy(update={"energy": size / energy}) for row, _, size in found[adapter]),
        total=totals.pop(adapter),
        nulls=tuple(totals.values()),
    )


def _spans(components: Components) -> Iterator[tuple[str, _Span, _Span]]:
    """(site, components, as many singular pairs of the base's matrix) of every site."""
    for index, (name, site) in enumerate(components.sites.items()):
        left, _, right = site.singular_terms()
        n = min(components.counts[index], left.shape[1])
        own = _Span.of(components.U[index], components.V[index])
        yield name, own, _Span.of(left[:, :n].T, right[:n].T)


def _measure_matrix(
    name: str,
    own: _Span,
    singular: _Span,
    delta: tuple[Float[Tensor, "o r"], Float[Tensor, "r i"]],
    n_rotations: int,
    rng: np.random.Generator,
) -> tuple[SpanOfMatrix, np.ndarray, float]:
    """One matrix: the report's row, explained shares of the random deltas [2, n], squared norm."""
    up, down = delta
    size = float(((up.T @ up) * (down @ down.T)).sum())
    random = np.array(
        [
            [
                own.explained(_turned(up, rng), down if k else _turned(down.T, rng).T)
                for _ in range(n_rotations)
            ]
            for k in (0, 1)
        ]
    )
    return _row(name, own.explained(up, down), singular.explained(up, down), random), random, size


def _row(name: str, explained: float, singular: float, random: Float[np.ndarray, "2 n"]) -> SpanOfMatrix:
    ranks = (1 + (random >= explained).sum(1)) / (1 + random.shape[1])
    median = np.median(random, axis=1) if random.size else np.zeros(2)
    return SpanOfMatrix(
        matrix=name, explained=explained, singular=singular, rotated=float(median[0]),
        turned=float(median[1]), rank_rotated=float(ranks[0]), rank_turned=float(ranks[1]), energy=1.0,
    )  # fmt: skip


def _total(rows: Sequence[tuple[SpanOfMatrix, np.ndarray, float]]) -> SpanOfMatrix:
    """All matrices together, weighted by squared norm; the random deltas of one draw are added likewise."""
    sizes = np.array([size for _, _, size in rows])
    weights = sizes / sizes.sum() if sizes.any() else np.full(len(rows), 1 / len(rows))
    random = np.tensordot(weights, np.stack([values for _, values, _ in rows]), axes=1)
    own = float(weights @ [row.explained for row, _, _ in rows])
    singular = float(weights @ [row.singular for row, _, _ in rows])
    return _row("all", own, singular, random)


def _turned(columns: Float[Tensor, "d r"], rng: np.random.Generator) -> Float[Tensor, "d r"]:
    """Q columns with Q Haar-distributed over rotations: the columns' products stay, their directions do not.

    Only the image of an orthonormal frame of their span is drawn: a Gaussian frame, orthonormalised.
    """
    frame, inner = torch.linalg.qr(columns)
    drawn = torch.from_numpy(rng.standard_normal(tuple(frame.shape)))
    orthonormal, signs = torch.linalg.qr(drawn)
    return (orthonormal * signs.diagonal().sign()) @ inner
