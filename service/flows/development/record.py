"""Record how an author's adapter is trained: the profile's own training again, with its states kept.

So are shuffled authors, the profile's null adapters: a reading of a training is worth what sets it apart from
theirs. The states, the data order and the losses are one artifact. Budget, seed and text are the profile's,
so the best recorded state is the adapter's; by how much it is not (another machine, other threads) is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.passage import Corpus
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import read_json
from service.flows.bench import Stage
from service.flows.opened import OpenedProfile, label_of
from service.flows.profile import NotProfiledError

if TYPE_CHECKING:
    from fingerprint.adapters.train import Development, TrainedWeights, TrainProgress
    from fingerprint.development.checkpoints import CheckpointSeries
    from fingerprint.lm.pair import RoutedModel

KIND = "development"
N_KEPT = 12
"""States kept: 0, the last, and ten between them by equal ratios."""


class NotRecordedError(ServiceError):
    """An author's training was not recorded; the message names the command."""


@dataclass(frozen=True)
class Recording:
    """A recorded training in the store.

    Attributes:
        author: key; of a shuffled author the null adapter's name. digest, place: of the artifact; states lie
            in folders named by step. facts: steps, losses, distance to the profile's adapter. order: by step
            from 1, the commits and paths it read.
    """

    author: str
    digest: str
    place: Path
    facts: dict[str, Any]
    order: tuple[dict[str, Any], ...]

    def series(self, routed: RoutedModel) -> CheckpointSeries[RoutedModel]:
        """The recorded states, swapped on the profile's routed model."""
        from fingerprint.development.checkpoints import adapter_series

        return adapter_series(routed, self.place / "states")

    def commits_by(self, step: int) -> tuple[str, ...]:
        """Commits read by a step, in order of first reading."""
        read = (commit for entry in self.order[:step] for commit in entry["commits"])
        return tuple(dict.fromkeys(read))


def author_of(opened: OpenedProfile, word: str | None) -> str:
    """The enrolled author a word means; None: whoever has most code to train on.

    Raises:
        UnknownAuthorError: it fits none or several. NotProfiledError: the author was not trained.
    """
    if word is not None:
        return opened.author_of(word)
    if not opened.authors:
        raise NotProfiledError(
            f"{opened.repository} has no author with an adapter of their own: too little code of each"
        )
    sizes = {
        key: sum(len(passage.marked) for passage in opened.plan.slices.train.where_author(key))
        for key in opened.authors
    }
    return max(sizes, key=lambda key: (sizes[key], key))


def record_author(opened: OpenedProfile, author: str, n_kept: int = N_KEPT) -> Recording:
    """Train (or find) one author's adapter with its states; a killed training goes on where it stopped.

    Args:
        author: key of an author, or the name of a null adapter: a shuffled author.

    Raises:
        NotProfiledError: the author was not trained. FingerprintError: fewer than two states are asked for.
    """
    bench, slices = opened.bench, opened.plan.slices
    adapter, config = opened.adapter(author), bench.config.adapter
    own, budget = opened.trained_on(author), int(adapter.facts["budget"])
    digest = bench.digest(
        KIND, train=own.digest, dev=slices.dev.digest, config=config.digest, author=author, budget=budget,
        adapter=adapter.digest, n_kept=n_kept,
    )  # fmt: skip
    name = f"development of {author}"

    def progress(state: TrainProgress) -> None:
        bench.report(Stage(name, state.step, state.steps, state.tokens_per_second, state.seconds_left))

    def write(directory: Path) -> None:
        from fingerprint.adapters.population import train_author_state

        trained = train_author_state(
            bench.routed, own, slices.dev, config, author=label_of(author)[0], budget=budget, n_kept=n_kept,
            checkpoint=bench.store.begin_checkpoint(digest), progress=progress,
        )  # fmt: skip
        assert trained.development is not None, "a training that keeps states has a development"
        _write_states(opened, directory / "states", trained.development, own)
        write_json(directory / "order.json", _order(trained.development, own))
        write_json(directory / "recording.json", _facts(opened, author, trained))

    place = bench.make(KIND, digest, name, write)
    bench.store.drop_checkpoints(digest)
    assert bench.record is not None, "a profiled repository has a record"
    bench.record.point(_pointer(author), digest)
    return _load(author, digest, place)


def load_recording(opened: OpenedProfile, author: str) -> Recording:
    """An author's recorded training.

    Raises:
        NotRecordedError: there is none, or it is of another profile.
    """
    bench = opened.bench
    digest = bench.record.pointer(_pointer(author)) if bench.record else None
    place = None if digest is None else bench.store.find(KIND, digest)
    remedy = f"run `routeprint develop record '{author}' --repo {opened.repository}`"
    if digest is None or place is None:
        raise NotRecordedError(f"no recorded training of {author} yet; {remedy}")
    found = _load(author, digest, place)
    if found.facts["adapter"] != opened.adapter(author).digest:
        raise NotRecordedError(f"the recorded training of {author} is of another profile's adapter; {remedy}")
    return found


def record_nulls(opened: OpenedProfile, n: int, n_kept: int = N_KEPT) -> tuple[Recording, ...]:
    """Record as many shuffled authors, the first of the profile's null adapters.

    Raises:
        NotRecordedError: the profile has fewer. Others as in ``record_author``.
    """
    names = opened.null_names[:n]
    if len(names) < n:
        raise NotRecordedError(
            f"{n} shuffled authors are wanted, the profile of {opened.repository} has {len(names)}: run "
            "`routeprint profile --null-sets 2`, or record fewer"
        )
    return tuple(record_author(opened, name, n_kept) for name in names)


def load_nulls(opened: OpenedProfile, most: int | None = None) -> tuple[Recording, ...]:
    """The shuffled authors that were recorded, at most so many; none is no error.

    All share every author's budget, so each stands beside any author.
    """
    found: list[Recording] = []
    for name in opened.null_names:
        try:
            found.append(load_recording(opened, name))
        except NotRecordedError:
            continue
    return tuple(found[:most])


def _pointer(author: str) -> str:
    return f"{KIND}/{author}"


def _load(author: str, digest: str, place: Path) -> Recording:
    order = tuple(read_json(place / "order.json"))
    return Recording(author, digest, place, read_json(place / "recording.json"), order)


def _write_states(opened: OpenedProfile, states: Path, development: Development, own: Corpus) -> None:
    from fingerprint.adapters.population import author_snapshot
    from fingerprint.development.checkpoints import FACTS, step_folder

    config = opened.bench.config.adapter
    for step, state in development.states.items():
        facts = {"step": step, "tokens_seen": sum(development.tokens[:step])}
        place = states / step_folder(step)
        author_snapshot(opened.bench.routed, state, own, config, facts).save(place)
        write_json(place / FACTS, facts)


def _order(development: Development, own: Corpus) -> list[dict[str, Any]]:
    """What every step read: commits, paths, counts and loss."""
    steps = zip(development.order, development.scored, development.tokens, development.losses, strict=True)
    return [
        {"commits": sorted({own.passages[i].group for i in read}), "passages": list(read),
         "paths": sorted({own.passages[i].path for i in read}),
         "scored": scored, "tokens": tokens, "loss": loss}
        for read, scored, tokens, loss in steps
    ]  # fmt: skip


def _facts(opened: OpenedProfile, author: str, trained: TrainedWeights) -> dict[str, Any]:
    from fingerprint.lm.pair import subtract_weights

    adapter, reference = opened.adapter(author), opened.adapter("reference")
    assert trained.development is not None, "as in record_author"
    difference = subtract_weights(trained.weights, reference.state)
    apart = max(float((difference[site] - D).abs().max()) for site, D in adapter.weights.items())
    return {
        "author": author, "steps": trained.facts.steps, "kept": sorted(trained.development.states),
        "adapter": adapter.digest, "distance_to_adapter": apart, "training": trained.facts.to_dict(),
    }  # fmt: skip
