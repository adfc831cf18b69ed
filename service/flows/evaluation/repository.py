"""One repository's evaluation: who wrote it, is it the team's, and do the p-values hold.

The protocol is evaluation.md section 4:

history -> global cut -> team B and authors' D through the profile's own code -> the same test samples
scored by character n-grams (B1), per-author perplexity (B7) and the routes -> foreign commits against the
team's later ones. Every model result is an artifact, so that a killed or repeated run goes on where it
stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.protocol import Standing
from fingerprint.evaluation.results import AuthorRow, Evaluation
from service.flows.evaluation.text import HistoryChoice, choose_material, read_history_of
from service.flows.training import Progress, Stage
from service.settings import Settings

if TYPE_CHECKING:
    from service.flows.evaluation.backend import Donation
    from service.flows.evaluation.setup import Setup

MOST_AUTHOR_ROWS = 20


def evaluate(
    repository: Path, foreign: Path | None, settings: Settings, config: EvaluationConfig,
    report: Progress = lambda _: None, *,
    choice: HistoryChoice | None = None, foreign_choice: HistoryChoice | None = None, name: str = "",
    donate: Callable[[Donation], None] = lambda _: None,
) -> Evaluation:  # fmt: skip
    """Evaluate one repository, with another one as foreign code.

    Args:
        foreign: None leaves out foreign diffs and the null team.
        choice, foreign_choice: revision, cut and people of either; all of it by default.
        name: what the repository is called in the result; its folder's name by default.
        donate: is given what a back-end for other repositories may learn here.

    Raises:
        ConnectorError: a repository cannot be read.
        FingerprintError: too little code, or a base that cannot be loaded.
    """
    from service.flows.evaluation.ablation import ablate_routes
    from service.flows.evaluation.anchors import measure_anchors
    from service.flows.evaluation.attribution import Attribution, attribute
    from service.flows.evaluation.changes import find_changes
    from service.flows.evaluation.detection import detect
    from service.flows.evaluation.halves import replicate
    from service.flows.evaluation.setup import loss_tables, set_up
    from service.flows.evaluation.unseen import detect_unseen

    choice = choice or HistoryChoice()
    report(Stage("read history", 0, None))
    history = read_history_of(repository, settings, config, choice)
    other = None if foreign is None else read_history_of(foreign, settings, config, foreign_choice)
    material = choose_material(history, config, choice.authors)
    setup = set_up(repository, history, other, material, settings=settings, config=config, report=report)
    adapters, losses = loss_tables(setup)
    if len(setup.material.authors) >= 2:
        found, donation = attribute(setup)
        donate(replace(donation, name=name or history.name))
    else:
        found = Attribution()
        setup.notes.append("fewer than two authors stand on both sides of the cut: no attribution")
    tables = {"adapters": adapters, "losses": losses, **vars(found)}
    if config.only_attribution:
        return as_evaluation(setup, name or history.name, **tables)
    anchors = measure_anchors(setup)
    detection, flagged, drift = detect(setup)
    detection += detect_unseen(setup)
    ablation = ablate_routes(setup)
    replication = replicate(setup)
    changes = find_changes(setup, choice.changes)
    return as_evaluation(
        setup, name or history.name,
        **tables, anchors=tuple(anchors), detection=tuple(detection), flagged=tuple(flagged),
        ablation=tuple(ablation), replication=tuple(replication), changes=tuple(changes), drift=drift,
    )  # fmt: skip


def as_evaluation(setup: Setup, name: str, **found: Any) -> Evaluation:
    """The result of an evaluation: what was found, with the facts of its setup."""
    base, routes = setup.bench.routed.base, setup.bench.routed.routes
    sizes = {"past_samples": len(setup.material.past), "test_samples": len(setup.material.test)}
    return Evaluation(
        repository=name,
        foreign=None if setup.other is None else setup.other.name,
        setting=_setting(setup.config),
        history=setup.history.facts() | sizes | {"budget_tokens": setup.trained.budget},
        authors=tuple(_author_row(row) for row in setup.material.standings[:MOST_AUTHOR_ROWS]),
        provenance={"base": base.name, "revision": base.revision, "routes": routes.digest},
        notes=tuple(setup.notes),
        seconds=setup.clock.seconds,
        **found,
    )


def _setting(config: EvaluationConfig) -> dict[str, float | int | str | bool | None]:
    plain = config.model_dump(mode="json")
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in plain.items()
    }


def _author_row(row: Standing) -> AuthorRow:
    return AuthorRow(
        author=row.author,
        samples_before=row.samples_before,
        commits_before=row.commits_before,
        test_samples=row.test_samples,
        test_commits=row.test_commits,
        reason=row.reason,
    )
