"""What can be decomposed: a model with sites, how it is run, and how far two of its outputs are apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.tokens import (
    LOGITS_PER_CHUNK,
    Batch,
    hidden_states,
    output_matrix,
    pad_batch,
    tokenize_passages,
)
from fingerprint.passage import Passage
from fingerprint.vpd.components import Edit, Site, VpdError
from fingerprint.vpd.losses import kl_divergence, squared_error


@runtime_checkable
class Target(Protocol):
    """A frozen model seen through its sites. Positions are a batch's vectors, or its tokens."""

    @property
    def sites(self) -> Mapping[str, Site]:
        """What is decomposed, by name."""
        ...

    @property
    def taps(self) -> tuple[str, ...]:
        """Sites whose inputs the gating network reads."""
        ...

    @property
    def device(self) -> torch.device:
        """Where everything lives."""
        ...

    def counted(self, batch: Any) -> Bool[Tensor, "*b"]:
        """Positions that enter losses and metrics."""
        ...

    def run(self, batch: Any) -> Float[Tensor, "n d"]:
        """Outputs at the counted positions."""
        ...

    def distance(self, clean: Float[Tensor, "n d"], outputs: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """How far outputs are from the clean ones, position by position."""
        ...

    def task_loss(self, outputs: Float[Tensor, "n d"], batch: Any) -> float:
        """Mean loss on the target's own task."""
        ...


@dataclass(frozen=True, eq=False)
class Data:
    """Batches by step, the same step always the same batch, and held-out batches for the metrics.

    Attributes:
        batch: the batch of a step. slots: the largest position shape of any batch: (b,) or (b, t).
        held_out: batches that training does not see.
    """

    batch: Callable[[int], Any]
    slots: tuple[int, ...]
    held_out: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class VectorTarget:
    """A toy that maps vectors [b, d] to vectors; distances are mean squared errors.

    Attributes:
        model: the frozen model. sites: its decomposed matrices. label: what the task wants of an input.
    """

    model: nn.Module
    sites: Mapping[str, Site]
    label: Callable[[Tensor], Tensor]

    @property
    def taps(self) -> tuple[str, ...]:
        """Every site's input."""
        return tuple(self.sites)

    @property
    def device(self) -> torch.device:
        """Where the sites live."""
        return next(iter(self.sites.values())).linear.weight.device

    def counted(self, batch: Float[Tensor, "b d"]) -> Bool[Tensor, " b"]:
        """Every vector."""
        return torch.ones(len(batch), dtype=torch.bool, device=batch.device)

    def run(self, batch: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """The model's outputs."""
        return self.model(batch)

    def distance(self, clean: Float[Tensor, "n d"], outputs: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Mean squared error."""
        return squared_error(clean, outputs)

    def task_loss(self, outputs: Float[Tensor, "n d"], batch: Float[Tensor, "n e"]) -> float:
        """Mean squared error to the label."""
        return float(squared_error(self.label(batch), outputs).mean())


@dataclass(frozen=True, eq=False)
class TokenTarget:
    """A language model; distances are KL divergences of next-token distributions, in nats.

    Position 0, the base's fixed first token, and padding are not counted: the first is an attention sink
    at which any component may fire.

    Attributes:
        model: run by ``hidden_states``. sites, taps: as everywhere.
    """

    model: nn.Module
    sites: Mapping[str, Site]
    taps: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return output_matrix(self.model).weight.device

    def counted(self, batch: Batch) -> Bool[Tensor, "b t"]:
        """Real tokens but the first."""
        counted = batch.mask.clone()
        counted[:, 0] = False
        return counted

    def run(self, batch: Batch) -> Float[Tensor, "n d"]:
        """Last hidden states at the counted positions; logits are made in chunks where needed."""
        return hidden_states(self.model, batch)[self.counted(batch)]

    def distance(self, clean: Float[Tensor, "n d"], outputs: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """KL(clean || outputs)."""
        head = output_matrix(self.model)
        size = max(1, LOGITS_PER_CHUNK // head.out_features)

        def divergence(target: Tensor, masked: Tensor) -> Tensor:
            return kl_divergence(head(target), head(masked))

        if len(clean) <= size:
            return divergence(clean, outputs)
        pairs = zip(clean.split(size), outputs.split(size), strict=True)
        parts = [checkpoint(divergence, *pair, use_reentrant=False) for pair in pairs]
        return torch.cat([part for part in parts if isinstance(part, Tensor)])

    @torch.no_grad()
    def task_loss(self, outputs: Float[Tensor, "n d"], batch: Batch) -> float:
        """Mean cross-entropy of the next token, in nats, where there is one."""
        counted = self.counted(batch)
        follows = torch.zeros_like(counted)
        follows[:, :-1] = batch.mask[:, 1:]
        following = torch.zeros_like(batch.ids)
        following[:, :-1] = batch.ids[:, 1:]
        known = follows[counted]
        states, wanted = outputs[known], following[counted][known]
        head = output_matrix(self.model)
        size = max(1, LOGITS_PER_CHUNK // head.out_features)
        pairs = zip(states.split(size), wanted.split(size), strict=True)
        total = sum(float(F.cross_entropy(head(s).float(), w, reduction="sum")) for s, w in pairs)
        return total / len(states)


def weights_target(base: Base, sites: Sequence[str], *, taps: Sequence[str] | None = None) -> TokenTarget:
    """The weights of some linear sites of a base (``Base.sites`` names them all).

    Args:
        taps: sites whose inputs the gates read; None: all of ``sites``.

    Raises:
        VpdError: no sites, or names the base does not have.
    """
    _check_names(sites, base.sites)
    found = {site: Site(_linear(base, site)) for site in sites}
    return TokenTarget(base.model, found, tuple(taps or sites))


def routed_weights_target(
    routed: RoutedModel, sites: Sequence[str], *, taps: Sequence[str] | None = None
) -> TokenTarget:
    """The base's weights at some sites, seen inside the routed model, whatever state it is in.

    At the zero state it is the base. In any other the components of the base's weight are masked as there
    and what the adapter adds is left on, so that one dictionary reads every state. The matrices are those
    of ``weights_target``: a decomposition of the one loads with the other.

    Raises:
        VpdError: no sites, or names the model does not have.
    """
    _check_names(sites, routed.sites)
    found = {site: Site(base_linear(routed, site)) for site in sites}
    return TokenTarget(routed.model, found, tuple(taps or sites))


def base_linear(routed: RoutedModel, site: str) -> nn.Linear:
    """The base's own linear module inside a routed site, to whose output peft adds the adapter's."""
    module = routed.modules[site].base_layer
    assert isinstance(module, nn.Linear), site
    return module


def edit_target(
    routed: RoutedModel,
    weights: RouteWeights,
    *,
    sites: Sequence[str] | None = None,
    taps: Sequence[str] | None = None,
) -> TokenTarget:
    """The edit s B A that a state of a routed model makes, the base always on (LoRA-VPD).

    With all masks off the model is the base, with all on it is the state. The base's own modules are
    hooked, not the peft model, whose state is left alone.

    Args:
        weights: B of every site.
        sites: those decomposed; the others stay at the base. None: all.
        taps: sites whose inputs the gates read; None: all of ``sites``.

    Raises:
        VpdError: no sites, or names the model does not have.
    """
    names = tuple(sites or routed.sites)
    _check_names(names, routed.sites)
    found = {}
    for site in names:
        up = weights[site].detach().to(routed.device) * routed.scale
        found[site] = Site(_linear(routed.base, site), Edit(up, routed.directions[site].detach()))
    return TokenTarget(routed.base.model, found, tuple(taps or names))


def first_sites_of_blocks(sites: Sequence[str], every: int) -> tuple[str, ...]:
    """The first site of every n-th block: what a gating network for a whole model reads.

    A block is what a name has before its last two parts ("model.layers.3").
    """
    first: dict[str, str] = {}
    for site in sites:
        first.setdefault(site.rsplit(".", 2)[0], site)
    return tuple(first.values())[::every]


def passage_data(
    base: Base,
    corpora: Sequence[tuple[float, Sequence[Passage]]],
    held_out: Sequence[Passage],
    *,
    rows: int,
    max_tokens: int,
    seed: int,
) -> Data:
    """Rows drawn from several corpora by share: the author's text, other authors', generic text.

    The gates must also learn where an edit is inactive, hence text that is not the author's.

    Args:
        corpora: (share, passages). rows: rows of a batch. max_tokens: longest row.

    Raises:
        VpdError: a corpus, or the held-out text, without a marked token.
    """
    windows = [tokenize_passages(base, passages, max_tokens) for _, passages in corpora]
    rest = tokenize_passages(base, held_out, max_tokens)
    if not rest or not all(windows):
        raise VpdError("Every corpus and the held-out text need at least one marked token: add passages.")
    shares = np.array([share for share, _ in corpora], float)
    shares /= shares.sum()

    def batch(step: int) -> Batch:
        rng = np.random.default_rng([seed, step])
        origin = rng.choice(len(windows), rows, p=shares)
        items = [windows[i][rng.integers(len(windows[i]))] for i in origin]
        return pad_batch(items, range(rows)).to(base.device)

    chunks = [range(start, min(start + rows, len(rest))) for start in range(0, len(rest), rows)]
    return Data(batch, (rows, max_tokens), tuple(pad_batch(rest, chunk).to(base.device) for chunk in chunks))


def digest_target(target: Target) -> str:
    """SHA-256 over the sites' names and matrices, fp32."""
    digest = hashlib.sha256()
    for name, site in target.sites.items():
        values = site.matrix.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{tuple(values.shape)}".encode())
        digest.update(values.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _check_names(wanted: Sequence[str], known: Sequence[str]) -> None:
    unknown = [site for site in wanted if site not in known]
    if unknown or not wanted:
        raise VpdError(
            f"Sites to decompose must be among the model's {len(known)} ({known[0]}, ...); "
            f"got {', '.join(unknown) or 'none'}."
        )


def _linear(base: Base, site: str) -> nn.Linear:
    module = base.model.get_submodule(site)
    assert isinstance(module, nn.Linear), site
    return module
