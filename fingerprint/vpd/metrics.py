"""What is measured of a decomposition on held-out batches (SPEC 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fingerprint.vpd.adversary import attack
from fingerprint.vpd.components import Components, Masks, observed
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.gates import GatingNetwork, leaky_lower
from fingerprint.vpd.masks import draw_sources, masks_from, step_generator
from fingerprint.vpd.objective import precision
from fingerprint.vpd.targets import Target
from fingerprint.vpd.verdict import Watch

THRESHOLDS = (0.0, 0.1, 0.5)
"""Gates above these count as open."""
FIRES = 0.1
"""A component fires where its gate is above this, in densities."""
WATCHED_ATTACK = 20
"""Steps of the fresh adversary that the abort rules watch."""
_ATTACK_SEED = 7919


@dataclass(frozen=True)
class SiteMetrics:
    """One site on the held-out positions.

    Attributes:
        n_components: C. n_alive: components whose mean gate is above the bound. l0: mean number of gates
            above each of THRESHOLDS per position. mean_gates: sorted downwards, with ``order`` the
            components they belong to. density: share of positions at which each component fires, in that
            order. unfaithful: |Delta| / |M| (0 / 0 is 0).
    """

    n_components: int
    n_alive: int
    l0: tuple[float, ...]
    mean_gates: tuple[float, ...]
    order: tuple[int, ...]
    density: tuple[float, ...]
    unfaithful: float


@dataclass(frozen=True)
class Metrics:
    """A decomposition on held-out data.

    Attributes:
        n_positions: positions measured.
        distance: mean distance to the target (KL in nats, or mean squared error) by kind of mask: "delta
            off", "stochastic", "gates", "rounded >0", "rounded >.1", "rounded >.5", "random", "zero".
        task_loss: the task's own loss (cross-entropy in nats) by the same kinds, and for "target".
        attack: distance under a fresh adversary by its number of steps.
        sites: by name.
    """

    n_positions: int
    distance: dict[str, float]
    task_loss: dict[str, float]
    attack: dict[int, float]
    sites: dict[str, SiteMetrics]

    @property
    def n_alive(self) -> int:
        """Alive components of all sites."""
        return sum(site.n_alive for site in self.sites.values())

    def unrecovered(self, kind: str) -> float:
        """(loss - target's loss) / (loss with everything off - target's loss); NaN without effect."""
        target, zero = self.task_loss["target"], self.task_loss["zero"]
        return (self.task_loss[kind] - target) / (zero - target) if zero != target else float("nan")

    def recovered(self, kind: str = "gates") -> float:
        """1 - distance / distance with everything off: the part that is kept; NaN without effect."""
        zero = self.distance["zero"]
        return 1 - self.distance[kind] / zero if zero else float("nan")

    def recovered_under_attack(self, n_steps: int) -> float:
        """The same under a fresh adversary; can be negative."""
        zero = self.distance["zero"]
        return 1 - self.attack[n_steps] / zero if zero else float("nan")


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """A held-out batch with what does not depend on masks."""

    batch: Any
    clean: Tensor
    gates: Tensor


class Examiner:
    """Runs a decomposition on held-out batches; clean outputs and gates are computed once."""

    def __init__(
        self,
        target: Target,
        components: Components,
        gates: GatingNetwork,
        config: VpdConfig,
        batches: Sequence[Any],
    ) -> None:
        self.target, self.components, self.config = target, components, config
        self.held_out = [self._observe(gates, batch) for batch in batches]
        self.n_positions = sum(len(part.clean) for part in self.held_out)

    @torch.no_grad()
    def _observe(self, gates: GatingNetwork, batch: Any) -> _HeldOut:
        with precision(self.target, self.config), observed(self.target.sites) as inputs:
            clean = self.target.run(batch)
            return _HeldOut(batch, clean, leaky_lower(gates(inputs)))

    @torch.no_grad()
    def distances(self, masks_of: Callable[[_HeldOut], Masks]) -> tuple[float, float]:
        """(mean distance to the target, mean task loss) under masks."""
        distance, loss = 0.0, 0.0
        for part in self.held_out:
            with precision(self.target, self.config):
                with self.components.masked(masks_of(part)):
                    outputs = self.target.run(part.batch)
                distance += float(self.target.distance(part.clean, outputs).sum())
                loss += self.target.task_loss(outputs, part.batch) * len(part.clean)
        return distance / self.n_positions, loss / self.n_positions

    def kinds(self) -> dict[str, Callable[[_HeldOut], Masks]]:
        """Masks of every kind."""
        components, device = self.components, self.target.device
        n_sites = len(components.sites)
        constant = components.constant_masks

        def only(gates: Tensor) -> Masks:
            return Masks(gates, gates.new_zeros(*gates.shape[:-1], n_sites))

        def stochastic(part: _HeldOut, *, open_gates: bool = True) -> Masks:
            generator = step_generator(device, self.config.seed, _ATTACK_SEED)
            sources = draw_sources(components, part.gates.shape[:-1], generator)
            return masks_from(components, part.gates if open_gates else 0 * part.gates, sources)

        rounded = {
            f"rounded >{threshold:g}": lambda part, t=threshold: only((part.gates > t).to(part.gates))
            for threshold in THRESHOLDS
        }
        return {
            "delta off": lambda _: constant(1.0, 0.0),
            "stochastic": stochastic,
            "gates": lambda part: only(part.gates),
            **rounded,
            "random": lambda part: stochastic(part, open_gates=False),
            "zero": lambda _: constant(0.0, 0.0),
        }

    def attacked(self, ladder: Sequence[int]) -> dict[int, float]:
        """Mean distance under a fresh adversary after so many steps each, from the same start every time."""
        generator = step_generator(self.target.device, self.config.seed, _ATTACK_SEED)
        sources, done = draw_sources(self.components, (), generator), 0
        found: dict[int, float] = {}
        for n_steps in sorted(ladder):
            sources, done = attack(self._gradient, sources, n_steps - done, self.config.pgd_step), n_steps
            found[n_steps] = self.distances(
                lambda part, s=sources: masks_from(self.components, part.gates, s)
            )[0]
        return found

    def _gradient(self, sources: Float[Tensor, " cl"]) -> Float[Tensor, " cl"]:
        total = torch.zeros_like(sources)
        for part in self.held_out:
            leaf = sources.clone().requires_grad_(True)
            with torch.enable_grad(), precision(self.target, self.config):
                with self.components.masked(masks_from(self.components, part.gates, leaf)):
                    outputs = self.target.run(part.batch)
                distance = self.target.distance(part.clean, outputs).sum()
                total += torch.autograd.grad(distance, [leaf])[0]
        return total

    def counted_gates(self) -> Float[Tensor, "n c"]:
        """Gates at every counted position."""
        return torch.cat([part.gates[self.target.counted(part.batch)] for part in self.held_out])

    def watch(self, step: int) -> Watch:
        """What the abort rules look at."""
        kinds = self.kinds()
        off, zero, stochastic = (self.distances(kinds[k])[0] for k in ("delta off", "zero", "stochastic"))
        share = float((self.counted_gates() > 0.5).float().mean())
        attack20 = self.attacked((WATCHED_ATTACK,))[WATCHED_ATTACK]
        return Watch(step, off, zero, stochastic, attack20, share)

    def measure(self) -> Metrics:
        """Everything."""
        found = {kind: self.distances(masks_of) for kind, masks_of in self.kinds().items()}
        target = self.distances(lambda _: self.components.constant_masks(1.0, 1.0))[1]
        return Metrics(
            self.n_positions,
            {kind: distance for kind, (distance, _) in found.items()},
            {"target": target, **{kind: loss for kind, (_, loss) in found.items()}},
            self.attacked(self.config.pgd_steps),
            self._site_metrics(),
        )

    @torch.no_grad()
    def _site_metrics(self) -> dict[str, SiteMetrics]:
        gates = self.components.by_site(self.counted_gates())
        deltas = list(self.components.deltas())
        found: dict[str, SiteMetrics] = {}
        for (name, values), (delta, matrix) in zip(gates.items(), deltas, strict=True):
            mean, order = values.mean(0).sort(descending=True)
            norm = float(matrix.norm())
            found[name] = SiteMetrics(
                values.shape[-1],
                int((mean > self.config.alive).sum()),
                tuple(float((values > t).float().sum(-1).mean()) for t in THRESHOLDS),
                tuple(mean.tolist()),
                tuple(order.tolist()),
                tuple((values > FIRES).float().mean(0)[order].tolist()),
                float(delta.norm()) / norm if norm else float(delta.norm()),
            )
        return found


def density_histogram(metrics: SiteMetrics) -> tuple[np.ndarray, np.ndarray]:
    """(counts, edges) of the densities by decade, 1e-6 to 1; the first bin takes what never fires."""
    edges = 10.0 ** np.arange(-6, 1)
    return np.histogram(np.clip(metrics.density, edges[0], 1.0), edges)
