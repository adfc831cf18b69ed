"""Foreign diffs and the p-values of the team's own later commits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fingerprint.drift.reference import build_team_signature, cap_commits
from fingerprint.evaluation.baselines import fit_ngram_neighbours
from fingerprint.evaluation.foreign import (
    DRIFT,
    CommitSet,
    commit_p_values,
    drift_novelty,
    exchangeable_shares,
    flagged_rows,
    foreign_rows,
    main_language,
    ngram_novelty,
    perplexity_novelty,
)
from fingerprint.evaluation.protocol import cap_newest, spread_groups
from fingerprint.evaluation.results import FlaggedRow, ForeignRow
from fingerprint.lm.pair import ModelPair
from fingerprint.passage import Corpus, Passage
from fingerprint.routing.extract import Measures, measure_passages
from fingerprint.routing.team import TeamSlices
from fingerprint.signature import TeamSignature
from service.flows.evaluation.setup import Setup
from service.flows.evaluation.text import fit_ngrams
from service.flows.signatures import load_team_signature, save_signature

CHARACTERS_PER_TOKEN = 4
"""Rough, for progress alone."""
TEAM = "the team's own later commits"
RECENT_COMMITS = 50.0
"""Half-life, in commits, of the recency-weighted p-values (NexCP)."""
DriftFacts = dict[str, float | int | str | None]


def detect(setup: Setup) -> tuple[list[ForeignRow], list[FlaggedRow], DriftFacts]:
    """Rows of foreign diffs, flagged shares, and facts of the team signature."""
    with setup.clock.phase("team signature"):
        signature = _make_signature(setup)
    with setup.clock.phase("drift of later and foreign commits"):
        commits, measures = _measured_commits(setup)
    if not len(measures):
        setup.notes.append("no later commit is large enough to be scored")
        return [], [], {}
    languages = [str(language) for language in signature.facts["languages"]]
    novelty = drift_novelty(measures, signature)
    with setup.clock.phase("perplexity of commits"):
        novelty |= _perplexities(setup, commits)
    with setup.clock.phase("n-grams of commits"):
        novelty |= _ngrams(setup, commits)
    is_same = np.isin([main_language(commit) for commit in commits.passages], languages)
    rows = foreign_rows(novelty, commits, languages, setup.config.n_draws) if commits.is_foreign.any() else []
    flagged = _flagged(setup, signature, measures, commits.is_foreign, is_same)
    return rows, flagged, _facts(setup, signature, commits, measures)


def _flagged(
    setup: Setup, signature: TeamSignature, measures: Measures, is_foreign: np.ndarray, is_same: np.ndarray
) -> list[FlaggedRow]:
    """Flagged shares of commits that a review would score: large enough, in a language the team writes."""
    drift = setup.bench.config.drift
    is_scored = is_same & (measures.n_scored >= int(signature.facts["least_tokens"]))
    own, foreign = (np.flatnonzero(is_scored & kind) for kind in (~is_foreign, is_foreign))
    recent = drift.model_copy(update={"recency_half_life": RECENT_COMMITS})
    rows = flagged_rows(TEAM, commit_p_values(measures.take(own), signature, drift))
    weighted = commit_p_values(measures.take(own), signature, recent)
    rows += flagged_rows(f"{TEAM}, calibration weighted by recency", weighted)
    if len(foreign):
        found = commit_p_values(measures.take(foreign), signature, drift)
        rows += flagged_rows("foreign commits in the team's languages", found)
    return rows


def _make_signature(setup: Setup) -> TeamSignature:
    """The team signature as a profile makes it, from capped dev and calibration slices."""
    bench, slices = setup.bench, setup.slices
    dev, calibration = _some_commits(slices.dev, setup), _some_commits(slices.calibration, setup)
    power = () if setup.other is None else setup.other.slices[0].passages
    trained = setup.trained
    digest = bench.digest(
        "evaluated team signature", adapters=trained.digests, slices=slices.digest,
        config=bench.config.drift.digest, most=setup.config.drift_commits, foreign=Corpus(power).digest,
    )  # fmt: skip

    def write(directory: Path) -> None:
        size = (
            sum(len(passage.marked) for corpus in (dev, calibration) for passage in corpus)
            / CHARACTERS_PER_TOKEN
        )
        signature = build_team_signature(
            TeamSlices(slices.train, dev, calibration, Corpus(())),
            routed=bench.routed,
            team_weights=trained.team.state,
            config=bench.config.drift,
            provenance=bench.provenance(slices.digest),
            authors=sorted(trained.authors),
            null_weights=None if trained.null_team is None else trained.null_team.state,
            foreign=power,
            progress=bench.counter("team signature", size),
        )
        save_signature(signature, directory)

    return load_team_signature(bench.make("team-signature", digest, "team signature", write))


def _some_commits(corpus: Corpus, setup: Setup) -> Corpus:
    """At most so many commits, drawn over the whole slice, in order."""
    most, seed = setup.config.drift_commits, setup.config.seed
    large = _large_enough(corpus, setup.config.least_commit_tokens)
    return corpus.where_groups(spread_groups(large, most, seed))


def _large_enough(corpus: Corpus, least_tokens: int) -> list[str]:
    """Commits with enough added text for about so many tokens, in order."""
    sizes: dict[str, int] = {}
    for passage in corpus:
        sizes[passage.group] = sizes.get(passage.group, 0) + len(passage.marked)
    return [group for group, size in sizes.items() if size >= CHARACTERS_PER_TOKEN * least_tokens]


def _measured_commits(setup: Setup) -> tuple[CommitSet, Measures]:
    """The team's later commits and the foreign ones, with their measures under the team's adapter."""
    parts = [_capped(_some_commits(setup.slices.held_out, setup), setup)]
    if setup.other is not None:
        parts.append(_capped(_some_commits(setup.other.slices[3], setup), setup))
    commits = [commit for part in parts for commit in part]
    is_foreign = np.repeat([False, True][: len(parts)], [len(part) for part in parts])
    found = CommitSet(tuple(commits), is_foreign)
    measures = _measure(setup, found)
    kept = np.flatnonzero(measures.n_scored >= setup.config.least_commit_tokens)
    return found.take(kept), measures.take(kept)


def _capped(corpus: Corpus, setup: Setup) -> list[tuple[Passage, ...]]:
    """Commits of a corpus, each cut to its first tokens."""
    commits: dict[str, list[Passage]] = {}
    for passage in cap_commits(corpus, setup.config.commit_tokens):
        commits.setdefault(passage.group, []).append(passage)
    return [tuple(commit) for commit in commits.values()]


def _measure(setup: Setup, commits: CommitSet) -> Measures:
    """Measures by commit, stored as arrays (groups and languages follow from the commits themselves)."""
    routed, team = setup.bench.routed, setup.trained.team.state
    passages = commits.flat

    def compute() -> Mapping[str, np.ndarray]:
        size = sum(len(passage.marked) for passage in passages) / CHARACTERS_PER_TOKEN
        count = setup.bench.counter("drift of later and foreign commits", size)
        pair = ModelPair(routed, routed.zero_weights(), team)
        found = measure_passages(pair, passages, setup.bench.config.drift, progress=count)
        names = ("n_scored", "log_ratio", "phi", "magnitude", "gap")
        return {name: getattr(found, name) for name in names}

    found = setup.arrays("drift of commits", compute, passages=Corpus(tuple(passages)).digest)
    return Measures(
        tuple(passage.group for passage in passages),
        tuple(passage.language for passage in passages),
        n_scored=found["n_scored"],
        log_ratio=found["log_ratio"],
        phi=found["phi"],
        magnitude=found["magnitude"],
        gap=found["gap"],
    ).by_group()


def _perplexities(setup: Setup, commits: CommitSet) -> dict[str, np.ndarray]:
    """Plain perplexities: of the base, of the team, and how much the null team's adapter helps."""
    routed, trained = setup.bench.routed, setup.trained
    states = {"base": routed.zero_weights(), "team": trained.team.state}
    if trained.null_team is not None:
        states["null"] = trained.null_team.state
    config = setup.bench.config.drift

    def compute() -> Mapping[str, np.ndarray]:
        return perplexity_novelty(commits, routed, states, config.batch_tokens, config.passage_tokens)

    found = setup.arrays("perplexity of commits", compute, passages=Corpus(tuple(commits.flat)).digest)
    named = {"perplexity of the base (control)": found["base"], "perplexity of the team (B7)": found["team"]}
    if "null" in found:
        named["Lambda of the other repository's adapter (null)"] = found["null"] - found["base"]
    return named


def _ngrams(setup: Setup, commits: CommitSet) -> dict[str, np.ndarray]:
    """One-class n-grams on the team's training samples, newest first."""
    material = setup.material
    train = cap_newest(material.train, setup.config.ngram_samples)

    def compute() -> Mapping[str, np.ndarray]:
        several = len(material.authors) >= 2
        classifier = fit_ngrams(material, material.train, setup.config) if several else None
        found = ngram_novelty(commits, fit_ngram_neighbours([sample.text for sample in train]), classifier)
        return {name.replace("/", "-"): values for name, values in found.items()}

    return setup.arrays("n-grams of commits", compute, passages=Corpus(tuple(commits.flat)).digest)


def _facts(setup: Setup, signature: TeamSignature, commits: CommitSet, measures: Measures) -> DriftFacts:
    """Sizes, power and the exchangeable control."""
    drift, is_foreign = setup.bench.config.drift, commits.is_foreign
    calibration = signature.readings["calibration_all"]
    own = np.flatnonzero(~is_foreign & (measures.n_scored >= int(signature.facts["least_tokens"])))
    test = drift_novelty(measures.take(own), signature)[DRIFT]
    shares = exchangeable_shares(calibration, test) if len(test) else {}
    power = {
        f"power_at_{point['n_tokens']}_tokens": point["power"] for point in signature.facts["power_curve"]
    }
    return {
        "calibration_commits": len(calibration),
        "combination": str(signature.facts["combination"]),
        **{f"dev_separation_of_{rule}": area for rule, area in signature.facts["separation"].items()},
        "least_tokens": int(signature.facts["least_tokens"]),
        "median_tokens_team": _median(measures.n_scored[~is_foreign]),
        "median_tokens_foreign": _median(measures.n_scored[is_foreign]),
        "largest_gap_over_bound": _gap(measures, drift.gap_share, drift.gap_nats),
        **{f"exchangeable_flagged_at_{level:g}": share for level, share in shares.items()},
        **power,
    }  # fmt: skip


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None


def _gap(measures: Measures, share: float, nats: float) -> float:
    """Largest completeness gap of a commit over its stated bound; at most 1 when every commit keeps it."""
    bound = np.maximum(share * measures.magnitude.sum(axis=1), nats * measures.n_scored)
    return float(np.max(np.abs(measures.gap) / bound))
