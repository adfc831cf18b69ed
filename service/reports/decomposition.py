"""Dictionaries, edits and alive sets as pages: never a figure without its control."""

from __future__ import annotations

from collections.abc import Sequence

from fingerprint.vpd.report import (
    AliveSetDiff,
    ComponentChange,
    DictionarySummary,
    EditReport,
    EditSummary,
    FrontPoint,
    MatrixChange,
    SpanOfMatrix,
    SpanReport,
)
from service.reports.escape import shorten
from service.reports.page import Page, Table

MOST_SITES = 12
MOST_COMPONENTS = 12
MOST_WORDS = 60


def dictionary_page(summary: DictionarySummary) -> Page:
    """A decomposition of a base's weights."""
    matrices = Table(
        "Matrices", ("matrix", "components", "alive", "open per token", "Delta / M"),
        tuple(
            (row.matrix, str(row.n_components), str(row.n_alive), f"{row.l0:.1f}", f"{row.unfaithful:.3f}")
            for row in summary.matrices
        ),
    )  # fmt: skip
    kinds = [(kind, kl, summary.task_loss.get(kind)) for kind, kl in summary.distances.items()]
    kinds += [(f"attack, {steps} steps", kl, None) for steps, kl in sorted(summary.attack.items())]
    masks = Table(
        "Under masks", ("masks", "KL, nats", "loss, nats"),
        tuple((kind, f"{kl:.4f}", "" if loss is None else f"{loss:.3f}") for kind, kl, loss in kinds),
        f"The base itself: loss {summary.task_loss['target']:.3f}. Gate-masked figures were never "
        "trained on.",
    )  # fmt: skip
    return Page(
        f"Dictionary of {summary.base} at {summary.revision[:12]}",
        (f"{summary.verdict}. Read on {summary.n_positions:,} held-out tokens.",),
        (matrices, masks, *_front_tables(summary.front, summary.distances["zero"])),
        () if summary.is_valid else ("INVALID: components and gates mean nothing.",),
    )


def alive_page(alive: AliveSetDiff, span: SpanReport) -> Page:
    """The alive-set diff with its controls, and the span of the adapter's delta."""
    columns = (
        "matrix", "base", "adapted", "both", "gained", "lost", "L0 base", "L0 adapted", "gate base",
        "gate adapted", "change", "|change|", "tested", "changed", "null band",
    )  # fmt: skip
    rows = [_alive_row(row, alive) for row in (*alive.change.matrices, alive.change.total)]
    rows.append(_alive_row(alive.control.total, None, "base, read twice"))
    rows += [_alive_row(null.total, None, null.name) for null in alive.nulls]
    alive_table = Table(
        "Alive components, and gates on the same tokens", columns, tuple(rows),
        "gate: mean over tokens and components; change: its difference; in thousandths. Changed: of the "
        f"tested, at {100 * alive.config.false_discoveries:g} % false discoveries over all matrices. Null "
        "band: of the number changed. An alive count depends on how many tokens are read.",
    )  # fmt: skip
    warnings = [] if alive.nulls else ["NOT CONTROLLED: no null adapter was read."]
    if not alive.is_valid:
        warnings.append("The dictionary is INVALID: nothing here means anything.")
    if not alive.still_fits:
        warnings.append("The dictionary does not fit the adapted model: do not read the diff.")
    return Page(
        f"Alive sets of {alive.base} and {alive.adapter}",
        (alive.statement, span.statement),
        (alive_table, _component_table(alive.components), _span_table(span)),
        tuple(warnings),
    )


def _alive_row(row: MatrixChange, alive: AliveSetDiff | None, name: str = "") -> tuple[str, ...]:
    band = None if alive is None else alive.band("n_significant", row.matrix)
    return (
        name or row.matrix, str(row.n_alive_base), str(row.n_alive_adapted), str(row.n_both),
        str(row.n_gained), str(row.n_lost), f"{row.l0_base:.2f}", f"{row.l0_adapted:.2f}",
        f"{1000 * row.gate_base:.2f}", f"{1000 * row.gate_adapted:.2f}", f"{1000 * row.mean_change:+.2f}",
        f"{1000 * row.mean_absolute_change:.2f}", str(row.n_tested), str(row.n_significant),
        "" if band is None else f"{band[0]:g} to {band[1]:g}",
    )  # fmt: skip


def _component_table(components: Sequence[ComponentChange]) -> Table:
    changed = [c for c in components if c.is_changed][:MOST_COMPONENTS]
    return Table(
        "Components that change most surely",
        ("component", "base", "adapted", "change", "95 %", "q", "null band"),
        tuple(
            (
                f"{c.matrix}:{c.component}", f"{c.gate_base:.4f}", f"{c.gate_adapted:.4f}",
                f"{c.change:+.4f}",
                f"{c.low:+.4f} to {c.high:+.4f}", f"{c.q_value:.4f}",
                "" if c.null_low is None else f"{c.null_low:+.4f} to {c.null_high:+.4f}",
            )
            for c in changed
        ),
    )  # fmt: skip


def _span_table(span: SpanReport) -> Table:
    rows = [_span_row(row, row.matrix) for row in (*span.matrices, span.total)]
    rows += [_span_row(null, f"null {i + 1}") for i, null in enumerate(span.nulls)]
    return Table(
        "How much of the delta re-weights the base's own components",
        ("matrix", "energy", "explained", "turned at random", "p", "output turned", "p", "singular pairs"),
        tuple(rows),
        "Output turned: the input side is given by the frozen routes, so this is the stricter control.",
    )


def _span_row(row: SpanOfMatrix, name: str) -> tuple[str, ...]:
    return (
        name, f"{row.energy:.3f}", f"{row.explained:.4f}", f"{row.rotated:.4f}", f"{row.rank_rotated:.3f}",
        f"{row.turned:.4f}", f"{row.rank_turned:.3f}", f"{row.singular:.4f}",
    )  # fmt: skip


def edit_page(report: EditReport) -> Page:
    """LoRA-VPD of one adapter, beside singular terms and a null."""
    sites = sorted(report.sites, key=lambda site: -site.energy)
    by_site = Table(
        "Matrices by energy",
        ("matrix", "energy", "edits", "alive", "open", "open > .5", "densest", "Delta / M"),
        tuple(
            (
                s.matrix, f"{s.energy:.3f}", str(s.n_components), str(s.n_alive), f"{s.l0[0]:.2f}",
                f"{s.l0[2]:.2f}", f"{s.density:.2f}", f"{s.unfaithful:.3f}",
            )
            for s in sites[:MOST_SITES]
        ),
        f"The {len(sites) - MOST_SITES} others are left out." if len(sites) > MOST_SITES else "",
    )  # fmt: skip
    tables = [_recovered_table(report), by_site, *_use_tables(report)]
    tables += _front_tables(report.front, report.summary.effect)
    warnings = [] if report.summary.is_valid else [report.verdict]
    warnings += [] if report.nulls else ["NOT CONTROLLED: no null adapter was decomposed beside it."]
    return Page(f"Edits of {report.summary.adapter}", (report.statement,), tuple(tables), tuple(warnings))


def _front_tables(front: Sequence[FrontPoint], effect: float) -> list[Table]:
    """The sparsity coefficients that were tried; nothing where it was one.

    Args:
        effect: KL with everything off, nats: what "recovered" is a share of.
    """
    rows = tuple(
        (f"{p.coefficient:g}", f"{p.l0:.1f}", str(p.n_alive), f"{effect * (1 - p.recovered):.4f}",
         f"{p.recovered:.3f}", "" if p.is_valid else "INVALID")
        for p in front
    )  # fmt: skip
    if not rows:
        return []
    headings = ("coefficient", "open per token (L0)", "alive", "KL under gates, nats", "recovered", "")
    return [Table("Sparsity tried", headings, rows)]


def _use_tables(report: EditReport) -> list[Table]:
    """On which tokens the edits open; nothing where that was not read."""
    rows = tuple(
        (
            f"{use.matrix}:{use.component}", shorten(use.words, MOST_WORDS),
            "a null's too" if use.is_nulls_too else "", f"{use.density:.4f}", f"{use.gate:.2f}",
        )
        for use in report.uses[:MOST_COMPONENTS]
    )  # fmt: skip
    if not rows:
        return []
    headings = ("edit", "opens", "", "on share of tokens", "gate there")
    note = (
        f"On {report.n_used:,} tokens that nothing was trained on. {report.n_untold} more open there, on no "
        "tokens in particular. A null's too: an edit of a null adapter has like words."
    )
    return [Table("Where edits open, the most used first", headings, rows, note, n_left=3)]


def _recovered_table(report: EditReport) -> Table:
    own, singular = report.summary, report.singular
    rows = [_edit_row(own), *(_edit_row(null) for null in report.nulls)]
    terms = (
        (f"singular terms, {singular.n_alive} always on", singular.n_alive, singular.recovered),
        (f"singular terms, {singular.n_open} always on", singular.n_open, singular.always),
        (f"singular terms, {singular.n_open} chosen by token", singular.n_open, singular.by_token),
    )
    rows += [(name, "", "", f"{n}", f"{share:.3f}", "", "") for name, n, share in terms]
    return Table(
        "Edit recovered",
        ("", "effect, nats", "alive", "open per token", "recovered", "under attack", "Delta off"),
        tuple(rows),
        "Under attack: the strongest adversary tried. Recovered: 1 - KL / effect; can be negative.",
    )  # fmt: skip


def _edit_row(summary: EditSummary) -> tuple[str, ...]:
    attacked = min(summary.attacked.values(), default=float("nan"))
    return (
        summary.adapter + ("" if summary.is_valid else " (INVALID)"), f"{summary.effect:.4f}",
        f"{summary.n_alive} of {summary.n_components}", f"{summary.l0:.1f}", f"{summary.recovered:.3f}",
        f"{attacked:.3f}", f"{summary.delta_off:.3f}",
    )  # fmt: skip
