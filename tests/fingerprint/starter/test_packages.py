"""The manifest keeps its own rules, and refuses what breaks them."""

from dataclasses import replace
from pathlib import Path

import pytest

from fingerprint.starter.packages import (
    LANGUAGES,
    ManifestError,
    Package,
    check_manifest,
    excluded_by,
    fetch_command,
    is_licence_allowed,
    read_manifest,
)

MANIFEST = read_manifest()


def test_every_language_has_training_heldout_and_route_packages():
    for language in LANGUAGES:
        counts = {
            s: sum(p.language == language for p in MANIFEST.of_split(s))
            for s in ("train", "heldout", "routes")
        }
        assert counts["train"] > 50 and counts["heldout"] == 3 and counts["routes"] == 10


@pytest.mark.parametrize(
    "name",
    [
        "flask",
        "sentry-sdk",
        "zod",
        "@trpc/server",
        "langchain-core",
        "openai",
        "sqlglot",
        "librust-regex-dev",
        "librust-syn-dev",
        "golang-github-gin-gonic-gin-dev",
        "golang-github-charmbracelet-lipgloss-dev",
        "golang-github-rivo-tview-dev",
        "golang-github-cli-browser-dev",
        "@hono/node-server",
        "llm",
    ],
)
def test_left_out_projects_are_refused(name: str):
    assert excluded_by(name, MANIFEST)
    with pytest.raises(ManifestError, match="left out by the rule"):
        check_manifest(replace(MANIFEST, packages=(Package(name, "npm", "typescript", "1", "MIT", "train"),)))


def test_neighbours_of_left_out_names_stay():
    assert not any(
        excluded_by(name, MANIFEST) for name in ("flake8", "express", "librust-tokio-dev", "aiohttp")
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"licence": "GPL-3.0"}, "permissive"),
        ({"licence": ""}, "permissive"),
        ({"version": ""}, "pinned"),
        ({"split": "test"}, "split"),
        ({"language": "perl"}, "language"),
        ({"registry": "cpan"}, "registry"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, str], fault: str):
    package = replace(Package("good", "pypi", "python", "1", "MIT", "train"), **change)
    with pytest.raises(ManifestError, match=fault):
        check_manifest(replace(MANIFEST, packages=(package,)))


def test_a_package_listed_twice_is_refused():
    package = Package("good", "pypi", "python", "1", "MIT", "train")
    with pytest.raises(ManifestError, match="listed twice"):
        check_manifest(replace(MANIFEST, packages=(package, package)))


def test_licence_expressions():
    allowed = MANIFEST.licences
    assert is_licence_allowed("Unlicense OR MIT", allowed)
    assert is_licence_allowed("(Apache-2.0 OR MIT) AND BSD-3-Clause", allowed)
    assert not is_licence_allowed("MIT AND GPL-2.0", allowed)
    assert not is_licence_allowed("MPL-2.0", allowed)


def test_no_fetch_command_runs_package_code(tmp_path: Path):
    assert "--only-binary=:all:" in fetch_command(
        Package("a", "pypi", "python", "1", "MIT", "train"), tmp_path
    )
    assert "--ignore-scripts" in fetch_command(
        Package("a", "npm", "typescript", "1", "MIT", "train"), tmp_path
    )
    assert fetch_command(Package("a", "debian", "go", "1", "MIT", "train"), tmp_path)[:2] == [
        "apt-get",
        "download",
    ]
