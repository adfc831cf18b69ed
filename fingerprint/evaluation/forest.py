"""A forest plot: one figure a row with its interval, as an SVG that opens anywhere. Pure Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from fingerprint.evaluation.results import Figure

LABELS, PLOT, VALUES, ROW = 330, 300, 130, 20
"""Widths in pixels of the names, the axis and the numbers; height of a row."""
COLOURS = {"text": "#888888", "control": "#b0a060", "routes": "#3b7dd8", "fused": "#b5543c"}
"""By kind of system; told apart in every common colour blindness, and by the marks of ``_mark``."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line. kind: "text", "control", "routes" or "fused"."""

    name: str
    kind: str
    figure: Figure


def forest_svg(title: str, rows: Sequence[Row], chance: float = 0.5) -> str:
    """Draw rows in the order given, with a line at chance.

    Rows without a value are left out.
    """
    shown = [row for row in rows if row.figure.value is not None]
    low, high = _range([row.figure for row in shown], chance)
    height = ROW * (len(shown) + 3)
    bottom = height - ROW

    def x(value: float) -> float:
        return LABELS + PLOT * (value - low) / (high - low)

    ticks = [round(low + 0.1 * i, 1) for i in range(round((high - low) / 0.1) + 1)]
    parts = [
        f'<path d="M{x(tick):.1f},{ROW * 1.5} V{bottom}" stroke="{"#999" if tick == chance else "#8883"}"/>'
        f'<text x="{x(tick):.1f}" y="{bottom + 14}" text-anchor="middle">{tick:.1f}</text>'
        for tick in ticks
    ]
    parts += [_line(row, ROW * (number + 2), x) for number, row in enumerate(shown)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABELS + PLOT + VALUES} {height}" '
        f'font-family="sans-serif" font-size="12" fill="#777" role="img"><title>{escape(title)}</title>'
        f'<text x="4" y="{ROW}" font-weight="bold">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )


def _range(figures: Sequence[Figure], chance: float) -> tuple[float, float]:
    """Tenths that hold every interval and chance."""
    ends = [chance] + [end for f in figures for end in (f.value, f.low, f.high) if end is not None]
    return max(0.0, (min(ends) * 10) // 1 / 10), min(1.0, -((-max(ends) * 10) // 1) / 10)


def _line(row: Row, y: int, x: Callable[[float], float]) -> str:
    figure, colour = row.figure, COLOURS[row.kind]
    assert figure.value is not None
    interval, numbers = "", f"{figure.value:.3f}"
    if figure.low is not None and figure.high is not None:
        ends = f"M{x(figure.low):.1f},{y} H{x(figure.high):.1f}"
        interval = f'<path d="{ends}" stroke="{colour}" stroke-width="2"/>'
        numbers += f" ({figure.low:.3f}-{figure.high:.3f})"
    return (
        f'<text x="4" y="{y + 4}">{escape(row.name)}</text>{interval}{_mark(row.kind, x(figure.value), y)}'
        f'<text x="{LABELS + PLOT + 8}" y="{y + 4}" font-size="11">{numbers}</text>'
    )


def _mark(kind: str, x: float, y: int) -> str:
    colour = COLOURS[kind]
    if kind == "routes":
        return f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
    if kind == "fused":
        return f'<path d="M{x:.1f},{y - 6} l6,6 l-6,6 l-6,-6 z" fill="{colour}"/>'
    fill = colour if kind == "text" else "none"
    return f'<rect x="{x - 4:.1f}" y="{y - 4}" width="8" height="8" fill="{fill}" stroke="{colour}"/>'
