"""How well a decomposition finds what is known to be true of a toy."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from fingerprint.vpd.components import observed
from fingerprint.vpd.gates import leaky_lower
from fingerprint.vpd.targets import Target
from fingerprint.vpd.toys import PlantedEdit
from fingerprint.vpd.train import Decomposition


def edit_cosines(
    found: Decomposition, toy: PlantedEdit
) -> tuple[Float[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """cos(U_c, u_k) cos(V_c, v_k) of the best one-to-one match, and the components c matched."""
    cosines = _unit(found.components.U[0]) @ toy.u.T * (_unit(found.components.V[0].T) @ toy.v.T)
    rows, columns = linear_sum_assignment(-cosines.detach().numpy())
    order = np.argsort(columns)
    return cosines.detach().numpy()[rows[order], columns[order]], rows[order]


def singular_cosines(toy: PlantedEdit) -> Float[np.ndarray, " k"]:
    """|cos(left, u_k) cos(right, v_k)| of each term's best singular pair: what a plain SVD finds."""
    left, _, right = torch.linalg.svd(toy.target.sites["layer"].matrix)
    return ((left.T @ toy.u.T) * (right @ toy.v.T)).abs().max(0).values.numpy()


def gate_accuracy(found: Decomposition, toy: PlantedEdit, x: Float[Tensor, "n d"]) -> float:
    """Share of (input, planted term) at which the matched gate is above one half iff the trigger is there."""
    gates = gates_at(found, toy.target, x)["layer"][:, edit_cosines(found, toy)[1]]
    return float(((gates > 0.5) == toy.triggers(x)).float().mean())


@torch.no_grad()
def gates_at(found: Decomposition, target: Target, batch: Float[Tensor, "n d"]) -> dict[str, Tensor]:
    """Gates of a batch by site."""
    with observed(target.sites) as inputs:
        target.run(batch)
    return found.components.by_site(leaky_lower(found.gates(inputs)))


def alive_components(found: Decomposition, name: str) -> tuple[Float[Tensor, "i c"], Float[Tensor, "c o"]]:
    """V and U of a site's alive components, strongest gate first."""
    site, index = found.metrics.sites[name], list(found.components.sites).index(name)
    alive = list(site.order[: site.n_alive])
    return found.components.V[index].detach()[:, alive], found.components.U[index].detach()[alive]


def column_match(
    V: Float[Tensor, "n c"], U: Float[Tensor, "c h"], W: Float[Tensor, "h n"]
) -> tuple[float, float]:
    """(MMCS, ML2R) of W's columns: mean largest cosine to a component's same column, and norm ratio there.

    Component c has the column U_c V_c[n]; both figures are 1 when each column of W is one component's
    (Bushnaq et al. 2025). Give it alive components only: in two dimensions a dead one of any small norm
    points along some column by chance, and then ML2R is its.
    """
    if not V.shape[1]:
        return 0.0, 0.0
    columns = V[:, :, None] * U[None]  # [n, c, h]
    cosines = F.cosine_similarity(columns, W.T[:, None].expand_as(columns), dim=-1, eps=1e-12)
    best = cosines.max(1)
    norms = columns.norm(dim=-1).gather(1, best.indices[:, None])[:, 0] / W.norm(dim=0)
    return float(best.values.mean()), float(norms.mean())


def identity_errors(gates: Float[Tensor, "n c"], tolerance: float = 0.2) -> int:
    """Errors of the gates of n single-feature inputs against one own component each (Bushnaq et al. 2025).

    Components are put in the order that fits best; counted are gates of features' own components below
    1 - tolerance, and all others above tolerance.
    """
    values = gates.detach().numpy()
    rows, columns = linear_sum_assignment(-values)
    own = values[rows, columns]
    others = values.copy()
    others[rows, columns] = 0
    return int((own < 1 - tolerance).sum() + (others > tolerance).sum())


def _unit(rows: Float[Tensor, "c d"]) -> Float[Tensor, "c d"]:
    return F.normalize(rows, dim=1)
