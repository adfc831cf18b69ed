"""A manifest's repositories, one evaluation each; what an earlier run finished is found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.results import Evaluation
from service.flows.bench import Progress, Stage
from service.flows.evaluation.manifest import Manifest, RepositoryEntry, find_clone
from service.flows.evaluation.people import evaluate_people
from service.flows.evaluation.repository import evaluate
from service.flows.evaluation.text import HistoryChoice
from service.settings import Settings

if TYPE_CHECKING:
    from service.flows.evaluation.backend import Donation


def evaluate_all(
    manifest: Manifest, folder: Path, settings: Settings, config: EvaluationConfig, *,
    only: tuple[str, ...] = (), report: Progress = lambda _: None,
    donate: Callable[[Donation], None] = lambda _: None, keep: Callable[[Evaluation], None] = lambda _: None,
) -> Iterator[Evaluation]:  # fmt: skip
    """Evaluate every repository of a manifest, or only those named, in its order; then its people.

    People stand for themselves as "people, LANGUAGE".

    Args:
        folder: where the clones are. donate: is given what each repository teaches a common back-end.
        keep: is given a repository's result so far after every part.

    Raises:
        ManifestError: a name or a clone is missing; before anything is computed.
    """
    languages = [f"people, {language}" for language in manifest.languages_of_people()]
    people = [name for name in languages if name in only or not only]
    chosen = (
        [manifest.entry(name) for name in only if name not in people]
        if only
        else [entry for entry in manifest.repositories if entry.is_evaluated]
    )
    clones = {entry.name: find_clone(entry, folder) for entry in chosen}
    others = {entry.foreign: manifest.entry(entry.foreign) for entry in chosen if entry.foreign}
    clones |= {name: find_clone(entry, folder) for name, entry in others.items()}
    for entry in chosen:
        foreign = others.get(entry.foreign)

        def told(stage: Stage, name: str = entry.name) -> None:
            report(_named(stage, name))

        yield evaluate(
            clones[entry.name],
            None if foreign is None else clones[foreign.name],
            settings,
            config,
            told,
            choice=choice_of(entry),
            foreign_choice=None if foreign is None else choice_of(foreign),
            name=entry.name,
            donate=donate,
            keep=keep,
        )

    for name in people:
        language = name.removeprefix("people, ")
        yield evaluate_people(manifest, language, folder, settings, config, report)


def choice_of(entry: RepositoryEntry) -> HistoryChoice:
    """What of a manifest's repository is read."""
    return HistoryChoice(entry.revision, entry.cut_seconds, entry.authors, entry.merged, entry.changes)


def _named(stage: Stage, name: str) -> Stage:
    return Stage(
        f"{name}: {stage.name}", stage.done, stage.total, stage.tokens_per_second, stage.seconds_left,
        stage.is_stored,
    )  # fmt: skip
