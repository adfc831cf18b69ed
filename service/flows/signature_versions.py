"""A team's signature over time: every one that is still kept, beside the present one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from fingerprint import FingerprintError
from fingerprint.signature import TeamSignature
from service.artifacts import ArtifactError, RepositoryRecord, read_json
from service.flows.signatures import load_team_signature
from service.reports.pages.team import SignatureVersion
from service.reports.profile_summary import ProfileSummary

_LEARNED = ("paths", "authors", "with_agents")
"""What of a choice makes two teams one; people may be forgotten in between."""


def signature_versions(
    record: RepositoryRecord, profile: str, dates: Mapping[str, datetime]
) -> tuple[SignatureVersion, ...]:
    """The team's signatures by the dates of their newest commits, the oldest first.

    What one adapter was calibrated to again and again is one signature, as it stands last.

    Args:
        profile: digest of the one that the others are compared with. dates: of commits.
    """
    present = read_json(record.store.require("profile", profile) / "profile.json")
    known: dict[str, tuple[dict[str, Any], TeamSignature]] = {}
    for facts in _profiles(record):
        signature = _signature(record, facts) if _team(facts) == _team(present) else None
        adapter = facts["adapters"]["team"]
        if signature is not None and (
            adapter not in known or _length(signature) > _length(known[adapter][1])
        ):
            known[adapter] = facts, signature
    shown = load_team_signature(record.store.require("team-signature", present["signature"]))
    known[present["adapters"]["team"]] = present, shown
    told = [
        _tell(facts, signature, shown, dates, is_shown=signature is shown)
        for facts, signature in known.values()
    ]
    return tuple(sorted(told, key=lambda one: one.at.timestamp() if one.at else 0.0))


def _profiles(record: RepositoryRecord) -> Iterator[dict[str, Any]]:
    """Facts of every profile that the repository lists and the store has."""
    for name in record.artifacts:
        kind, _, digest = name.partition("/")
        if kind == "profile" and (place := record.store.find(kind, digest)) is not None:
            yield read_json(place / "profile.json")


def _signature(record: RepositoryRecord, facts: Mapping[str, Any]) -> TeamSignature | None:
    try:
        return load_team_signature(record.store.require("team-signature", facts["signature"]))
    except ArtifactError:  # dropped, or of another version: it cannot be told any more
        return None


def _length(signature: TeamSignature) -> int:
    """Commits judged so far: more of them, later."""
    return len(signature.facts.get("stream", ()))


def _team(facts: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(facts["choice"][name] for name in _LEARNED)


def _tell(
    facts: Mapping[str, Any], signature: TeamSignature, reference: TeamSignature,
    dates: Mapping[str, datetime], *, is_shown: bool,
) -> SignatureVersion:  # fmt: skip
    summary = ProfileSummary.model_validate(facts["summary"])
    known = [dates[e["commit"]] for e in signature.facts.get("stream", ()) if e["commit"] in dates]
    null = None if summary.null_team_loss is None else summary.base_loss - summary.null_team_loss
    n_flagged = round((summary.realised_false_alarms or 0.0) * summary.n_held_out)
    return SignatureVersion(
        facts["signature"], max(known, default=None), summary.n_commits.get("train", 0),
        summary.base_loss - summary.team_loss, null, n_flagged, summary.n_held_out,
        None if is_shown else routing_shift(signature, reference), is_shown,
    )  # fmt: skip


def routing_shift(then: TeamSignature, now: TeamSignature) -> tuple[float, float] | None:
    """(how far the mean routing of dev commits moved, what chance alone would move it); None: not comparable.

    Root mean square over dimensions, in standard deviations of one dev commit of the usual size. Two samples
    of n and m commits of one distribution have means apart by sqrt(1/n + 1/m) of these.
    """
    bases = [(s.provenance.revision, s.provenance.routes, s.facts.get("phi_names")) for s in (then, now)]
    if bases[0] != bases[1]:
        return None
    from fingerprint.routing.team import Normaliser

    try:
        first, second = Normaliser.of_team(then), Normaliser.of_team(now)
    except FingerprintError:
        return None
    sizes = [entry["n_tokens"] for entry in now.facts.get("stream", ())]
    variance = second.phi_variance[0] + second.phi_variance[1] / (float(np.median(sizes)) if sizes else 1.0)
    usable = variance > 0
    moved = (first.phi_mean[0] - second.phi_mean[0])[usable] / np.sqrt(variance[usable])
    chance = np.sqrt(sum(1 / max(1, signature.facts["n_commits"]["dev"]) for signature in (then, now)))
    return (float(np.sqrt(np.mean(moved**2))), float(chance)) if len(moved) else None
