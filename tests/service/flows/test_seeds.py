from __future__ import annotations

import numpy as np
import pytest

from service.flows.seeds import compare_seeds


def test_cosines_by_hand() -> None:
    own = [np.array([1.0, 0.0]), np.array([3.0, 4.0]), np.array([0.0, 0.0])]
    found = compare_seeds(own, [np.array([0.0, -2.0])])
    assert found.n_seeds == 3
    assert found.cosines == pytest.approx((0.6, 0.0, 0.0))
    assert found.null_cosines == pytest.approx((0.0, -0.8, 0.0))
    assert compare_seeds(own[:2], []).null_cosines == ()
