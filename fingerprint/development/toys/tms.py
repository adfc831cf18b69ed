"""The toy model of superposition of Chen et al. 2023 (arXiv 2310.06301): one feature at a time, k-gons.

x = u e_i with u ~ U(0, 1) and i uniform over c features; x^ = ReLU(W^T W x + b), W [2, c]; loss E|x -
x^|^2. Its stationary points are regular k-gons of the columns of W. The loss is integrated exactly, piece
by piece: quadrature errs at the ReLU's kink enough to hide the learning coefficient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from fingerprint.development.config import SamplerConfig
from fingerprint.development.llc import LocalLearningCoefficient, learning_coefficient
from fingerprint.development.sampling import SampleProgress, sample
from fingerprint.provenance import digest_of

N_FEATURES = 6
KNOWN = {"5-gon": (0.068744, 7.0), "5-gon+": (0.061799, 8.5), "6-gon": (0.048192, 8.5)}
"""Loss and lambda. lambda = rank(Hessian) / 2 for a k-gon whose only flat direction at a positive second
order is the rotation and, in the 5-gon, the dead feature's three parameters; derived numerically, not the
paper's table."""
PLATEAU = 0.02
"""How near, relatively, a loss must be to a k-gon's to lie on its plateau."""
SAMPLING = SamplerConfig(
    n_beta=1e5, gamma=1.0, n_chains=4, n_draws=400, burn_in=8_000, steps_between=20, preconditioner="none",
    step_size=2e-6,
)  # fmt: skip
"""The embedding's curvature is the same at every k-gon, so one step size serves all."""


def expected_loss(
    W: Float[Tensor, "*copies 2 c"], b: Float[Tensor, "*copies c"], importance: float = 1.0
) -> Float[Tensor, "*copies"]:
    """E|x - ReLU(W^T W x + b)|^2, exactly.

    On input u e_i output j sees g u + b_j, g = (W^T W)_ji; it is on for u in an interval [s, t] of [0, 1],
    in which the error is (g - d) u + b_j with d = [i = j], and outside which it is -d u.

    Args:
        importance: weight of the reconstructed feature's own error.
    """
    G = W.transpose(-1, -2) @ W
    bias = b[..., :, None].expand_as(G)
    safe = torch.where(G.abs() < 1e-12, torch.full_like(G, 1e-12), G)
    kink = (-bias / safe).clamp(0, 1)
    is_flat, rising = G.abs() < 1e-12, G > 0
    zero, one = torch.zeros_like(G), torch.ones_like(G)
    s = torch.where(rising & ~is_flat, kink, zero)
    t = torch.where(is_flat, (bias > 0).to(G), torch.where(rising, one, kink))
    d = torch.eye(G.shape[-1], dtype=G.dtype, device=G.device).expand_as(G)
    slope = G - d
    on = (
        slope.square() * (t**3 - s**3) / 3
        + slope * bias * (t.square() - s.square())
        + bias.square() * (t - s)
    )
    off = d * (1 - t**3 + s**3) / 3
    weight = torch.where(d > 0, torch.full_like(G, importance), one)
    return (weight * (on + off)).sum((-1, -2)) / G.shape[-1]


@dataclass(frozen=True, eq=False)
class KGon:
    """A stationary point.

    Attributes:
        name: "5-gon", "5-gon+" (the sixth feature, of no length, has a positive bias), "6-gon".
        W, b: parameters, double precision. loss: exact. rank: of the Hessian. gradient_norm: there.
    """

    name: str
    W: Float[Tensor, "2 c"]
    b: Float[Tensor, " c"]
    loss: float
    rank: int
    gradient_norm: float

    @property
    def coefficient(self) -> float:
        """Half the Hessian's rank."""
        return self.rank / 2


def k_gon(k: int, length: float, bias: float, dead_bias: float = -1.0) -> tuple[Tensor, Tensor]:
    """W [2, 6], b [6] of a regular k-gon of columns; the other features have no length.

    Args:
        length: of the columns. bias: of the k features. dead_bias: of the others.
    """
    angles = torch.arange(k, dtype=torch.float64) * 2 * math.pi / k
    W = torch.zeros(2, N_FEATURES, dtype=torch.float64)
    W[:, :k] = length * torch.stack([angles.cos(), angles.sin()])
    b = torch.full((N_FEATURES,), dead_bias, dtype=torch.float64)
    b[:k] = bias
    return W, b


def stationary_points() -> list[KGon]:
    """The three smooth ones: length and bias fitted, the rest checked by gradient and Hessian.

    2-, 3- and 4-gons sit on the ReLU's kinks and have no Hessian.
    """
    return [
        _fitted("5-gon", 5, (1.17, -0.28), -0.5),
        _fitted("5-gon+", 5, (1.17, -0.28), 1 / 12),  # the best bias of a feature that is never reconstructed
        _fitted("6-gon", 6, (1.32, -0.62), 0.0),
    ]


def _fitted(name: str, k: int, start: tuple[float, float], dead_bias: float) -> KGon:
    def loss_at(x: np.ndarray) -> float:
        return float(expected_loss(*k_gon(k, float(x[0]), float(x[1]), dead_bias)))

    found = minimize(loss_at, start, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-15})
    W, b = k_gon(k, float(found.x[0]), float(found.x[1]), dead_bias)
    flat = torch.cat([W.flatten(), b]).requires_grad_(True)
    loss = _loss_of_flat(flat)
    (gradient,) = torch.autograd.grad(loss, flat)
    hessian = torch.autograd.functional.hessian(_loss_of_flat, flat.detach())
    assert isinstance(hessian, Tensor)
    rank = int((torch.linalg.eigvalsh(hessian).abs() > 1e-6).sum())
    return KGon(name, W, b, float(loss.detach()), rank, float(gradient.norm()))


def _loss_of_flat(flat: Float[Tensor, " d"]) -> Float[Tensor, ""]:
    n = 2 * N_FEATURES
    return expected_loss(flat[:n].view(2, N_FEATURES), flat[n:])


def measure_k_gon(
    point: KGon, cfg: SamplerConfig = SAMPLING, copies: int = 16,
    progress: Callable[[SampleProgress], None] = lambda _: None,
) -> LocalLearningCoefficient:  # fmt: skip
    """lambda-hat around a k-gon, from independent copies of it in one tensor.

    The copies' sum is divided out, so that value and errors are of one copy.
    """
    star = {"W": point.W.expand(copies, -1, -1).clone(), "b": point.b.expand(copies, -1).clone()}
    params = {name: value.clone() for name, value in star.items()}

    def losses() -> Tensor:
        return expected_loss(params["W"], params["b"])

    trace = sample(
        params, star, lambda _: losses().sum(), lambda: {"loss": losses().mean(), "losses": losses()}, cfg,
        label=point.name, progress=progress,
    )  # fmt: skip
    # every copy of every chain is a chain of its own
    draws = np.concatenate([*trace.of("losses").transpose(0, 2, 1)])
    from dataclasses import replace

    single = replace(
        trace, draws={"loss": draws}, batch_losses=trace.batch_losses.repeat(copies, 0),
        n_params=trace.n_params // copies,
    )  # fmt: skip
    return learning_coefficient(single)


# ------------------------------------------------------------------------------------------- training


@dataclass(frozen=True, eq=False)
class TmsRun:
    """A training by stochastic gradient descent.

    Attributes:
        steps: at which it was looked at. losses: exact, there. W, b: parameters there. names: the k-gon on
            whose plateau each point lies, "" between them. ns: how many columns are longer than half.
    """

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    W: Float[Tensor, "point 2 c"]
    b: Float[Tensor, "point c"]
    names: tuple[str, ...]
    ns: tuple[int, ...]

    @property
    def plateaus(self) -> tuple[str, ...]:
        """The k-gons passed, in order, each once in a row."""
        named = [name for name in self.names if name]
        return tuple(name for i, name in enumerate(named) if i == 0 or named[i - 1] != name)


def train_tms(
    seed: int = 0, *, k_start: int = 2, steps: int = 6_000, rate: float = 0.3, batch: int = 256,
    n_points: int = 120,
) -> TmsRun:  # fmt: skip
    """SGD on fresh samples from near a k-gon, looked at on a log scale and classified by its columns."""
    generator = torch.Generator().manual_seed(int(digest_of(["tms", seed])[:8], 16))
    W, b = (value.float() for value in k_gon(k_start, 1.0, 0.0, 1 / 12))  # below 0 a feature is dead for good
    W = (W + 0.1 * torch.randn(W.shape, generator=generator)).requires_grad_(True)
    b = (b + 0.02 * torch.randn(b.shape, generator=generator)).requires_grad_(True)
    looks = sorted({0, *np.geomspace(1, steps, n_points).astype(int).tolist()})
    kept_W, kept_b = [], []
    for step in range(steps + 1):
        if step in looks:
            kept_W.append(W.detach().clone())
            kept_b.append(b.detach().clone())
        u = torch.rand(batch, generator=generator)
        x = torch.zeros(batch, N_FEATURES)
        x[torch.arange(batch), torch.randint(N_FEATURES, (batch,), generator=generator)] = u
        loss = (x - (x @ W.T @ W + b).relu()).square().sum(1).mean()
        gradients = torch.autograd.grad(loss, (W, b))
        with torch.no_grad():
            for parameter, gradient in zip((W, b), gradients, strict=True):
                parameter -= rate * gradient
    all_W, all_b = torch.stack(kept_W), torch.stack(kept_b)
    losses = tuple(expected_loss(all_W.double(), all_b.double()).tolist())
    names, ns = zip(*(classify(*one) for one in zip(all_W, all_b, losses, strict=True)), strict=True)
    return TmsRun(tuple(looks), losses, all_W, all_b, tuple(names), tuple(ns))


def classify(W: Float[Tensor, "2 c"], b: Float[Tensor, " c"], loss: float) -> tuple[str, int]:
    """The k-gon a point is at by column norms, angles and loss ("" for none), and its long columns."""
    norms = W.norm(dim=0)
    is_long = norms > 0.5
    k = int(is_long.sum())
    angles = torch.atan2(W[1, is_long], W[0, is_long]).sort().values
    gaps = torch.cat([angles[1:] - angles[:-1], angles[:1] + 2 * math.pi - angles[-1:]]) if k else angles
    is_regular = k > 1 and bool((gaps - 2 * math.pi / k).abs().max() < 0.25)
    if not is_regular:
        return "", k
    name = f"{k}-gon"
    if k == 5 and bool((b[~is_long] > 0.02).all()):
        name = "5-gon+"
    known = KNOWN.get(name)
    if known is not None and abs(loss - known[0]) > PLATEAU * known[0] * 2:
        return "", k
    return name, k


def switch_size(low: KGon, high: KGon) -> float:
    """Sample size n at which the posterior turns from the simpler to the better k-gon.

    n (L_low - L_high) = (lambda_high - lambda_low) log n, from F = n L + lambda log n with O(1) terms ignored
    (small n prefers the low lambda).
    """
    gain, cost = low.loss - high.loss, high.coefficient - low.coefficient
    n = cost / gain  # where the difference is least; the larger root is a fixed point
    for _ in range(200):
        n = cost / gain * math.log(max(n, math.e))
    return n


def table_rows(points: Sequence[KGon], found: Sequence[LocalLearningCoefficient]) -> list[tuple[object, ...]]:
    """A k-gon a row: name, loss, rank / 2, lambda-hat, error, R-hat, effective draws, reasons for doubt."""
    return [
        (p.name, f"{p.loss:.6f}", f"{p.coefficient:g}", f"{f.value:.2f}", f"{f.se:.2f}", f"{f.r_hat:.3f}",
         round(f.ess), "; ".join(f.flags) or "none")
        for p, f in zip(points, found, strict=True)
    ]  # fmt: skip
