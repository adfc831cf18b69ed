"""Every dial of the fingerprint, with its value, source and reason."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fingerprint.provenance import digest_of


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def digest(self) -> str:
        """Digest of every dial's value."""
        return digest_of(self.model_dump(mode="json"))


class AdapterConfig(_Frozen):
    """How the team's B and the authors' D are trained over frozen routes A."""

    team_tokens: Annotated[int, Field(gt=0)] = 100_000
    """Scored-token budget of the team adapter. The demo's budget; real repositories use more."""
    author_tokens: Annotated[int, Field(gt=0)] = 40_000
    """Scored-token budget of each author, equal for all (method-decomposition 1.5)."""
    least_author_tokens: Annotated[int, Field(gt=0)] = 8_000
    """An author with fewer scored training tokens is told how many more are needed, not trained."""
    least_team_tokens: Annotated[int, Field(gt=0)] = 30_000
    """The same for a team."""
    max_passage_tokens: Annotated[int, Field(gt=16)] = 512
    """Longest row; the embedded base was trained at this length."""
    batch_tokens: Annotated[int, Field(gt=0)] = 2048
    """Padded tokens per optimiser step."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    """AdamW on B alone over whitened routes; larger than for a trained A (performance.md section 1)."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Linear warm-up, then cosine to a tenth."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """LoRA scale s = alpha / r."""
    seed: int = 0
    """Order of the data; equal for every author of a population."""


class DriftConfig(_Frozen):
    """How contributions become a calibrated drift score."""

    slices: tuple[float, float, float, float] = (0.6, 0.15, 0.2, 0.05)
    """Shares of commits: train, dev, calibration, held-out, oldest first (routing.md section 3)."""
    integration_points: Annotated[int, Field(ge=1, le=64)] = 3
    """Gauss-Legendre nodes of phi; the same in calibration and review."""
    explain_points: Annotated[int, Field(ge=1, le=64)] = 8
    """Nodes for the hunks that are explained, doubled while the completeness gap is too large."""
    gap_share: float = 0.02
    """Completeness: the gap is at most this share of the sum of |c| ..."""
    gap_nats: float = 0.002
    """... or this many nats per scored token (routing.md section 2)."""
    alarm_level: float = 0.05
    """A diff at or below this p-value is called unusual."""
    least_calibration: Annotated[int, Field(ge=1)] = 20
    """Fewer calibration commits cannot reach alarm_level: 1/(n+1) must not exceed it."""
    least_tokens: Annotated[int, Field(ge=1)] = 60
    """Floor of scored tokens; raised by the power curve of the team's own history."""


class ProfileConfig(_Frozen):
    """The dials of one profile."""

    base: str = "starter"
    revision: str | None = None
    adapter: AdapterConfig = AdapterConfig()
    drift: DriftConfig = DriftConfig()
    with_agents: bool = False
    """Enrol declared agents in the team."""
    n_null_sets: Annotated[int, Field(ge=0)] = 1
    """Sets of null adapters (authors shuffled by commit; another repository for the team)."""
