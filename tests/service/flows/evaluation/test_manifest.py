from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from service.flows.evaluation.manifest import (
    DEVELOPMENT,
    ManifestError,
    find_clone,
    read_manifest,
)

GOOD = """
format = 1
name = "ours"

[[repositories]]
name = "a"
source = "https://example.org/people/a.git"
revision = "{0}"
language = "python"
foreign = "b"
cut = 2025-01-01
aliases = [["human:ann", "human:ann-old"]]
changes = [{{ day = 2024-05-01, what = "formatter" }}]

[[repositories]]
name = "b"
source = "https://example.org/people/b"
revision = "{0}"
language = "python"

[[people]]
name = "Ann"
code = {{ a = "human:ann", b = "human:ann" }}
""".format("0" * 40)


def write(place: Path, text: str) -> Path:
    place.write_text(text)
    return place


def test_reads_what_it_says(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path / "m.toml", GOOD))
    first = manifest.entry("a")
    assert first.merged == {"human:ann-old": "human:ann"}
    assert first.cut_seconds == 1735689600
    assert first.changes[0].kind == "convention"
    assert manifest.people[0].code["b"] == "human:ann"
    assert {name: [e.name for e in entries] for name, entries in manifest.people_in("python").items()} == {
        "Ann": ["a", "b"]
    }
    assert manifest.languages_of_people() == ()  # one person is nobody to be told apart from
    with pytest.raises(ManifestError, match="no repository 'c'; it has a, b"):
        manifest.entry("c")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('foreign = "b"', 'foreign = "z"', "named but not listed: z"),
        ('name = "b"', 'name = "a"', "two repositories have one name"),
        ("format = 1", "format = 9", "format"),
        ("0" * 40, "main", "repositories.0.revision"),
        ('language = "python"', "", "repositories.0.language"),
        ("format = 1", "format = ", "is not TOML"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(write(tmp_path / "m.toml", GOOD.replace(old, new, 1)))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot read the manifest .*none\.toml"):
        read_manifest(tmp_path / "none.toml")


def test_clones_are_found_by_name_or_source(tmp_path: Path) -> None:
    first, second = read_manifest(write(tmp_path / "m.toml", GOOD)).repositories
    with pytest.raises(ManifestError, match=r"git clone --bare https://example\.org/people/a\.git"):
        find_clone(first, tmp_path)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "a.git"], check=True)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "people+b" / "repo"], check=True)
    assert find_clone(first, tmp_path) == tmp_path / "a.git"
    assert find_clone(second, tmp_path) == tmp_path / "people+b" / "repo"


def test_our_own_manifest_is_valid() -> None:
    manifest = read_manifest(DEVELOPMENT)
    evaluated = [entry for entry in manifest.repositories if entry.is_evaluated]
    assert {entry.language for entry in evaluated} == {"python", "typescript", "rust", "go"}
    assert manifest.languages_of_people() == ("python", "rust")
    for entry in evaluated:
        assert manifest.entry(entry.foreign).language == entry.language
