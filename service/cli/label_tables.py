"""Labels of components for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from fingerprint.attribution.sites import node_id
from fingerprint.evaluation.metrics import Interval
from fingerprint.harvest.store import Component, TokenFigure
from fingerprint.labels.control import CORPUS
from fingerprint.labels.label import Label, visible_token
from fingerprint.labels.language_model import show_window
from fingerprint.labels.scoring import CHANCE, LabelScore
from service.flows.labelling import Labelled
from service.reports.escape import shorten, visible
from service.reports.sheet import Sheet

Row = tuple[Component, Label, LabelScore | None]


def render_page(found: Labelled, who: str, page: int, rows: Sequence[Row]) -> Iterator[RenderableType]:
    """A page of labels with what each is worth."""
    cells = tuple(
        (
            _name(found, one.number), shorten(label.text, 60), CORPUS if label.is_corpus else "",
            f"{one.density:.2e}", "-" if one.first_share is None else f"{one.first_share:.2f}",
            "-" if score is None else _interval(score.auroc),
            "-" if score is None else f"{score.balanced.value:.2f}",
            "-" if score is None or score.intruder is None else f"{score.intruder:.2f}",
        )
        for one, label, score in rows
    )  # fmt: skip
    noun = found.what.noun
    columns = (noun, "label", "", "density", "at 0", "AUROC", "balanced", "intruder")
    title = f"{noun}s as {who} fires them, page {page} of 0 to {found.harvest.n_pages - 1}"
    yield Sheet(title, columns, cells, n_names=3).to_table()
    labels = found.labels
    marked = sum(label.is_corpus for label in labels.labels)
    yield Text(
        f"{labels.n_clear} of {len(labels.labels)} labels say something, {marked} of them: {CORPUS}. "
        f"Mean AUROC on newer code {labels.mean_auroc:.3f}; the same labels dealt out to other {noun}s "
        f"{labels.dealt_auroc:.3f}. Chance: .5 for AUROC and balanced accuracy, {CHANCE:.1f} for the "
        "intruder.",
        style="dim",
    )


def render_component(found: Labelled, row: Row) -> Iterator[RenderableType]:
    """Everything kept of one component."""
    one, label, score = row
    vocabulary = found.harvest.vocabulary
    mark = f" ({CORPUS})" if label.is_corpus else ""
    worth = "not scored" if score is None else f"AUROC {_interval(score.auroc)}"
    first = "-" if one.first_share is None else f"{one.first_share:.2f}"
    yield Text(
        visible(f"{one.group}, number {one.index}: {label.text}{mark}; {worth}; {one.n_firings:,} firings, ")
        + f"density {one.density:.2e}, share at position 0 {first}"
    )
    yield _figures("tokens it fires on", one.inputs)
    yield _figures("tokens that come next", one.outputs)
    partners = tuple((_name(found, p.component), p.count, f"{p.jaccard:.2f}") for p in one.partners)
    yield Sheet("fires with", (found.what.noun, "tokens", "Jaccard"), partners).to_table()
    for example in one.examples[:8]:
        yield Text(visible(f"{example.strength:6.2f}  {visible_token(show_window(example, vocabulary))}"))


def _name(found: Labelled, number: int) -> str:
    """A latent by its number, a component as the attribution graph names it."""
    return node_id(*found.harvest.place_of(number)) if found.what.noun == "component" else str(number)


def _figures(title: str, figures: Sequence[TokenFigure]) -> RenderableType:
    rows = tuple(
        (visible_token(f.text), f.count, f"{f.pmi:.2f}", f"{f.precision:.2f}", f"{f.recall:.2f}")
        for f in figures
    )
    return Sheet(title, ("token", "count", "PMI", "precision", "recall"), rows).to_table()


def to_machine(found: Labelled, who: str, rows: Sequence[Row]) -> dict[str, Any]:
    """A page for programs."""
    labels = found.labels
    return {
        "state": who,
        "harvest": {
            name: found.harvest.facts[name] for name in ("key", "provenance", "n_counted", "n_components")
        },
        "n_clear": labels.n_clear,
        "mean_auroc": labels.mean_auroc if labels.scores else None,
        "rows": [
            {"component": asdict(one), "label": asdict(label), "score": score and asdict(score)}
            for one, label, score in rows
        ],
    }  # fmt: skip


def _interval(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f}-{found.high:.2f})"
