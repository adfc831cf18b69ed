"""Which repositories are evaluated, at which revision, and what is known of them: data, not code.

A manifest is TOML; ``development.toml`` beside this module is our own. It names repositories and never
contains their code; whoever runs it clones them.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fingerprint.storage import FrozenModel
from service import ServiceError

FORMAT = 1
DEVELOPMENT = Path(__file__).with_name("development.toml")


class ManifestError(ServiceError):
    """A manifest, or a clone that it names, cannot be used."""


class Change(FrozenModel):
    """A known change of convention, or a change that must not look like one.

    Attributes:
        kind: "convention" should raise the drift alarm; "rename" is the negative control.
    """

    day: date
    what: str
    commit: str = ""
    kind: Literal["convention", "rename"] = "convention"


class RepositoryEntry(FrozenModel):
    """One repository.

    Attributes:
        name: short name; a clone is looked for under it.
        source: where it can be cloned from.
        revision: the commit that is read; nothing newer counts.
        language: the main language, which a foreign repository should share.
        foreign: name of the repository whose diffs are foreign to it, or "".
        cut: first day of the test slice; by default the slices' shares decide.
        authors: author keys who take part; by default whoever has enough code.
        aliases: author keys that are one person, the kept key first.
        changes: see Change.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    source: str
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    language: str
    foreign: str = ""
    is_evaluated: bool = True
    cut: date | None = None
    authors: tuple[str, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def merged(self) -> dict[str, str]:
        """Author key that is merged -> the key kept."""
        return {other: people[0] for people in self.aliases for other in people[1:]}

    @property
    def cut_seconds(self) -> float | None:
        """The cut in seconds since the epoch, UTC."""
        if self.cut is None:
            return None
        return datetime(self.cut.year, self.cut.month, self.cut.day, tzinfo=UTC).timestamp()


class Person(FrozenModel):
    """Somebody with code in several repositories (S5).

    Attributes:
        code: repository name -> author key there; of each language the first trains, the others test.
    """

    name: str
    code: dict[str, str]


class Manifest(FrozenModel):
    """Repositories and people of one evaluation."""

    format: Literal[1]
    name: str
    repositories: tuple[RepositoryEntry, ...]
    people: tuple[Person, ...] = ()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        names = [entry.name for entry in self.repositories]
        if len(set(names)) < len(names):
            raise ValueError("two repositories have one name")
        wanted = {entry.foreign for entry in self.repositories if entry.foreign}
        wanted |= {repository for person in self.people for repository in person.code}
        if missing := sorted(wanted - set(names)):
            raise ValueError(f"named but not listed: {', '.join(missing)}")
        return self

    def languages_of_people(self) -> tuple[str, ...]:
        """Languages in which at least two people have at least two repositories each."""
        found = {entry.language for entry in self.repositories}
        return tuple(sorted(name for name in found if len(self.people_in(name)) >= 2))

    def people_in(self, language: str) -> dict[str, tuple[RepositoryEntry, ...]]:
        """Person -> their repositories of one language, the training one first; two or more of them."""
        found = {
            person.name: tuple(entry for entry in map(self.entry, person.code) if entry.language == language)
            for person in self.people
        }
        return {name: entries for name, entries in found.items() if len(entries) >= 2}

    def entry(self, name: str) -> RepositoryEntry:
        """The repository of that name.

        Raises:
            ManifestError: there is none.
        """
        for found in self.repositories:
            if found.name == name:
                return found
        known = ", ".join(found.name for found in self.repositories)
        raise ManifestError(f"the manifest has no repository {name!r}; it has {known}")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: unreadable, not TOML, or not of this form; says where.
    """
    try:
        return Manifest.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ManifestError(f"{path}: {where}: {first['msg']}") from error


def find_clone(entry: RepositoryEntry, folder: Path) -> Path:
    """A repository's clone below a folder: NAME, NAME.git, or the last part of its source.

    Raises:
        ManifestError: none there; says how to make it.
    """
    owner, _, repository = entry.source.removesuffix(".git").rstrip("/").rpartition("/")
    names = (entry.name, f"{entry.name}.git", repository, f"{owner.rpartition('/')[2]}+{repository}/repo")
    for name in names:
        place = folder / name
        if (place / "HEAD").exists() or (place / ".git").exists():
            return place
    raise ManifestError(
        f"no clone of {entry.name} in {folder}; make it: git clone --bare {entry.source} "
        f"{folder / entry.name}.git"
    )
