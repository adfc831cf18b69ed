"""Calibration that rolls on: what the team has merged since replaces its oldest calibration commits.

A team changes, and p-values calibrated on its past then flag its present. On one development repository .224
of later commits were flagged at .05, and .088 once each was held against those just before it
(fingerprint/evaluation/EVALUATION.md). Adapters, means and scales stay; a commit is judged before it joins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fingerprint import FingerprintError
from fingerprint.config import DriftConfig
from fingerprint.drift.calibrate import ALL, LATER, cell_p_value, cells_of, name_cells, realised_shares
from fingerprint.drift.nonconformity import Nonconformity, fuse
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import Normaliser
from fingerprint.signature import TeamSignature

Cells = dict[str, np.ndarray]


def roll_cells(cells: Mapping[str, np.ndarray], language: str, score: float, most: int) -> Cells:
    """Cells with one newer score at the end of "all" and of its language; each keeps its newest ``most``."""
    grown = {name: np.append(cells.get(name, np.zeros(0)), score)[-most:] for name in (ALL, language)}
    return dict(cells) | grown


def roll_signature(
    signature: TeamSignature, commits: Measures, null: Measures | None, config: DriftConfig
) -> TeamSignature:
    """A team signature whose calibration has taken in what the team wrote since.

    Args:
        commits: measures of the commits since, one text a commit, oldest first, with n-gram counts when the
            signature has a lexical view. Those too small, or in a language the team did not write, are passed
            over. null: the same commits under the null team adapter, if there is one.
        config: the dials that the signature was made with.

    Returns:
        The signature with the calibration of every part moved on, its timeline and realised shares longer.
        Held-out commits, judged when it was made, go in before the new ones.

    Raises:
        FingerprintError: the signature was made by a version that kept too little to roll on.
    """
    if "calibrates_from" not in signature.facts:
        raise FingerprintError(
            "This team signature was made by an earlier version and cannot be rolled on. Profile again."
        )
    scorer = Nonconformity.of_team(signature)
    fused = cells_of(signature.readings)
    by_part = {name: cells_of(signature.readings, name) for name in signature.facts["part_names"]}
    stream, most = list(signature.facts["stream"]), config.slice_commits
    for entry in stream[signature.facts["n_rolled"] :]:
        fused, by_part = _take_in(fused, by_part, entry, most)
    usable = _usable(commits, signature)
    for entry in entries_of(scorer, commits.take(usable)):
        p = cell_p_value(entry["score"], entry["language"], fused, config)
        stream.append(entry | {"slice": LATER, "p_value": p})
        fused, by_part = _take_in(fused, by_part, entry, most)
    readings = dict(signature.readings) | name_cells(fused)
    for name, cells in by_part.items():
        readings |= name_cells(cells, name)
    rolled_null = signature.null
    if null is not None and rolled_null:
        rolled_null = _roll_null(signature, null.take(usable), most)
    facts = signature.facts | {
        "stream": stream, "n_rolled": len(stream),
        "realised": realised_shares(stream, signature.facts["least_tokens"]),
        "n_calibration": {name: len(values) for name, values in fused.items()},
    }  # fmt: skip
    return replace(signature, readings=readings, null=rolled_null, facts=facts)


def entries_of(scorer: Nonconformity, commits: Measures) -> list[dict[str, Any]]:
    """One entry a commit for the timeline: its size, its score and each part's."""
    if not len(commits):
        return []
    parts = scorer.parts(commits)
    scores = fuse(parts)
    return [
        {
            "commit": commits.groups[i], "language": commits.languages[i],
            "n_tokens": int(commits.n_scored[i]), "score": float(scores[i]),
            "parts": {name: float(values[i]) for name, values in parts.items()},
        }
        for i in range(len(commits))
    ]  # fmt: skip


def _usable(commits: Measures, signature: TeamSignature) -> np.ndarray:
    """Positions of the commits that may calibrate."""
    is_large = commits.n_scored >= signature.facts["calibrates_from"]
    return np.flatnonzero(is_large & np.isin(np.array(commits.languages), signature.facts["languages"]))


def _take_in(
    fused: Cells, by_part: dict[str, Cells], entry: Mapping[str, Any], most: int
) -> tuple[Cells, dict[str, Cells]]:
    language = entry["language"]
    parts = {name: roll_cells(cells, language, entry["parts"][name], most) for name, cells in by_part.items()}
    return roll_cells(fused, language, entry["score"], most), parts


def _roll_null(signature: TeamSignature, commits: Measures, most: int) -> dict[str, np.ndarray]:
    cells = cells_of(signature.null)
    scores = Normaliser.of_null(signature).low_log_ratio(commits) if len(commits) else np.zeros(0)
    for language, score in zip(commits.languages, scores.tolist(), strict=True):
        cells = roll_cells(cells, language, score, most)
    return dict(signature.null) | name_cells(cells)
