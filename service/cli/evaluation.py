"""``routeprint eval``: the yardstick on real histories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from fingerprint.evaluation.config import Part
from service.cli.console import HERE, Home, Repo, find_repository, settings_for, show, stages

if TYPE_CHECKING:
    from fingerprint.evaluation.config import EvaluationConfig
    from fingerprint.evaluation.results import Evaluation, TransferRow
    from service.settings import Settings

Tokens = Annotated[
    int | None, typer.Option(min=1, help="Scored tokens an author; the team gets twice as many.")
]
NullSets = Annotated[int | None, typer.Option(min=0, help="Sets of adapters of shuffled authors.")]
NullAuthors = Annotated[int | None, typer.Option(min=2, help="Shuffled authors in each such set.")]
AdapterSeed = Annotated[
    int | None, typer.Option(min=0, help="Order of the adapters' training data; the judged texts stay.")
]
Authors = Annotated[int | None, typer.Option(min=2, help="Authors at most.")]
LeastSamples = Annotated[int | None, typer.Option(min=1, help="Hunk samples an author needs before the cut.")]
Unseen = Annotated[
    int | None, typer.Option(min=0, help="Authors left out in turn; each costs a team adapter.")
]
Commits = Annotated[int | None, typer.Option(min=20, help="Commits a side on which drift is measured.")]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", help=f"A part left out: {', '.join(get_args(Part))}. Repeatable."),
]
Judge = Annotated[
    bool, typer.Option("--judge", help="Ask the model of ROUTEPRINT_LABEL_URL too; sends hunks there.")
]
Fast = Annotated[bool, typer.Option("--fast", help="30,000 tokens an author, one null set, smaller caps.")]
TestShare = Annotated[float | None, typer.Option(min=0.05, max=0.8, help="Share of commits after the cut.")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("eval")(evaluate)


def evaluate(
    manifest: Annotated[
        Path | None, typer.Argument(help="A manifest of repositories; without it, the one of --repo.")
    ] = None,
    repo: Repo = HERE,
    home: Home = None,
    *,
    repositories: Annotated[
        Path, typer.Option(help="Where the manifest's clones are, by name.")
    ] = Path(),
    only: Annotated[
        list[str] | None, typer.Option(help="Of the manifest only this repository; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for NAME.json of each repository and tables.md of all.")
    ] = None,
    foreign: Annotated[
        Path | None, typer.Option(help="Another git repository: foreign diffs, and the null team.")
    ] = None,
    tokens: Tokens = None,
    null_sets: NullSets = None,
    null_authors: NullAuthors = None,
    adapter_seed: AdapterSeed = None,
    authors: Authors = None,
    authors_min: LeastSamples = None,
    unseen: Unseen = None,
    commits: Commits = None,
    test_share: TestShare = None,
    skip: Skip = None,
    judge: Judge = False,
    fast: Fast = False,
) -> None:  # fmt: skip
    """Evaluate attribution, strangers' diffs and p-values on real histories, cut by time.

    The oldest 70 % of human commits train and tune, the newest 30 % test. The same texts are scored by
    character n-grams, per-author perplexity and the routes. A killed run goes on where it stopped.
    """
    from service.cli.evaluation_tables import render, render_all, render_transfer

    chosen = {
        "tokens": tokens, "n_null_sets": null_sets, "most_authors": authors, "least_samples": authors_min,
        "unseen_authors": unseen, "null_authors": null_authors, "drift_commits": commits,
        "skip": _parts(skip), "adapter_seed": adapter_seed, "judge": judge or None,
    }  # fmt: skip
    config = _config(fast, {name: value for name, value in chosen.items() if value is not None})
    if test_share is not None:
        config = config.with_test_share(test_share)
    settings = settings_for(home)
    _check_judge(judge, settings)
    if manifest is None:
        found, transfer = [_evaluate_one(find_repository(repo), foreign, settings, config, out)], []
    else:
        found, transfer = _evaluate_manifest(manifest, repositories, tuple(only or ()), settings, config, out)
    for one in found:
        for part in render(one):
            show(part)
    if len(found) > 1:
        show(render_all(found))
    if transfer:
        show(render_transfer(transfer))


def _check_judge(is_asked: bool, settings: Settings) -> None:
    """Before hours of training: whether the settings name a model.

    Raises:
        ServiceError: they do not.
    """
    if is_asked:
        from service.flows.labelling import endpoint_of

        endpoint_of(settings)


def _parts(names: list[str] | None) -> tuple[str, ...] | None:
    """Names of parts.

    Raises:
        typer.BadParameter: one is no part.
    """
    for name in names or ():
        if name not in get_args(Part):
            raise typer.BadParameter(
                f"expected one of {', '.join(get_args(Part))}; saw {name!r}", param_hint="--skip"
            )
    return tuple(names) if names else None


def _evaluate_one(
    repo: Path, foreign: Path | None, settings: Settings, config: EvaluationConfig, out: Path | None
) -> Evaluation:
    from service.flows.evaluation.repository import evaluate as run

    with stages() as report:
        other = None if foreign is None else find_repository(foreign)
        return run(repo, other, settings, config, report, keep=lambda so_far: _keep([so_far], out))


def _evaluate_manifest(
    path: Path, folder: Path, only: tuple[str, ...], settings: Settings, config: EvaluationConfig,
    out: Path | None,
) -> tuple[list[Evaluation], list[TransferRow]]:  # fmt: skip
    from service.flows.evaluation.all import evaluate_all
    from service.flows.evaluation.backend import Donation, leave_one_out
    from service.flows.evaluation.manifest import read_manifest

    found: list[Evaluation] = []
    donations: list[Donation] = []
    with stages() as report:
        for one in evaluate_all(
            read_manifest(path),
            folder,
            settings,
            config,
            only=only,
            report=report,
            donate=donations.append,
            keep=lambda so_far: _keep([*found, so_far], out),
        ):
            found.append(one)
            _keep(found, out)
    transfer = leave_one_out(donations)
    if transfer:
        _keep(found, out, transfer)
    return found, transfer


def _keep(found: list[Evaluation], out: Path | None, transfer: Sequence[TransferRow] = ()) -> None:
    """Write the newest result, be it whole, and the tables of all so far: a killed run loses one part."""
    from service.cli.evaluation_tables import markdown

    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    text = found[-1].model_dump_json(indent=1) + "\n"
    (out / f"{found[-1].repository}.json").write_text(text, encoding="utf-8")
    (out / "tables.md").write_text(markdown(found, transfer), encoding="utf-8")


def _config(fast: bool, chosen: dict[str, object]) -> EvaluationConfig:
    from fingerprint.evaluation.config import EvaluationConfig

    start = EvaluationConfig.fast() if fast else EvaluationConfig()
    return EvaluationConfig.model_validate(start.model_dump() | chosen)
