"""One repository's evaluation: who wrote it, is it the team's, and do the p-values hold.

The protocol is evaluation.md section 4:

history -> global cut -> team B and authors' D through the profile's own code -> the same test samples
scored by character n-grams (B1), per-author perplexity (B7) and the routes -> foreign commits against the
team's later ones. Every model result is an artifact, so that a killed or repeated run goes on where it
stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.evaluation.config import EvaluationConfig, Part
from fingerprint.evaluation.protocol import Standing
from fingerprint.evaluation.results import AuthorRow, Evaluation
from service.flows.bench import Bench, Progress, Stage
from service.flows.evaluation.text import (
    History,
    HistoryChoice,
    Material,
    choose_material,
    read_history_of,
)
from service.flows.training import beside
from service.settings import Settings

if TYPE_CHECKING:
    from service.flows.evaluation.backend import Donation
    from service.flows.evaluation.setup import Setup

MOST_AUTHOR_ROWS = 20
_HERE: tuple[Part, ...] = ("strangers", "masked")
"""Parts of the first process alone. A second one, if allowed, makes the others meanwhile, attribution first;
the first then takes these from the other end, all but attribution, and finds what is made."""
_UNJUDGED = {"judge": False, "n_draws": 1}
"""The second process' dials: it fills the store, and what it returns nobody reads."""
_OF_TEAM: tuple[Part, ...] = (*_HERE, "changes")
"""Parts that ask of no author: what is left where nobody has enough code on both sides of the cut."""


def evaluate(
    repository: Path, foreign: Path | None, settings: Settings, config: EvaluationConfig,
    report: Progress = lambda _: None, *,
    choice: HistoryChoice | None = None, foreign_choice: HistoryChoice | None = None, name: str = "",
    donate: Callable[[Donation], None] = lambda _: None, keep: Callable[[Evaluation], None] = lambda _: None,
) -> Evaluation:  # fmt: skip
    """Evaluate one repository, with another one as foreign code.

    Args:
        foreign: None leaves out foreign diffs and the null team.
        choice, foreign_choice: revision, cut and people of either; all of it by default.
        name: what the repository is called in the result; its folder's name by default.
        donate: is given what a back-end for other repositories may learn here.
        keep: is given the result so far after every part.

    Raises:
        ConnectorError: a repository cannot be read.
        FingerprintError: too little code, or a base that cannot be loaded.
    """
    from service.flows.evaluation.setup import loss_tables, open_bench, set_up

    choice = choice or HistoryChoice()
    report(Stage("read history", 0, None))
    history = read_history_of(repository, settings, config, choice)
    other = None if foreign is None else read_history_of(foreign, settings, config, foreign_choice)
    material = choose_material(history, config, choice.authors, may_be_nobody=not choice.authors)
    bench = open_bench(repository, settings, config, report)
    setup = set_up(bench, history, other, material, config)
    called = name or history.name
    parts = _parts(choice, lambda donation: donate(replace(donation, name=called)))
    chosen = _asked(parts, material, config)
    last: list[Part] = ["attribution"] if "attribution" in chosen else []
    others: list[Part] = [part for part in chosen if part not in (*_HERE, *last)]
    first: list[Part] = [*(part for part in chosen if part in _HERE), *reversed(others)]
    names = ", ".join([*last, *others])
    filling = beside(bench, names, _fill, history, other, material, config, choice)
    with filling if names and len(chosen) > 1 else nullcontext():
        adapters, losses = loss_tables(setup)
        tables: dict[str, Any] = {"adapters": adapters, "losses": losses}
        for part in first:
            tables = _joined(tables, parts[part](setup))
            keep(as_evaluation(setup, called, **tables))
    for part in last:
        tables = _joined(tables, parts[part](setup))
        keep(as_evaluation(setup, called, **tables))
    return as_evaluation(setup, called, **tables)


def _fill(
    bench: Bench, history: History, other: History | None, material: Material, config: EvaluationConfig,
    choice: HistoryChoice,
) -> None:  # fmt: skip
    """Make what the later parts read, in a second process: it asks nobody to judge and draws no intervals."""
    from service.flows.evaluation.setup import set_up

    setup = set_up(bench, history, other, material, config.model_copy(update=_UNJUDGED))
    parts = _parts(choice, lambda _: None)
    for part in _asked(parts, material, config):
        if part not in _HERE:
            parts[part](setup)


def _asked(parts: Iterable[Part], material: Material, config: EvaluationConfig) -> list[Part]:
    """Those of the parts that are to be made, in order."""
    return [part for part in (parts if material.authors else _OF_TEAM) if part not in config.skip]


def _parts(
    choice: HistoryChoice, donate: Callable[[Donation], None]
) -> dict[Part, Callable[[Setup], dict[str, Any]]]:
    """What makes each part's tables, in order; refits are made with the attribution they stand beside."""
    from service.flows.evaluation.ablation import ablate_routes
    from service.flows.evaluation.anchors import measure_anchors
    from service.flows.evaluation.changes import find_changes
    from service.flows.evaluation.detection import detect
    from service.flows.evaluation.halves import replicate
    from service.flows.evaluation.masked import detect_masked
    from service.flows.evaluation.unseen import detect_unseen

    return {
        "strangers": lambda setup: vars(detect(setup)),
        "masked": lambda setup: {"detection": detect_masked(setup)},
        "attribution": lambda setup: _attribute(setup, donate),
        "splits": lambda setup: {"anchors": measure_anchors(setup)},
        "unseen": lambda setup: vars(detect_unseen(setup)),
        "ablation": lambda setup: {"ablation": ablate_routes(setup)},
        "halves": lambda setup: {"replication": replicate(setup)},
        "changes": lambda setup: {"changes": find_changes(setup, choice.changes)},
    }


def _attribute(setup: Setup, donate: Callable[[Donation], None]) -> dict[str, Any]:
    from service.flows.evaluation.attribution import attribute

    if len(setup.material.authors) < 2:
        setup.notes.append("fewer than two authors stand on both sides of the cut: no attribution")
        return {}
    found, donation = attribute(setup)
    donate(donation)
    return vars(found)


def _joined(tables: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Tables with more of them; rows of the same table follow each other."""
    joined = dict(tables)
    for name, rows in more.items():
        is_rows = isinstance(rows, list | tuple)
        joined[name] = (*joined.get(name, ()), *rows) if is_rows else rows
    return joined


def as_evaluation(setup: Setup, name: str, **found: Any) -> Evaluation:
    """The result of an evaluation: what was found, with the facts of its setup."""
    base, routes = setup.bench.routed.base, setup.bench.routed.routes
    sizes = {"past_samples": len(setup.material.past), "test_samples": len(setup.material.test)}
    return Evaluation(
        repository=name,
        foreign=None if setup.other is None else setup.other.name,
        setting=setup.config.setting,
        history=setup.history.facts() | sizes | {"budget_tokens": setup.trained.budget},
        authors=tuple(_author_row(row) for row in setup.material.standings[:MOST_AUTHOR_ROWS]),
        provenance={"base": base.name, "revision": base.revision, "routes": routes.digest},
        notes=tuple(setup.notes),
        seconds=setup.clock.seconds,
        **found,
    )


def _author_row(row: Standing) -> AuthorRow:
    return AuthorRow(
        author=row.author,
        samples_before=row.samples_before,
        commits_before=row.commits_before,
        test_samples=row.test_samples,
        test_commits=row.test_commits,
        reason=row.reason,
    )
