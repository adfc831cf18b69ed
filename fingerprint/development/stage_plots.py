"""Figures of stages, emergence and evasion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fingerprint.development.evasion_report import EvasionReport
from fingerprint.development.plots import draw, log_steps
from fingerprint.development.stages_report import StagesReport
from fingerprint.development.timeline_report import TimelineReport

_NULL = "#999999"


def plot_stages(report: StagesReport, path: Path) -> None:
    """Left: AUROC by block and state. Right: gain of every matrix by stage; null stages are grey."""

    def paint(panels: Any) -> None:
        _paint_read(panels[0], report)
        _paint_written(panels[1], report)

    draw(path, paint, n_panels=2)


def _paint_read(axes: Any, report: StagesReport) -> None:
    for state in dict.fromkeys(probe.state for probe in report.probes):
        own = [probe for probe in report.probes if probe.state == state and probe.layer >= 0]
        errors = [[p.auroc - p.low for p in own], [p.high - p.auroc for p in own]]
        x, y = [probe.layer for probe in own], [probe.auroc for probe in own]
        axes.errorbar(x, y, errors, marker="o", capsize=2, label=state)
    nulls = [probe.null_high for probe in report.probes if probe.layer >= 0]
    axes.axhline(max(nulls), color=_NULL, linestyle=":", label="null, 95 %")
    axes.set(xlabel="after block", ylabel="AUROC, held out", title="where the label is read")
    axes.legend(fontsize=7)


def _paint_written(axes: Any, report: StagesReport) -> None:
    for stage in report.stages:
        own = [row for row in report.alignments if row.stage == stage]
        style = {"color": _NULL, "alpha": 0.6} if stage in report.null_stages else {}
        axes.plot(range(len(own)), [row.gain for row in own], marker=".", label=stage, **style)
    rows = [row for row in report.alignments if row.stage == report.stages[0]]
    names = [f"{row.layer} {row.matrix.removesuffix('_proj').rpartition('_')[2]}" for row in rows]
    axes.set_xticks(range(len(rows)), names, rotation=90, fontsize=5)
    axes.set(ylabel="gain along the direction", title="where it was written, or is looked for")
    axes.legend(fontsize=7)


def plot_timeline(report: TimelineReport, path: Path) -> None:
    """AUROC of the best layer of every method along the steps; dotted: a shuffled author's, same layer."""

    def paint(axes: Any) -> None:
        for method in dict.fromkeys(point.method for point in report.points):
            layers = dict.fromkeys(point.layer for point in report.points if point.method == method)
            best = max((report.curve(method, layer) for layer in layers), key=lambda curve: curve[-1].auroc)
            where = "" if best[0].layer < 0 else f", block {best[0].layer}"
            x = [point.step for point in best]
            (line,) = axes.plot(x, [point.auroc for point in best], marker="o", label=f"{method}{where}")
            low, high = [point.low for point in best], [point.high for point in best]
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.12)
            for null in report.nulls:
                beside = null.curve(method, best[0].layer)
                axes.plot([p.step for p in beside], [p.auroc for p in beside], ":", color=line.get_color())
        axes.axhline(0.5, color=_NULL, linestyle=":")
        log_steps(axes, report.steps)
        axes.set(xlabel="step", ylabel="AUROC, held out (band: 95 %)", title=report.what)
        axes.legend(fontsize=7)

    draw(path, paint)


def plot_evasion(report: EvasionReport, path: Path) -> None:
    """AUROC of every detector by disguise; open marks: trained on the disguise."""
    detectors = list(dict.fromkeys(cell.detector for cell in report.cells))

    def paint(axes: Any) -> None:
        for i, detector in enumerate(detectors):
            for cell in (cell for cell in report.cells if cell.detector == detector):
                is_open, place = cell.trained_on == "disguised", report.disguises.index(cell.disguise)
                axes.errorbar(
                    [place + 0.09 * (i - len(detectors) / 2) + 0.03 * is_open], [cell.auroc],
                    [[cell.auroc - cell.low], [cell.high - cell.auroc]], marker="o", color=f"C{i}",
                    capsize=1.5, markerfacecolor="white" if is_open else f"C{i}", linewidth=1,
                    label=detector if place == 0 else None,
                )  # fmt: skip
        axes.axhline(0.5, color=_NULL, linestyle=":")
        axes.set_xticks(range(len(report.disguises)), report.disguises, fontsize=7)
        axes.set(ylabel="AUROC, foreign against team", title=f"{report.foreign} / {report.team}")
        axes.legend(fontsize=6, loc="lower left")

    draw(path, paint, height=4.0)
