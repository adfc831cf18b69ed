"""Strangers' diffs (T3) and the p-values of the team's own later commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fingerprint.drift.calibrate import LEVELS, share_of_flags
from fingerprint.drift.lexical import fit_ngram_neighbours
from fingerprint.drift.nonconformity import NGRAMS, ROUTES, Nonconformity
from fingerprint.drift.reference import build_team_signature, cap_commits
from fingerprint.drift.stream import conformal_alarms
from fingerprint.evaluation.novelty import (
    BASE,
    NULL,
    TEAM,
    UNITS,
    Side,
    Texts,
    bag_rows,
    commit_p_values,
    drift_novelty,
    exchangeable_shares,
    flagged_row,
    flagged_rows,
    ngram_novelty,
    perplexity_novelty,
    read_log_probs,
    with_counts,
)
from fingerprint.evaluation.protocol import cap_newest, spread_groups
from fingerprint.evaluation.results import DetectionRow, FlaggedRow, SequenceRow
from fingerprint.evaluation.tables import Detection
from fingerprint.lm.pair import ModelPair
from fingerprint.passage import Corpus
from fingerprint.routing.extract import Measures, measure_passages
from fingerprint.routing.team import TeamSlices
from fingerprint.signature import TeamSignature
from service.flows.evaluation.sequences import find_sequences
from service.flows.evaluation.setup import WHOLE_TEAM, Setup
from service.flows.evaluation.text import fit_ngrams
from service.flows.signatures import load_team_signature, save_signature

CHARACTERS_PER_TOKEN = 4
"""Rough, for progress alone."""
RECENT_COMMITS = 50.0
"""Half-life, in commits, of the recency-weighted p-values (NexCP)."""
ADAPTIVE_STEP = 0.02
"""Gamma of adaptive conformal inference (Gibbs and Candes 2021): what a false alarm takes off the level."""
LEAST_TEXTS = 10
"""Fewer texts on a side say nothing of an AUROC."""
OWN = "the team's own later commits"
DriftFacts = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Strangers:
    """Whose code is held against the team's.

    Attributes:
        name: for people. passages: their code after the cut. is_contemporary: whether only the team's code
            of the same months is held against it, as an agent's must be (evaluation.md section 4.2, T3d).
    """

    name: str
    passages: Corpus
    is_contemporary: bool


@dataclass(frozen=True)
class Detected:
    """Tables of this part, named as in ``Evaluation``; ``drift`` holds facts of the team signature."""

    detection: tuple[DetectionRow, ...] = ()
    flagged: tuple[FlaggedRow, ...] = ()
    sequences: tuple[SequenceRow, ...] = ()
    drift: DriftFacts = field(default_factory=dict)


def detect(setup: Setup) -> Detected:
    """Every kind of strangers against the team's own later commits."""
    with setup.clock.phase("team signature"):
        signature = make_signature(setup)
    with setup.clock.phase("later commits under every state"):
        own = _read(setup, setup.slices.held_out, OWN)
    least = int(signature.facts["least_tokens"])
    languages = [str(language) for language in signature.facts["languages"]]
    # what a review scores, and smaller commits beside, which evidence can add up
    smallest = min(least, setup.config.least_commit_tokens)
    every = None if own is None else own.texts("commit").scorable(languages, smallest)
    if own is None or every is None or not len(every.scorable(languages, least)):
        setup.notes.append("no later commit is large enough to be scored")
        return Detected()
    every = with_counts(every, signature)
    commits = every.scorable(languages, least)
    rows: list[DetectionRow] = []
    flagged = _flagged(setup, signature, commits.measures)
    sequences = list(find_sequences(OWN, signature, every, every))
    for strangers in _strangers(setup):
        with setup.clock.phase(strangers.name):
            theirs = _read(setup, strangers.passages, strangers.name)
            if theirs is None:
                continue
            found = list(_rows(setup, signature, own, theirs, strangers))
        rows += found
        if found:
            who = f"{strangers.name}'s commits"
            others = with_counts(theirs.texts("commit").scorable(languages, smallest), signature)
            large = others.scorable(languages, least).measures
            flagged += _flagged_by_part(who, setup, signature, large)
            if strangers.is_contemporary:
                others = _same_months(every, others)[1]
            sequences += find_sequences(who, signature, every, others)
    facts = _facts(setup, signature, commits.measures)
    return Detected(tuple(rows), tuple(flagged), tuple(sequences), facts)


def _strangers(setup: Setup) -> Iterator[Strangers]:
    if setup.other is not None:
        yield Strangers(setup.other.name, setup.other.slices[3], is_contemporary=False)
    for agent, code in setup.history.agents.items():
        yield Strangers(agent, code, is_contemporary=True)


def _rows(
    setup: Setup, signature: TeamSignature, own: Side, theirs: Side, strangers: Strangers
) -> Iterator[DetectionRow]:
    """Every system's row for commits and for hunks; none when a side is too small."""
    languages = [str(language) for language in signature.facts["languages"]]
    for unit in UNITS:
        least = setup.config.least_commit_tokens if unit == "commit" else setup.config.least_hunk_tokens
        team, others = (side.texts(unit).scorable(languages, least) for side in (own, theirs))
        if strangers.is_contemporary:
            team, others = _same_months(team, others)
        judge = judge_between(setup, strangers.name, unit, team, others)
        if judge is None:
            continue
        novelty = _novelty(setup, signature, team), _novelty(setup, signature, others)
        yield from (judge.judge(name, novelty[0][name], novelty[1][name]) for name in novelty[0])
        if unit == "commit":
            yield from bag_rows(strangers.name, (team, others), novelty, setup.config.n_draws)


def judge_between(setup: Setup, against: str, unit: str, team: Texts, others: Texts) -> Detection | None:
    """What judges every system on these texts; None, and a note, where a side has too few."""
    if min(len(team), len(others)) < LEAST_TEXTS:
        setup.notes.append(
            f"{against}: {len(team)} texts of the team and {len(others)} of theirs by {unit}, "
            f"{LEAST_TEXTS} are needed on each side"
        )
        return None
    sizes = np.concatenate([team.measures.n_scored, others.measures.n_scored])
    return Detection(against, unit, team.commits, others.commits, setup.config.n_draws, sizes=sizes)


def _same_months(team: Texts, others: Texts) -> tuple[Texts, Texts]:
    """Both sides cut to the time in which both wrote."""
    if not (len(team) and len(others)):
        return team, others
    first = max(texts.written_at.min() for texts in (team, others))
    last = min(texts.written_at.max() for texts in (team, others))
    kept = [(texts.written_at >= first) & (texts.written_at <= last) for texts in (team, others)]
    return team.take(kept[0]), others.take(kept[1])


def _novelty(setup: Setup, signature: TeamSignature, texts: Texts) -> dict[str, np.ndarray]:
    """Every system's novelty of the texts."""
    passages = Corpus(tuple(passage for own in texts.passages for passage in own)).digest
    ngrams = _ngram_novelty(setup, "n-grams of texts", texts.added, passages=passages)
    measures = with_counts(texts, signature).measures
    return drift_novelty(measures, signature) | perplexity_novelty(texts) | ngrams


def _ngram_novelty(setup: Setup, name: str, texts: list[str], *, passages: str) -> dict[str, np.ndarray]:
    material = setup.material
    train = cap_newest(material.train, setup.config.ngram_samples)

    def compute() -> Mapping[str, np.ndarray]:
        several = len(material.authors) >= 2
        classifier = fit_ngrams(material, material.train, setup.config) if several else None
        neighbours = fit_ngram_neighbours([sample.text for sample in train])
        found = ngram_novelty(texts, neighbours, classifier)
        return {name.replace("/", "-"): values for name, values in found.items()}

    return setup.arrays(name, compute, adapters=(), passages=passages, n=len(texts))


# ------------------------------------------------------------------------------------------- reading


def _read(setup: Setup, corpus: Corpus, name: str) -> Side | None:
    """Capped passages of a corpus under the team's adapter and every state; None when there are none."""
    passages = cap_commits(some_commits(corpus, setup), setup.config.commit_tokens)
    if not passages:
        return None
    digest = Corpus(tuple(passages)).digest
    routed, trained, drift = setup.bench.routed, setup.trained, setup.bench.config.drift
    states = {BASE: routed.zero_weights(), TEAM: trained.team.state}
    if trained.null_team is not None:
        states[NULL] = trained.null_team.state

    def measure() -> Mapping[str, np.ndarray]:
        size = sum(len(passage.marked) for passage in passages) / CHARACTERS_PER_TOKEN
        count = setup.bench.counter(f"contributions of {name}", size)
        pair = ModelPair(routed, routed.zero_weights(), trained.team.state)
        found = measure_passages(pair, passages, drift, progress=count)
        names = ("n_scored", "log_ratio", "phi", "magnitude", "gap")
        return {name: getattr(found, name) for name in names}

    arrays = setup.arrays(f"contributions of {name}", measure, adapters=WHOLE_TEAM, passages=digest)
    log_probs = setup.arrays(
        f"log-probabilities of {name}", lambda: read_log_probs(passages, routed, states, drift),
        adapters=WHOLE_TEAM, passages=digest,
    )  # fmt: skip
    labels = (tuple(p.group for p in passages), tuple(p.language for p in passages))
    return Side(tuple(passages), Measures(*labels, **arrays, counts=None), log_probs)


def some_commits(corpus: Corpus, setup: Setup) -> Corpus:
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


# --------------------------------------------------------------------------------- the team signature


def make_signature(setup: Setup) -> TeamSignature:
    """The team signature as a profile makes it, from capped dev and calibration slices."""
    bench, slices = setup.bench, setup.slices
    dev, calibration = some_commits(slices.dev, setup), some_commits(slices.calibration, setup)
    power = () if setup.other is None else setup.other.slices[0].passages
    trained = setup.trained
    digest = bench.digest(
        "evaluated team signature", adapters=setup.digests_of(WHOLE_TEAM), authors=sorted(trained.authors),
        slices=slices.digest, config=bench.config.drift.digest, most=setup.config.drift_commits,
        foreign=Corpus(power).digest,
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


def _flagged(setup: Setup, signature: TeamSignature, own: Measures) -> list[FlaggedRow]:
    """Flagged shares of the team's own commits, as a review scores them and with recent calibration."""
    drift = setup.bench.config.drift
    recent = drift.model_copy(update={"recency_half_life": RECENT_COMMITS})
    weighted = commit_p_values(own, signature, recent)
    past = signature.readings["calibration_all"]
    scores = Nonconformity.of_team(signature).score(own)
    rolled = conformal_alarms(past, scores, drift.alarm_level, window=len(past)).p_values
    return [
        *_flagged_by_part(OWN, setup, signature, own),
        *flagged_rows(f"{OWN}, calibration weighted by recency", weighted),
        *flagged_rows(f"{OWN}, calibrated on the commits just before each", rolled),
        *(_adaptive_row(past, scores, level) for level in LEVELS),
    ]


def _adaptive_row(past: np.ndarray, scores: np.ndarray, level: float) -> FlaggedRow:
    """Flagged share by a level that gives way after every false alarm, each commit having turned out ours."""
    alarms = conformal_alarms(past, scores, level, step=ADAPTIVE_STEP, window=len(past))
    return flagged_row(f"{OWN}, the same with an adaptive level", share_of_flags(alarms.is_flagged, level))


def _flagged_by_part(
    who: str, setup: Setup, signature: TeamSignature, measures: Measures
) -> list[FlaggedRow]:
    """Flagged shares by the verdict and, when it is fused, by each of its parts alone."""
    drift = setup.bench.config.drift
    parts = (ROUTES, NGRAMS) if Nonconformity.of_team(signature).lexical is not None else ()
    rows = flagged_rows(who, commit_p_values(measures, signature, drift))
    for part in parts:
        rows += flagged_rows(f"{who}, {part} alone", commit_p_values(measures, signature, drift, part))
    return rows


def _facts(setup: Setup, signature: TeamSignature, own: Measures) -> DriftFacts:
    """Sizes, power and the exchangeable control."""
    drift = setup.bench.config.drift
    calibration = signature.readings["calibration_all"]
    shares = exchangeable_shares(calibration, Nonconformity.of_team(signature).score(own))
    power = {
        f"power_at_{point['n_tokens']}_tokens": point["power"] for point in signature.facts["power_curve"]
    }
    return {
        "calibration_commits": len(calibration),
        "combination": str(signature.facts["combination"]),
        **{f"dev_separation_of_{rule}": area for rule, area in signature.facts["separation"].items()},
        "least_tokens": int(signature.facts["least_tokens"]),
        "median_tokens_team": float(np.median(own.n_scored)),
        "largest_gap_over_bound": _gap(own, drift.gap_share, drift.gap_nats),
        **{f"exchangeable_flagged_at_{level:g}": share for level, share in shares.items()},
        **power,
    }  # fmt: skip


def _gap(measures: Measures, share: float, nats: float) -> float:
    """Largest completeness gap of a commit over its stated bound; at most 1 when every commit keeps it."""
    bound = np.maximum(share * measures.magnitude.sum(axis=1), nats * measures.n_scored)
    return float(np.max(np.abs(measures.gap) / bound))
