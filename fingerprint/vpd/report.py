"""What is kept and shown of a dictionary's readings: alive sets, spans, edits. No torch, JSON both ways."""

from __future__ import annotations

from typing import Literal

from fingerprint.storage import FrozenModel
from fingerprint.vpd.config import AliveSetConfig

LEAST_IN_BAND = 2
"""Null adapters a band needs: nearly everything lies outside a single one."""
MISSING_NULLS = (
    "NOT CONTROLLED: no null adapters were read, so nothing says how far any adapter of this size would move "
    "the alive set. Train null adapters and measure again."
)
FAINT = 0.01
"""Nats per token below which an edit drowns in the rounding of bf16."""
_SHIFTED = 3.0
"""A masked reconstruction worse than this many times the base's: the dictionary no longer fits."""


class DictionaryMatrix(FrozenModel):
    """One decomposed matrix. Attributes as in ``EditSite``."""

    matrix: str
    n_components: int
    n_alive: int
    l0: float
    unfaithful: float


class FrontPoint(FrozenModel):
    """One sparsity coefficient tried: how sparse, how much recovered."""

    coefficient: float
    l0: float
    n_alive: int
    recovered: float
    is_valid: bool


class DictionarySummary(FrozenModel):
    """A decomposition of a base's weights in a table.

    Attributes:
        base, revision, dictionary, verdict, is_valid: what it is and whether it may be believed.
        n_positions: held-out tokens. matrices: by matrix. distances: KL to the base by kind of mask, nats per
            token. task_loss: cross-entropy by the same kinds, and for "target". attack: KL under fresh
            adversaries by their steps. front: sparsity coefficients tried, when more than one was.
    """

    format: Literal[1] = 1
    base: str
    revision: str
    dictionary: str
    verdict: str
    is_valid: bool
    n_positions: int
    matrices: tuple[DictionaryMatrix, ...]
    distances: dict[str, float]
    task_loss: dict[str, float]
    attack: dict[int, float]
    front: tuple[FrontPoint, ...] = ()


class MatrixChange(FrozenModel):
    """One matrix under the same components and gates, in the base and in another state, same tokens.

    Attributes:
        matrix: site name, or "all". n_components: C.
        n_alive_base, n_alive_adapted: components alive in either state; n_both in both; n_gained only in the
            adapted, n_lost only in the base.
        l0_base, l0_adapted: mean number of open gates per token. gate_base, gate_adapted: mean gate.
        mean_change: mean of adapted minus base gate over tokens and components; mean_absolute_change: of its
            absolute value, token by token.
        n_tested: components above the event floors. n_up, n_down: of these, significant, by direction.
    """

    matrix: str
    n_components: int
    n_alive_base: int
    n_alive_adapted: int
    n_both: int
    n_gained: int
    n_lost: int
    l0_base: float
    l0_adapted: float
    gate_base: float
    gate_adapted: float
    mean_change: float
    mean_absolute_change: float
    n_tested: int
    n_up: int
    n_down: int

    @property
    def n_significant(self) -> int:
        """Significant in either direction."""
        return self.n_up + self.n_down

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all differs between the states."""
        return not (self.n_gained or self.n_lost or self.n_significant or self.mean_absolute_change)


class AliveSetChange(FrozenModel):
    """The base against one other state. ``total`` counts every matrix."""

    name: str
    matrices: tuple[MatrixChange, ...]
    total: MatrixChange


class ComponentChange(FrozenModel):
    """One tested component.

    Attributes:
        matrix, component: which. n_clusters: clusters its gate opens in, in either state.
        gate_base, gate_adapted: mean gates. change: adapted minus base; low, high: its interval by bootstrap
            of whole clusters. p_value: two-sided, by flipping signs of whole clusters; q_value: adjusted over
            the tested components of all matrices. is_changed: q_value within the rate of false discoveries.
        null_low, null_high: range of the null adapters' changes; None where there are fewer than two.
    """

    matrix: str
    component: int
    n_clusters: int
    gate_base: float
    gate_adapted: float
    change: float
    low: float
    high: float
    p_value: float
    q_value: float
    is_changed: bool
    null_low: float | None = None
    null_high: float | None = None

    @property
    def is_beyond_nulls(self) -> bool:
        """Changed, and outside what the null adapters do to this component."""
        if self.null_low is None or self.null_high is None:
            return False
        return self.is_changed and not self.null_low <= self.change <= self.null_high


class AliveSetDiff(FrozenModel):
    """What an adapted state does to the alive set of one frozen dictionary of its base.

    Attributes:
        base, revision, dictionary: what was read, and the decomposition's digest; is_valid: its verdict.
        adapter: name of the adapted state. n_tokens, n_clusters: size of the text (scored tokens).
        change: base against adapted. control: base against itself, read twice; empty, or there is no report.
        nulls: base against every null adapter. components: every tested one, most significant first.
        masked_base, masked_adapted: KL from either state to itself with the base's components masked by its
            own gates, what the adapter adds left on. Much worse in the adapted state: the dictionary does not
            fit it, and the diff is not to be read.
    """

    format: Literal[1] = 1
    base: str
    revision: str
    dictionary: str
    is_valid: bool
    adapter: str
    n_tokens: int
    n_clusters: int
    config: AliveSetConfig
    change: AliveSetChange
    control: AliveSetChange
    nulls: tuple[AliveSetChange, ...]
    components: tuple[ComponentChange, ...]
    masked_base: float
    masked_adapted: float

    @property
    def still_fits(self) -> bool:
        """Whether the dictionary reconstructs the adapted state about as well as the base."""
        return self.masked_adapted <= _SHIFTED * self.masked_base

    def band(self, figure: str, matrix: str = "all") -> tuple[float, float] | None:
        """(least, largest) of a figure of ``MatrixChange`` among null adapters; None with fewer than two."""
        if len(self.nulls) < LEAST_IN_BAND:
            return None
        rows = [row for null in self.nulls for row in (*null.matrices, null.total) if row.matrix == matrix]
        values = [float(getattr(row, figure)) for row in rows]
        return min(values), max(values)

    @property
    def n_beyond(self) -> int | None:
        """Changed components outside the nulls' band; None without a band."""
        if len(self.nulls) < LEAST_IN_BAND:
            return None
        return sum(component.is_beyond_nulls for component in self.components)

    @property
    def statement(self) -> str:
        """The figures in a sentence, never without their controls."""
        total = self.change.total
        own = (
            f"{total.n_alive_base} components of the base are alive, {total.n_alive_adapted} in "
            f"{self.adapter} ({total.n_gained} gained, {total.n_lost} lost); {total.n_significant} of "
            f"{total.n_tested} tested change on {self.n_tokens:,} tokens in {self.n_clusters} clusters; "
            f"the base against itself: {self.control.total.n_significant}."
        )
        warnings = [] if self.is_valid else ["The dictionary is INVALID: nothing here means anything."]
        if not self.still_fits:
            warnings.append(
                f"The dictionary does not fit {self.adapter}: masked by its own gates it is "
                f"{self.masked_adapted:.2g} nats from itself, the base {self.masked_base:.2g}."
            )
        return " ".join([*warnings, own, self._of_nulls()])

    def _of_nulls(self) -> str:
        if not self.nulls:
            return MISSING_NULLS
        changed = [null.total.n_significant for null in self.nulls]
        gained = [null.total.n_gained for null in self.nulls]
        return (
            f"{len(self.nulls)} null adapters: {min(changed)} to {max(changed)} change, {min(gained)} to "
            f"{max(gained)} gained: a band, not a p-value."
        )


class SpanOfMatrix(FrozenModel):
    """How much of a delta is a re-weighting of the base's own components of one matrix.

    Attributes:
        explained: R^2 of the delta on the span of the components U_c V_c^T. singular: R^2 on as many singular
            pairs of the base's matrix. rotated: median R^2 of deltas of the same singular values turned at
            random on both sides. turned: the same, turned on the output side alone: a delta over frozen
            routes has its input side given. rank_rotated, rank_turned: (1 + rotations that explain at
            least as much) / (1 + rotations), one-sided permutation p-values.
        energy: share of the whole delta's squared norm.
    """

    matrix: str
    explained: float
    singular: float
    rotated: float
    turned: float
    rank_rotated: float
    rank_turned: float
    energy: float


class SpanReport(FrozenModel):
    """The first test of "routing, not new knowledge": is the delta made of what the base already does?

    Attributes:
        dictionary: digest. adapter: whose delta. n_rotations: deltas turned at random, per matrix.
        matrices: by matrix. total: over all of them, weighted by energy. nulls: ``total`` of null adapters.
    """

    format: Literal[1] = 1
    dictionary: str
    adapter: str
    n_rotations: int
    matrices: tuple[SpanOfMatrix, ...]
    total: SpanOfMatrix
    nulls: tuple[SpanOfMatrix, ...] = ()

    @property
    def statement(self) -> str:
        """The figures in a sentence, beside their nulls."""
        total = self.total
        others = (
            f" Null adapters: {min(n.explained for n in self.nulls):.4f} to "
            f"{max(n.explained for n in self.nulls):.4f}."
            if self.nulls
            else " No null adapter stands beside it."
        )
        return (
            f"{total.explained:.4f} of {self.adapter}'s delta is a re-weighting of the base's components; "
            f"turned at random {total.rotated:.4f} (p = {total.rank_rotated:.3f}), on the output side alone "
            f"{total.turned:.4f} (p = {total.rank_turned:.3f}); singular pairs of the base "
            f"{total.singular:.4f}."
            f"{others} {1 - total.explained:.4f} points in new directions."
        )


class EditSite(FrozenModel):
    """One matrix's part of an edit.

    Attributes:
        matrix, n_components, n_alive. l0: mean number of gates above 0, .1 and .5 per token. density: largest
            share of tokens at which one of its components fires. energy: share of the edit's squared norm.
        unfaithful: |Delta| / |M|.
    """

    matrix: str
    n_components: int
    n_alive: int
    l0: tuple[float, float, float]
    density: float
    energy: float
    unfaithful: float


class SingularBaseline(FrozenModel):
    """The same edit cut to its singular terms, with as many of them.

    Attributes:
        n_alive: terms kept at every token, in each matrix as many as it has alive components; recovered by
        them.
        n_open: terms kept per token, as many as there are open gates in the mean: ``always`` the same ones,
            the largest by usual output; ``by_token`` the largest at each token, chosen with its activities
            in hand.
    """

    n_alive: int
    recovered: float
    n_open: int
    always: float
    by_token: float


class EditSummary(FrozenModel):
    """A LoRA-VPD in a line.

    Attributes:
        adapter: whose edit. is_valid: the run's verdict. effect: KL from the adapted model to the base, nats
            per token: what there is to recover. n_components, n_alive. l0: open gates per token.
        recovered: 1 - KL(adapted || gates as masks) / effect. attacked: the same under fresh adversaries, by
            their steps; can be negative. delta_off: the same with every component on and Delta off.
    """

    adapter: str
    is_valid: bool
    effect: float
    n_components: int
    n_alive: int
    l0: float
    recovered: float
    attacked: dict[int, float]
    delta_off: float


class EditUse(FrozenModel):
    """One rank-1 edit at work on code that nothing was trained on.

    Attributes:
        matrix, component: which. density: share of tokens at which its gate is above .1; gate: mean there.
        words: tokens that it opens on, and that come next. is_nulls_too: an edit of a null adapter has like
            words: they tell of the text, not of whose the adapter is.
    """

    matrix: str
    component: int
    density: float
    gate: float
    words: str
    is_nulls_too: bool = False


class EditReport(FrozenModel):
    """Which rank-1 edits of an adapter matter, beside plain singular terms and a null adapter's edits.

    Attributes:
        dictionary: digest. verdict: of the run, in words. n_positions: held-out tokens. summary: in a line.
        sites: by matrix. singular: the baseline. front: sparsity coefficients tried, when more than one was.
        nulls: null adapters decomposed alike. agreement: mean best |cosine| of its alive edits to those of
            the same adapter under another seed, None where there is none.
        uses: the edits that open most of those that tokens tell, read on ``n_used`` tokens of code.
        n_untold: edits that open there too, on no tokens in particular.
    """

    format: Literal[1] = 1
    base: str
    revision: str
    dictionary: str
    verdict: str
    n_positions: int
    summary: EditSummary
    sites: tuple[EditSite, ...]
    singular: SingularBaseline
    front: tuple[FrontPoint, ...] = ()
    nulls: tuple[EditSummary, ...] = ()
    agreement: float | None = None
    uses: tuple[EditUse, ...] = ()
    n_untold: int = 0
    n_used: int = 0

    @property
    def is_faint(self) -> bool:
        """Whether the edit does too little per token to be told from rounding in lower precision."""
        return self.summary.effect < FAINT

    @property
    def statement(self) -> str:
        """The figures in a sentence, beside baseline and null."""
        own, singular = self.summary, self.singular
        attacked = ", ".join(f"{share:.2f} at {n} steps" for n, share in sorted(own.attacked.items()))
        recovered = (
            f"{own.n_alive} of {own.n_components} edits of {own.adapter} are alive, {own.l0:.1f} open per "
            f"token; their gates recover {own.recovered:.2f} of the edit ({own.effect:.3f} nats a token); "
            f"under attack {attacked}. Singular terms: {singular.recovered:.2f} with {singular.n_alive} "
            f"always on, {singular.always:.2f} and {singular.by_token:.2f} with {singular.n_open} (always; "
            "chosen by token)."
        )
        parts = [recovered]
        parts += [
            f"Null {null.adapter}: {null.n_alive} alive, {null.l0:.1f} open, {null.recovered:.2f} recovered."
            for null in self.nulls
        ]
        if not own.is_valid:
            parts.insert(0, f"{self.verdict}.")
        if self.n_untold and not self.uses:
            parts.append(
                f"On {self.n_used:,} tokens that nothing was trained on {self.n_untold} edits open, none on "
                "tokens in particular."
            )
        if self.is_faint:
            parts.append(f"The edit is fainter than {FAINT:g} nats a token: measure it in fp32 alone.")
        return " ".join(parts if self.nulls else [*parts, "No null adapter stands beside it."])
