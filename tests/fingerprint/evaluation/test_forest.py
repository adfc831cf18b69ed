from __future__ import annotations

from xml.etree import ElementTree as ET

from fingerprint.evaluation.forest import COLOURS, LABELS, PLOT, Row, forest_svg
from fingerprint.evaluation.results import Figure

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [
    Row("n-grams <B1>", "text", Figure(value=0.66, low=0.62, high=0.7)),
    Row("routes", "routes", Figure(value=0.55, low=0.5, high=0.6)),
    Row("both", "fused", Figure(value=0.7)),
    Row("base", "control", Figure(value=0.45)),
    Row("unknown", "text", Figure(value=None)),
]


def test_every_known_figure_is_drawn_at_its_place_and_written_out() -> None:
    drawn = ET.fromstring(forest_svg("who & what", ROWS))  # noqa: S314 - our own text
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert "n-grams <B1>" in texts and "unknown" not in texts
    assert "0.660 (0.620-0.700)" in texts and "0.700" in texts
    circle = next(drawn.iter(f"{SVG}circle"))
    # the axis runs from .4 to .7
    assert abs(float(circle.attrib["cx"]) - (LABELS + PLOT * (0.55 - 0.4) / 0.3)) < 0.1
    assert drawn.findtext(f"{SVG}title") == "who & what"


def test_marks_differ_by_shape_too() -> None:
    drawn = forest_svg("t", ROWS)
    assert drawn.count("<circle") == 1 and drawn.count("l6,6") == 1 and drawn.count('fill="none"') == 1
    assert all(colour in drawn for colour in COLOURS.values())
