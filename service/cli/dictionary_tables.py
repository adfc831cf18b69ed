"""A dictionary, its quality and its rate shifts as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from fingerprint.labels.store import Labels
from fingerprint.sae.report import RateShift, ShiftSummary
from service.reports.sheet import Sheet
from service.reports.wording import percent

if TYPE_CHECKING:
    from fingerprint.sae.quality import Quality

_NOTE = (
    "Every adapter moves many latents beyond chance: read a row beside its nulls. Outside the band: changed, "
    "and outside what the (other) null adapters do to that latent; fewer than two of them span none (-)."
)


def render_training(facts: Mapping[str, Any]) -> RenderableType:
    """What was trained, in one sentence."""
    return Text(
        f"A dictionary of {facts['n_latents']:,} latents after block {facts['layer']} of {facts['base']} at "
        f"{facts['revision'][:12]}: {facts['tokens']:,} activations, unexplained variance of the text it was "
        f"trained on {facts['first_fvu']:.3f} at the start and {facts['last_fvu']:.3f} at the end, "
        f"{percent(facts['dead_share'])} of the latents dead."
    )


def render_quality(quality: Quality) -> RenderableType:
    """Reconstruction and what it costs the model."""
    found, loss = quality.reconstruction, quality.loss
    rows: tuple[tuple[object, ...], ...] = (
        ("tokens, position 0 left out", found.n_tokens),
        ("variance unexplained (FVU)", f"{found.fvu:.3f}"),
        ("cosine", f"{found.cosine:.3f}"),
        ("latents firing on a token (L0)", f"{found.l0:.1f}"),
        ("latents that fire on none", percent(found.dead_share)),
        ("loss, nats a token: clean", f"{loss.clean:.3f}"),
        ("with the reconstruction in place", f"{loss.patched:.3f} (+{loss.increase:.3f})"),
        ("with the mean in place", f"{loss.at_mean:.3f}"),
        ("with zero in place", f"{loss.at_zero:.3f}"),
        ("loss recovered, from the mean", f"{loss.recovered_from_mean:.3f}"),
        ("loss recovered, from zero", f"{loss.recovered:.3f}"),
    )
    return Sheet("quality on code that was not trained on", ("figure", "value"), rows).to_table()


def render_shifts(found: Mapping[str, RateShift]) -> Iterator[RenderableType]:
    """The team and every author, each group beside its nulls, then the control."""
    rows: list[tuple[object, ...]] = []
    told: set[tuple[ShiftSummary, ...]] = set()
    for name, report in found.items():
        rows.append(_row(name, report.shift))
        last = [other for other in found.values() if other.nulls == report.nulls][-1]
        if report is last and report.nulls not in told:
            told.add(report.nulls)
            rows += [_row(f"null adapter {i}", null) for i, null in enumerate(report.nulls, 1)]
    first = next(iter(found.values()))
    rows.append(_row("base against itself", first.control))
    yield Sheet(
        f"rate shift against the base on {first.n_tokens:,} tokens of {first.n_clusters} commits",
        ("adapter", "tested", "changed", "outside the band", "median |ln|", "99 %", "divergence, bits"),
        tuple(rows),
    ).to_table()
    yield Text(_NOTE, style="dim")
    for name, report in found.items():
        if not report.is_controlled:
            yield Text(f"{name}: {report.statement}", style="dim")


def _row(name: str, summary: ShiftSummary) -> tuple[object, ...]:
    beyond = "-" if summary.n_beyond is None else summary.n_beyond
    return (
        name, summary.n_tested, summary.n_changed, beyond, f"{summary.median:.3f}", f"{summary.high:.3f}",
        f"{summary.divergence:.4f}",
    )  # fmt: skip


def render_latents(name: str, report: RateShift, top: int, words: Labels | None) -> RenderableType:
    """One adapter's latents, those outside the nulls' band first; labels are the base's."""
    told = {label.component: label.text for label in words.labels} if words else {}
    ordered = sorted(report.latents, key=lambda shift: not shift.is_beyond_nulls)
    rows = tuple(
        (
            str(shift.latent), told.get(shift.latent, ""),
            f"{shift.start_rate:.2e}", f"{shift.end_rate:.2e}", f"{shift.log_ratio:+.2f}",
            f"{shift.low:+.2f} to {shift.high:+.2f}", f"{shift.q_value:.4f}",
            "-" if shift.null_low is None else f"{shift.null_low:+.2f} to {shift.null_high:+.2f}",
            "yes" if shift.is_beyond_nulls else "",
        )
        for shift in ordered[:top]
    )  # fmt: skip
    columns = ("latent", "label", "rate, base", "rate, adapted", "ln ratio", "95 %", "q", "nulls", "outside")
    return Sheet(f"{name}: latents", columns, rows, n_names=2).to_table()
