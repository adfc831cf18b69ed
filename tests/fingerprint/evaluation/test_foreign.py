import numpy as np
import pytest

from fingerprint.config import DriftConfig
from fingerprint.evaluation.baselines import fit_ngram_classifier, fit_ngram_neighbours
from fingerprint.evaluation.foreign import (
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
from fingerprint.lm.pair import RoutedModel, scored_log_probs
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import tokenize_passages
from fingerprint.passage import Passage, passage_from_lines
from fingerprint.provenance import Provenance
from fingerprint.routing.extract import Measures
from fingerprint.routing.team import fit_normaliser
from fingerprint.signature import TeamSignature

CONFIG = DriftConfig(least_calibration=20)
N_PHI = 6


def a_commit(text: str, language: str = "python") -> tuple[Passage, ...]:
    lines = [(True, line) for line in text.split("\n")]
    return (passage_from_lines(lines, path="a.py", language=language, group=text),)


def draw(n: int, rng: np.random.Generator, shift: float = 0.0) -> Measures:
    """Commits of one kind: per-token log-ratio around .5, phi around 0, larger commits less noisy."""
    tokens = rng.integers(60, 400, n).astype(float)
    spread = np.sqrt(0.01 + 4 / tokens)
    ratio = (0.5 - shift + rng.normal(0, 1, n) * spread) * tokens
    phi = (rng.normal(shift, 1, (n, N_PHI)) * spread[:, None]) * tokens[:, None]
    names = tuple(str(i) for i in range(n))
    return Measures(names, ("python",) * n, tokens, ratio, phi, np.ones((n, 6)), np.zeros(n))


def a_signature(rng: np.random.Generator, n_calibration: int = 99) -> TeamSignature:
    normaliser, _ = fit_normaliser(draw(200, rng), CONFIG)
    scores = normaliser.score(draw(n_calibration, rng))
    readings = normaliser.to_readings() | {"calibration_all": scores, "calibration_python": scores}
    facts = {"normaliser_languages": list(normaliser.languages), "combination": normaliser.combination}
    return TeamSignature(readings, {}, facts, Provenance("b", "r", "a", "c", "d", 0))


def test_the_whole_path_is_exact_on_exchangeable_commits() -> None:
    """Normaliser from dev, p-values from calibration, a fresh test commit: flagged as often as promised."""
    rng = np.random.default_rng(0)
    flagged = np.zeros((24, 2))
    for trial in range(len(flagged)):
        p_values = commit_p_values(draw(40, rng), a_signature(rng), CONFIG)
        flagged[trial] = [np.mean(p_values <= level) for level in (0.05, 0.1)]
    error = flagged.std(axis=0) / np.sqrt(len(flagged))
    assert np.all(np.abs(flagged.mean(axis=0) - [0.05, 0.1]) < 3.5 * error)


def test_foreign_commits_stand_out_in_every_reading() -> None:
    rng = np.random.default_rng(1)
    signature, own, foreign = a_signature(rng), draw(60, rng), draw(60, rng, shift=1.0)
    for name, values in drift_novelty(own, signature).items():
        assert drift_novelty(foreign, signature)[name].mean() > values.mean() + 0.3, name
    rows = flagged_rows("foreign", commit_p_values(foreign, signature, CONFIG))
    assert [row.level for row in rows] == [0.05, 0.1]
    assert (rows[0].share or 0) > 0.8


def test_shuffling_hides_drift_from_the_p_value() -> None:
    rng = np.random.default_rng(2)
    old, new = rng.normal(0, 1, 99), rng.normal(3, 1, 99)
    shares = exchangeable_shares(old, new, n_draws=4000)
    assert shares[0.05] == pytest.approx(0.05, abs=0.012)
    assert shares[0.1] == pytest.approx(0.1, abs=0.017)


def test_strata_by_main_language() -> None:
    commits = CommitSet(
        (a_commit("x = 1"), a_commit("y = 2"), a_commit("z = 3"), a_commit("let q = 4", "rust")),
        np.array([False, False, True, True]),
    )
    rows = foreign_rows({"s": np.array([0.0, 1, 2, 3])}, commits, ["python"], 10)
    assert [(row.stratum, row.n_team, row.n_foreign) for row in rows] == [
        ("same language", 2, 1),
        ("all", 2, 2),
    ]
    assert main_language(a_commit("a") + a_commit("let long = 1", "rust")) == "rust"
    only_rust = foreign_rows({"s": np.zeros(4)}, commits, ["go"], 10)
    assert [row.stratum for row in only_rust] == ["all"]


def test_ngrams_of_commits() -> None:
    commits = CommitSet((a_commit("alpha_beta = 1"), a_commit("fn zed() -> u8 {}")), np.array([False, True]))
    texts = ["alpha_beta = 1\n", "alpha_gamma = 1\n", "beta_alpha = 2\n", "Beta Gamma!\n"] * 2
    model = fit_ngram_classifier(texts, np.array([0, 0, 0, 1] * 2), 2)
    for values in ngram_novelty(commits, fit_ngram_neighbours(texts), model).values():
        assert values[1] > values[0]


def test_perplexity_is_the_mean_loss_of_a_commit(tiny_base) -> None:
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    commits = CommitSet(
        (a_commit("x = 1\ny = 2"), a_commit("for a in b:\n    pass")), np.array([False, True])
    )
    found = perplexity_novelty(commits, routed, {"base": routed.zero_weights()}, 512, 128)["base"]
    for i, commit in enumerate(commits.passages):
        alone = np.concatenate(scored_log_probs(routed, tokenize_passages(tiny_base, commit)))
        assert found[i] == pytest.approx(-alone.mean(), rel=1e-5)
