"""The packages the base model learns from: the manifest, its rules, and how they are fetched.

Packages come from their registries through the registries' own clients, at pinned versions, and
nothing in a package is ever executed: wheels (not sdists, whose metadata is built by running
``setup.py``), ``npm pack`` and ``apt-get download`` only store archives.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from fingerprint import FingerprintError

MANIFEST = Path(__file__).with_name("packages.toml")
LANGUAGES = ("python", "typescript", "go", "rust")  # "typescript" stands for TypeScript and JavaScript
SPLITS = ("train", "heldout", "routes")
REGISTRIES = ("pypi", "npm", "debian")
FETCH_SECONDS = 180
PARALLEL_FETCHES = 4


class ManifestError(FingerprintError):
    """The package manifest breaks one of its own rules."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package at one version.

    Attributes:
        licence: SPDX expression as the package itself states it.
        split: "train", "heldout" (never trained on) or "routes" (kept for fitting the routes).
    """

    name: str
    registry: str
    language: str
    version: str
    licence: str
    split: str

    @property
    def slug(self) -> str:
        """The name as a file name: ``@scope/name`` becomes ``scope__name``."""
        return self.name.lstrip("@").replace("/", "__")

    def folder(self, downloads: Path) -> Path:
        """Where this version's archive lies; another version has another folder."""
        return downloads / self.registry / f"{self.slug}@{self.version.replace(':', '%3a')}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Packages, and what may never be among them."""

    packages: tuple[Package, ...]
    excluded_names: frozenset[str]
    excluded_patterns: tuple[str, ...]
    licences: frozenset[str]

    def of_split(self, split: str) -> tuple[Package, ...]:
        """The packages of one split, in manifest order."""
        return tuple(package for package in self.packages if package.split == split)


def read_manifest(path: Path = MANIFEST) -> Manifest:
    """Read and check the manifest.

    Raises:
        ManifestError: an excluded project, a licence outside the allowed list, or a bad field.
    """
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    rules = data["rules"]
    manifest = Manifest(
        packages=tuple(Package(**entry) for entry in data["package"]),
        excluded_names=frozenset(name.lower() for name in rules["excluded"]),
        excluded_patterns=tuple(rules["excluded_patterns"]),
        licences=frozenset(rules["licences"]),
    )
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Refuse excluded projects, unclear licences, unknown fields and repeated packages.

    Raises:
        ManifestError: with every fault found, one a line.
    """
    faults = [fault for package in manifest.packages for fault in _faults(package, manifest)]
    keys = [(package.registry, package.name) for package in manifest.packages]
    faults += [
        f"{registry} {name}: listed twice" for registry, name in set(keys) if keys.count((registry, name)) > 1
    ]
    if faults:
        raise ManifestError("the package manifest must be mended:\n" + "\n".join(sorted(faults)))


def excluded_by(name: str, manifest: Manifest) -> str:
    """The rule that excludes a package of this name, or "" when none does.

    A Debian name is judged by the crate or Go project in it, and by each of its words.
    """
    bare = _bare_name(name)
    if bare in manifest.excluded_names or name.lower() in manifest.excluded_names:
        return bare
    for pattern in manifest.excluded_patterns:
        if re.search(pattern, name.lower()):
            return pattern
    return ""


def is_licence_allowed(expression: str, allowed: Iterable[str]) -> bool:
    """Whether an SPDX expression leaves a permissive choice: each AND part needs one allowed OR part."""
    known = set(allowed)
    parts = re.split(r"\s+AND\s+", expression.replace("(", "").replace(")", ""))
    return all(any(choice.strip() in known for choice in re.split(r"\s+OR\s+|/", part)) for part in parts)


def download(packages: Sequence[Package], downloads: Path) -> list[str]:
    """Fetch every archive that is not there yet, four at a time.

    Returns:
        One line for each package that could not be fetched (a later run tries again).
    """
    missing = [package for package in packages if not _archives(package.folder(downloads))]
    with ThreadPoolExecutor(PARALLEL_FETCHES) as pool:
        results = pool.map(lambda package: _fetch(package, downloads), missing)
        return [line for line in track(results, "Downloading", total=len(missing)) if line]


def archive_of(package: Package, downloads: Path) -> Path | None:
    """The downloaded archive, or None."""
    return next(iter(_archives(package.folder(downloads))), None)


def fetch_command(package: Package, folder: Path) -> list[str]:
    """The registry client's command that stores one archive in ``folder`` without running its code."""
    where = str(folder)
    if package.registry == "pypi":
        requirement = f"{package.name}=={package.version}"
        return ["pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", where, requirement]
    if package.registry == "npm":
        requirement = f"{package.name}@{package.version}"
        return ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", where, requirement]
    return ["apt-get", "download", "-qq", f"{package.name}={package.version}"]


def _fetch(package: Package, downloads: Path) -> str:
    folder = package.folder(downloads)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            fetch_command(package, folder),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{package.name}: no answer within {FETCH_SECONDS} s"
    if done.returncode:
        return f"{package.name}=={package.version}: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    return ""


def _archives(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in (".whl", ".tgz", ".deb"))


def _bare_name(name: str) -> str:
    name = re.sub(r"^librust-(.*)-dev$", r"\1", name.lower())
    name = re.sub(r"^golang-(?:github-|gopkg-|go\.)?(.*)-dev$", r"\1", name)
    return name.replace("_", "-")


def _faults(package: Package, manifest: Manifest) -> list[str]:
    where, faults = f"{package.registry} {package.name}", []
    if rule := excluded_by(package.name, manifest):
        faults.append(f"{where}: left out by the rule {rule!r}")
    if not is_licence_allowed(package.licence, manifest.licences):
        faults.append(f"{where}: licence {package.licence!r} is not on the permissive list")
    for field, known in (("registry", REGISTRIES), ("language", LANGUAGES), ("split", SPLITS)):
        if getattr(package, field) not in known:
            faults.append(
                f"{where}: {field} must be one of {', '.join(known)}, not {getattr(package, field)!r}"
            )
    if not package.version:
        faults.append(f"{where}: no pinned version")
    return faults
