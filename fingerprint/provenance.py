"""Where an artifact came from; travels with every artifact."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

CODE_VERSION = "0.1.0"


def digest_of(value: Any) -> str:
    """Return the SHA-256 hex digest of a JSON-serialisable value in canonical form."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything needed to make an artifact again.

    Attributes:
        base: name of the base model ("starter" or a hub id).
        revision: pinned revision of the base: its weights' digest, or the hub commit.
        routes: digest of the routes A the artifact is expressed in.
        corpus: digest of the corpus it was computed from.
        config: digest of the configuration used.
        seed: seed of the run.
        code: version of this package.
    """

    base: str
    revision: str
    routes: str
    corpus: str
    config: str
    seed: int
    code: str = CODE_VERSION

    @property
    def digest(self) -> str:
        """Content address of the artifact these facts determine."""
        return digest_of(asdict(self))
