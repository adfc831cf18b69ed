"""The developmental view's page: what it says, with and without script, and that nothing leaks in."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from fingerprint.development.view import RowsView
from service.reports.pages.development import SIDE, development_page, scaled
from service.reports.pages.page import render_single_file
from tests.service.reports.pages.developing import STEPS, development
from tests.service.reports.pages.shapes import HOSTILE


def text(**options) -> str:
    return render_single_file(development_page(development(**options), command="routeprint develop view"))


def test_every_checkpoint_is_a_picture_of_every_row_without_script():
    page = text(n_tokens=100).split("<script")[0]
    pictures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(pictures) == 3 * len(STEPS)  # tokens by two methods, components by one
    for picture, n in zip(pictures, [100] * 8 + [25] * 4, strict=True):
        assert picture.count("h0") == n
    assert "step 4,096" in pictures[3] and "trust 0.85" in pictures[3]


def test_quality_stands_beside_its_null_and_what_is_missing_is_a_dash():
    page = text(n_tokens=20)
    assert "same neighbours, other seed" in page and "not known" in page
    row = re.search(r'<th scope="row" class="number">64</th><td class="number">0.75</td>.*', page)
    assert row and re.findall(r">([\d.–]+)</td>", row[0]) == [
        "0.75",
        "0.60",
        "0.30",
        "0.13",
        "0.12",
        "–",
        "0.40",
    ]


def test_all_checkpoints_share_one_scale():
    places = scaled([[(0.0, 0.0), (1.0, 0.0)], [(-1.0, 0.0), (3.0, 1.0)]])
    assert places[1][1][0] - places[1][0][0] == pytest.approx(SIDE - 16)
    assert places[0][1][0] - places[0][0][0] == pytest.approx((SIDE - 16) / 4)
    assert places[1][1][1] < places[1][0][1]  # up is up


def test_the_data_for_the_moving_picture_is_that_of_the_grid():
    page = text(n_tokens=30)
    data = json.loads(re.search(r'id="development">(.*?)</script>', page, re.DOTALL)[1])  # pyright: ignore[reportOptionalSubscript]
    assert data["steps"] == list(STEPS)
    assert [len(view["labels"]) for view in data["views"]] == [30, 25]
    assert all(len(step) == 60 for one in data["views"][0]["maps"] for step in one["points"])


def test_hostile_code_stays_text():
    page = text(subject=HOSTILE, n_tokens=10)
    assert HOSTILE not in page and "<img" not in page
    assert page.count("<script") == 3


def test_rows_without_a_point_are_refused():
    whole = development(n_tokens=10).views[0]
    with pytest.raises(ValidationError, match="10 labels"):
        RowsView.model_validate(whole.model_dump() | {"classes": whole.classes[:-1]})
