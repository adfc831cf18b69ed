"""A team's signature as one file: everything scoring needs, each part under its digest; checked when read."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from service import ServiceError
from service.artifacts import ArtifactStore, read_json

FORMAT = 1
MOST_BYTES = 2_000_000_000
"""Largest file read: a 1.5B base's adapters of rank 32 are 150 MB."""
_MANIFEST = "manifest.json"
_NAME = re.compile(r"[\w.-]+")
_KINDS = {"profile", "team-signature", "adapter"}


class TransferError(ServiceError):
    """A file is no exported signature, or was changed; the message says which part."""


def export_signature(store: ArtifactStore, profile: str, facts: dict[str, Any], target: Path) -> Path:
    """Write a profile and what it scores with into one file; people's own adapters stay here.

    Args:
        facts: what the receiving side writes down about the version.
    """
    stored = read_json(store.require("profile", profile) / "profile.json")
    parts = {("profile", profile), ("team-signature", stored["signature"])}
    parts |= {("adapter", stored["adapters"][n]) for n in ("team", "null team") if n in stored["adapters"]}
    files = {
        f"{kind}/{digest}/{path.relative_to(store.require(kind, digest)).as_posix()}": path
        for kind, digest in parts
        for path in sorted(store.require(kind, digest).rglob("*"))
        if path.is_file()
    }
    digests = {name: _digest(path.read_bytes()) for name, path in sorted(files.items())}
    manifest = {"format": FORMAT, "profile": profile, "facts": facts, "files": digests}
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as bundle:
        bundle.writestr(_MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
        for name, path in sorted(files.items()):
            bundle.write(path, name)
    draft.replace(target)
    return target


def import_signature(store: ArtifactStore, source: Path) -> tuple[str, dict[str, Any]]:
    """Read an exported signature into the store; returns the profile's digest and the facts given with it.

    Raises:
        TransferError: it is no such file, or a part differs from the digest in its manifest.
    """
    try:
        with zipfile.ZipFile(source) as bundle:
            manifest = _read_manifest(bundle)
            parts = _read_parts(bundle, manifest["files"])
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise TransferError(f"{source} is no exported signature: {error}") from error
    for (kind, digest), files in parts.items():
        store.put(kind, digest, lambda directory, files=files: _write_all(directory, files))
    store.require("profile", manifest["profile"])
    return manifest["profile"], manifest["facts"]


def _read_manifest(bundle: zipfile.ZipFile) -> dict[str, Any]:
    if sum(item.file_size for item in bundle.infolist()) > MOST_BYTES:
        raise TransferError(f"the file unpacks to more than {MOST_BYTES:,} bytes")
    manifest = json.loads(bundle.read(_MANIFEST))
    if manifest.get("format") != FORMAT:
        raise TransferError(f"the file has format {manifest.get('format')}, this version reads {FORMAT}")
    return manifest


def _read_parts(bundle: zipfile.ZipFile, digests: dict[str, str]) -> dict[tuple[str, str], dict[str, bytes]]:
    """Files by artifact, each as its digest says, and none that the manifest does not name."""
    present = {item.filename for item in bundle.infolist()} - {_MANIFEST}
    if present != set(digests):
        raise TransferError(
            f"the file's parts differ from its manifest: {sorted(present ^ set(digests))[:3]}"
        )
    parts: dict[tuple[str, str], dict[str, bytes]] = {}
    for name, digest in digests.items():
        kind, artifact, *inner = name.split("/")
        if kind not in _KINDS or not inner or not all(map(_is_plain, (artifact, *inner))):
            raise TransferError(f"{name!r} is no part of a signature")
        content = bundle.read(name)
        if _digest(content) != digest:
            raise TransferError(
                f"{name} was changed: its digest is {_digest(content)[:12]}, not {digest[:12]}"
            )
        if inner != ["artifact.json"]:  # the store writes its own
            parts.setdefault((kind, artifact), {})["/".join(inner)] = content
    return parts


def _is_plain(word: str) -> bool:
    return _NAME.fullmatch(word) is not None and not word.startswith(".")


def _write_all(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _digest(content: bytes) -> str:
    return hashlib.file_digest(io.BytesIO(content), "sha256").hexdigest()
