"""The population protocol: one team, its authors at one budget and one data order, and their nulls.

An author is not trained on from the team's B, which has read the author's code: little is left to learn there
but to unlearn. Author and *reference*, the whole team's code at an author's budget, both start from the base,
and D is the difference of the two: what training does to any adapter cancels, and the author against the
team is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fingerprint.adapters.adapter import Adapter, Kind
from fingerprint.adapters.budget import (
    InsufficientCodeError,
    balanced_windows,
    check_enough,
    count_scored,
    equal_budget,
    recent_windows,
    spread_windows,
    windows_by_author,
)
from fingerprint.adapters.plan import wants_bf16
from fingerprint.adapters.stacked import StackedTask, train_stacked
from fingerprint.adapters.train import (
    TrainedWeights,
    TrainProgress,
    mean_dev_loss,
    state_kept,
    train_adapter,
)
from fingerprint.config import AdapterConfig
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs, subtract_weights
from fingerprint.lm.tokens import TokenizedPassage, tokenize_passages
from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import Provenance

MOST_OWN = 0.9
"""A null adapter reads at most this share of its tokens in common with the author's own adapter."""
Progress = Callable[[str, TrainProgress], None]
"""Called with the author's key ("" for the team) and where their training stands."""


@dataclass(frozen=True, eq=False)
class Population:
    """A team's adapter and its authors' differences to it.

    Attributes:
        team: the team's B. reference: everybody's code at an author's budget. authors: D by author key.
        too_little: authors left out, with what they lack. budget: scored tokens every author was trained
            for.
    """

    team: Adapter
    reference: Adapter
    authors: dict[str, Adapter]
    too_little: dict[str, InsufficientCodeError]
    budget: int


def train_population(
    routed: RoutedModel,
    train: Corpus,
    dev: Corpus,
    config: AdapterConfig,
    *,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> Population:
    """Train the team, then every author with enough code, all at one budget and data order.

    Raises:
        InsufficientCodeError: the team itself has too little code.
    """
    team = train_team(
        routed, train, dev, config, checkpoint=_beside(checkpoints, "team"), progress=_named(progress, "")
    )
    count = count_population(routed, train, config)
    reference = train_reference(
        routed, train, dev, config, budget=count.budget,
        checkpoint=_beside(checkpoints, "reference"), progress=_named(progress, ""),
    )  # fmt: skip
    authors = {
        author: train_author(
            routed,
            reference,
            train.where_author(author),
            dev,
            config,
            author=author,
            budget=count.budget,
            checkpoint=_beside(checkpoints, f"author-{number}"),
            progress=_named(progress, author),
        )
        for number, author in enumerate(count.enrolled)
    }
    return Population(team, reference, authors, count.too_little, count.budget)


def train_team(
    routed: RoutedModel,
    train: Corpus,
    dev: Corpus,
    config: AdapterConfig,
    *,
    kind: Kind = "team",
    checkpoint: Path | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Adapter:
    """The team's B, on tokens balanced over authors, the most recent first.

    Args:
        kind: "null" when the passages are another repository's.

    Raises:
        InsufficientCodeError: fewer scored tokens than ``config.least_team_tokens``.
    """
    return _train_shared(
        routed, train, dev, config, config.team_tokens, kind=kind, least=config.least_team_tokens,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip


def train_reference(
    routed: RoutedModel,
    train: Corpus,
    dev: Corpus,
    config: AdapterConfig,
    *,
    budget: int,
    checkpoint: Path | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Adapter:
    """What an author's budget of everybody's code teaches: what the authors' states are compared with."""
    return _train_shared(
        routed, train, dev, config, budget, kind="team", checkpoint=checkpoint, progress=progress
    )


def _train_shared(
    routed: RoutedModel,
    train: Corpus,
    dev: Corpus,
    config: AdapterConfig,
    budget: int,
    *,
    kind: Kind,
    least: int = 0,
    checkpoint: Path | None,
    progress: Callable[[TrainProgress], None] | None,
) -> Adapter:
    passages = train.passages
    windows = tokenize_passages(routed.base, passages, config.max_passage_tokens)
    check_enough(count_scored(windows), least, "The team")
    trained = train_adapter(
        routed,
        balanced_windows(windows_by_author(passages, windows), budget),
        tokenize_passages(routed.base, dev.passages, config.max_passage_tokens),
        start=routed.zero_weights(),
        config=config,
        budget_tokens=budget,
        checkpoint=checkpoint,
        progress=progress,
    )
    return Adapter.of_team(
        trained.weights,
        routed,
        provenance=_provenance(routed, train, config),
        facts=trained.facts.to_dict(),
        kind=kind,
    )


def train_author(
    routed: RoutedModel,
    reference: Adapter,
    train: Corpus,
    dev: Corpus,
    config: AdapterConfig,
    *,
    author: str,
    budget: int,
    kind: Kind = "author",
    checkpoint: Path | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> Adapter:
    """One author's D: the state trained on their code, best on dev, minus the reference.

    Args:
        reference: ``train_reference`` at the same budget. The others: as in ``train_author_state``.

    Raises:
        InsufficientCodeError: fewer scored tokens than ``config.least_author_tokens``.
    """
    trained = train_author_state(
        routed, train, dev, config, author=author, budget=budget, checkpoint=checkpoint, progress=progress
    )
    return _difference(routed, reference, AuthorCode(author, train, kind), config, budget, trained)


@dataclass(frozen=True, eq=False)
class AuthorCode:
    """One author's training beside others': the arguments of ``train_author`` that are their own."""

    author: str
    train: Corpus
    kind: Kind = "author"
    checkpoint: Path | None = None


def pays_together(routed: RoutedModel) -> bool:
    """Whether several authors are trained faster at once: an accelerator waits for one author's small steps.

    A CPU core is full with one (``make bench``).
    """
    return routed.device.type != "cpu"


def train_authors(
    routed: RoutedModel,
    reference: Adapter,
    codes: Mapping[str, AuthorCode],
    dev: Corpus,
    config: AdapterConfig,
    *,
    budget: int,
    finished: Callable[[str, Adapter], None],
    progress: Callable[[TrainProgress], None] | None = None,
) -> None:
    """Several authors' D in one pass over the base; each is that of ``train_author`` up to rounding.

    Args:
        codes: by a name of the caller's. finished: is given each D as its training ends.

    Raises:
        InsufficientCodeError: an author has fewer scored tokens than ``config.least_author_tokens``.
    """
    tasks: dict[str, StackedTask] = {}
    start = routed.zero_weights()
    for name, code in codes.items():
        windows, own_dev = author_windows(routed, code.train, dev, code.author, config)
        tasks[name] = StackedTask(windows, own_dev, start, config, budget, code.checkpoint)

    def told(name: str, trained: TrainedWeights) -> None:
        finished(name, _difference(routed, reference, codes[name], config, budget, trained))

    train_stacked(routed, tasks, progress=progress, finished=told)


def _difference(
    routed: RoutedModel, reference: Adapter, code: AuthorCode, config: AdapterConfig, budget: int,
    trained: TrainedWeights,
) -> Adapter:  # fmt: skip
    """D: a trained state minus the reference."""
    return Adapter.of_author(
        subtract_weights(trained.weights, reference.state),
        reference.state,
        routed,
        provenance=_provenance(routed, code.train, config),
        facts={"author": code.author, "budget": budget, **trained.facts.to_dict()},
        kind=code.kind,
    )


def train_author_state(
    routed: RoutedModel,
    train: Corpus,
    dev: Corpus,
    config: AdapterConfig,
    *,
    author: str,
    budget: int,
    n_kept: int = 0,
    checkpoint: Path | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> TrainedWeights:
    """The state that an author's code trains from the base, best on dev, nothing taken off.

    The start is never kept, however little training helps on dev: it would show nothing of the author.

    Args:
        train: the author's own passages. dev: the team's; the author's own are used when they are enough to
            stop on (a quarter of ``config.dev_tokens``), else all of it.
        n_kept: states to keep along the way, at log-spaced steps; the training itself is the same.

    Raises:
        InsufficientCodeError: fewer scored tokens than ``config.least_author_tokens``.
    """
    windows, own_dev = author_windows(routed, train, dev, author, config)
    return train_adapter(
        routed,
        windows,
        own_dev,
        start=routed.zero_weights(),
        config=config,
        budget_tokens=budget,
        checkpoint=checkpoint,
        progress=progress,
        may_keep_start=False,
        n_kept=n_kept,
    )


def author_snapshot(
    routed: RoutedModel, state: RouteWeights, train: Corpus, config: AdapterConfig, facts: dict[str, Any]
) -> Adapter:
    """A state kept on the way of ``train_author_state``, as an adapter that starts at the base."""
    provenance = _provenance(routed, train, config)
    return Adapter.of_team(state, routed, provenance=provenance, facts=facts, kind="author")


@dataclass(frozen=True, slots=True)
class PopulationCount:
    """Who can be trained.

    Attributes:
        counts: scored training tokens by author. enrolled: the authors with enough, of them.
        too_little: what the others lack. budget: scored tokens that each enrolled one is trained for.
    """

    counts: dict[str, int]
    enrolled: tuple[str, ...]
    too_little: dict[str, InsufficientCodeError]
    budget: int


def count_population(routed: RoutedModel, train: Corpus, config: AdapterConfig) -> PopulationCount:
    """Who has enough code in the training slice."""
    windows = windows_by_author(
        train.passages, tokenize_passages(routed.base, train.passages, config.max_passage_tokens)
    )
    counts, least = {a: count_scored(own) for a, own in windows.items()}, config.least_author_tokens
    enrolled = {author: n for author, n in counts.items() if n >= least}
    too_little = {a: InsufficientCodeError(a, n, least) for a, n in counts.items() if n < least}
    budget = equal_budget(enrolled, config.author_tokens, config.most_epochs)
    return PopulationCount(counts, tuple(enrolled), too_little, budget)


def shuffle_authors(passages: Iterable[Passage], seed: int) -> list[Passage]:
    """The same passages with authors permuted over commits, within calendar quarters.

    A commit (group and author) keeps its passages together, so that what a null adapter loses is the
    author, not the commit's topic or time.
    """
    passages = list(passages)
    quarter_of: dict[tuple[str, str], tuple[int, int]] = {}
    for passage in passages:
        when = datetime.fromtimestamp(passage.written_at, UTC)
        quarter_of.setdefault((passage.group, passage.author), (when.year, (when.month - 1) // 3))
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[str, str], str] = {}
    for quarter in sorted(set(quarter_of.values())):
        commits = [commit for commit, found in quarter_of.items() if found == quarter]
        order = rng.permutation(len(commits))
        drawn.update({commit: commits[i][1] for commit, i in zip(commits, order, strict=True)})
    return [replace(passage, author=drawn[passage.group, passage.author]) for passage in passages]


def shuffled_enough(
    routed: RoutedModel, train: Corpus, shuffled: Corpus, count: PopulationCount, config: AdapterConfig
) -> list[str]:
    """Enrolled authors whose shuffled text is enough for an adapter, and not their own text over again.

    Where nearly every commit of some quarters is one person's, so is what that person is dealt: an adapter of
    it is the author's own, and no null.
    """

    def read(corpus: Corpus, author: str) -> dict[bytes, int]:
        passages = corpus.where_author(author).passages
        windows = tokenize_passages(routed.base, passages, config.max_passage_tokens)
        return {window.ids.tobytes(): window.n_scored for window in recent_windows(windows, count.budget)}

    usable: list[str] = []
    for author in count.enrolled:
        own, dealt = read(train, author), read(shuffled, author)
        n_dealt = sum(dealt.values())
        n_own = sum(n for window, n in dealt.items() if window in own)
        if n_dealt >= config.least_author_tokens and n_own <= MOST_OWN * n_dealt:
            usable.append(author)
    return usable


def stopping_loss(routed: RoutedModel, state: RouteWeights, dev: Corpus, config: AdapterConfig) -> float:
    """Loss of a state on the dev code that a team's training stops on, nats per scored token."""
    windows = tokenize_passages(routed.base, dev.passages, config.max_passage_tokens)
    with state_kept(routed):
        routed.set_weights(state)
        return mean_dev_loss(
            routed, spread_windows(windows, config.dev_tokens), autocast=wants_bf16(routed, "auto")
        )


def loss_matrix(
    routed: RoutedModel,
    states: Mapping[str, RouteWeights],
    dev: Mapping[str, Sequence[TokenizedPassage]],
) -> Float[np.ndarray, "n m"]:
    """Dev loss of every state on every author's code, nats per scored token.

    Args:
        states: of the team, the reference, authors, nulls. dev: windows by author.

    Returns:
        Rows: the base, then the states in order. Columns: the authors of ``dev`` in order.
    """
    windows = [window for own in dev.values() for window in own]
    bounds = np.cumsum([len(own) for own in dev.values()])[:-1]
    counts = np.array([count_scored(own) for own in dev.values()], dtype=np.float64)
    rows: list[np.ndarray] = []
    for state in (routed.zero_weights(), *states.values()):
        with routed.at(state, state, 0.0):
            found = scored_log_probs(routed, windows)
        sums = np.array([values.sum(dtype=np.float64) for values in found])
        rows.append(-np.array([part.sum() for part in np.split(sums, bounds)]) / counts)
    return np.stack(rows)


def author_windows(
    routed: RoutedModel, train: Corpus, dev: Corpus, author: str, config: AdapterConfig
) -> tuple[list[TokenizedPassage], list[TokenizedPassage]]:
    """What an author is trained on, and what the training is stopped on: their own if it is enough."""
    windows = tokenize_passages(routed.base, train.passages, config.max_passage_tokens)
    check_enough(count_scored(windows), config.least_author_tokens, author)
    held = tokenize_passages(routed.base, dev.passages, config.max_passage_tokens)
    own = windows_by_author(dev.passages, held).get(author, [])
    return windows, own if count_scored(own) >= config.dev_tokens / 4 else held


def _provenance(routed: RoutedModel, train: Corpus, config: AdapterConfig) -> Provenance:
    return Provenance(
        routed.base.name, routed.base.revision, routed.routes.digest, train.digest, config.digest, config.seed
    )


def _beside(directory: Path | None, name: str) -> Path | None:
    return None if directory is None else directory / f"{name}.checkpoint"


def _named(progress: Progress | None, author: str) -> Callable[[TrainProgress], None] | None:
    return None if progress is None else lambda state: progress(author, state)
