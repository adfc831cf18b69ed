"""People told apart across projects (S5): trained on one project of each, tested on their others.

Within one repository most of "author" is project and topic (evaluation.md section 0.2). Here no test text
comes from a project that its author was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.results import Evaluation
from fingerprint.passage import Corpus, Passage
from service.flows.bench import Progress, Stage
from service.flows.evaluation.manifest import Manifest, RepositoryEntry, find_clone
from service.flows.evaluation.repository import as_evaluation
from service.flows.evaluation.text import History, HistoryChoice, choose_material, read_history_of
from service.settings import Settings

_SHARES = (0.7, 0.1, 0.2)
"""Train, dev and past shares of a training project, oldest first."""


def evaluate_people(
    manifest: Manifest, language: str, folder: Path, settings: Settings, config: EvaluationConfig,
    report: Progress = lambda _: None,
) -> Evaluation:  # fmt: skip
    """Attribution of one language's people, every test text from another project than the training texts.

    Raises:
        ManifestError: a clone is missing. ServiceError: fewer than two people with enough code.
    """
    from service.flows.evaluation.attribution import attribute
    from service.flows.evaluation.setup import loss_tables, open_bench, set_up

    name = f"people, {language}"
    report(Stage(f"{name}: read histories", 0, None))
    history = _join(name, _read(manifest, language, folder, settings, config))
    material = choose_material(history, config)
    place = folder / name.replace(", ", "-")
    bench = open_bench(
        place, settings, config, lambda stage: report(replace(stage, name=f"{name}: {stage.name}"))
    )
    setup = set_up(bench, history, None, material, config)
    adapters, losses = loss_tables(setup)
    return as_evaluation(setup, name, adapters=adapters, losses=losses, **vars(attribute(setup)[0]))


def _read(
    manifest: Manifest, language: str, folder: Path, settings: Settings, config: EvaluationConfig
) -> Iterator[tuple[bool, Corpus]]:
    """(whether it trains, code) of every person and project; the author is the person."""
    people = {person.name: person.code for person in manifest.people}
    histories: dict[str, Corpus] = {}
    for person, entries in manifest.people_in(language).items():
        for number, entry in enumerate(entries):
            if entry.name not in histories:
                histories[entry.name] = _whole(entry, folder, settings, config)
            own = histories[entry.name].where_author(people[person][entry.name])
            kept = (p for p in own if p.language == language)
            yield number == 0, Corpus(tuple(_as(passage, person, entry.name) for passage in kept))


def _whole(entry: RepositoryEntry, folder: Path, settings: Settings, config: EvaluationConfig) -> Corpus:
    choice = HistoryChoice(entry.revision, None, (), entry.merged)
    history = read_history_of(find_clone(entry, folder), settings, config, choice)
    return Corpus(tuple(passage for part in history.slices for passage in part))


def _as(passage: Passage, person: str, project: str) -> Passage:
    return replace(
        passage,
        author=f"human:{person}",
        group=f"{project}/{passage.group}",
        path=f"{project}/{passage.path}",
    )


def _join(name: str, parts: Iterator[tuple[bool, Corpus]]) -> History:
    """Train, dev and the past slice from the training projects, by time; test from the others."""
    slices: list[list[Passage]] = [[], [], [], []]
    for is_training, code in parts:
        if not is_training:
            slices[3] += code.passages
            continue
        for part, own in zip(slices[:3], code.split_by_time(_SHARES), strict=True):
            part += own.passages
    people = {passage.author for part in slices for passage in part}
    return History(name, tuple(Corpus.of(part) for part in slices), {}, len(people), {})
