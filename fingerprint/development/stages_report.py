"""What is kept of stages: where a label is read, where it was written, what a layer does. Torch-free."""

from __future__ import annotations

from typing import Literal

from fingerprint.storage import FrozenModel
from fingerprint.weights.report import Alignment, SiteChange, StageSwap


class LayerProbe(FrozenModel):
    """How well a label can be read after one block of one state.

    Attributes:
        state: by name. layer: the block, from 0; -1 for the loss alone. auroc, low, high: held out,
            95 % by whole groups. null_high: 95 % quantile with shuffled labels. p_value: against them.
    """

    state: str
    layer: int
    auroc: float
    low: float
    high: float
    null_high: float
    p_value: float


class SparsityRow(FrozenModel):
    """Open gates per token at one matrix under one frozen dictionary, in the base and in an adapted state.

    Attributes:
        l0_base: the same run on the base, same tokens: the control. null_low, null_high: range of the null
            adapters' l0; None without two of them.
    """

    matrix: str
    adapter: str
    n_components: int
    l0_base: float
    l0_adapted: float
    null_low: float | None
    null_high: float | None


class SparsityTable(FrozenModel):
    """L0 of a decomposition. is_valid: its verdict; still_fits: whether it may be read in this state."""

    dictionary: str
    is_valid: bool
    still_fits: bool
    rows: tuple[SparsityRow, ...]


class StagesReport(FrozenModel):
    """Stages of training and one label.

    Attributes:
        what: the label, in words. n_units, n_positive, n_groups: size of the text. probes: by state and
            layer, the loss alone among them. read_layer, read_state: where the direction comes from: the best
            layer of the last state, so its own AUROC is the best of several. changes, alignments: by stage
            and matrix.
            swaps: by stage; the read-out is the mean of the positives minus that of the negatives along the
            direction behind ``read_layer``, in standard deviations within the labels. null_stages: names of
            stages that are controls. sparsity: stored L0 tables. notes: caveats.
    """

    format: Literal[1] = 1
    what: str
    n_units: int
    n_positive: int
    n_groups: int
    probes: tuple[LayerProbe, ...]
    read_state: str
    read_layer: int
    changes: tuple[SiteChange, ...]
    alignments: tuple[Alignment, ...]
    swaps: tuple[StageSwap, ...]
    null_stages: tuple[str, ...] = ()
    sparsity: tuple[SparsityTable, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """Names in order, controls last."""
        return tuple(dict.fromkeys(row.stage for row in self.changes))
