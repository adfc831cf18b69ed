"""Versions of signatures: which one reviews score with, and what happens to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from service import ServiceError
from service.db.columns import now
from service.db.queries.repositories import lock_repository
from service.db.states import Subject
from service.db.tables import Signature


class UnknownSignatureError(ServiceError):
    """There is no such version."""


@dataclass(frozen=True, slots=True)
class NewSignature:
    """A signature that has just been made. ``scope``: "team:<name>" or "author:<key>"."""

    repository_id: int
    scope: str
    profile: str
    artifact: str
    base_hash: str
    config_hash: str
    commit: str
    n_commits: int
    provenance: dict[str, Any]


def scope_of_team(name: str) -> str:
    """The scope of a team's signatures."""
    return f"team:{name}"


def scope_of_author(key: str) -> str:
    """The scope of an author's signatures."""
    return f"author:{key}"


def add_version(session: Session, made: NewSignature) -> Signature:
    """Write a new version down; the newest is used from now on, unless another is pinned.

    The same artifact again is the same version: learning from unchanged history makes nothing new.
    """
    lock_repository(session, made.repository_id)
    versions = list_versions(session, made.repository_id, made.scope)
    for version in versions:
        if version.artifact == made.artifact and version.profile == made.profile:
            version.stale_reason, version.stale_at, version.withdrawn_reason = "", None, ""
            version.base_hash, version.commit = made.base_hash, made.commit
            return version
    subject = Subject.TEAM if made.scope.startswith("team:") else Subject.AUTHOR
    row = Signature(
        repository_id=made.repository_id, subject=subject, scope=made.scope,
        version=versions[0].version + 1 if versions else 1, profile=made.profile, artifact=made.artifact,
        base_hash=made.base_hash, config_hash=made.config_hash, commit=made.commit,
        n_commits=made.n_commits, provenance=made.provenance,
    )  # fmt: skip
    session.add(row)
    session.flush()
    for version in versions:
        version.superseded_by = version.superseded_by or row.id
    return row


def roll_version(
    session: Session, repository_id: int, scope: str, *, before: str, profile: str, artifact: str, commit: str
) -> Signature | None:
    """Let the version in use go on with a calibration that has taken in newer commits; what it learned stays.

    Args:
        before: digest of the profile that was rolled on. commit: the newest that calibrates now.

    Returns:
        The version; None when another one is in use by now, or it is pinned: then nothing is changed.
    """
    lock_repository(session, repository_id)
    present = current_version(session, repository_id, scope)
    if present is None or present.is_pinned or present.profile not in (before, profile):
        return None
    present.profile, present.artifact = profile, artifact
    present.provenance = present.provenance | {"calibrated_to": commit}
    session.flush()
    return present


def calibrated_to(version: Signature) -> str:
    """The newest commit behind a version's p-values."""
    return version.provenance.get("calibrated_to", version.commit)


def list_versions(session: Session, repository_id: int, scope: str = "") -> Sequence[Signature]:
    """Versions, newest first; of every scope when none is named."""
    wanted = select(Signature).where(Signature.repository_id == repository_id)
    if scope:
        wanted = wanted.where(Signature.scope == scope)
    return session.exec(wanted.order_by(col(Signature.scope), col(Signature.version).desc())).all()


def find_version(session: Session, repository_id: int, scope: str, version: int) -> Signature | None:
    """One version, or None."""
    return session.exec(
        select(Signature).where(
            Signature.repository_id == repository_id, Signature.scope == scope, Signature.version == version
        )
    ).one_or_none()


def require_version(session: Session, repository_id: int, scope: str, version: int) -> Signature:
    """One version.

    Raises:
        UnknownSignatureError: there is none.
    """
    found = find_version(session, repository_id, scope, version)
    if found is None:
        last = session.exec(
            select(func.max(Signature.version)).where(
                Signature.repository_id == repository_id, Signature.scope == scope
            )
        ).one()
        known = f"versions 1 to {last}" if last else "none yet"
        raise UnknownSignatureError(f"{scope} has no version {version} ({known})")
    return found


def current_version(session: Session, repository_id: int, scope: str) -> Signature | None:
    """What reviews score with: the pinned version, else the newest that was not withdrawn."""
    usable = [v for v in list_versions(session, repository_id, scope) if not v.withdrawn_reason]
    return next((version for version in usable if version.is_pinned), usable[0] if usable else None)


def pin(session: Session, repository_id: int, scope: str, version: int) -> Signature:
    """Keep scoring with one version whatever is learned later.

    Raises:
        UnknownSignatureError: there is no such version.
    """
    chosen = require_version(session, repository_id, scope, version)
    if chosen.withdrawn_reason == FORGOTTEN:
        raise UnknownSignatureError(f"{scope} version {version} has been deleted: {FORGOTTEN}")
    unpin(session, repository_id, scope)
    chosen.is_pinned, chosen.withdrawn_reason = True, ""
    session.flush()
    return chosen


def unpin(session: Session, repository_id: int, scope: str) -> None:
    """Let the newest version be used again."""
    for version in list_versions(session, repository_id, scope):
        version.is_pinned = False
    session.flush()


def roll_back(session: Session, repository_id: int, scope: str, reason: str) -> Signature:
    """Withdraw the version in use; the one before it is used from now on.

    Raises:
        UnknownSignatureError: there is none, or none before it.
    """
    present = current_version(session, repository_id, scope)
    if present is None:
        raise UnknownSignatureError(f"{scope} has no signature to roll back")
    before = [
        version
        for version in list_versions(session, repository_id, scope)
        if version.version < present.version and not version.withdrawn_reason
    ]
    if not before:
        raise UnknownSignatureError(f"{scope} has no version before {present.version} to roll back to")
    present.is_pinned, present.withdrawn_reason = False, reason
    session.flush()
    return before[0]


FORGOTTEN = "a person in it asked to be forgotten"
"""Why a team's signature must be learned again, and is then not kept either."""


def mark_forgotten(session: Session, repository_id: int) -> None:
    """Every version of every team has code of somebody who asked to be forgotten: none may be kept for long.

    A pin would keep one: it ends.
    """
    for version in list_versions(session, repository_id):
        if version.subject is Subject.TEAM:
            version.stale_reason, version.stale_at, version.is_pinned = FORGOTTEN, now(), False
    session.flush()


@dataclass(frozen=True, slots=True)
class Retired:
    """What is no longer scored with because it holds code of the forgotten.

    Attributes:
        profiles: of withdrawn versions, by repository. kept: profiles of any repository's other versions.
    """

    profiles: dict[int, set[str]]
    kept: set[str]


def retire_forgotten(session: Session) -> Retired:
    """Withdraw versions that hold code of the forgotten, where there is one without."""
    rows = session.exec(select(Signature).where(Signature.subject == Subject.TEAM)).all()
    clean = {(row.repository_id, row.scope) for row in rows if row.stale_reason != FORGOTTEN}
    found = Retired({}, set())
    for row in rows:
        if row.stale_reason == FORGOTTEN and (row.repository_id, row.scope) in clean:
            row.withdrawn_reason, row.is_pinned = FORGOTTEN, False
        if row.withdrawn_reason == FORGOTTEN:
            found.profiles.setdefault(row.repository_id, set()).add(row.profile)
        else:
            found.kept.add(row.profile)
    session.flush()
    return found


def mark_stale(session: Session, repository_id: int, scope: str, reason: str) -> None:
    """Say why the version in use should be learned again; it is used until that has happened."""
    present = current_version(session, repository_id, scope)
    if present is not None and not present.stale_reason:
        present.stale_reason, present.stale_at = reason, now()
