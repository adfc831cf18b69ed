"""Whether drift is still seen after code was made to look like the team's: a table. Torch-free."""

from __future__ import annotations

from typing import Literal

from fingerprint.storage import FrozenModel

Regime = Literal["team only", "plain", "disguised"]
PLAIN = "as written"


class EvasionCell(FrozenModel):
    """One detector on one disguise.

    Attributes:
        trained_on: "team only": it has seen no foreign code and no label. "plain": undisguised foreign code
            beside the team's. "disguised": code in this very disguise. Test groups are never trained on.
        auroc, low, high: foreign against team, 95 % by whole groups.
    """

    disguise: str
    detector: str
    trained_on: Regime
    auroc: float
    low: float
    high: float


class Survival(FrozenModel):
    """What a disguise leaves of the latents that told plain code apart.

    Attributes:
        n_best: the strongest predictor latents on plain code. n_kept: of these, the same sign and a p-value
            of at most .05 (max-t over these) in the disguise. dense: size of the mean difference of the
            residual stream at the best layer, as a share of the plain one's.
    """

    disguise: str
    n_best: int
    n_kept: int
    dense: float


class EvasionReport(FrozenModel):
    """The evasion table.

    Attributes:
        foreign, team: the two sides, in words. n_foreign, n_team, n_groups: texts, and the groups resampled.
        disguises: in order. dropped: texts left out of all rows because a disguise could not be put on.
    """

    format: Literal[1] = 1
    foreign: str
    team: str
    n_foreign: int
    n_team: int
    n_groups: int
    disguises: tuple[str, ...]
    dropped: int
    cells: tuple[EvasionCell, ...]
    survival: tuple[Survival, ...]
    notes: tuple[str, ...] = ()

    def cell(self, disguise: str, detector: str, trained_on: Regime) -> EvasionCell | None:
        """One entry, None where it was not measured."""
        wanted = (disguise, detector, trained_on)
        return next((c for c in self.cells if (c.disguise, c.detector, c.trained_on) == wanted), None)
