"""Other routes made from small real repositories, and evaluated beside the base's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fingerprint.evaluation.systems import ALM, B6, INDEPENDENT, UNDER_FIRST
from fingerprint.lm.load import load_base
from fingerprint.lm.routes import Routes, random_routes
from fingerprint.routing.contrast import ContrastTexts
from service import ServiceError
from service.flows.evaluation import routes as flow
from service.flows.evaluation.bases import compare_bases, without_foreign
from service.flows.evaluation.manifest import read_manifest
from service.flows.evaluation.routes import Kind, make_routes, write_base
from service.settings import Settings
from tests.service.flows.evaluation.test_repository import SMALL, base_directory, commit_all, entry, write

__all__ = ["base_directory"]


def make_shared(place: Path, people: dict[str, str], seed: int) -> Path:
    """A bare repository of people with a hand each, in two directories."""
    rng = np.random.default_rng(seed)

    def commits() -> Iterator[tuple[str, str, str]]:
        for i in range(100):
            name = list(people)[i % len(people)]
            yield name, "", write(people[name], 3, rng)

    return commit_all(place, commits(), ("core", "web"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clones")
    make_shared(place / "judged", {"Ann": "Ann", "Bob": "Bob"}, 0)
    make_shared(place / "teacher", {"Uma": "Bob", "Vic": "Cid"}, 1)
    make_shared(place / "shared", {"Ann": "Ann", "Zoe": "Cid"}, 2)
    rows = [entry(name, place / name, "") for name in ("judged", "teacher", "shared")]
    (place / "m.toml").write_text('format = 1\nname = "three"\n' + "".join(rows))
    return place


@pytest.mark.parametrize("kind", ["team", "contrast"])
def test_other_routes_are_another_span_of_the_same_base(
    kind: Kind, folder: Path, base_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "TEAM_STEPS", 30)
    settings = Settings(home=tmp_path / "home", base=str(base_directory), processes=1)
    manifest = read_manifest(folder / "m.toml")
    own = Routes.load(base_directory / "routes")
    made = make_routes(manifest, "judged", folder, kind, settings, SMALL)
    write_base(made, settings.base, tmp_path / kind)
    base = load_base(str(tmp_path / kind))
    back = Routes.load(tmp_path / kind / "routes", base)
    assert back.digest == made.digest != own.digest
    assert (back.rank, back.revision) == (own.rank, own.revision)


def test_the_null_contrast_reads_the_same_texts_of_other_authors(
    folder: Path, base_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / "home", base=str(base_directory), processes=1)
    manifest = read_manifest(folder / "m.toml")
    seen: list[list[ContrastTexts]] = []

    def spy(routes: Routes, _moments: object, texts: list[ContrastTexts], **_: object) -> Routes:
        seen.append(texts)
        return routes

    monkeypatch.setattr("fingerprint.routing.contrast.contrast_routes", spy)
    for seed in (None, 0, 0, 1):
        make_routes(manifest, "judged", folder, "contrast", settings, SMALL, shuffled=seed)
    (true,), (null,), (again,), (other,) = seen
    assert list(null.authors) == list(again.authors) != list(other.authors)
    assert list(null.authors) != list(true.authors)
    assert Counter(null.authors) == Counter(true.authors)
    assert (null.commits, null.directories) == (true.commits, true.directories)


@pytest.mark.slow
def test_other_routes_are_held_against_the_base_s_own(
    folder: Path, base_directory: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home", base=str(base_directory), processes=1)
    manifest = read_manifest(folder / "m.toml")
    write_base(random_routes(load_base(str(base_directory)), 4, 7), settings.base, tmp_path / "other")
    bases = {"own": str(base_directory), "other": str(tmp_path / "other")}
    small = SMALL.model_copy(update={"tokens": 500, "hidden_samples": 10, "fisher_samples": 10})
    kept: list[int] = []
    curve = compare_bases(
        without_foreign(manifest, "judged"), folder, bases, settings, small, independent=True,
        keep=lambda curve: kept.append(len(curve.rows)),
    )  # fmt: skip
    first, alone, other = curve.rows
    assert (first.base, other.base, kept) == ("own", "other", [1, 2, 3])
    assert alone.base.startswith("own, independent adapters")
    assert {row.system for row in alone.systems} == {INDEPENDENT}
    assert {(row.second, row.unit) for row in alone.contrasts} == {
        (name, unit) for name in (f"{ALM}{UNDER_FIRST}", B6) for unit in ("hunk", "commit")
    }
    assert any("under the first base" in row.second for row in other.contrasts)


def test_who_shares_a_person_does_not_teach(folder: Path, base_directory: Path, tmp_path: Path) -> None:
    manifest = read_manifest(folder / "m.toml")
    kept = tuple(manifest.entry(name) for name in ("judged", "shared"))
    alone = manifest.model_copy(update={"repositories": kept})
    settings = Settings(home=tmp_path, base=str(base_directory), processes=1)
    with pytest.raises(ServiceError, match="share no person with judged, saw none among 1"):
        make_routes(alone, "judged", folder, "contrast", settings, SMALL)


def test_a_hub_s_base_is_not_copied(base_directory: Path, tmp_path: Path) -> None:
    own = Routes.load(base_directory / "routes")
    with pytest.raises(ServiceError, match="a local directory, saw 'owner/name'"):
        write_base(own, "owner/name", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_writes_a_base_directory(
    folder: Path, base_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTEPRINT_BASE", str(base_directory))
    monkeypatch.setattr(flow, "EvaluationConfig", lambda: SMALL)
    line = ["routes", str(folder / "m.toml"), "judged", "--repositories", str(folder), "--kind", "contrast"]
    rest = ["--only", "teacher", "--home", str(tmp_path / "home"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", [*line, *rest])
    flow.main()
    assert Routes.load(tmp_path / "out" / "routes", load_base(str(tmp_path / "out"))).rank == 4
