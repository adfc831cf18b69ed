from dataclasses import replace

import numpy as np
import pytest

from fingerprint.config import DriftConfig
from fingerprint.drift.calibrate import name_cells
from fingerprint.drift.lexical import LexicalView, SizeTrend, fit_ngram_neighbours
from fingerprint.drift.nonconformity import Nonconformity
from fingerprint.evaluation.baselines import fit_ngram_classifier
from fingerprint.evaluation.metrics import auroc
from fingerprint.evaluation.novelty import (
    FUSED,
    Side,
    Texts,
    bag_rows,
    commit_p_values,
    drift_novelty,
    exchangeable_shares,
    flagged_rows,
    ngram_novelty,
    perplexity_novelty,
    read_log_probs,
    with_counts,
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


def draw(n: int, rng: np.random.Generator, shift: float = 0.0) -> Measures:
    """Commits of one kind: per-token log-ratio around .5, phi around 0, larger commits less noisy."""
    tokens = rng.integers(60, 400, n).astype(float)
    spread = np.sqrt(0.01 + 4 / tokens)
    ratio = (0.5 - shift + rng.normal(0, 1, n) * spread) * tokens
    phi = (rng.normal(shift, 1, (n, N_PHI)) * spread[:, None]) * tokens[:, None]
    names = tuple(str(i) for i in range(n))
    return Measures(names, ("python",) * n, tokens, ratio, phi, np.ones((n, 6)), np.zeros(n))


def a_signature(rng: np.random.Generator, n_calibration: int = 99) -> TeamSignature:
    normaliser, dev = fit_normaliser(draw(200, rng), CONFIG)
    scorer = Nonconformity.fit(normaliser, None, dev.statistics.score(normaliser.combination))
    scores = scorer.score(draw(n_calibration, rng))
    readings = scorer.to_readings() | name_cells({"all": scores, "python": scores})
    facts = {
        "normaliser_languages": list(normaliser.languages), "combination": normaliser.combination,
        "view": "routes",
    }  # fmt: skip
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


def a_side(routed: RoutedModel, passages: tuple[Passage, ...]) -> Side:
    """Passages read under the base, with measures that are their sizes."""
    log_probs = read_log_probs(passages, routed, {"base": routed.zero_weights()}, CONFIG)
    sizes = np.array([float(len(passage.marked)) for passage in passages])
    n = len(passages)
    measures = Measures(
        tuple(p.group for p in passages), tuple(p.language for p in passages), sizes, sizes,
        np.ones((n, N_PHI)), np.ones((n, 6)), np.zeros(n),
    )  # fmt: skip
    return Side(passages, measures, log_probs)


def a_passage(
    text: str, commit: str, path: str = "a.py", language: str = "python", at: float = 0.0
) -> Passage:
    lines = [(True, line) for line in text.split("\n")]
    return passage_from_lines(lines, path=path, language=language, group=commit, written_at=at)


def test_commits_and_their_files_are_sums_over_passages(tiny_base) -> None:
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    passages = (
        a_passage("x = 1\ny = 2", "one"),
        a_passage("z = 3", "one", at=5.0),
        a_passage("let q = 4", "one", "b.rs", "rust"),
        a_passage("for a in b:\n    pass", "two"),
    )
    side = a_side(routed, passages)
    commits, hunks = side.texts("commit"), side.texts("hunk")
    assert (commits.commits, hunks.commits) == (("one", "two"), ("one", "one", "two"))
    assert hunks.added == ["x = 1\ny = 2\nz = 3\n", "let q = 4\n", "for a in b:\n    pass\n"]
    assert hunks.measures.languages == ("python", "rust", "python")
    assert commits.measures.n_scored.sum() == hunks.measures.n_scored.sum()
    for i, own in enumerate(hunks.passages):
        alone = np.concatenate(scored_log_probs(routed, tokenize_passages(tiny_base, own)))
        assert hunks.log_probs["base"][i] == pytest.approx(alone.sum(), rel=1e-5)
    assert commits.log_probs["base"][0] == pytest.approx(hunks.log_probs["base"][:2].sum())
    assert hunks.scorable(["python"], 10).commits == ("one", "two")
    assert hunks.scorable(["python"], 18).commits == ("one", "two")
    assert hunks.scorable(["python"], 19).commits == ("two",)
    assert hunks.take(np.array([1])).written_at.tolist() == [0.0]


def test_ngrams_of_texts() -> None:
    texts = ["alpha_beta = 1\n", "alpha_gamma = 1\n", "beta_alpha = 2\n", "Beta Gamma!\n"] * 2
    model = fit_ngram_classifier(texts, np.array([0, 0, 0, 1] * 2), 2)
    for values in ngram_novelty(
        ["alpha_beta = 1\n", "fn zed() -> u8 {}\n"], fit_ngram_neighbours(texts), model
    ).values():
        assert values[1] > values[0]


def test_the_null_is_read_as_its_log_ratio(tiny_base) -> None:
    routed = RoutedModel(tiny_base, random_routes(tiny_base, 2, 0))
    side = a_side(routed, (a_passage("x = 1", "one"),))
    texts = Side(side.passages, side.measures, {"base": np.array([-9.0]), "team": np.array([-6.0]),
                                                "null": np.array([-12.0])}).texts("commit")  # fmt: skip
    n = texts.measures.n_scored[0]
    found = {name: values.tolist() for name, values in perplexity_novelty(texts).items()}
    assert found == {
        "fewer tokens (control)": [-n],
        "perplexity of the base (control)": [9 / n],
        "perplexity of the team (B7)": [6 / n],
        "Lambda of the other repository's adapter (null)": [3 / n],
    }


def test_counts_are_read_where_the_signature_has_a_lexical_view() -> None:
    rng = np.random.default_rng(3)
    texts = Texts(((some_passage("a"), some_passage("b")),), ("c",), draw(1, rng), {})
    plain = a_signature(rng)
    assert with_counts(texts, plain) is texts
    neighbours = fit_ngram_neighbours(["a = 1\n", "a = 1\n", "b = 2\n"])
    fused = TeamSignature(
        plain.readings | LexicalView(neighbours, SizeTrend(0.0, 0.0, 1.0)).to_readings(), {},
        plain.facts | {"view": "fused"}, plain.provenance,
    )  # fmt: skip
    read = with_counts(texts, fused).measures
    assert read.counts is not None
    assert read.counts.toarray().tolist() == neighbours.counts(texts.added).toarray().tolist()
    found = drift_novelty(read, fused)
    assert found[FUSED][0] == pytest.approx(Nonconformity.of_team(fused).score(read)[0])
    assert FUSED not in drift_novelty(texts.measures, plain)


def test_bags_of_one_author_tell_more_than_single_commits() -> None:
    rng = np.random.default_rng(5)
    n = 125
    authors = [f"author {i % 2}" for i in range(n)]  # 63 and 62 commits: six bags each
    sides = tuple(
        Texts(tuple((replace(some_passage(f"c{i}"), author=authors[i]),) for i in range(n)),
              tuple(f"c{i}" for i in range(n)), draw(n, rng), {})
        for _ in range(2)
    )  # fmt: skip
    novelty = {"weak": rng.normal(0, 1, n)}, {"weak": rng.normal(0.8, 1, n)}
    (row,) = bag_rows("them", (sides[0], sides[1]), novelty, 50)
    assert (row.unit, row.n_team, row.n_strangers) == ("ten commits", 12, 12)
    assert (row.auroc.value or 0) > auroc(novelty[1]["weak"], novelty[0]["weak"]) + 0.1
    few = sides[0].take(np.arange(40)), {"weak": novelty[0]["weak"][:40]}
    assert not list(bag_rows("them", (few[0], sides[1]), (few[1], novelty[1]), 50))


def some_passage(group: str, path: str = "x.py") -> Passage:
    return passage_from_lines(
        [(True, f"{group} = {path!r}")], section="", path=path, language="python", group=group,
        author="ann", written_at=0.0, first_line=1,
    )  # fmt: skip
