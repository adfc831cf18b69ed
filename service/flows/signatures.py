"""Signatures on disk: ``signature.json`` for facts and provenance, safetensors for readings and nulls."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fingerprint.provenance import Provenance
from fingerprint.signature import FORMAT, RoutingSignature, TeamSignature
from fingerprint.storage import write_json
from service.artifacts import ArtifactError, read_arrays, read_json, write_arrays


def save_signature(signature: RoutingSignature | TeamSignature, directory: Path) -> None:
    """Write a signature into an artifact's directory."""
    kind = "team" if isinstance(signature, TeamSignature) else "author"
    who = list(signature.authors) if isinstance(signature, TeamSignature) else [signature.author]
    facts = {
        "format": FORMAT, "kind": kind, "authors": who, "facts": signature.facts,
        "provenance": asdict(signature.provenance),
    }  # fmt: skip
    write_json(directory / "signature.json", facts)
    write_arrays(directory / "readings.safetensors", signature.readings)
    write_arrays(directory / "null.safetensors", signature.null)


def load_team_signature(directory: Path) -> TeamSignature:
    """Read a team signature.

    Raises:
        ArtifactError: unreadable, or of another format or kind.
    """
    stored = _read(directory, "team")
    return TeamSignature(
        read_arrays(directory / "readings.safetensors"), read_arrays(directory / "null.safetensors"),
        stored["facts"], Provenance(**stored["provenance"]), tuple(stored["authors"]),
    )  # fmt: skip


def load_routing_signature(directory: Path) -> RoutingSignature:
    """Read an author's signature; errors as for a team's."""
    stored = _read(directory, "author")
    return RoutingSignature(
        stored["authors"][0], read_arrays(directory / "readings.safetensors"),
        read_arrays(directory / "null.safetensors"), stored["facts"], Provenance(**stored["provenance"]),
    )  # fmt: skip


def _read(directory: Path, kind: str) -> dict[str, Any]:
    stored = read_json(directory / "signature.json")
    if (stored.get("format"), stored.get("kind")) != (FORMAT, kind):
        raise ArtifactError(
            f"{directory} holds {stored.get('kind')} format {stored.get('format')}, "
            f"expected {kind} format {FORMAT}; "
            "run `routeprint profile` again"
        )
    return stored
