"""List sorting by a one-layer attention-only transformer (Urdshals & Urdshals 2025, arXiv 2501.18666).

The sequence is [l_1 .. l_n, SEP, sorted]; the loss is cross-entropy on the sorted half. Each head copies or
suppresses numbers: its OV circuit's diagonal says which, its QK circuit which it looks at. Heads may
divide the numbers among themselves (vocabulary splitting), or one may copy what another takes back (copy
suppression).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fingerprint.development.checkpoints import CheckpointSeries, snapshot_series
from fingerprint.development.config import SamplerConfig
from fingerprint.development.llc import LocalLearningCoefficient, learning_coefficient
from fingerprint.development.sampling import sample
from fingerprint.lm.fit import kept_steps
from fingerprint.provenance import digest_of

REGION_SHARE = 0.25
"""A head owns a number where its diagonal is the highest and above this share of the highest of all."""
SUPPRESSION = (-0.5, 0.8)
"""Correlation of two OV diagonals below the first and of QK circuits above the second, one diagonal positive
on the mean and one negative: copy suppression."""


@dataclass(frozen=True)
class SortingTask:
    """Lists to sort.

    Attributes:
        n_numbers: V. length: numbers in a list, all different. mean_gap: mean distance of neighbours in
            the sorted list; None: lists are drawn from all numbers, which makes it about V / (length + 1).
    """

    n_numbers: int = 64
    length: int = 10
    mean_gap: float | None = None

    def draw(self, n: int, generator: torch.Generator) -> Int[Tensor, "n tokens"]:
        """Sequences [n, 2 length + 1]."""
        width = self.n_numbers
        if self.mean_gap is not None:
            width = min(self.n_numbers, max(self.length, round(self.mean_gap * (self.length + 1)) - 1))
        order = torch.rand(n, width, generator=generator).argsort(1)[:, : self.length]
        low = torch.randint(self.n_numbers - width + 1, (n, 1), generator=generator)
        numbers = order + low
        separator = torch.full((n, 1), self.n_numbers)
        return torch.cat([numbers, separator, numbers.sort(1).values], 1)


class SortingModel(nn.Module):
    """Embeddings, one layer of attention with LayerNorm before it and before the unembedding."""

    def __init__(self, task: SortingTask, d: int = 96, n_heads: int = 2, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(int(digest_of(["sorting", seed])[:8], 16))
        size, n_tokens = d // n_heads, 2 * task.length

        def normal(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * scale)

        self.task, self.n_heads = task, n_heads
        self.W_E = normal(task.n_numbers + 1, d, scale=1.0)
        self.W_P = normal(n_tokens, d, scale=0.3)
        self.W_Q, self.W_K, self.W_V = (normal(n_heads, d, size, scale=d**-0.5) for _ in range(3))
        self.W_O = normal(n_heads, size, d, scale=d**-0.5)
        self.W_U = normal(d, task.n_numbers, scale=d**-0.5)
        self.norm_in, self.norm_out = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(
        self, tokens: Int[Tensor, "b t"], without: int | None = None
    ) -> Float[Tensor, "b length numbers"]:
        """Logits at the separator and after, for the sorted half; ``without`` one head when given."""
        x = self.W_E[tokens[:, :-1]] + self.W_P
        y = self.norm_in(x)
        q, k, v = (torch.einsum("btd,hde->bhte", y, W) for W in (self.W_Q, self.W_K, self.W_V))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        if without is not None:
            z = z * (torch.arange(self.n_heads, device=z.device) != without)[:, None, None]
        x = x + torch.einsum("bhte,hed->btd", z, self.W_O)
        return self.norm_out(x[:, self.task.length :]) @ self.W_U

    def loss(self, tokens: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
        """Mean cross-entropy over the sorted half, nats."""
        return F.cross_entropy(self(tokens).flatten(0, 1), tokens[:, self.task.length + 1 :].flatten())

    @torch.no_grad()
    def accuracy(self, tokens: Int[Tensor, "b t"], without: int | None = None) -> tuple[float, float]:
        """Share of whole lists that are sorted right, and the predictions' mean entropy in nats."""
        logits = self(tokens, without)
        right = (logits.argmax(-1) == tokens[:, self.task.length + 1 :]).all(1)
        entropy = torch.distributions.Categorical(logits=logits).entropy()
        return float(right.float().mean()), float(entropy.mean())


# ------------------------------------------------------------------------------------------ circuits


@torch.no_grad()
def embeddings(model: SortingModel) -> Float[Tensor, "numbers d"]:
    """What attention sees of a number: its embedding at a mean position of the list, normalised."""
    return model.norm_in(model.W_E[:-1] + model.W_P[: model.task.length].mean(0))


@torch.no_grad()
def qk_circuits(model: SortingModel) -> Float[np.ndarray, "head numbers numbers"]:
    """Score of every number (row) looking at every number (column), over the root of the head's size."""
    E = embeddings(model)
    scores = torch.einsum("vd,hde,hfe,wf->hvw", E, model.W_Q, model.W_K, E)
    return (scores / math.sqrt(model.W_Q.shape[-1])).numpy()


@torch.no_grad()
def ov_circuits(model: SortingModel) -> Float[np.ndarray, "head numbers numbers"]:
    """Logits (columns) that looking at a number (row) adds; rows centred, LayerNorm's gain folded in."""
    W_U = model.norm_out.weight[:, None] * model.W_U
    W_U = W_U - W_U.mean(0)  # LayerNorm takes the mean off what it reads
    logits = torch.einsum("vd,hde,hef,fw->hvw", embeddings(model), model.W_V, model.W_O, W_U)
    return (logits - logits.mean(-1, keepdim=True)).numpy()


@dataclass(frozen=True, eq=False)
class HeadRegions:
    """Who copies what.

    Attributes:
        diagonals: of the OV circuits. owners: the head that owns a number, -1 for none. sizes: numbers
            each head owns. overlap: Jaccard index of the heads' positive regions, mean over pairs.
            switches: changes of owner along the numbers. suppressing: pairs (copier, suppressor).
    """

    diagonals: Float[np.ndarray, "head numbers"]
    owners: Int[np.ndarray, " numbers"]
    sizes: tuple[int, ...]
    overlap: float
    switches: int
    suppressing: tuple[tuple[int, int], ...]

    @property
    def is_split(self) -> bool:
        """Whether every head owns numbers and the positive regions mostly differ."""
        return min(self.sizes) > 0 and self.overlap < 0.5


def head_regions(
    ov: Float[np.ndarray, "head numbers numbers"], qk: Float[np.ndarray, "head numbers numbers"]
) -> HeadRegions:
    """Regions, overlap and suppression from the circuits of all heads."""
    diagonals = np.diagonal(ov, axis1=1, axis2=2)
    is_owned = diagonals.max(0) > REGION_SHARE * diagonals.max()
    owners = np.where(is_owned, diagonals.argmax(0), -1)
    positive = diagonals > REGION_SHARE * diagonals.max()
    pairs = [(a, b) for a in range(len(ov)) for b in range(a + 1, len(ov))]
    alike = [_jaccard(positive[a], positive[b]) for a, b in pairs]
    owned = owners[owners >= 0]
    suppressing = []
    for a, b in pairs:
        copier, other = (a, b) if diagonals[a].mean() > diagonals[b].mean() else (b, a)
        apart, together = _correlation(diagonals[a], diagonals[b]), _correlation(qk[a], qk[b])
        takes_back = diagonals[copier].mean() > 0 > diagonals[other].mean()
        if takes_back and apart < SUPPRESSION[0] and together > SUPPRESSION[1]:
            suppressing.append((copier, other))
    return HeadRegions(
        diagonals=diagonals,
        owners=owners,
        sizes=tuple(int((owners == head).sum()) for head in range(len(ov))),
        overlap=float(np.mean(alike)) if alike else 0.0,
        switches=int((owned[1:] != owned[:-1]).sum()),
        suppressing=tuple(suppressing),
    )


def _correlation(first: Float[np.ndarray, "*shape"], second: Float[np.ndarray, "*shape"]) -> float:
    """Pearson's over all entries; 0 where one side is constant."""
    x, y = first - first.mean(), second - second.mean()
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    return float((x * y).sum() / scale) if scale > 0 else 0.0


def _jaccard(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> float:
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 0.0


# ------------------------------------------------------------------------------------------ training


@dataclass(frozen=True)
class SortingPlan:
    """How one model is trained and looked at."""

    task: SortingTask
    d: int = 96
    n_heads: int = 2
    weight_decay: float = 0.05
    steps: int = 8_000
    batch: int = 128
    n_kept: int = 8
    seed: int = 0

    @classmethod
    def small(cls, seed: int = 0) -> SortingPlan:
        """Half a CPU minute: solves the task, too small for a clean split of the numbers."""
        return cls(SortingTask(32, 6), d=48, weight_decay=0.005, steps=1_500, seed=seed)

    def model(self) -> SortingModel:
        """The model at its start."""
        return SortingModel(self.task, self.d, self.n_heads, self.seed)


@dataclass(frozen=True)
class SortingStage:
    """One checkpoint of a training: losses in nats, accuracy of whole lists, heads, lambda-hat."""

    step: int
    loss: float
    accuracy: float
    entropy: float
    without: tuple[tuple[float, float], ...]
    sizes: tuple[int, ...]
    overlap: float
    switches: int
    suppressing: tuple[tuple[int, int], ...]
    coefficient: LocalLearningCoefficient | None


def train_sorting(
    plan: SortingPlan, progress: Callable[[int, float], None] = lambda _step, _loss: None
) -> CheckpointSeries[SortingModel]:
    """AdamW on fresh lists; states at log-spaced steps."""
    model = plan.model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=plan.weight_decay)
    generator = torch.Generator().manual_seed(int(digest_of(["lists", plan.seed])[:8], 16))
    keep, kept = set(kept_steps(plan.steps, plan.n_kept)), {}
    for step in range(plan.steps + 1):
        if step in keep:
            kept[step] = {name: value.clone() for name, value in model.state_dict().items()}
        loss = model.loss(plan.task.draw(plan.batch, generator))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        progress(step, float(loss.detach()))
    tokens = {step: step * plan.batch * plan.task.length for step in kept}
    return snapshot_series(plan.model(), kept, tokens, f"sorting, seed {plan.seed}")


def examine(
    series: CheckpointSeries[SortingModel], plan: SortingPlan, sampler: SamplerConfig | None
) -> list[SortingStage]:
    """Circuits, accuracy with every head ablated, and lambda-hat (None: left out) at every checkpoint."""
    lists = plan.task.draw(512, torch.Generator().manual_seed(plan.seed + 1))
    stages = []
    for checkpoint in series:
        model = checkpoint.load()
        regions = head_regions(ov_circuits(model), qk_circuits(model))
        accuracy, entropy = model.accuracy(lists)
        with torch.no_grad():
            loss = float(model.loss(lists))
        found = None if sampler is None else _coefficient(model, plan, sampler, str(checkpoint.step))
        without = tuple(model.accuracy(lists, head) for head in range(plan.n_heads))
        stages.append(
            SortingStage(
                checkpoint.step, loss, accuracy, entropy, without, regions.sizes, regions.overlap,
                regions.switches, regions.suppressing, found,
            )
        )  # fmt: skip
    return stages


def _coefficient(
    model: SortingModel, plan: SortingPlan, sampler: SamplerConfig, label: str
) -> LocalLearningCoefficient:
    params = dict(model.named_parameters())
    star = {name: w.detach().clone() for name, w in params.items()}
    fixed = plan.task.draw(512, torch.Generator().manual_seed(plan.seed + 2))
    trace = sample(
        params, star, lambda generator: model.loss(plan.task.draw(plan.batch, generator)),
        lambda: {"loss": model.loss(fixed)}, sampler, label=label,
    )  # fmt: skip
    return learning_coefficient(trace)
