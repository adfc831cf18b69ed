"""The developmental view: token and component maps over checkpoints, as a grid and as one that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from fingerprint.development.view import DevelopmentView, MapView, Point, RowsView
from service.reports.pages.charts import svg
from service.reports.pages.environment import render_template, token
from service.reports.pages.page import WebPage

SIDE, EDGE = 220.0, 8.0
"""A small multiple and its margin, in its own units."""
_CONTEXT = 24
"""Characters of code shown on either side of a token."""


def development_page(view: DevelopmentView, *, command: str) -> WebPage:
    """The page of one training.

    Args:
        command: what makes the page again.
    """
    steps = [
        {"step": step, "tokens": seen, "loss": loss}
        for step, seen, loss in zip(view.steps, view.tokens_seen, view.losses, strict=True)
    ]
    body = render_template(
        "development.html.jinja", view=view, steps=steps, command=command,
        sections=[_section(rows, view.steps) for rows in view.views],
    )  # fmt: skip
    data = {"steps": list(view.steps), "views": [_data(rows) for rows in view.views]}
    return WebPage(
        f"Development, {view.subject}",
        body,
        "Developmental view",
        ("base.css", "development.css"),
        ("page.js", "development.js"),
        {"development": data},
    )


def _section(rows: RowsView, steps: Sequence[int]) -> dict[str, Any]:
    used = sorted(set(rows.classes))
    return {
        "rows": rows,
        "legend": [(number, rows.class_names[number], rows.classes.count(number)) for number in used],
        "maps": [
            {
                "map": one,
                "pictures": [
                    (step, _picture(rows, one, i, step), one.quality[i]) for i, step in enumerate(steps)
                ],
            }
            for one in rows.maps
        ],
    }


def _picture(rows: RowsView, one: MapView, index: int, step: int) -> Markup:
    """One checkpoint's map: a path of dots for every class, so that a thousand rows stay small."""
    places = scaled(one.points)[index]
    parts = [
        f'<path class="dots kind-{number}" d="{_dots(rows.classes, places, number)}"/>'
        for number in sorted(set(rows.classes))
    ]
    name = f"{one.method} map of {len(rows.labels)} {rows.what} at step {step}"
    return svg(SIDE, SIDE, name, parts)


def _dots(classes: Sequence[int], places: Sequence[Point], number: int) -> str:
    own = (place for place, kind in zip(places, classes, strict=True) if kind == number)
    return "".join(f"M{x:.0f},{y:.0f}h0" for x, y in own)


def scaled(points: Sequence[Sequence[Point]]) -> list[list[Point]]:
    """All checkpoints on one scale, the same for both axes: what moves on a picture moved on the map."""
    xs, ys = ([point[axis] for step in points for point in step] for axis in (0, 1))
    middle = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)
    reach = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    unit = (SIDE - 2 * EDGE) / reach
    return [
        [(SIDE / 2 + (x - middle[0]) * unit, SIDE / 2 - (y - middle[1]) * unit) for x, y in step]
        for step in points
    ]


def _data(rows: RowsView) -> dict[str, Any]:
    """What the moving picture draws; the texts are escaped for the eye, the script writes them as text."""
    return {
        "what": rows.what,
        "labels": [token(label) if rows.what == "tokens" else label for label in rows.labels],
        "before": [_spoken(before[-_CONTEXT:]) for before, _ in rows.contexts],
        "after": [_spoken(after[:_CONTEXT]) for _, after in rows.contexts],
        "classes": list(rows.classes),
        "names": list(rows.class_names),
        "maps": [{"method": one.method, "points": _flat(one)} for one in rows.maps],
    }


def _spoken(text: str) -> str:
    return token(text).replace("·", " ") if text else ""


def _flat(one: MapView) -> list[list[float]]:
    """x, y, x, y, ... of every checkpoint."""
    return [[round(value, 1) for place in step for value in place] for step in scaled(one.points)]
