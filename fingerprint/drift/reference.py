"""The team signature: what drift is measured against.

Dev fits means, variances and scales; calibration gives the scores of the p-values and nothing else; held-out
is touched once, for the realised share of false alarms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from fingerprint import FingerprintError
from fingerprint.config import DriftConfig
from fingerprint.drift.calibrate import (
    ALL,
    HELD_OUT,
    cell_p_value,
    choose_cell,
    least_commits,
    name_cells,
    realised_shares,
)
from fingerprint.drift.lexical import (
    LexicalView,
    NgramNeighbours,
    fit_ngram_neighbours,
    read_counts,
    team_texts,
)
from fingerprint.drift.nonconformity import Nonconformity, fuse
from fingerprint.drift.power import PowerPoint, least_tokens, power_curve
from fingerprint.drift.rolling import entries_of
from fingerprint.drift.separation import measure_separation
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights
from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import Provenance
from fingerprint.routing.extract import Measures, PhiLayout, Progress, measure_passages, with_log_ratio
from fingerprint.routing.team import TeamSlices, fit_normaliser
from fingerprint.signature import TeamSignature

FOREIGN_TOKENS = 24_000
"""Scored tokens of foreign text read: half to choose the rule on, half for the power curve."""
FOREIGN_GROUP_TOKENS = 600
"""Scored tokens read of one foreign file or commit."""


def build_team_signature(
    slices: TeamSlices,
    *,
    routed: RoutedModel,
    team_weights: RouteWeights,
    config: DriftConfig,
    provenance: Provenance,
    authors: Sequence[str],
    null_weights: RouteWeights | None = None,
    foreign: Sequence[Passage] = (),
    facts: Mapping[str, Any] | None = None,
    read: Callable[[Sequence[Passage]], Measures] | None = None,
    progress: Progress | None = None,
) -> TeamSignature:
    """Measure a team's dev, calibration and held-out commits and assemble its signature.

    Args:
        slices: the team's commits by time; B was trained on ``slices.train``.
        null_weights: B trained on an equal number of tokens of another repository: the control.
        foreign: other people's code, for the rule and the power curve; only the team's languages count.
        read: ``read_team``, or what remembers it: the slow part. progress: called with scored tokens as they
            are measured, unless ``read`` is given.

    Raises:
        FingerprintError: when dev or calibration hold too little to say anything.
    """
    zero = routed.zero_weights()
    neighbours = None
    if config.view == "fused":
        neighbours = fit_ngram_neighbours(team_texts(slices.train, config.lexical_texts))

    read = read or partial(read_team, routed, team_weights, config=config, progress=progress)

    def measure(passages: Sequence[Passage]) -> Measures:
        found = read(passages)
        return found if neighbours is None else read_counts(found, passages, neighbours)

    languages = sorted({passage.language for slice_ in slices for passage in slice_})
    choosing, judging = _halves(measure(_some_foreign(foreign, languages)))
    capped = [measured_code((slice_,), config) for slice_ in slices[1:]]
    measured = {i: measure(capped[i]) for i in (0, 2, 1)}  # calibration last: it may be read beside
    dev, calibration, held_out = (measured[i].by_group() for i in range(3))
    scorer, separation = _fit_scorer(measured[0], choosing, neighbours, config)
    readings, known = _calibrate(scorer, calibration, held_out, judging, config)
    null: dict[str, np.ndarray] = {}
    null_languages: list[str] = []
    if null_weights is not None:
        pair = ModelPair(routed, zero, null_weights)
        null_dev, null_calibration = (
            with_log_ratio(measured[i], pair, capped[i], config).by_group() for i in range(2)
        )
        null, null_languages = _null_readings(null_dev, null_calibration, config)
    layout = {"null_languages": null_languages, "phi_names": list(PhiLayout(tuple(routed.sites)).names)}
    described = _describe(slices, languages, scorer, dev, calibration) | known | layout
    described["separation"] = separation
    return TeamSignature(
        scorer.to_readings() | readings, null, described | dict(facts or {}), provenance, tuple(authors)
    )


def read_team(
    routed: RoutedModel,
    team_weights: RouteWeights,
    passages: Sequence[Passage],
    config: DriftConfig,
    progress: Progress | None = None,
) -> Measures:
    """Measures of passages on the path from the base to the team."""
    pair = ModelPair(routed, routed.zero_weights(), team_weights)
    return measure_passages(pair, passages, config, progress=progress)


def _fit_scorer(
    dev: Measures, foreign: Measures, neighbours: NgramNeighbours | None, config: DriftConfig
) -> tuple[Nonconformity, dict[str, float]]:
    """What turns measures into scores, fitted on dev, and how well each rule tells foreign text from it.

    Args:
        dev, foreign: one text per passage.
    """
    normaliser, commits = fit_normaliser(dev.by_group(), config)
    separation = measure_separation(commits, foreign, normaliser)
    normaliser = replace(normaliser, combination=separation.choose(config))
    lexical = None if neighbours is None else LexicalView.fit(neighbours, dev)
    scores = commits.statistics.score(normaliser.combination)
    return Nonconformity.fit(normaliser, lexical, scores), {**separation.auroc}


def measured_code(parts: Sequence[Corpus], config: DriftConfig) -> list[Passage]:
    """What build_team_signature reads of a team's own dev, calibration and held-out code."""
    newest = (newest_commits(part, config.slice_commits) for part in parts)
    return [passage for part in newest for passage in cap_commits(part, config.commit_tokens)]


def newest_commits(corpus: Corpus, most: int) -> Corpus:
    """At most so many commits, those that begin last."""
    return corpus if len(corpus.groups) <= most else corpus.where_groups(corpus.groups[-most:])


def cap_commits(corpus: Corpus, n_tokens: int) -> list[Passage]:
    """The first n_tokens or so of every commit (three characters a token) in whole lines, in order."""
    read: dict[str, int] = {}
    kept: list[Passage] = []
    for passage in corpus:
        before = read.get(passage.group, 0)
        if before < 3 * n_tokens:
            kept.append(passage.head(3 * n_tokens - before))
        read[passage.group] = before + len(passage.marked)
    return kept


def _some_foreign(foreign: Sequence[Passage], languages: Sequence[str]) -> list[Passage]:
    """Whole groups (files or commits) at random, each cut to its first tokens, so that there are many."""
    usable = Corpus(tuple(passage for passage in foreign if passage.language in set(languages)))
    order = np.random.default_rng(0).permutation(len(usable.groups))
    rank = {usable.groups[i]: n for n, i in enumerate(order)}
    capped = sorted(cap_commits(usable, FOREIGN_GROUP_TOKENS), key=lambda passage: rank[passage.group])
    lengths = np.cumsum([len(passage.marked) for passage in capped])
    return capped[: int(np.searchsorted(lengths, 3 * FOREIGN_TOKENS)) + 1]


def _halves(foreign: Measures) -> tuple[Measures, Measures]:
    """Two halves of whole groups: a rule chosen on one is judged on the other."""
    groups = {group: i for i, group in enumerate(dict.fromkeys(foreign.groups))}
    is_odd = np.array([groups[group] % 2 == 1 for group in foreign.groups], dtype=bool)
    return foreign.take(np.flatnonzero(~is_odd)), foreign.take(np.flatnonzero(is_odd))


def calibration_cells(measures: Measures, scores: np.ndarray, least: int) -> dict[str, np.ndarray]:
    """Scores by cell, oldest first: each language, and "all"; commits below ``least`` tokens are out."""
    kept = measures.n_scored >= least
    languages = np.array(measures.languages)
    cells = {str(name): scores[kept & (languages == name)] for name in np.unique(languages[kept])}
    return {ALL: scores[kept]} | cells


def _calibrate(
    scorer: Nonconformity, calibration: Measures, held_out: Measures, foreign: Measures, config: DriftConfig
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Calibration readings of the score and of each of its parts, and the facts of power and false alarms."""
    large = calibration.take(np.flatnonzero(calibration.n_scored >= config.least_tokens))
    if len(large) < config.least_dev:
        raise FingerprintError(
            f"The team's history is too short: {len(large)} calibration commits with at least "
            f"{config.least_tokens} scored tokens, need {config.least_dev}, and "
            f"{least_commits(config.alarm_level)} to flag anything at {config.alarm_level:g}. "
            "Add repositories, paths or authors to the team."
        )
    parts = scorer.parts(large)
    scores = fuse(parts)
    cells = calibration_cells(large, scores, config.least_tokens)
    points = power_curve(foreign, scorer, cells, config) if len(foreign) else []
    least = least_tokens(points, config)
    # commits of the size that is scored calibrate best, when there are enough of them
    enough = max(config.least_calibration, least_commits(config.alarm_level))
    smallest = least if int((large.n_scored >= least).sum()) >= enough else config.least_tokens
    cells = calibration_cells(large, scores, smallest)
    readings = name_cells(cells)
    for part, values in parts.items():
        readings |= name_cells(calibration_cells(large, values, smallest), part)
    stream = _stream(scorer, large, held_out, cells, smallest, config)
    sizes = {"least_tokens": least, "calibrates_from": smallest, "part_names": list(parts)}
    return readings, sizes | {
        "power_curve": [asdict(point) for point in points],
        "n_calibration": {name: len(values) for name, values in cells.items()},
        "realised": realised_shares(stream, least),
        "stream": stream,
        "n_rolled": sum(entry["slice"] == "calibration" for entry in stream),
        "warnings": _warnings(cells, points, config, is_silent=not large.log_ratio.any()),
    }


def _stream(
    scorer: Nonconformity,
    calibration: Measures,
    held_out: Measures,
    cells: dict[str, np.ndarray],
    smallest: int,
    config: DriftConfig,
) -> list[dict[str, Any]]:
    """Every commit read after training, oldest first: the team's own timeline.

    A calibration commit stands among all the others of its slice, so its p-value takes its own score out.

    Args:
        smallest: scored tokens that a commit must have.
    """
    found: list[dict[str, Any]] = []
    for name, commits in (("calibration", calibration), (HELD_OUT, held_out)):
        kept = commits.take(np.flatnonzero(commits.n_scored >= smallest))
        for entry in entries_of(scorer, kept):
            language = entry["language"]
            p = cell_p_value(entry["score"], language, cells, config)
            if name == "calibration":
                n = len(choose_cell(cells, language, config.least_calibration).scores)
                p = max(1 / n, (p * (n + 1) - 1) / n)
            found.append(entry | {"slice": name, "p_value": p})
    return found


def _warnings(
    cells: dict[str, np.ndarray], points: Sequence[PowerPoint], config: DriftConfig, *, is_silent: bool
) -> list[str]:
    """Caveats of the signature that every report repeats.

    Args:
        is_silent: the team's adapter changes nothing.
    """
    found: list[str] = []
    if is_silent:
        is_fused = config.view == "fused"
        rest = "the verdict rests on n-grams alone" if is_fused else "no verdict means anything"
        found.append(
            "No training of the team's adapter predicted its later code better than the base does: the "
            f"routes say nothing of this team, and {rest}. More code is needed."
        )
    n, needed = len(cells[ALL]), least_commits(config.alarm_level)
    if n < needed:
        found.append(
            f"Only {n} calibration commits: no p-value can reach {config.alarm_level:g}; it needs {needed}."
        )
    if points and max(point.power for point in points) < config.least_power:
        best = max(points, key=lambda point: point.power)
        found.append(
            f"Foreign code is rarely told apart from this team's: flagged {best.power:.0%} of the time at "
            f"{best.n_tokens} scored tokens."
        )
    return found


def _null_readings(
    dev: Measures, calibration: Measures, config: DriftConfig
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The null adapter's normaliser and calibration scores, of the log-ratio statistic alone."""
    normaliser, _ = fit_normaliser(dev, config)
    large = calibration.take(np.flatnonzero(calibration.n_scored >= config.least_tokens))
    cells = calibration_cells(large, normaliser.low_log_ratio(large), config.least_tokens)
    return normaliser.to_readings() | name_cells(cells), list(normaliser.languages)


def _describe(
    slices: TeamSlices, languages: list[str], scorer: Nonconformity, dev: Measures, calibration: Measures
) -> dict[str, Any]:
    """Facts for people, and the languages that the readings' rows follow."""
    normaliser = scorer.normaliser
    return {
        "view": scorer.view,
        "languages": languages,
        "normaliser_languages": list(normaliser.languages),
        "combination": normaliser.combination,
        "n_commits": {name: len(slice_.groups) for name, slice_ in zip(slices._fields, slices, strict=True)},
        "scored_tokens": {"dev": int(dev.n_scored.sum()), "calibration": int(calibration.n_scored.sum())},
        "typical_log_ratio_per_token": float(normaliser.typical[0]),
        "typical_distance": float(normaliser.typical[1]),
    }
