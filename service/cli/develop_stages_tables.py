"""Stages, emergence and evasion as tables for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from fingerprint.development.evasion_report import EvasionReport, Regime
from fingerprint.development.stages_report import LayerProbe, SparsityTable, StagesReport
from fingerprint.development.timeline_report import EmergenceRow, TimelineReport
from fingerprint.weights.report import Alignment
from service.reports.sheet import Sheet

Row = tuple[object, ...]
_READ_NOTE = "AUROC held out, 95 % by whole commits; null: 95 % of the same with shuffled labels."
_WRITTEN_NOTE = (
    "Gain: root of the share of the change's energy along the direction. Null: 99 % of directions that vary "
    "as activations do. p over all matrices of the stage, the largest of three kinds of null."
)
_SWAP_NOTE = (
    "Read-out: positives minus negatives along the direction, in standard deviations. Alone: with this "
    "layer's change and no other. Taken out: what is lost without it."
)


def render_stages(report: StagesReport, top: int = 12) -> Iterator[RenderableType]:
    """Where the label is read, what the stages changed, where the direction was written, what layers do."""
    yield Text(
        f"{report.what}: {report.n_positive} of {report.n_units} hunks, {report.n_groups} commits. The "
        f"direction is the mean difference after block {report.read_layer} of {report.read_state}."
    )
    yield _probes(report)
    yield Text(_READ_NOTE, style="dim")
    yield _sizes(report)
    yield _alignments(report, top)
    yield Text(_WRITTEN_NOTE, style="dim")
    for swap in report.swaps:
        rows = tuple((_layer(row.layer), f"{row.only:+.3f}", f"{row.without:+.3f}") for row in swap.layers)
        title = f"{swap.stage}: read-out {swap.start:+.3f} to {swap.end:+.3f}, layer by layer"
        yield Sheet(title, ("layer", "alone", "taken out"), rows).to_table()
    yield Text(_SWAP_NOTE, style="dim")
    for table in report.sparsity:
        yield _sparsity(table)
    for sentence in report.notes:
        yield Text(sentence, style="dim")


def _probes(report: StagesReport) -> RenderableType:
    states = tuple(dict.fromkeys(probe.state for probe in report.probes))
    by_place = {(probe.state, probe.layer): probe for probe in report.probes}
    layers = sorted({probe.layer for probe in report.probes})
    rows = tuple(
        (_where(layer), *(_interval(by_place[state, layer]) for state in states)) for layer in layers
    )
    return Sheet("where the label is read", ("after block", *states), rows).to_table()


def _sizes(report: StagesReport) -> RenderableType:
    rows: list[Row] = []
    for stage in report.stages:
        own = [row for row in report.changes if row.stage == stage]
        energy = sum(row.frobenius**2 for row in own)
        largest = max(own, key=lambda row: row.frobenius)
        mean = lambda name, own=own, energy=energy: (  # noqa: E731 - one column
            sum(getattr(row, name) * row.frobenius**2 for row in own) / energy if energy else 0.0
        )
        rows.append(
            (stage, f"{energy**0.5:.2f}", f"{mean('relative'):.3f}", f"{mean('stable_rank'):.1f}",
             f"{mean('effective_rank'):.1f}", f"{mean('energy_top1'):.2f}",
             f"L{largest.layer} {largest.matrix}")
        )  # fmt: skip
    columns = ("stage", "norm", "relative", "stable rank", "effective rank", "energy of the first", "largest")
    return Sheet("what each stage added, means weighted by energy", columns, tuple(rows)).to_table()


def _alignments(report: StagesReport, top: int) -> RenderableType:
    ordered = sorted(report.alignments, key=lambda row: (row.p_family, -_excess(row)))
    rows = tuple(
        (row.stage, f"L{row.layer} {row.matrix}", row.role, f"{row.cosine:.2f}", f"{row.subspace:.2f}",
         f"{row.gain:.3f}", f"{_null_high(row):.3f}", f"{row.written:.3f}", f"{row.p_family:.2f}")
        for row in ordered[:top]
    )  # fmt: skip
    columns = ("stage", "matrix", "", "|cos|", "top 4", "gain", "null 99 %", "written", "p")
    return Sheet("where the direction was written or read", columns, rows, n_names=3).to_table()


def _null_high(row: Alignment) -> float:
    """Of the null that varies as activations do; of the only one where there is no such."""
    by_kind = {null.kind: null.high for null in row.nulls}
    return by_kind.get("like activations", max(by_kind.values(), default=float("nan")))


def _excess(row: Alignment) -> float:
    high = _null_high(row)
    return row.gain / high if high else 0.0


def _sparsity(table: SparsityTable) -> RenderableType:
    rows = tuple(
        (row.matrix, row.adapter, row.n_components, f"{row.l0_base:.2f}", f"{row.l0_adapted:.2f}",
         "-" if row.null_low is None else f"{row.null_low:.2f} to {row.null_high:.2f}")
        for row in table.rows
    )  # fmt: skip
    fit = "" if table.still_fits else ", which no longer fits this state: not to be read"
    state = "valid" if table.is_valid else "NOT VALID"
    columns = ("matrix", "adapter", "components", "L0 base", "L0 adapted", "nulls")
    title = f"open gates per token, dictionary {table.dictionary[:12]} ({state}{fit})"
    return Sheet(title, columns, rows, n_names=2).to_table()


# ------------------------------------------------------------------------------------------ emergence


def render_timeline(report: TimelineReport) -> Iterator[RenderableType]:
    """The curves, what became of each, and the weights' and latents' own view."""
    yield Text(
        f"{report.what}, along {report.series}: {report.n_positive} of {report.n_units} texts, "
        f"{report.n_groups} groups."
    )
    yield _curves(report, "the label at every checkpoint")
    if report.emergence:
        yield _emergence(report.emergence)
    else:
        yield Text("Fewer than five checkpoints beyond step 0: curves, and no emergence.", style="dim")
    yield from _weights(report)
    yield from _latents(report)
    for null in report.nulls:
        yield _curves(null, f"the same label, {null.series}")


def _curves(report: TimelineReport, title: str) -> RenderableType:
    keys = list(dict.fromkeys((point.method, point.layer) for point in report.points))
    rows = []
    for method, layer in keys:
        curve = report.curve(method, layer)
        rows.append(
            (_reading(method, layer), *(f"{p.auroc:.2f}" for p in curve), f"{curve[-1].null_high:.2f}")
        )
    columns = ("AUROC, held out", *(f"{step:,}" for step in report.steps), "null")
    return Sheet(title, columns, tuple(rows)).to_table()


def _emergence(found: tuple[EmergenceRow, ...]) -> RenderableType:
    rows = tuple(
        (_reading(row.method, row.layer), row.model, f"{row.evidence:.1f}", f"{row.start:.2f}",
         f"{row.end:.2f}", "-" if row.t50 is None else f"{row.t50:,.0f} ({row.low:,.0f} to {row.high:,.0f})",
         "-" if row.width is None else f"{'<= ' if row.is_limited else ''}{row.width:.1f}",
         "sharp" if row.is_sharp else "",
         "-" if row.first_above is None else f"{row.first_above:,}")
        for row in found
    )  # fmt: skip
    columns = (
        "reading", "curve", "evidence", "from", "to", "t50 (95 %)", "width, doublings", "", "above null from",
    )  # fmt: skip
    return Sheet("when each reading came", columns, rows, n_names=2).to_table()


def _weights(report: TimelineReport) -> Iterator[RenderableType]:
    rows = tuple(
        (f"{p.step:,}", f"{p.size:.3f}", f"{p.relative:.4f}", f"{p.effective_rank:.1f}",
         f"{p.cosine_to_final:.2f}", f"{p.distance_to_final:.2f}")
        for p in report.weights
    )  # fmt: skip
    if rows:
        columns = ("step", "size", "relative", "effective rank", "|cos| to final", "distance to final")
        yield Sheet("what the weights had taken up", columns, rows).to_table()


def _latents(report: TimelineReport) -> Iterator[RenderableType]:
    rows = tuple(
        (f"{p.step:,}", f"{p.fvu:.3f}", "-" if p.kept_share is None else f"{p.kept_share:.2f}",
         f"{p.born_share:.2f}")
        for p in report.latents
    )  # fmt: skip
    if rows:
        columns = ("step", "unexplained", "kept by the next", "of the last ones, since here")
        yield Sheet(
            "latents, each checkpoint's dictionary started from the one before", columns, rows
        ).to_table()


# -------------------------------------------------------------------------------------------- evasion


def render_evasion(report: EvasionReport) -> Iterator[RenderableType]:
    """Detectors by disguise, and what survives."""
    yield Text(
        f"{report.foreign}: {report.n_foreign} texts, against {report.team}: {report.n_team}; "
        f"{report.n_groups} groups, {report.dropped} texts left out because a disguise could not be put on."
    )
    keys: list[tuple[Regime, str]] = list(
        dict.fromkeys((cell.trained_on, cell.detector) for cell in report.cells)
    )
    order: tuple[Regime, ...] = ("team only", "plain", "disguised")
    rows = []
    for regime, detector in sorted(keys, key=lambda key: order.index(key[0])):
        cells = [report.cell(disguise, detector, regime) for disguise in report.disguises]
        shown = ("" if c is None else f"{c.auroc:.2f} ({c.low:.2f}-{c.high:.2f})" for c in cells)
        rows.append((detector, regime, *shown))
    columns = ("detector", "trained on", *report.disguises)
    yield Sheet("AUROC, foreign against team", columns, tuple(rows), n_names=2).to_table()
    survival = tuple(
        (row.disguise, f"{row.n_kept} of {row.n_best}", f"{row.dense:.2f}") for row in report.survival
    )
    columns = ("disguise", "best latents that survive", "mean difference, of the plain one's")
    yield Sheet("what a disguise leaves", columns, survival).to_table()
    for sentence in report.notes:
        yield Text(sentence, style="dim")


def _interval(probe: LayerProbe) -> str:
    return f"{probe.auroc:.2f} ({probe.low:.2f}-{probe.high:.2f}), null {probe.null_high:.2f}"


def _where(layer: int) -> str:
    return "loss alone" if layer < 0 else str(layer)


def _layer(layer: int) -> str:
    return "outside" if layer < 0 else str(layer)


def _reading(method: str, layer: int) -> str:
    return method if layer < 0 else f"{method}, block {layer}"
