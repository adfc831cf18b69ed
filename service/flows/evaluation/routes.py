"""Other routes for a base, to be held against its own: fitted on one team, or made to carry style.

``python -m service.flows.evaluation.routes MANIFEST NAME --repositories FOLDER --kind KIND --out DIR`` writes
a base directory: the base's own files, and ``routes`` of its own. Without the ``routes`` folder a base
directory gets random ones. ``service.flows.evaluation.bases`` then evaluates them side by side. NAME is the
repository that is going to be judged: KIND ``team`` reads its train slice alone, ``contrast`` every other
repository of the manifest that shares no person with it.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.protocol import Sample, cap_newest, only_authors, samples_of
from fingerprint.evaluation.splits import directories_of
from fingerprint.passage import Corpus
from fingerprint.storage import written_whole
from service import ServiceError
from service.artifacts import read_arrays, write_arrays
from service.flows.bench import Bench, print_steps
from service.flows.evaluation.all import choice_of
from service.flows.evaluation.manifest import Manifest, find_clone, read_manifest
from service.flows.evaluation.setup import open_bench
from service.flows.evaluation.text import History, choose_material, read_history_of
from service.settings import Settings, read_settings

if TYPE_CHECKING:
    from fingerprint.lm.routes import Routes
    from fingerprint.routing.contrast import ContrastTexts

Kind = Literal["team", "contrast"]
LEAST_TEXTS = 30
"""Texts an author needs to teach a contrast."""
MOST_TEXTS = 600
"""Texts of a repository, the newest of each author."""
MOMENT_BATCHES = 40
TEAM_STEPS = 400
"""Optimiser steps of a joint fit, 2,048 tokens each."""


def fit_team_routes(history: History, bench: Bench, config: EvaluationConfig) -> Routes:
    """A fitted jointly on the code of the authors who will be judged, each with a B of their own."""
    from fingerprint.lm.fit import FitConfig, fit_routes, passage_batches
    from fingerprint.lm.load import has_fast_bf16

    authors = choose_material(history, config).authors
    corpora = [history.slices[0].where_author(author).passages for author in authors]
    base = bench.routed.base
    counter = bench.counter("routes of the team", TEAM_STEPS)
    return fit_routes(
        base, passage_batches(base, corpora), FitConfig(bench.routed.routes.rank, TEAM_STEPS),
        autocast=has_fast_bf16(base.device), progress=lambda _: counter(1),
    )  # fmt: skip


def fit_contrast_routes(teachers: Sequence[tuple[Bench, History]], shuffled: int | None = None) -> Routes:
    """A trained from the base's own on the texts of other repositories.

    Args:
        shuffled: seed of the null: authors dealt anew over each repository's commits within quarters.
    """
    from fingerprint.lm.fit import passage_batches, site_second_moments
    from fingerprint.routing.contrast import ContrastConfig, contrast_routes

    bench = teachers[0][0]
    routed = bench.routed
    samples = [teaching_samples(history) for _, history in teachers]
    texts = [_texts(own, some, shuffled) for (own, _), some in zip(teachers, samples, strict=True)]
    corpora = [[passage for sample in some for passage in sample.passages] for some in samples]
    batches = (batch for _, batch in islice(passage_batches(routed.base, corpora), MOMENT_BATCHES))
    moments = site_second_moments(routed, batches)
    counter = bench.counter("contrast of the routes", ContrastConfig().steps)
    return contrast_routes(routed.routes, moments, texts, progress=lambda _step, _loss: counter(1))


def teaching_samples(history: History) -> list[Sample]:
    """Texts of the authors who have enough, the newest of each, evenly."""
    every = samples_of(passage for corpus in history.slices for passage in corpus)
    counts = Counter(sample.author for sample in every)
    authors = [author for author, n in counts.items() if n >= LEAST_TEXTS]
    share = max(LEAST_TEXTS, MOST_TEXTS // max(len(authors), 1))
    return cap_newest(only_authors(every, authors), share)


def _texts(bench: Bench, samples: Sequence[Sample], shuffled: int | None) -> ContrastTexts:
    """The samples' sketches, found or read, with their true or dealt authors."""
    from fingerprint.adapters.population import shuffle_authors
    from fingerprint.evaluation.attribution import tokenize_samples
    from fingerprint.routing.contrast import ContrastTexts, sketch_gradients

    routed, most = bench.routed, bench.config.adapter.max_passage_tokens
    corpus = Corpus(tuple(passage for sample in samples for passage in sample.passages))

    def write(directory: Path) -> None:
        read = tokenize_samples(routed, samples, max_tokens=most, most_scored=most)
        count = bench.counter("sketches of gradients", read.n_tokens)
        sketches = sketch_gradients(routed, read.rows, read.owner, n_texts=len(samples), progress=count)
        write_arrays(directory / "values.safetensors", sketches)

    digest = bench.digest("sketches of gradients", samples=corpus.digest, most=most)
    place = bench.make("evaluation", digest, "sketches of gradients", write)
    first = [sample.passages[0] for sample in samples]
    named = first if shuffled is None else shuffle_authors(first, shuffled)
    return ContrastTexts(
        read_arrays(place / "values.safetensors"),
        [passage.author for passage in named],
        directories_of(samples, np.arange(len(samples))),
        [sample.group for sample in samples],
    )


def write_base(routes: Routes, base: str, directory: Path) -> None:
    """A local base's files with these routes beside them, replacing the directory in one move.

    Raises:
        ServiceError: the base is a hub's, whose files are not ours to copy.
    """
    from fingerprint.lm.load import STARTER, STARTER_DIRECTORY

    source = STARTER_DIRECTORY if base == STARTER else Path(base)
    if not source.is_dir():
        raise ServiceError(
            f"expected the embedded base or a local directory, saw {base!r}: save that base to a directory"
        )
    with written_whole(directory) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True, ignore=shutil.ignore_patterns("routes"))
        routes.save(fresh / "routes")


def make_routes(
    manifest: Manifest, name: str, folder: Path, kind: Kind, settings: Settings, config: EvaluationConfig,
    *, shuffled: int | None = None,
) -> Routes:  # fmt: skip
    """Routes of the embedded base for judging one repository.

    Args:
        shuffled: seed of the contrast's null; None for the true authors.

    Raises:
        ManifestError: a name or a clone is missing. ServiceError: no other repository without its people.
    """

    def opened(own: str) -> tuple[Bench, History]:
        entry = manifest.entry(own)
        clone = find_clone(entry, folder)
        history = read_history_of(clone, settings, config, choice_of(entry))
        return open_bench(clone, settings, config, print_steps), history

    bench, judged = opened(name)
    if kind == "team":
        return fit_team_routes(judged, bench, config)
    people = _people(judged)
    others = [opened(entry.name) for entry in manifest.repositories if entry.name != name]
    teachers = [(own, history) for own, history in others if not people & _people(history)]
    if not teachers:
        raise ServiceError(
            f"expected repositories that share no person with {name}, saw none among {len(others)}: name "
            "others in the manifest"
        )
    return fit_contrast_routes(teachers, shuffled)


def _people(history: History) -> set[str]:
    return {passage.author for corpus in history.slices for passage in corpus}


def main() -> None:
    """Make the routes named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("name", help="the repository of the manifest that is going to be judged")
    parser.add_argument("--repositories", type=Path, required=True, help="where the clones are, by name")
    parser.add_argument("--kind", choices=get_args(Kind), required=True)
    parser.add_argument("--only", action="append", default=[], help="a teacher; may be repeated")
    parser.add_argument("--shuffled", type=int, help="seed of the contrast's null: authors dealt anew")
    parser.add_argument("--home", type=Path, help="where results are kept")
    parser.add_argument("--out", type=Path, required=True, help="the base directory that is written")
    given = parser.parse_args()
    manifest = read_manifest(given.manifest)
    if given.only:
        entries = tuple(manifest.entry(one) for one in (given.name, *given.only))
        manifest = manifest.model_copy(update={"repositories": entries})
    settings = read_settings(home=given.home)
    routes = make_routes(
        manifest, given.name, given.repositories, given.kind, settings, EvaluationConfig(),
        shuffled=given.shuffled,
    )  # fmt: skip
    write_base(routes, settings.base, given.out)


if __name__ == "__main__":
    main()
