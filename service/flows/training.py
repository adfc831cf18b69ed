"""The trainings of a profile, each an artifact: found by its digest, or trained and kept.

A killed training leaves a checkpoint under the artifact's digest and goes on from it in the next run.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from fingerprint.config import ProfileConfig
from fingerprint.passage import Corpus
from service.artifacts import ArtifactStore
from service.flows.bench import Bench, ForeignSlices, Slices, Stage
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.adapters.population import PopulationCount
    from fingerprint.adapters.train import TrainProgress


@dataclass(frozen=True)
class Trained:
    """Every adapter of a profile, with the digest of each.

    Attributes:
        team, null_team: B and the null B (None without a null). reference: everybody's code at an
            author's budget (None without authors). authors: by key. nulls: D of shuffled authors, by
            "author/set". too_little: scored tokens missing, by author. counts: scored
            training tokens by author. budget: scored tokens of every author.
    """

    team: Adapter
    null_team: Adapter | None
    reference: Adapter | None
    authors: dict[str, Adapter]
    nulls: dict[str, Adapter]
    too_little: dict[str, int]
    counts: dict[str, int]
    budget: int
    digests: dict[str, str]


def train_all(bench: Bench, slices: Slices, foreign: ForeignSlices) -> Trained:
    """Train what is not stored: the team, its authors, and beside these, if allowed, their nulls.

    Raises:
        InsufficientCodeError: the team has too little code.
    """
    digests: dict[str, str] = {}
    population = train_own_team(bench, slices, digests)
    with nulls_beside(bench, slices, foreign):
        authors = _train_authors(bench, slices, population, digests)
    nulls, null_team = train_nulls(bench, slices, foreign, population, digests)
    return Trained(
        population.team,
        null_team,
        population.reference,
        authors,
        nulls,
        {author: lack.need - lack.have for author, lack in population.count.too_little.items()},
        population.count.counts,
        population.count.budget,
        digests,
    )


@dataclass(frozen=True)
class Population:
    """The team's adapter and who can be trained over it.

    Attributes:
        team: B. reference: what the authors' states are compared with (None without authors). count: who
            has enough code, and the budget of each.
    """

    team: Adapter
    reference: Adapter | None
    count: PopulationCount


def train_own_team(bench: Bench, slices: Slices, digests: dict[str, str]) -> Population:
    """Train B and the reference, and see who has enough code for an adapter of their own."""
    team = _train_shared(bench, slices.train, slices.dev, digests, "team")
    return Population(team, *_train_reference(bench, slices, digests))


def refit_authors(bench: Bench, train: Corpus, dev: Corpus, trained: Trained) -> Trained:
    """The reference and the authors again, on other code of theirs; the team is left as it is, without nulls.

    Args:
        train, dev: code of the trained authors alone.
    """
    digests: dict[str, str] = {}
    slices = Slices.of(train, dev, Corpus(()), Corpus(()))
    reference, count = _train_reference(bench, slices, digests)
    population = Population(trained.team, reference, count)
    return replace(
        trained, reference=reference, authors=_train_authors(bench, slices, population, digests), nulls={},
        counts=count.counts, budget=count.budget, digests=digests,
    )  # fmt: skip


def train_team_without(bench: Bench, slices: Slices, author: str) -> Adapter:
    """B of the team as it would be had one author never been enrolled, stopped on the others' dev code."""
    parts = slices.train, slices.dev
    train, dev = (Corpus(tuple(p for p in part if p.author != author)) for part in parts)
    return train_team_on(bench, train, dev, f"team without {author}")


def train_team_on(bench: Bench, train: Corpus, dev: Corpus, name: str) -> Adapter:
    """B on any code, stored under a name of its own."""
    return _train_shared(bench, train, dev, {}, name)


def train_nulls(
    bench: Bench, slices: Slices, foreign: ForeignSlices, population: Population, digests: dict[str, str]
) -> tuple[dict[str, Adapter], Adapter | None]:
    """Train the null adapters: D of shuffled authors by "author/set", and B of other people's code."""
    null_team = None
    if foreign.train is not None and foreign.dev is not None:
        null_team = _train_shared(bench, foreign.train, foreign.dev, digests, "null team")
    nulls: dict[str, Adapter] = {}
    for number in range(bench.config.n_null_sets):
        nulls |= _train_null_set(bench, slices, population, number, digests)
    return nulls, null_team


def nulls_beside(bench: Bench, slices: Slices, foreign: ForeignSlices) -> AbstractContextManager[None]:
    """``beside`` with the nulls, if there shall be any."""
    if not bench.config.n_null_sets:
        return nullcontext()
    return beside(bench, "null adapters", _fill_nulls, slices, foreign)


@contextmanager
def beside(bench: Bench, what: str, fill: Callable[..., None], *arguments: Any) -> Iterator[None]:
    """While the block runs, let a second process call ``fill(bench, *arguments)``, then wait for it.

    It only fills the store: whatever it did not finish, for whatever reason, the caller makes itself. Nothing
    is started where one process is set, or where the device is shared.

    Args:
        what: is made there, for people. fill: a module's own function.
    """
    settings = bench.settings
    if settings is None or settings.processes < 2 or settings.device != "cpu":
        yield
        return
    spawn = multiprocessing.get_context("spawn")
    second = spawn.Process(
        target=_fill_store, args=(fill, settings, bench.config, bench.consenting, *arguments), daemon=True
    )
    second.start()
    try:
        yield
        bench.report(Stage(f"{what}, in a second process", 0, None))
        second.join()
    finally:
        second.kill()


def _fill_store(
    fill: Callable[..., None],
    settings: Settings,
    config: ProfileConfig,
    consenting: frozenset[str] | None,
    *arguments: Any,
) -> None:
    """The second process: the same bench over the same store, listing nothing."""
    from service.flows.base import load_routed

    _end_with_parent()
    routed = load_routed(settings, config.base, config.revision, config.adapter.scale)
    store = ArtifactStore(settings.home)
    fill(Bench(routed, store, None, config, lambda _: None, None, consenting), *arguments)


def _fill_nulls(bench: Bench, slices: Slices, foreign: ForeignSlices) -> None:
    """Find the team that the first process stored, and train the nulls."""
    digests: dict[str, str] = {}
    train_nulls(bench, slices, foreign, train_own_team(bench, slices, digests), digests)


def _end_with_parent() -> None:
    """A killed parent cannot stop its children: let this process see for itself that it is an orphan."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _train_shared(
    bench: Bench, train: Corpus, dev: Corpus, digests: dict[str, str], name: str, budget: int | None = None
) -> Adapter:
    """Everybody's code: a team's B, or with an author's budget the reference."""
    from fingerprint.adapters.population import train_reference, train_team

    config = bench.config.adapter
    sizes = {} if budget is None else {"budget": budget}
    digest = bench.digest(name, train=train.digest, dev=dev.digest, config=config.digest, **sizes)
    digests[name] = digest
    run = (
        partial(train_team, kind="null" if name.startswith("null") else "team")
        if budget is None
        else partial(train_reference, budget=budget)
    )
    return bench.adapter(
        digest, name,
        lambda checkpoint, progress: run(
            bench.routed, train, dev, config, checkpoint=checkpoint, progress=progress
        ),
    )  # fmt: skip


def _train_reference(
    bench: Bench, slices: Slices, digests: dict[str, str]
) -> tuple[Adapter | None, PopulationCount]:
    """See who has enough code, and train what their states are compared with."""
    from fingerprint.adapters.population import count_population

    count = count_population(bench.routed, slices.train, bench.config.adapter)
    if bench.consenting is not None:
        count = replace(count, enrolled=tuple(a for a in count.enrolled if a in bench.consenting))
    if not count.enrolled:
        return None, count
    return _train_shared(bench, slices.train, slices.dev, digests, "reference", count.budget), count


@dataclass(frozen=True)
class _AuthorTraining:
    """One author's training and its address.

    Attributes:
        train: their own code, or what a shuffled author was dealt. null_set: number of the shuffling.
    """

    author: str
    train: Corpus
    null_set: int | None
    digest: str

    @property
    def name(self) -> str:
        """Name of the adapter."""
        return self.author if self.null_set is None else f"{self.author}/{self.null_set}"

    @property
    def step(self) -> str:
        """Name of the step, for people."""
        return self.name if self.null_set is None else f"null {self.name}"

    @property
    def kind(self) -> Literal["author", "null"]:
        """Kind of the adapter."""
        return "author" if self.null_set is None else "null"


def _train_authors(
    bench: Bench, slices: Slices, population: Population, digests: dict[str, str], *,
    authors: Sequence[str] | None = None, train: Corpus | None = None, null_set: int | None = None,
) -> dict[str, Adapter]:  # fmt: skip
    """Adapters of the enrolled authors, or of these; on an accelerator in one pass over the base.

    Args:
        train: shuffled code, of null set ``null_set``; by default the team's own.
    """
    code = slices.train if train is None else train
    chosen = population.count.enrolled if authors is None else authors
    trainings = [_author_training(bench, slices, code, population, author, null_set) for author in chosen]
    digests |= {one.name: one.digest for one in trainings}
    _fill_together(bench, slices, population, trainings)
    return {one.name: _train_author(bench, slices, population, one) for one in trainings}


def _author_training(
    bench: Bench, slices: Slices, train: Corpus, population: Population, author: str, null_set: int | None
) -> _AuthorTraining:
    own, reference = train.where_author(author), population.reference
    assert reference is not None, "authors are trained after their reference"
    digest = bench.digest(
        "author", train=own.digest, dev=slices.dev.digest, config=bench.config.adapter.digest,
        reference=reference.digest, author=author, budget=population.count.budget, null_set=null_set,
    )  # fmt: skip
    return _AuthorTraining(author, own, null_set, digest)


def _train_author(bench: Bench, slices: Slices, population: Population, one: _AuthorTraining) -> Adapter:
    from fingerprint.adapters.population import train_author

    reference = population.reference
    assert reference is not None, "authors are trained after their reference"
    return bench.adapter(
        one.digest, one.step,
        lambda checkpoint, progress: train_author(
            bench.routed, reference, one.train, slices.dev, bench.config.adapter, author=one.author,
            budget=population.count.budget, kind=one.kind, checkpoint=checkpoint, progress=progress,
        ),
    )  # fmt: skip


def _fill_together(
    bench: Bench, slices: Slices, population: Population, trainings: Sequence[_AuthorTraining]
) -> None:
    """Store what is missing of several authors, where training them at once is faster."""
    from fingerprint.adapters.population import AuthorCode, pays_together, train_authors

    missing = {one.name: one for one in trainings if bench.store.find("adapter", one.digest) is None}
    if len(missing) < 2 or not pays_together(bench.routed):
        return
    assert population.reference is not None, "authors are trained after their reference"

    def store(name: str, adapter: Adapter) -> None:
        digest = missing[name].digest
        bench.store.put("adapter", digest, adapter.save)
        bench.store.drop_checkpoints(digest)

    def told(state: TrainProgress) -> None:
        what = f"{len(missing)} adapters of authors at once"
        bench.report(Stage(what, state.step, state.steps, state.tokens_per_second, state.seconds_left))

    codes = {
        name: AuthorCode(one.author, one.train, one.kind, bench.store.begin_checkpoint(one.digest))
        for name, one in missing.items()
    }
    train_authors(
        bench.routed, population.reference, codes, slices.dev, bench.config.adapter,
        budget=population.count.budget, finished=store, progress=told,
    )  # fmt: skip


def _train_null_set(
    bench: Bench, slices: Slices, population: Population, number: int, digests: dict[str, str]
) -> dict[str, Adapter]:
    """Adapters of authors whose labels were shuffled by commit; whoever is, or was, alone has no such null.

    All share one budget, so every null speaks for every author and ``config.null_authors`` of them do.
    """
    from fingerprint.adapters.population import shuffled_enough

    authors, config = population.count.enrolled, bench.config.adapter
    if len(authors) < 2:
        return {}
    own = Corpus(tuple(passage for passage in slices.train if passage.author in authors))
    shuffled = shuffle_enrolled(slices.train, authors, config.seed + number)
    usable = shuffled_enough(bench.routed, own, shuffled, population.count, config)
    chosen = usable[: bench.config.null_authors]
    return _train_authors(bench, slices, population, digests, authors=chosen, train=shuffled, null_set=number)


def shuffle_enrolled(train: Corpus, authors: Collection[str], seed: int) -> Corpus:
    """Enrolled authors' training code with their labels shuffled by commit: what null adapters read.

    Args:
        seed: the adapters' own, plus the number of the set.
    """
    from fingerprint.adapters.population import shuffle_authors

    return Corpus.of(shuffle_authors([p for p in train if p.author in authors], seed))
