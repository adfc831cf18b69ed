"""Routes that carry style: A trained so that texts of one author lie near, whatever they are about.

A text's Fisher score by the routes of a site is K = sum over t of G(t) (A h(t))^T, taken at the base
(``scan``). With Z = sum over t of G(t) h(t)^T, the gradient by the site's own matrix, that is Z A^T for
whatever A, so that A can be trained on the Z of texts without reading them again. Z is kept as a sketch of
few random combinations of its rows, which keeps products (Johnson and Lindenstrauss 1984). The loss is a
supervised contrast (Khosla et al. 2020) over texts of one repository at a time: alike are texts of one author
in two directories and two commits, unlike those of two authors, in one directory most of all (routing.md
section 1). Routes are whitened in every step, and sites count alike: what is learned is their span, as an
adapter over them sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.routes import Routes, canonicalise
from fingerprint.lm.tokens import TokenizedPassage, length_buckets, pad_batch
from fingerprint.routing.contributions import backpropagate_scored, tapped_inputs

TEXTS_AT_ONCE = 32
_JITTER = 1e-6
_NEVER = -1e9


@dataclass(frozen=True)
class ContrastConfig:
    """Dials of the contrast.

    Attributes:
        texts: of one repository in a step. steps: of Adam. learning_rate: in root mean squares of a site's A.
        temperature: of the cosines. same_directory: how many other negatives one in the same directory
            weighs. seed: which texts meet.
    """

    texts: int = 256
    steps: int = 300
    learning_rate: float = 0.1
    temperature: float = 0.3
    same_directory: float = 5.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ContrastTexts:
    """One repository's texts.

    Attributes:
        sketches: per site [n, p, d_in], fp16 (``sketch_gradients``). authors, directories, commits: of each.
    """

    sketches: Mapping[str, Float[np.ndarray, "n p i"]]
    authors: Sequence[str]
    directories: Sequence[str]
    commits: Sequence[str]

    def pairs(self, rows: Int[np.ndarray, " b"], same_directory: float) -> Pairs:
        """Which of these texts are alike, and how much each of the unlike weighs."""
        facts = self.authors, self.directories, self.commits
        author, directory, commit = (_equal([values[int(i)] for i in rows]) for values in facts)
        alike = author & ~directory & ~commit
        weights = np.where(directory, same_directory, 1.0) * ~author
        return Pairs(torch.from_numpy(alike), torch.from_numpy(np.where(alike, 1.0, weights)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a step's texts: alike [b, b], and weights [b, b], zero for those that say nothing."""

    alike: Bool[Tensor, "b b"]
    weights: Float[Tensor, "b b"]

    def loss(self, features: Float[Tensor, "b f"], temperature: float) -> Float[Tensor, ""] | None:
        """Mean over texts with a like one of -log of the share that the like ones take; None without any.

        With more than one like text the mean of their probabilities is taken inside the logarithm.
        """
        unit = features / (features.norm(dim=1, keepdim=True) + 1e-9)
        logits = unit @ unit.T / temperature + self.weights.clamp(min=1e-30).log().to(unit)
        logits = logits.masked_fill(self.weights == 0, _NEVER)
        log_shares = logits - torch.logsumexp(logits, 1, keepdim=True)
        n_alike = self.alike.sum(1)
        rows = n_alike > 0
        if not rows.any():
            return None
        found = torch.logsumexp(log_shares.masked_fill(~self.alike, _NEVER), 1) - n_alike.clamp(min=1).log()
        return -found[rows].mean()


def _equal(values: Sequence[str]) -> Bool[np.ndarray, "b b"]:
    codes = np.unique(np.asarray(values), return_inverse=True)[1]
    return codes[:, None] == codes[None]


def sketch_gradients(
    routed: RoutedModel,
    rows: Sequence[TokenizedPassage],
    owner: Int[np.ndarray, " rows"],
    *,
    n_texts: int,
    n_outputs: int = 16,
    batch_tokens: int = 2048,
    progress: Callable[[int], None] = lambda _n: None,
) -> dict[str, Float[np.ndarray, "n p i"]]:
    """R^T Z of every text at the base, by site; the same R [d_out, n_outputs] of signs for every text.

    One forward and one backward pass a text. The whole is put to unit root mean square text by text.

    Args:
        owner: text of each row, in order, 0 ... n_texts - 1; a text without rows gets zeros.
        progress: called with the tokens just read.

    Returns:
        fp16. A text takes n_outputs times the sum of d_in: 348 kB on the embedded base.
    """
    shapes = {site: routed.base.site_shape(site) for site in routed.sites}
    mix = _signs(shapes, n_outputs, routed.device)
    found = {site: np.zeros((n_texts, n_outputs, i), np.float16) for site, (_, i) in shapes.items()}
    zero = routed.zero_weights()
    for first in range(0, n_texts, TEXTS_AT_ONCE):
        at = np.flatnonzero((owner >= first) & (owner < first + TEXTS_AT_ONCE))
        own = [rows[i] for i in at.tolist()]
        with routed.at(zero, zero, 0.0):
            chunk = _read_sketches(routed, own, owner[at] - first, mix, batch_tokens)
        squares = sum((z**2).sum(dim=(1, 2)) for z in chunk.values())
        size = (torch.as_tensor(squares) / sum(n_outputs * i for _, i in shapes.values())).sqrt() + 1e-12
        for site, z in chunk.items():
            scaled = (z / size[:, None, None]).clamp(-6e4, 6e4).half().cpu().numpy()
            found[site][first : first + len(scaled)] = scaled
        progress(sum(len(row) for row in own))
    return found


def _signs(shapes: Mapping[str, tuple[int, int]], n_outputs: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    signs = {
        site: torch.randint(0, 2, (d_out, n_outputs), generator=generator).float() * 2 - 1
        for site, (d_out, _) in shapes.items()
    }
    return {site: (values / n_outputs**0.5).to(device) for site, values in signs.items()}


def _read_sketches(
    routed: RoutedModel, rows: Sequence[TokenizedPassage], owner: Int[np.ndarray, " rows"],
    mix: Mapping[str, Tensor], batch_tokens: int,
) -> dict[str, Tensor]:  # fmt: skip
    n_texts = int(owner.max(initial=-1)) + 1
    found = {
        site: torch.zeros(n_texts, signs.shape[1], routed.base.site_shape(site)[1], device=routed.device)
        for site, signs in mix.items()
    }
    here = torch.zeros(0, dtype=torch.long)

    def accumulate(site: str, h: Float[Tensor, "b t i"], gradient: Float[Tensor, "b t d_out"]) -> None:
        mixed = gradient.float() @ mix[site]
        found[site].index_add_(0, here, torch.bmm(mixed.transpose(1, 2), h.float()))

    with tapped_inputs(routed.modules, accumulate):
        for indices in length_buckets(rows, batch_tokens):
            here = torch.from_numpy(owner[indices]).to(routed.device)
            backpropagate_scored(routed, pad_batch(rows, indices).to(routed.device))
    return found


def contrast_routes(
    start: Routes,
    moments: Mapping[str, Float[Tensor, "i i"]],
    repositories: Sequence[ContrastTexts],
    config: ContrastConfig | None = None,
    *,
    progress: Callable[[int, float], None] = lambda _step, _loss: None,
) -> Routes:
    """Train A from ``start`` on texts of several repositories, which take turns.

    Args:
        moments: E[h h^T] of every site's input (``lm.fit.site_second_moments``). progress: step and loss.

    Returns:
        Canonical routes of the same rank.

    Raises:
        FingerprintError: no repository has an author with texts in two directories.
    """
    config = config or ContrastConfig()
    rng = np.random.default_rng(config.seed)
    useful = [one for one in repositories if _has_pairs(one)]
    if not useful:
        raise FingerprintError(
            f"expected a repository with an author who wrote in two directories and another author, saw none "
            f"in {len(repositories)}: give repositories with more history"
        )
    activity = {site: moment.clone() for site, moment in moments.items()}  # usable by autograd, wherever made
    raw = {site: a.detach().float().clone().requires_grad_(True) for site, a in start.A.items()}
    optimiser = torch.optim.Adam(
        [{"params": [a], "lr": config.learning_rate * _rms(a)} for a in raw.values()], betas=(0.9, 0.99)
    )
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    centres = [{site: z.mean(0, dtype=np.float32) for site, z in one.sketches.items()} for one in useful]
    scales: dict[str, Tensor] = {}
    for step in range(config.steps):
        one, centre = useful[step % len(useful)], centres[step % len(useful)]
        rows = rng.choice(len(one.authors), min(config.texts, len(one.authors)), replace=False)
        parts = {
            site: _features(a, activity[site], torch.from_numpy(one.sketches[site][rows] - centre[site]))
            for site, a in raw.items()
        }
        scales = scales or {site: part.detach().pow(2).mean().sqrt() + 1e-12 for site, part in parts.items()}
        features = torch.cat([part / scales[site] for site, part in parts.items()], dim=1)
        loss = one.pairs(rows, config.same_directory).loss(features, config.temperature)
        if loss is None:
            continue
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        progress(step + 1, float(loss.detach()))
    learned = {site: a.detach() for site, a in raw.items()}
    return canonicalise(Routes(learned, start.base, start.revision), moments, [])


def _has_pairs(one: ContrastTexts) -> bool:
    every = np.arange(len(one.authors))
    return len(set(one.authors)) > 1 and bool(one.pairs(every, 1.0).alike.any())


def _features(
    a: Float[Tensor, "r i"], moment: Float[Tensor, "i i"], sketches: Float[Tensor, "b p i"]
) -> Float[Tensor, "b f"]:
    """Sketched Fisher scores of texts by one site's routes, whitened."""
    activity = a @ moment.to(a) @ a.T
    floor = _JITTER * activity.diagonal().mean().detach() * torch.eye(len(a), device=a.device)
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(activity + floor), a, upper=False)
    return (sketches.to(a) @ whitened.T).flatten(1)


def _rms(values: Float[Tensor, ...]) -> float:
    return float(values.detach().pow(2).mean().sqrt())
