"""``routeprint evaluate``: the yardstick on one repository's real history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.console import HERE, Home, Repo, find_repository, settings_for, show, stages

if TYPE_CHECKING:
    from fingerprint.evaluation.config import EvaluationConfig


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(evaluate)


def evaluate(
    repo: Repo = HERE,
    home: Home = None,
    *,
    foreign: Annotated[
        Path | None, typer.Option(help="Another git repository: foreign diffs, and the null team.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Scored tokens an author; the team gets twice as many.")
    ] = None,
    null_sets: Annotated[
        int | None, typer.Option(min=0, help="Sets of adapters of shuffled authors.")
    ] = None,
    authors: Annotated[int | None, typer.Option(min=2, help="Authors at most.")] = None,
    authors_min: Annotated[
        int | None, typer.Option(min=1, help="Hunk samples an author needs before the cut.")
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(min=0.05, max=0.8, help="Share of commits after the cut.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="30,000 tokens an author, one null set, smaller caps.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result here as JSON as well.")
    ] = None,
) -> None:
    """Evaluate attribution, foreign diffs and p-values on a repository's own history, cut by time.

    The oldest 70 % of human commits train and tune, the newest 30 % test. The same texts are scored by
    character n-grams, per-author perplexity and the routes. A killed run goes on where it stopped.
    """
    from service.cli.evaluation_tables import render
    from service.flows.evaluate import evaluate as run

    settings = settings_for(home)
    chosen = {
        "tokens": tokens, "n_null_sets": null_sets, "most_authors": authors, "least_samples": authors_min,
        "slices": None if test_share is None else _slices(test_share),
    }  # fmt: skip
    config = _config(fast, {name: value for name, value in chosen.items() if value is not None})
    with stages() as report:
        found = run(
            find_repository(repo),
            None if foreign is None else find_repository(foreign),
            settings,
            config,
            report,
        )
    if json_file is not None:
        json_file.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for part in render(found):
        show(part)


def _config(fast: bool, chosen: dict[str, object]) -> EvaluationConfig:
    from fingerprint.evaluation.config import EvaluationConfig

    start = EvaluationConfig.fast() if fast else EvaluationConfig()
    return EvaluationConfig.model_validate(start.model_dump() | chosen)


def _slices(test_share: float) -> tuple[float, float, float, float]:
    """Train, dev and calibration in their usual proportion before the cut."""
    before = 1 - test_share
    return (before * 0.8, before / 10, before / 10, test_share)
