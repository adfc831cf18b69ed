"""The developmental view of what was sampled: tokens and components, mapped over the checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fingerprint.development.token_kinds import TOKEN_KINDS
from fingerprint.development.view import DevelopmentView
from service.flows.bench import Progress, Stage
from service.flows.development.susceptibility import Susceptibility

if TYPE_CHECKING:
    import numpy as np

    from fingerprint.development.view import RowsView

MOST_TOKENS = 500
"""Tokens on the map: what a phone still draws, and 200 KB of page."""
FAMILIES = ("head", "mlp", "site", "latent")


def view_development(
    study: Susceptibility, report: Progress, *, is_umap_wanted: bool = True, seed: int = 0
) -> DevelopmentView:
    """Map every checkpoint's token factors, and their transpose; UMAP where the extra is installed.

    Raises:
        MapError: too few tokens or components.
    """
    import numpy as np

    from fingerprint.development.maps import has_umap
    from fingerprint.development.sampling import LOSS

    with_umap = is_umap_wanted and has_umap()
    values = np.stack([response.token_factors for response in study.responses])
    report(Stage("maps", 0, 2))
    tokens = _token_view(study, values, with_umap, seed)
    report(Stage("maps", 1, 2))
    components = _component_view(study, values, with_umap, seed)
    report(Stage("maps", 2, 2))
    first = study.responses[0].trace
    return DevelopmentView(
        subject=study.subject,
        steps=tuple(response.step for response in study.responses),
        tokens_seen=study.tokens_seen,
        losses=tuple(float(response.trace.at_star[LOSS]) for response in study.responses),
        n_draws=first.of(LOSS).size,
        views=(tokens, components),
    )


def _token_view(study: Susceptibility, values: np.ndarray, with_umap: bool, seed: int) -> RowsView:
    from fingerprint.development.mapping import spread_rows, view_rows

    chosen = spread_rows(len(study.tokens), MOST_TOKENS)
    rows = [study.tokens[i] for i in chosen]
    return view_rows(
        "tokens", values[:, chosen], study.responses[0].components,
        labels=[row.text for row in rows], contexts=[(row.before, row.after) for row in rows],
        classes=[row.kind for row in rows], class_names=TOKEN_KINDS, has_umap=with_umap, seed=seed,
    )  # fmt: skip


def _component_view(study: Susceptibility, values: np.ndarray, with_umap: bool, seed: int) -> RowsView:
    from fingerprint.development.mapping import view_rows

    names = study.responses[0].components
    return view_rows(
        "components", values.transpose(0, 2, 1), [f"{row.set_name}: {row.text!r}" for row in study.tokens],
        labels=names, contexts=[("", "")] * len(names),
        classes=[FAMILIES.index(name.partition(".")[0]) for name in names], class_names=FAMILIES,
        has_umap=with_umap, seed=seed,
    )  # fmt: skip
