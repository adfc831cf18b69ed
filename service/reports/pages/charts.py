"""Small charts as SVG text: numbers in, escaped markup out. Colours are classes: both schemes hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from service.reports.escape import visible

WIDTH = 360.0


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from ``low`` to ``high`` on pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value, cut to the axis."""
        if self.high <= self.low:
            return (self.start + self.end) / 2
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values on the axis: 1, 2 or 5 times a power of ten apart."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / about
        power = 10.0 ** _floor_log10(rough)
        step = next((m * power for m in (1, 2, 5, 10) if m * power >= rough - 1e-12), 10 * power)
        first = -(-self.low // step)
        return [
            round((first + i) * step, 10) for i in range(int((self.high - first * step) / step + 1e-9) + 1)
        ]


def _floor_log10(value: float) -> int:
    power = 0
    while value >= 10:
        value, power = value / 10, power + 1
    while value < 1:
        value, power = value * 10, power - 1
    return power


def svg(width: float, height: float, title: str, parts: Sequence[str], description: str = "") -> Markup:
    """An image with a name for those who cannot see it."""
    told = f"<desc>{escape(description)}</desc>" if description else ""
    return Markup(  # noqa: S704 - title and description are escaped, parts are ours or escaped by label()
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{told}{''.join(parts)}</svg>"
    )


def label(x: float, y: float, text: str, anchor: str = "start", css: str = "") -> str:
    """Text at a place, escaped."""
    name = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(visible(text))}</text>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line."""
    return f'<path class="{css}" d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}"/>'


def polyline(points: Sequence[tuple[float, float]], css: str) -> str:
    """A line through points."""
    return f'<path class="{css}" d="M{"L".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>' if points else ""


def share_bar(share: float, css: str = "plain") -> Markup:
    """A bar from the left for a share in [0, 1]; the figure stands beside it, so it has no name."""
    width = 100 * min(1.0, max(0.0, share))
    return Markup(  # noqa: S704 - one number and a class of ours
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="6"/>'
        f'<rect class="{css}" width="{width:.1f}" height="6"/></svg>'
    )


def signed_bar(value: float, largest: float) -> Markup:
    """A bar from the middle: left and orange below zero, right and blue above."""
    width = 50 * min(1.0, abs(value) / largest) if largest else 0.0
    start, css = (50 - width, "down") if value < 0 else (50.0, "up")
    return Markup(  # noqa: S704 - two numbers and a class of ours
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" x="49.7" width=".6" height="8"/>'
        f'<rect class="{css}" x="{start:.1f}" width="{width:.1f}" height="8"/></svg>'
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Linear between order statistics; of at least one value."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def strip(name: str, value: float, scores: Sequence[float], threshold: float | None) -> Markup:
    """One number among the team's own: values as ticks, their middle 90 % as a band, the alarm, the mark."""
    if not scores:
        return Markup('{} <span class="soft">(the team\'s own scores are not at hand{})</span>').format(
            f"{value:.2f}", "" if threshold is None else f"; alarm from {threshold:.2f}"
        )
    known = [*scores, value, *([] if threshold is None else [threshold])]
    low, high = min(known), max(known)
    margin = (high - low) * 0.04 or 1.0
    x = Axis(low - margin, high + margin, 6, WIDTH - 6)
    start, end = x(quantile(scores, 0.05)), x(quantile(scores, 0.95))
    parts = [f'<rect class="band" x="{start:.1f}" y="14" width="{end - start:.1f}" height="18" rx="3"/>']
    parts.append(line(6, 32, WIDTH - 6, 32, "axis"))
    parts += [line(x(score), 25, x(score), 32, "tick") for score in scores]
    if threshold is not None:
        parts.append(line(x(threshold), 10, x(threshold), 36, "alarm"))
        side = "end" if x(threshold) > WIDTH * 0.7 else "start"
        parts.append(label(x(threshold) + (-4 if side == "end" else 4), 9, f"alarm {threshold:.2f}", side))
    at = x(value)
    parts.append(f'<path class="here" d="M{at:.1f},16l5.5,7l-5.5,7l-5.5,-7z"/>')
    anchor = "end" if at > WIDTH * 0.75 else "start" if at < WIDTH * 0.25 else "middle"
    parts.append(label(at, 46, f"this diff {value:.2f}", anchor, "strong"))
    beside = "" if threshold is None else f", alarm from {threshold:.2f}"
    return svg(
        WIDTH, 50, f"{name}: this diff {value:.2f} among {len(scores)} of the team's commits{beside}", parts
    )


def frame(
    x: Axis,
    y: Axis,
    *,
    x_name: str,
    y_name: str,
    x_format: Callable[[float], str],
    y_format: Callable[[float], str],
) -> list[str]:
    """Axes, grid lines and their numbers."""
    parts = [line(x.start, y.start, x.end, y.start, "axis")]
    for tick in y.ticks(4):
        parts += [
            line(x.start, y(tick), x.end, y(tick), "grid-line"),
            label(x.start - 6, y(tick) + 4, y_format(tick), "end"),
        ]
    parts += [label(x(tick), y.start + 15, x_format(tick), "middle") for tick in x.ticks(5)]
    parts.append(label((x.start + x.end) / 2, y.start + 30, x_name, "middle"))
    parts.append(label(x.start - 34, y.end - 5, y_name))
    return parts


def energy(own: Sequence[float], nulls: Sequence[Sequence[float]]) -> Markup:
    """Cumulated energy over directions: the author's line over the nulls' dashed ones."""
    x = Axis(0, max(1, len(own) - 1), 44, WIDTH - 10)
    y = Axis(0, 1, 160, 24)
    parts = frame(
        x, y, x_name="directions", y_name="share of energy", x_format=lambda v: f"{v:g}",
        y_format=lambda v: f"{v * 100:.0f} %",
    )  # fmt: skip
    parts += [polyline([(x(k), y(v)) for k, v in enumerate(null)], "null") for null in nulls]
    parts.append(polyline([(x(k), y(v)) for k, v in enumerate(own)], "own"))
    half = next((k for k, v in enumerate(own) if v >= 0.5), 0)
    title = f"Half of the difference's energy lies in its first {half} of {len(own) - 1} directions a matrix"
    return svg(WIDTH, 196, title, parts)
