"""Learning coefficients along checkpoints, by part and by text, and what their curves say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from peft import PeftModel
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score, silhouette_score

from fingerprint import FingerprintError
from fingerprint.development.checkpoints import CheckpointSeries, trained_parameters
from fingerprint.development.config import SamplerConfig
from fingerprint.development.gauge import canonicalise_lora
from fingerprint.development.llc import LocalLearningCoefficient, learning_coefficient
from fingerprint.development.losses import Windows, batch_loss, module_of, observe_windows
from fingerprint.development.parts import Part, Split, parts_of
from fingerprint.development.sampling import DivergedError, SampleProgress, sample
from fingerprint.development.trace import Trace
from fingerprint.provenance import digest_of


@dataclass(frozen=True)
class CurvePoint:
    """One estimate on a curve.

    Attributes:
        step, tokens_seen: the checkpoint. part: what moved. text: whose loss. gamma: localisation. found: the
            estimate; None when every chain diverged. seconds: CPU.
    """

    step: int
    tokens_seen: int | None
    part: str
    text: str
    gamma: float
    found: LocalLearningCoefficient | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def of_dict(cls, plain: Mapping[str, Any]) -> CurvePoint:
        """What ``to_dict`` wrote, read from JSON."""
        found = plain["found"]
        if found is not None:
            lists = {"flags": tuple(found["flags"]), "by_chain": tuple(found["by_chain"])}
            found = LocalLearningCoefficient(**{**found, **lists})
        return cls(**{**plain, "found": found})


@dataclass(frozen=True)
class CurveProgress:
    """Where a curve stands: runs done of all, and the run in progress."""

    done: int
    runs: int
    step: int
    part: str
    sampling: SampleProgress


def measure_curves(
    series: CheckpointSeries[Any],
    texts: Mapping[str, Windows],
    cfg: SamplerConfig,
    *,
    gammas: Sequence[float] = (),
    split: Split = "whole",
    n_rows: int = 8,
    store: Path | None = None,
    progress: Callable[[CurveProgress], None] = lambda _: None,
) -> list[CurvePoint]:
    """Estimate at every checkpoint, for every part, text and localisation; each run of its own draws.

    The whole model on one text gives lambda-hat; parts give wrLLC, several texts drLLC: the posterior and the
    loss are then both that text's (Wang et al. 2025, section 3). A model on which states are swapped is
    left at the last one.

    Args:
        texts: windows by name. gammas: localisations, ``cfg.gamma`` without. n_rows: windows of a minibatch.
        store: where finished runs and chains are kept and found again.
    """
    points: list[CurvePoint] = []
    spread = tuple(gammas) or (cfg.gamma,)
    for number, checkpoint in enumerate(series):
        model = checkpoint.load()
        if isinstance(model, PeftModel):
            canonicalise_lora(model)  # else gamma would weigh the gauge that training happened to end in
        parts = parts_of(model, split)
        runs = [(part, text, gamma) for part in parts for text in texts for gamma in spread]
        for i, (part, text, gamma) in enumerate(runs):
            told = _teller(progress, number * len(runs) + i, len(series) * len(runs), checkpoint.step, part)
            dials = cfg.model_copy(update={"gamma": gamma})
            label = f"{series.name} {checkpoint.step} {part.name} {text}"
            trace = trace_part(
                model, part, texts[text], dials, label=label, n_rows=n_rows, store=store, progress=told
            )
            found = None if trace is None else learning_coefficient(trace)
            seconds = 0.0 if trace is None else trace.seconds
            points.append(
                CurvePoint(checkpoint.step, checkpoint.tokens_seen, part.name, text, gamma, found, seconds)
            )
    return points


def trace_part(
    model: Any,
    part: Part,
    windows: Windows,
    cfg: SamplerConfig,
    *,
    label: str,
    n_rows: int = 8,
    store: Path | None = None,
    progress: Callable[[SampleProgress], None] = lambda _: None,
) -> Trace | None:
    """Draws with one part of a model moving; None when every chain diverged. Found again in ``store``."""
    place = None if store is None else store / digest_of([label, cfg.digest, part.name, n_rows])[:24]
    if place is not None and (place / "trace.npz").exists():
        return Trace.load(place / "trace.npz")
    live = trained_parameters(model)
    params = {name: live[name] for name in part.parameters}
    star = {name: w.detach().clone() for name, w in params.items()}
    module = module_of(model)
    try:
        trace = sample(
            params, star, batch_loss(module, windows, n_rows), observe_windows(module, windows), cfg,
            masks=part.masks, label=label, store=place, progress=progress,
        )  # fmt: skip
    except DivergedError:
        return None
    if place is not None:
        trace.save(place / "trace.npz")
    return trace


def _teller(
    progress: Callable[[CurveProgress], None], done: int, runs: int, step: int, part: Part
) -> Callable[[SampleProgress], None]:
    return lambda state: progress(CurveProgress(done, runs, step, part.name, state))


# --------------------------------------------------------------------------------- curves together


@dataclass(frozen=True, eq=False)
class CurveTable:
    """Curves of one text at one localisation.

    Attributes:
        parts: rows. steps: columns. values: lambda-hat. by_chain: of each chain.
    """

    parts: tuple[str, ...]
    steps: tuple[int, ...]
    values: Float[np.ndarray, "part step"]
    by_chain: Float[np.ndarray, "part step chain"]


def curve_table(points: Sequence[CurvePoint], text: str, gamma: float) -> CurveTable:
    """The curves of one text at one localisation.

    Raises:
        FingerprintError: a point is missing, or not all its chains are whole.
    """
    own = {(p.part, p.step): p for p in points if p.text == text and p.gamma == gamma}
    parts = tuple(dict.fromkeys(part for part, _ in own))
    steps = tuple(sorted({step for _, step in own}))
    found = [[own[part, step].found if (part, step) in own else None for step in steps] for part in parts]
    chains = {len(one.by_chain) if one else 0 for row in found for one in row}
    if len(chains) != 1 or 0 in chains:
        raise FingerprintError(
            "Every curve needs every checkpoint with all its chains; seen were chains "
            f"{sorted(chains)}: run again with a larger gamma where chains diverged"
        )
    by_chain = np.array([[one.by_chain for one in row if one] for row in found])
    return CurveTable(parts, steps, by_chain.mean(2), by_chain)


@dataclass(frozen=True, eq=False)
class CurveClusters:
    """Parts whose curves rise and fall together.

    Attributes:
        labels: cluster of each part, from 1. silhouette: of the number of clusters; nan where no number
            could be compared. stability: mean adjusted Rand index over resampled chains; 1: always the same.
    """

    labels: Int[np.ndarray, " part"]
    silhouette: float
    stability: float


def cluster_curves(table: CurveTable, *, n_most: int = 8, n_draws: int = 50, seed: int = 0) -> CurveClusters:
    """Cluster curves by shape: correlation distance, average linkage, by silhouette.

    Raises:
        FingerprintError: fewer than three parts or three checkpoints.
    """
    n_parts, n_steps = table.values.shape
    if n_parts < 3 or n_steps < 3:
        raise FingerprintError(
            f"Clustering needs three parts and three checkpoints, got {n_parts} and {n_steps}"
        )
    labels, silhouette = _cluster(table.values, n_most)
    rng, n_chains = np.random.default_rng(seed), table.by_chain.shape[2]
    drawn = (table.by_chain[:, :, rng.integers(n_chains, size=n_chains)].mean(2) for _ in range(n_draws))
    alike = [adjusted_rand_score(labels, _cluster(values, n_most)[0]) for values in drawn]
    return CurveClusters(labels, silhouette, float(np.mean(alike)))


def _cluster(values: Float[np.ndarray, "part step"], n_most: int) -> tuple[Int[np.ndarray, " part"], float]:
    distances = correlation_distances(values)
    tree = linkage(squareform(distances, checks=False), "average")
    best = np.ones(len(values), int), float("nan")
    for n in range(2, min(n_most, len(values) - 1) + 1):
        labels = fcluster(tree, n, "maxclust")
        if 1 < len(set(labels.tolist())) < len(values):
            score = float(silhouette_score(distances, labels, metric="precomputed"))
            if not score <= best[1]:
                best = labels.astype(int), score
    return best


def correlation_distances(values: Float[np.ndarray, "part step"]) -> Float[np.ndarray, "part part"]:
    """1 - correlation of z-scored curves; a flat curve correlates with nothing."""
    centred = values - values.mean(1, keepdims=True)
    scale = np.linalg.norm(centred, axis=1, keepdims=True)
    z = np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0)
    distances = np.clip(1 - z @ z.T, 0, 2)
    np.fill_diagonal(distances, 0)
    return distances


def specialisation(
    points: Sequence[CurvePoint], author: str, team: str, gamma: float
) -> tuple[CurveTable, Float[np.ndarray, "part step"]]:
    """Specialisation index: wrLLC on the author's text less that on the team's, z-scored over the parts.

    Returns:
        The differences as a table, and z: how much more a part is bent to the author than the others are.
    """
    own, theirs = curve_table(points, author, gamma), curve_table(points, team, gamma)
    if own.parts != theirs.parts or own.steps != theirs.steps:
        raise FingerprintError(f"{author} and {team} were measured on different parts or checkpoints")
    table = CurveTable(own.parts, own.steps, own.values - theirs.values, own.by_chain - theirs.by_chain)
    centred = table.values - table.values.mean(0)
    spread = table.values.std(0, ddof=1) if len(own.parts) > 1 else np.zeros(len(own.steps))
    return table, np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
