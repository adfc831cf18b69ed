"""The evaluation whole, on two small real repositories with planted hands and a tiny base."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.results import Evaluation
from fingerprint.evaluation.systems import UNDER_FIRST
from service import ServiceError
from service.flows.bench import Stage
from service.flows.evaluation.all import evaluate_all
from service.flows.evaluation.bases import compare_bases, without_foreign
from service.flows.evaluation.manifest import Change, ManifestError, read_manifest
from service.flows.evaluation.repository import evaluate
from service.flows.evaluation.text import HistoryChoice
from service.settings import Settings
from tests.conftest import make_tiny_base

DAY = 86_400
START = 1_700_000_000
NOUNS = ["order", "user", "batch", "cache", "token", "route", "event", "image", "queue", "price"]
HANDS = {
    "Ann": "def get_{a}_{b}(self):\n    {a} = self.{b}\n    return {a}\n\n\n",
    "Bob": "def fetch{A}{B}(x):\n  if x is None: raise ValueError('{a}')\n  return x['{b}']\n\n",
    "Cid": "class {A}{B}:\n    # holds the {a}\n    {b}: int = 0\n\n\n",
}


def write(hand: str, n: int, rng: np.random.Generator) -> str:
    parts = []
    for _ in range(n):
        a, b = rng.choice(NOUNS, 2)
        parts.append(
            HANDS[hand].format(a=a, b=b, A=a.title(), B=b.title()) + f"{a}_{rng.integers(1_000_000)} = 1\n"
        )
    return "".join(parts)


def _noise(rng: np.random.Generator) -> str:
    return "".join(f"{rng.bytes(9).hex().upper()} = {rng.bytes(9).hex().upper()}\n" for _ in range(6))


def make_repository(
    place: Path, hands: list[str], n_commits: int, seed: int, *, changed_at: int = 10**9
) -> Path:
    """A bare repository in which the hands take turns, one new file a commit, one commit a day.

    From commit ``changed_at`` on everybody writes what no model expects.
    """
    rng = np.random.default_rng(seed)
    by_turn = [hands[i % len(hands)] for i in range(n_commits)]
    texts = (_noise(rng) if i >= changed_at else write(hand, 3, rng) for i, hand in enumerate(by_turn))
    return commit_all(place, ((hand, "", text) for hand, text in zip(by_turn, texts, strict=True)))


def commit_all(
    place: Path, commits: Iterable[tuple[str, str, str]], directories: Sequence[str] = ("src",)
) -> Path:
    """A bare repository of one new file a commit, one commit a day: who, trailer of the message, text.

    Directories take turns, two commits in each.
    """
    stream = []
    for i, (name, trailer, text) in enumerate(commits):
        body, message = text.encode(), f"Add part {i}{trailer}\n".encode()
        who = f"{name} Example <{name.lower()}@example.org> {START + i * DAY} +0000".encode()
        stream += [
            b"commit refs/heads/main\nauthor " + who + b"\ncommitter " + who + b"\n",
            b"data %d\n%s" % (len(message), message),
            b"M 100644 inline %s/part_%d.py\n" % (directories[i // 2 % len(directories)].encode(), i),
            b"data %d\n%s\n" % (len(body), body),
        ]
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", place], check=True)
    subprocess.run(["git", "fast-import", "--quiet"], input=b"".join(stream), check=True, cwd=place)
    return place


@pytest.fixture(scope="session")
def base_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base that reads the hands' code in few tokens, with routes beside it."""
    from fingerprint.lm.load import load_base
    from fingerprint.lm.routes import random_routes

    text = "def get_order(self):\n    return self.order\n"
    directory = make_tiny_base(tmp_path_factory.mktemp("base"), text)
    random_routes(load_base(str(directory)), 4, 0).save(directory / "routes")
    return directory


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("repositories")
    return (
        make_repository(place / "team.git", ["Ann", "Bob"], 130, 0),
        make_repository(place / "others.git", ["Cid"], 80, 1),
    )


SMALL = EvaluationConfig(
    slices=(0.4, 0.2, 0.2, 0.2),
    tokens=1_500,
    n_null_sets=1,
    least_samples=10,
    least_commits=10,
    least_test_samples=5,
    past_samples=12,
    test_samples=16,
    sample_tokens=60,
    loss_tokens=200,
    drift_commits=24,
    commit_tokens=80,
    least_commit_tokens=30,
    n_draws=20,
    ablated_hunks=3,
)


def _foreign_code_is_told_apart(found: Evaluation) -> None:
    detectors = {(row.system, row.against, row.unit): row for row in found.detection}
    for unit in ("commit", "hunk"):
        assert detectors["n-grams, nearest five (B5)", "others.git", unit].auroc.value == 1
        assert detectors["drift, routes and n-grams fused", "others.git", unit].auroc.value == 1
        assert (
            detectors["drift of the routes alone, by the rule chosen on dev", "others.git", unit].n_strangers
            == 16
        )


def _shuffled_authors_stand_in_every_place(found: Evaluation) -> None:
    """Both authors are in the one null set, so it can take the routes' place in each stack."""
    rows = {(row.system, row.unit) for row in found.null_attribution}
    assert len(rows) == 16
    assert ("B6 + routes, stacked, authors shuffled 0", "commit") in rows
    pairs = {(row.first, row.second): row.auroc for row in found.contrasts if row.unit == "hunk"}
    stack = "B6 + routes, stacked"
    own, null = (
        pairs[stack, "stack of B1-B4 (B6)"],
        pairs[f"{stack}, authors shuffled 0", "stack of B1-B4 (B6)"],
    )
    both = pairs[stack, f"{stack}, authors shuffled 0"]
    assert both.value == pytest.approx((own.value or 0) - (null.value or 0), abs=1e-5)


def _commits_one_after_another_are_evidence(found: Evaluation) -> None:
    """Streams need thirty commits to be held against; here the sample has 24 at most."""
    assert found.sequences == ()
    masked = {(row.system, row.unit): row for row in found.detection if row.against == "others.git, masked"}
    assert {unit for _, unit in masked} == {"commit", "hunk"}
    assert masked["n-grams, nearest five (B5)", "commit"].auroc.value == 1
    assert (masked["Lambda_team and n-grams fused", "commit"].auroc.value or 0) > 0.9


def test_evaluation_end_to_end_and_again(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    stages: list[tuple[str, bool]] = []
    kept: list[Evaluation] = []
    found = evaluate(
        *repositories, settings, SMALL, lambda stage: stages.append((stage.name, stage.is_stored)),
        keep=kept.append,
    )  # fmt: skip
    assert kept[-1] == found
    assert [len(one.attribution) > 0 for one in kept] == [*[False] * 7, True]
    both = ["human:ann-example", "human:bob-example"]
    assert [row.author for row in found.authors if not row.reason] == both
    assert {row.kind for row in found.adapters} == {"team", "author", "null"}
    assert found.losses is not None
    assert found.losses.columns == tuple(both)
    systems = {(row.system, row.unit): row for row in found.attribution}
    refitted = {(row.system, row.unit): row for row in found.refitted}
    for rows in (systems, refitted):
        assert rows["n-grams (B1)", "hunk"].auroc.value == 1
        assert (rows["B1-B4, systems x authors logistic", "hunk"].auroc.value or 0) > 0.9
        assert (rows["routes at the base, Fisher kernel", "hunk"].auroc.value or 0) > 0.6
        assert rows["per-author perplexity (B7, ALM)", "commit"].n == 16
    assert systems.keys() - refitted.keys() == {
        (name, unit) for unit in ("hunk", "commit")
        for name in ("hidden states of the base (B8)", "gradient alignment at the base (B9)")
    }  # fmt: skip
    _shuffled_authors_stand_in_every_place(found)
    halves = {(row.reading, row.labels): row for row in found.replication}
    assert len(halves) == 12
    assert halves["control: n-grams of the half's text", "true"].top1 == 1
    # a random base's routes say little, and what they say differs between processors
    assert -1 <= (halves["routes, by site on common texts", "true"].icc or -2) <= 1
    anchors = {(row.split, row.view): row for row in found.anchors if row.unit == "hunk"}
    assert {view for _, view in anchors} == {"raw", "masked", "without comments", "formatted"}
    assert len(anchors) == 8
    assert anchors["S3 time", "raw"].auroc.value == 1
    _foreign_code_is_told_apart(found)
    _commits_one_after_another_are_evidence(found)
    assert [row.level for row in found.flagged] == [0.05, 0.1] * (len(found.flagged) // 2)
    assert found.flagged[0].n > 0
    assert found.drift["largest_gap_over_bound"] is not None
    assert [(row.n_routes, row.n) for row in found.ablation] == [(5, 3), (20, 3)]
    assert json.loads(found.model_dump_json())["repository"] == "team.git"
    # here every commit is one file, so commits and hunks are the same texts
    assert {name for name, is_stored in stages if is_stored} == {"n-grams of texts"}

    stages.clear()
    again = evaluate(
        *repositories, settings, SMALL, lambda stage: stages.append((stage.name, stage.is_stored))
    )
    assert all(is_stored for name, is_stored in stages if name != "read history")
    assert again.model_copy(update={"seconds": {}}) == found.model_copy(update={"seconds": {}})

    check_parts_left_out(repositories, settings, found)


def test_a_second_process_makes_the_later_parts(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path
) -> None:
    """With the same result; what it made the first one finds."""
    skip = ("masked", "refits", "base", "unseen", "halves", "changes")
    config = SMALL.model_copy(update={"skip": skip, "n_null_sets": 0})
    found: list[Evaluation] = []
    stages: list[Stage] = []
    for n_processes in (1, 2):
        settings = Settings(home=tmp_path / str(n_processes), base=str(base_directory), processes=n_processes)
        stages.clear()
        found.append(evaluate(*repositories, settings, config, stages.append))
    assert found[0].model_copy(update={"seconds": found[1].seconds}) == found[1]
    names = [stage.name for stage in stages]
    waited = names.index("attribution, splits, ablation, in a second process")
    assert len(stages[waited + 1 :]) > 5
    assert all(stage.is_stored for stage in stages[waited + 1 :])
    assert any(not stage.is_stored for stage in stages[:waited])


def check_parts_left_out(repositories: tuple[Path, Path], settings: Settings, whole: Evaluation) -> None:
    """Of a run that a whole one has filled the store for."""
    skip = ("strangers", "masked", "refits", "splits", "unseen", "ablation", "halves", "changes")
    less = evaluate(*repositories, settings, SMALL.model_copy(update={"skip": skip}))
    assert less.attribution == whole.attribution
    assert (less.detection, less.anchors, less.replication) == ((), (), ())
    refitted = {row.system for row in less.refitted}
    assert refitted == {
        "n-grams (B1)", "layout rates (B2)", "author trigrams (B3)", "compression (B4)",
        "stack of B1-B4 (B6)", "B1-B4, systems x authors logistic", "routes at the base, Fisher kernel",
        "B6 + Fisher kernel, stacked",
    }  # fmt: skip
    assert tuple(row for row in whole.refitted if row.system in refitted) == less.refitted
    assert not any("perplexity" in row.first and "refitted" in row.first for row in less.contrasts)
    least = evaluate(*repositories, settings, SMALL.model_copy(update={"skip": (*skip, "base")}))
    kept = {row.system for row in least.attribution}
    assert {row.system for row in whole.attribution} - kept == {
        "hidden states of the base (B8)", "gradient alignment at the base (B9)",
        "routes at the base, Fisher kernel", "B6 + Fisher kernel, stacked",
        "B6 + perplexity by kind + B8 + routes, stacked",
    }  # fmt: skip
    assert least.attribution == tuple(row for row in whole.attribution if row.system in kept)


@pytest.mark.slow
def test_one_author_alone_is_told_apart_from_foreign_code_only(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    config = SMALL.model_copy(update={"most_authors": 1, "n_null_sets": 0})
    found = evaluate(repositories[0], None, settings, config)
    assert (found.attribution, found.detection) == ((), ())
    assert any("no attribution" in note for note in found.notes)
    assert found.flagged


@pytest.mark.slow
def test_the_command_prints_tables_and_writes_json(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import typer

    from service.cli import evaluation as command

    monkeypatch.setenv("ROUTEPRINT_BASE", str(base_directory))
    monkeypatch.setattr(command, "_config", lambda fast, chosen: SMALL)
    app = typer.Typer()
    command.add_to(app)
    team, others = map(str, repositories)
    options = ["--repo", team, "--foreign", others, "--home", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    for title in ("authors", "adapters", "attribution on the time split", "others.git against", "conformal"):
        assert title in done.output
    found = Evaluation.model_validate_json((tmp_path / "out" / "team.git.json").read_text())
    assert found.foreign == "others.git"
    assert "| n-grams (B1) | hunk |" in (tmp_path / "out" / "tables.md").read_text()


def entry(name: str, place: Path, more: str) -> str:
    """A repository as a manifest lists it."""
    tip = subprocess.run(["git", "-C", place, "rev-parse", "main"], capture_output=True, check=True).stdout
    head = f'[[repositories]]\nname = "{name}"\nsource = "file://{place}"\nlanguage = "python"\n'
    return f'{head}revision = "{tip.decode().strip()}"\n{more}\n'


@pytest.mark.slow
def test_people_are_told_apart_in_projects_they_were_not_trained_on(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path
) -> None:
    home, other = repositories[0], make_repository(tmp_path / "other.git", ["Bob", "Ann"], 40, 5)
    folder = tmp_path / "clones"
    folder.mkdir()
    (folder / "home.git").symlink_to(home)
    (folder / "other.git").symlink_to(other)
    people, code = ("Ann", "Bob"), "{{ home = 'human:{0}-example', other = 'human:{0}-example' }}"
    (tmp_path / "m.toml").write_text(
        'format = 1\nname = "two"\n' + entry("home", home, "") + entry("other", other, "")
        + "".join(f'[[people]]\nname = "{who}"\ncode = {code.format(who.lower())}\n' for who in people)
    )  # fmt: skip
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    (found,) = evaluate_all(
        read_manifest(tmp_path / "m.toml"), folder, settings, SMALL, only=("people, python",)
    )
    assert [row.author for row in found.authors if not row.reason] == ["human:Ann", "human:Bob"]
    assert {row.system: row.auroc.value for row in found.attribution}["n-grams (B1)"] == 1
    assert found.authors[0].test_samples == 20  # all of the other project, none of the first
    assert found.detection == ()


@pytest.mark.slow
def test_a_manifest_is_evaluated_whole_and_found_again(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path
) -> None:
    team, others = repositories

    (tmp_path / "m.toml").write_text(
        'format = 1\nname = "two"\n' + entry("team", team, 'foreign = "others"\ncut = 2024-02-20')
        + entry("others", others, "is_evaluated = false")
    )  # fmt: skip
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    stages: list[Stage] = []
    manifest = read_manifest(tmp_path / "m.toml")
    list(evaluate_all(manifest, team.parent, settings, SMALL))
    (found,) = evaluate_all(manifest, team.parent, settings, SMALL, report=stages.append)
    assert (found.repository, found.foreign) == ("team", "others.git")
    assert found.history["test_from"] == "2024-02-20"
    assert all(stage.is_stored for stage in stages if not stage.name.endswith("read history"))
    with pytest.raises(ManifestError, match="no repository 'third'"):
        list(evaluate_all(manifest, team.parent, settings, SMALL, only=("third",)))


@pytest.mark.slow
def test_a_base_beside_itself_does_not_move(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path
) -> None:
    team, others = repositories
    (tmp_path / "m.toml").write_text(
        'format = 1\nname = "two"\n' + entry("team", team, 'foreign = "others"') + entry("others", others, "")
    )
    np.save(tmp_path / "heldout.npy", np.arange(400, dtype=np.uint16) % 50)
    manifest = without_foreign(read_manifest(tmp_path / "m.toml"), "team")
    bases = {"one": str(base_directory), "again": str(base_directory)}
    settings = Settings(home=tmp_path, processes=1)
    curve = compare_bases(manifest, team.parent, bases, settings, SMALL, heldout=tmp_path / "heldout.npy")
    one, again = curve.rows
    assert one.systems == again.systems
    assert (one.dev_loss, one.heldout_bits) == (again.dev_loss, again.heldout_bits)
    assert one.n_parameters > 0
    same = [row.auroc for row in again.contrasts if row.second.endswith(UNDER_FIRST)]
    assert [(area.value, area.low, area.high) for area in same] == [(0, 0, 0)] * 4
    assert len(one.contrasts) == len(again.contrasts) - 4


@pytest.mark.slow
def test_a_change_of_convention_raises_the_alarm(base_directory: Path, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "team.git", ["Ann", "Bob"], 420, 3, changed_at=300)
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    config = SMALL.model_copy(update={"n_null_sets": 0, "unseen_authors": 0, "tokens": 6_000})
    days = [datetime.fromtimestamp(START + i * DAY, UTC).date() for i in (300, 240)]
    changes = (Change(day=days[0], what="noise"), Change(day=days[1], what="nothing", kind="rename"))
    found = evaluate(repository, None, settings, config, choice=HistoryChoice(changes=changes)).changes
    assert [row.what for row in found] == ["noise"] * 4 + ["nothing"] * 4
    assert all(row.n_before > 10 for row in found)
    delays = {(row.what, row.rule): row.delay for row in found}
    at_change = delays["noise", "online p-values; Ville at 0.05"]
    assert at_change is not None
    assert at_change <= 25
    # the second stream runs on into the change, 60 commits later
    assert all(delay is None or delay > 60 for (what, _), delay in delays.items() if what == "nothing")
    assert all(row.n_false == 0 for row in found)


def test_a_history_without_enough_code_says_what_to_do(
    repositories: tuple[Path, Path], tmp_path: Path
) -> None:
    config = SMALL.model_copy(update={"least_samples": 10_000})
    named = HistoryChoice(authors=("human:ann-example",))
    with pytest.raises(ServiceError, match=r"no author of team.git has 10000 hunk samples.*--authors-min"):
        evaluate(repositories[0], None, Settings(home=tmp_path), config, choice=named)


def test_where_nobody_stands_on_both_sides_the_team_is_everybody(
    repositories: tuple[Path, Path], base_directory: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    found = evaluate(*repositories, settings, SMALL.model_copy(update={"least_samples": 10_000}))
    assert {row.kind for row in found.adapters} == {"team", "null"}
    assert (found.attribution, found.anchors, found.ablation, found.losses) == ((), (), (), None)
    _foreign_code_is_told_apart(found)
    assert found.flagged[0].n > 0
    assert any(
        "the team is everybody and has no authors: no author of team.git" in one for one in found.notes
    )
