"""What fires on which token of a batch. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Firings:
    """Components that fire, one entry a token and component.

    Attributes:
        row, column: the token, in the batch. component: which fires. strength: how strongly, above zero.
    """

    row: Int[np.ndarray, " f"]
    column: Int[np.ndarray, " f"]
    component: Int[np.ndarray, " f"]
    strength: Float[np.ndarray, " f"]
