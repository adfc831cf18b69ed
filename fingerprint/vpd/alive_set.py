"""Which components of one frozen dictionary are alive in the base, and which in an adapted state.

The same components and gates read every state on the same tokens, so that a difference is paired and the
base against itself is exactly nothing (method-decomposition.md sections 4 and 9.1 B). Alive sets of two
dictionaries, or of the same one on two texts, cannot be compared at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.evaluation.sign_flips import draw_clusters, mean_intervals, sign_flip_p_values
from fingerprint.evaluation.significance import benjamini_hochberg
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights
from fingerprint.lm.tokens import Batch, TokenizedPassage, length_buckets, pad_batch, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.vpd.components import Components, Masks, observed
from fingerprint.vpd.config import AliveSetConfig
from fingerprint.vpd.gates import leaky_lower
from fingerprint.vpd.report import (
    LEAST_IN_BAND,
    AliveSetChange,
    AliveSetDiff,
    ComponentChange,
    DictionaryMatrix,
    DictionarySummary,
    MatrixChange,
)
from fingerprint.vpd.store import digest_decomposition, load_decomposition, stored_sites
from fingerprint.vpd.targets import TokenTarget, routed_weights_target
from fingerprint.vpd.train import Decomposition


class UnstableGatesError(FingerprintError):
    """The same state, read twice, opened its gates differently: no change can be told from noise."""


@dataclass(frozen=True, eq=False)
class SharedDictionary:
    """One decomposition of a base's weights, to be read in any state of the routed model.

    Attributes:
        routed: the model. target: the base's weights inside it. found: components and gates, frozen.
    """

    routed: RoutedModel
    target: TokenTarget
    found: Decomposition

    @classmethod
    def of(cls, routed: RoutedModel, found: Decomposition) -> SharedDictionary:
        """A decomposition of the base's weights, its components bound to the sites inside the routed model.

        Raises:
            VpdError: its sites are not the model's.
        """
        parts = found.components
        target = routed_weights_target(routed, list(parts.sites), taps=found.gates.taps)
        V, U = dict(zip(parts.sites, parts.V, strict=True)), dict(zip(parts.sites, parts.U, strict=True))
        bound = Components(target.sites, V, U).requires_grad_(False)
        return cls(routed, target, replace(found, components=bound))

    @classmethod
    def load(cls, directory: Path, routed: RoutedModel) -> SharedDictionary:
        """A stored decomposition of the base's weights.

        Raises:
            VpdError: unreadable, or of another base.
        """
        sites, taps = stored_sites(directory)
        target = routed_weights_target(routed, sites, taps=taps)
        return cls(routed, target, load_decomposition(directory, target))

    @property
    def digest(self) -> str:
        """Digest of components and gates."""
        return digest_decomposition(self.found)

    def summary(self) -> DictionarySummary:
        """What it is, for people and JSON."""
        found, base = self.found, self.routed.base
        matrices = [
            DictionaryMatrix(
                matrix=name, n_components=site.n_components, n_alive=site.n_alive, l0=site.l0[0],
                unfaithful=site.unfaithful,
            )
            for name, site in found.metrics.sites.items()
        ]  # fmt: skip
        return DictionarySummary(
            base=base.name, revision=base.revision, dictionary=self.digest, verdict=str(found.verdict),
            is_valid=found.verdict.is_valid, n_positions=found.metrics.n_positions, matrices=tuple(matrices),
            distances=found.metrics.distance, task_loss=found.metrics.task_loss, attack=found.metrics.attack,
        )  # fmt: skip

    @torch.no_grad()
    def gates(self, batch: Batch) -> Float[Tensor, "b t c"]:
        """Gates in the model's current state."""
        with observed(self.target.sites) as inputs:
            self.target.run(batch)
        return leaky_lower(self.found.gates(inputs))


@dataclass(frozen=True, eq=False)
class _Gates:
    """What one state's gates add up to.

    Attributes:
        total: summed gates by cluster and component. opened: positions with an open gate, likewise.
        moved: summed |gate - base's gate| by component. masked: summed KL of the masked state to itself.
    """

    total: Float[np.ndarray, "k c"]
    opened: Float[np.ndarray, "k c"]
    moved: Float[np.ndarray, " c"]
    masked: float


@dataclass(frozen=True, eq=False)
class _Reader:
    """One dictionary on one text; reads every state batch by batch, scored tokens only."""

    dictionary: SharedDictionary
    rows: list[TokenizedPassage]
    clusters: Int[np.ndarray, " rows"]
    config: AliveSetConfig

    @property
    def n_clusters(self) -> int:
        """Clusters with text."""
        return int(self.clusters.max()) + 1

    @property
    def sizes(self) -> Float[np.ndarray, " k"]:
        """Scored tokens of every cluster."""
        counts = [float(row.n_scored) for row in self.rows]
        return np.bincount(self.clusters, weights=counts, minlength=self.n_clusters)

    @property
    def n_counted(self) -> int:
        """Positions of the masked reconstruction: all but the first of every row."""
        return sum(len(row) - 1 for row in self.rows)

    def read(
        self, states: Sequence[RouteWeights], n_masked: int, progress: Callable[[int, int], None]
    ) -> list[_Gates]:
        """Every state on the same batches; the first is what the others are compared with.

        Args:
            n_masked: how many of the states are also run under their own gates.
        """
        routed, n = self.dictionary.routed, self.dictionary.found.components.n_components
        empty = lambda: torch.zeros(self.n_clusters, n, dtype=torch.float64)  # noqa: E731
        total, opened = [empty() for _ in states], [empty() for _ in states]
        moved, masked = torch.zeros(len(states), n, dtype=torch.float64), [0.0] * len(states)
        buckets = length_buckets(self.rows, self.config.batch_tokens)
        for done, indices in enumerate(buckets):
            batch = pad_batch(self.rows, indices).to(routed.device)
            owners = np.repeat(self.clusters[indices], [self.rows[i].n_scored for i in indices])
            place, first = torch.from_numpy(owners), None
            for i, state in enumerate(states):
                with routed.at(state, state, 0.0):
                    gates = self.dictionary.gates(batch)
                    masked[i] += self._masked_distance(batch, gates) if i < n_masked else 0.0
                counted = gates[batch.scored].double().cpu()
                total[i].index_add_(0, place, counted)
                opened[i].index_add_(0, place, (counted > 0).double())
                first = counted if first is None else first
                moved[i] += (counted - first).abs().sum(0)
            progress(done + 1, len(buckets))
        return [
            _Gates(t.numpy(), o.numpy(), m.numpy(), d)
            for t, o, m, d in zip(total, opened, moved, masked, strict=True)
        ]

    @torch.no_grad()
    def _masked_distance(self, batch: Batch, gates: Float[Tensor, "b t c"]) -> float:
        """Summed KL to the state itself of its run with the base's components under its own gates."""
        target, components = self.dictionary.target, self.dictionary.found.components
        clean = target.run(batch)
        with components.masked(Masks(gates, gates.new_zeros(len(components.sites)))):
            outputs = target.run(batch)
        return float(target.distance(clean, outputs).sum())


def compare_alive_sets(
    pair: ModelPair,
    dictionary: SharedDictionary,
    passages: Sequence[Passage],
    *,
    adapter: str = "the adapter",
    nulls: Mapping[str, RouteWeights] | None = None,
    config: AliveSetConfig | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> AliveSetDiff:
    """Compare pair.start (the base) with pair.end under one dictionary, on the passages' scored tokens.

    Args:
        passages: held-out code that neither dictionary nor adapter was trained on.
        adapter: name of the adapted state. nulls: null adapters' states by name, of the same start and
            budget; without any, the report says that it is not controlled.
        progress: called with the batches read and their number.

    Raises:
        FingerprintError: nothing is marked. UnstableGatesError: the base against itself is not empty.
    """
    config = config or AliveSetConfig()
    reader = _make_reader(dictionary, passages, config)
    named = dict(nulls or {})
    start, end, again, *of_nulls = reader.read(
        [pair.start, pair.end, pair.start, *named.values()], 2, progress
    )
    if again.moved.any():
        raise UnstableGatesError(
            f"Read twice, the base opened {int((again.moved > 0).sum()):,} components differently: switch "
            "nondeterministic kernels off and measure again."
        )
    compared = _Comparer(reader, start, config)
    changes = [(null.total - start.total).sum(0) / reader.sizes.sum() for null in of_nulls]
    change, components = compared.change(adapter, end, changes)
    base = dictionary.routed.base
    return AliveSetDiff(
        base=base.name,
        revision=base.revision,
        dictionary=dictionary.digest,
        is_valid=dictionary.found.verdict.is_valid,
        adapter=adapter,
        n_tokens=int(reader.sizes.sum()),
        n_clusters=reader.n_clusters,
        config=config,
        change=change,
        control=compared.change("the base, read twice", again, [])[0],
        nulls=tuple(compared.change(name, null, [])[0] for name, null in zip(named, of_nulls, strict=True)),
        components=components,
        masked_base=start.masked / reader.n_counted,
        masked_adapted=end.masked / reader.n_counted,
    )


def _make_reader(
    dictionary: SharedDictionary, passages: Sequence[Passage], config: AliveSetConfig
) -> _Reader:
    rows = tokenize_passages(dictionary.routed.base, passages, config.window_tokens)
    if not rows:
        raise FingerprintError("The passages have no marked token to read gates at: give held-out code.")
    owners = [
        passage.path if config.cluster_by == "path" else passage.group or passage.path
        for passage in (passages[row.passage_index] for row in rows)
    ]
    return _Reader(dictionary, rows, np.unique(owners, return_inverse=True)[1], config)


@dataclass(frozen=True, eq=False)
class _Comparer:
    """The base on a text, ready to be compared with other states on it."""

    reader: _Reader
    start: _Gates
    config: AliveSetConfig

    def change(
        self, name: str, end: _Gates, nulls: Sequence[Float[np.ndarray, " c"]]
    ) -> tuple[AliveSetChange, tuple[ComponentChange, ...]]:
        """The alive-set change of one state, by matrix and by tested component."""
        components = self._tested(end, nulls)
        found = self.reader.dictionary.found.components
        owner = found.owner.cpu().numpy()
        rows = [
            self._matrix(site, owner == index, end, [c for c in components if c.matrix == site])
            for index, site in enumerate(found.sites)
        ]
        total = self._matrix("all", np.ones(len(owner), bool), end, components)
        return AliveSetChange(name=name, matrices=tuple(rows), total=total), components

    def _matrix(
        self, name: str, mine: Bool[np.ndarray, " c"], end: _Gates, tested: Sequence[ComponentChange]
    ) -> MatrixChange:
        n_tokens = self.reader.sizes.sum()
        base, adapted = (gates.total.sum(0)[mine] / n_tokens for gates in (self.start, end))
        alive, now = base > self.config.alive, adapted > self.config.alive
        return MatrixChange(
            matrix=name,
            n_components=int(mine.sum()),
            n_alive_base=int(alive.sum()),
            n_alive_adapted=int(now.sum()),
            n_both=int((alive & now).sum()),
            n_gained=int((now & ~alive).sum()),
            n_lost=int((alive & ~now).sum()),
            l0_base=float(self.start.opened.sum(0)[mine].sum() / n_tokens),
            l0_adapted=float(end.opened.sum(0)[mine].sum() / n_tokens),
            gate_base=float(base.mean()),
            gate_adapted=float(adapted.mean()),
            mean_change=float((adapted - base).mean()),
            mean_absolute_change=float(end.moved[mine].mean() / n_tokens),
            n_tested=len(tested),
            n_up=sum(c.is_changed and c.change > 0 for c in tested),
            n_down=sum(c.is_changed and c.change < 0 for c in tested),
        )

    def _tested(self, end: _Gates, nulls: Sequence[Float[np.ndarray, " c"]]) -> tuple[ComponentChange, ...]:
        """Components above the event floors, with their tests; most significant first."""
        config, sizes = self.config, self.reader.sizes
        opened = self.start.opened + end.opened
        n_clusters = (opened > 0).sum(0)
        chosen = np.flatnonzero(
            (opened.sum(0) >= config.least_events) & (n_clusters >= config.least_clusters)
        )
        if not len(chosen):
            return ()
        difference = (end.total - self.start.total)[:, chosen]
        p_values = sign_flip_p_values(
            difference, n_flips=config.n_flips, false_discoveries=config.false_discoveries, seed=config.seed
        )
        found = benjamini_hochberg(dict(enumerate(p_values.tolist())), config.false_discoveries)
        draws = draw_clusters(len(sizes), config.n_draws, config.seed)
        low, high = mean_intervals(difference, sizes, draws, config.confidence)
        band = _band_of(nulls, chosen)
        base, adapted = (g.total.sum(0)[chosen] / sizes.sum() for g in (self.start, end))
        names = self._names()
        rows = [
            ComponentChange(
                matrix=names[c][0],
                component=names[c][1],
                n_clusters=int(n_clusters[c]),
                gate_base=float(base[i]),
                gate_adapted=float(adapted[i]),
                change=float(adapted[i] - base[i]),
                low=float(low[i]),
                high=float(high[i]),
                p_value=found[i].p_value,
                q_value=found[i].adjusted,
                is_changed=found[i].is_found,
                **band[i],
            )
            for i, c in enumerate(chosen.tolist())
        ]
        return tuple(sorted(rows, key=lambda row: (row.q_value, -abs(row.change), row.matrix, row.component)))

    def _names(self) -> list[tuple[str, int]]:
        """(site, number within it) of every component."""
        found = self.reader.dictionary.found.components
        return [(site, c) for site, n in zip(found.sites, found.counts, strict=True) for c in range(n)]


def _band_of(
    nulls: Sequence[Float[np.ndarray, " c"]], chosen: Int[np.ndarray, " t"]
) -> list[dict[str, float]]:
    """Range of the null adapters' changes of each chosen component; nothing with fewer than two."""
    if len(nulls) < LEAST_IN_BAND:
        return [{} for _ in chosen]
    values = np.stack(nulls)[:, chosen]
    return [
        {"null_low": float(low), "null_high": float(high)}
        for low, high in zip(values.min(0), values.max(0), strict=True)
    ]
