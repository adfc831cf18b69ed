"""Every plot of this room: SVG or PNG by the file's ending, drawn with matplotlib, which is imported late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fingerprint import FingerprintError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fingerprint.development.curves import CurvePoint
    from fingerprint.development.responses import CheckpointResponse
    from fingerprint.development.stagewise import Stage
    from fingerprint.development.transient_report import TransientReport

_SIZE = (6.4, 3.4)
_ENDINGS = {".svg", ".png"}
MOST_Z = 6.0
"""Standard errors at which the colour of a response is full."""


def draw(path: Path, paint: Callable[[Any], None], *, n_panels: int = 1, height: float = 3.4) -> None:
    """Paint on new axes, one panel or several side by side, and write the file.

    Args:
        paint: given the axes, or with several panels their array.

    Raises:
        FingerprintError: another ending than .svg or .png, or matplotlib is not installed.
    """
    if path.suffix not in _ENDINGS:
        raise FingerprintError(f"A plot is written as .svg or .png, got {path.name!r}")
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FingerprintError(
            "Plots need matplotlib: pip install 'routeprint[plots]'. The tables come without it."
        ) from error
    # text stays text and ids stay the same, so that a figure is small and a second run gives the same bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "routeprint", "font.size": 9}):
        figure = Figure(figsize=(_SIZE[0] * (1 + 0.55 * (n_panels - 1)), height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, n_panels)
        for one in np.atleast_1d(axes):
            one.spines[["top", "right"]].set_visible(False)
            one.grid(alpha=0.25, linewidth=0.5)
        paint(axes)
        path.parent.mkdir(parents=True, exist_ok=True)
        stamp = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=stamp, dpi=150)


def log_steps(axes: Axes, steps: Sequence[int]) -> None:
    """A log axis of optimiser steps on which step 0 has a place."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.3)
    axes.set_xticks(list(steps), [f"{step:,}" for step in steps])
    axes.minorticks_off()
    axes.set_xlim(-0.1, max(steps) * 1.4)
    axes.set_xlabel("optimiser step")


def plot_learning_coefficients(
    points: Sequence[CurvePoint], path: Path, title: str, nulls: Sequence[Sequence[CurvePoint]] = ()
) -> None:
    """lambda-hat of the whole model with its standard error at each localisation, beside the loss at w*.

    Negative and refused values are drawn hollow, where they are; shuffled authors' curves in grey.
    """
    gammas = sorted({point.gamma for point in points})
    steps = sorted({point.step for point in points})

    def paint(axes: Any) -> None:
        left, right = axes
        for gamma in gammas:
            own = [(p.step, p.found) for p in points if p.gamma == gamma and p.found is not None]
            own.sort(key=lambda one: one[0])
            x, y = [step for step, _ in own], [found.value for _, found in own]
            line = left.errorbar(x, y, [f.se for _, f in own], marker="o", capsize=3, label=f"γ = {gamma:g}")
            bad = [(s, f.value) for s, f in own if f.value < 0 or f.is_refused]
            hollow = {"mfc": "white", "mec": line[0].get_color(), "ls": ""}
            left.plot([s for s, _ in bad], [value for _, value in bad], "o", **hollow)
            for null in nulls:
                beside = sorted((p.step, p.found.value) for p in null if p.gamma == gamma and p.found)
                left.plot(*zip(*beside, strict=True), ".-", color="grey", linewidth=0.8, zorder=1)
        left.axhline(0, color="grey", linewidth=0.8)
        left.set_yscale("symlog", linthresh=1)
        left.set_ylabel("λ̂ (hollow: negative or refused" + (", grey: shuffled)" if nulls else ")"))
        left.legend(frameon=False)
        losses = {p.step: p.found.loss for p in points if p.found is not None}
        right.plot(sorted(losses), [losses[step] for step in sorted(losses)], "s-", color="black")
        for null in nulls:
            lost = {p.step: p.found.loss for p in null if p.found is not None}
            right.plot(list(lost), list(lost.values()), ".-", color="grey", linewidth=0.8, zorder=1)
        right.set_ylabel("loss at the checkpoint, nats per token")
        for one in axes:
            log_steps(one, steps)
        left.set_title(title, loc="left")

    draw(path, paint, n_panels=2)


def plot_parts(
    curves: Mapping[str, Sequence[float]],
    steps: Sequence[int],
    path: Path,
    title: str,
    labels: Mapping[str, int] | None = None,
) -> None:
    """One curve a part, coloured by cluster where there are clusters."""

    def paint(axes: Any) -> None:
        for part, values in curves.items():
            axes.plot(steps, values, "o-", ms=3, color=f"C{(labels or {}).get(part, 1) - 1}", alpha=0.8)
            beside = {"xytext": (3, 0), "textcoords": "offset points"}
            axes.annotate(part, (steps[-1], values[-1]), fontsize=6, **beside)
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_ylabel("λ̂ of the part")
        axes.set_title(title, loc="left")
        log_steps(axes, steps)

    draw(path, paint)


def plot_plateaus(
    steps: Sequence[int], losses: Sequence[float], levels: Mapping[str, float], path: Path, title: str
) -> None:
    """A loss curve over the levels it may rest on."""

    def paint(axes: Any) -> None:
        axes.plot([max(step, 0.5) for step in steps], losses, color="black")
        for name, level in levels.items():
            axes.axhline(level, linewidth=0.8, linestyle="--")
            axes.annotate(name, (max(steps), level), fontsize=7, va="bottom", ha="right")
        axes.set_xscale("log")
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("expected loss")
        axes.set_title(title, loc="left")

    draw(path, paint)


def plot_heads(
    matrices: Mapping[str, np.ndarray], diagonals: Mapping[str, np.ndarray], path: Path, title: str
) -> None:
    """Circuits as heat maps under their names, and the OV circuits' diagonals together."""

    def paint(axes: Any) -> None:
        for panel, (name, matrix) in zip(axes, matrices.items(), strict=False):
            reach = float(np.abs(matrix).max())
            panel.imshow(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="none")
            panel.set_title(name, loc="left")
            panel.grid(visible=False)
        for name, values in diagonals.items():
            axes[-1].plot(values, label=name)
        axes[-1].axhline(0, color="grey", linewidth=0.8)
        axes[-1].set_xlabel("number")
        axes[-1].set_title(f"{title}: diagonals", loc="left")
        axes[-1].legend(frameon=False)

    draw(path, paint, n_panels=len(matrices) + 1)


def plot_susceptibility(responses: Sequence[CheckpointResponse], path: Path) -> None:
    """Heat maps of chi in standard errors, one a checkpoint: components down, data sets across."""
    names = responses[0].components

    def paint(axes: Any) -> None:
        panels = np.atleast_1d(axes)
        shown = None
        for panel, response in zip(panels, responses, strict=True):
            z = response.response.z
            shown = panel.imshow(z, cmap="PuOr_r", vmin=-MOST_Z, vmax=MOST_Z, aspect="auto")
            panel.set_title(f"step {response.step:,}", loc="left")
            panel.set_xticks(range(len(response.sets)), response.sets, rotation=60, ha="right")
            panel.set_yticks(range(len(names)), names, fontsize=5)
            panel.grid(visible=False)
        panels[-1].figure.colorbar(shown, ax=list(panels), label="chi, standard errors", shrink=0.5)

    draw(path, paint, n_panels=len(responses), height=1.6 + 0.13 * len(names))


def plot_transient(report: TransientReport, path: Path) -> None:
    """The runs in the plane of two components, their loss out of distribution, coefficients if there are."""
    measured = any(one is not None for run in report.runs for one in run.coefficients)

    def paint(axes: Any) -> None:
        plane, losses = axes[:2]
        for number, run in enumerate(report.runs):
            colour = f"C{number}"
            x, y = np.array(run.coordinates)[:, :2].T
            plane.plot(x, y, ".-", color=colour, linewidth=1, markersize=4, label=run.name)
            for name, place in run.references.items():
                plane.plot(place[0], place[1], "*", color=colour, markersize=9)
                plane.annotate(name, (place[0], place[1]), fontsize=6)
            losses.plot(run.steps, run.losses, color=colour)
            losses.axvspan(run.low, run.high, color=colour, alpha=0.1)
            known = [(s, c) for s, c in zip(run.steps, run.coefficients, strict=False) if c is not None]
            if measured:
                values, errors = [c.value for _, c in known], [c.error for _, c in known]
                axes[2].errorbar(
                    [s for s, _ in known], values, errors, color=colour, marker="o", markersize=3
                )
        plane.set_xlabel(f"PC 1 ({report.explained[0]:.0%})")
        plane.set_ylabel(f"PC 2 ({report.explained[1]:.0%})")
        plane.legend(frameon=False, fontsize=7)
        names = ("loss out of distribution (t_crit shaded)", "λ̂")
        for panel, name in zip(axes[1:], names, strict=False):
            panel.set_xscale("symlog", linthresh=1, linscale=0.3)
            panel.set_xlabel("optimiser step")
            panel.set_ylabel(name)

    draw(path, paint, n_panels=3 if measured else 2)


def plot_influence(
    stages: Sequence[Stage], path: Path, title: str, nulls: Sequence[Sequence[Stage]] = ()
) -> None:
    """Losses, normalised influence between groups with 95 % intervals, and R at the last step.

    Args:
        nulls: shuffled authors' stages, drawn thin and dotted in the colour of the same two groups.
    """
    steps, groups, last = [stage.step for stage in stages], stages[0].groups, stages[-1]

    def paint(axes: Any) -> None:
        losses, curves, matrix = axes
        for number, group in enumerate((groups[0], groups[2])):
            losses.plot(steps, [stage.losses[number] for stage in stages], "o-", ms=3, label=group.source)
        losses.plot(steps, [stage.train_loss for stage in stages], color="grey", label="training text")
        for number, group in enumerate(groups):
            found = [stage.groups[number].normalised for stage in stages]
            widths = [one.half_width for one in found]
            label = f"{group.source} → {group.target}"
            curves.errorbar(steps, [one.value for one in found], widths, marker="o", capsize=3, label=label)
            for null in nulls:
                values = [stage.groups[number].normalised.value for stage in null]
                curves.plot([stage.step for stage in null], values, ":", color=f"C{number}", linewidth=1)
        curves.axhline(0, color="grey", linewidth=0.8)
        for one, name in ((losses, "loss, nats per token"), (curves, "normalised BIF (below 0: helps)")):
            log_steps(one, steps)
            one.set_ylabel(name)
            one.legend(frameon=False, fontsize=7)
        losses.set_title(title, loc="left")
        matrix.imshow(last.R, cmap="PuOr_r", vmin=-1, vmax=1, interpolation="none")
        matrix.grid(visible=False)
        matrix.set_title(f"R at step {last.step:,}", loc="left")
        matrix.set_xlabel(f"{groups[1].source}, then {groups[1].target}")

    draw(path, paint, n_panels=3)
