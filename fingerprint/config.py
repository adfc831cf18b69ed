"""Every dial of the fingerprint, with its value, source and reason."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fingerprint.provenance import digest_of
from fingerprint.storage import FrozenModel


class Dials(FrozenModel):
    """Dials, none of which can be misspelt or changed."""

    @property
    def digest(self) -> str:
        """Digest of every dial's value."""
        return digest_of(self.model_dump(mode="json"))


Combination = Literal["low-log-ratio", "low-and-far", "low-or-far", "far", "sum-of-squares", "max"]
View = Literal["fused", "routes"]


class AdapterConfig(Dials):
    """How the team's B and the authors' D are trained over frozen routes A."""

    team_tokens: Annotated[int, Field(gt=0)] = 100_000
    """Scored-token budget of the team adapter. The demo's budget; real repositories use more."""
    author_tokens: Annotated[int, Field(gt=0)] = 40_000
    """Scored-token budget of each author, equal for all (method-decomposition 1.5)."""
    least_author_tokens: Annotated[int, Field(gt=0)] = 8_000
    """An author with fewer scored tokens is told how many more are needed, not trained."""
    least_team_tokens: Annotated[int, Field(gt=0)] = 30_000
    """The same for a team."""
    max_passage_tokens: Annotated[int, Field(gt=16)] = 512
    """Longest row; the embedded base was trained at this length."""
    batch_tokens: Annotated[int, Field(gt=0)] = 1024
    """Padded tokens per optimiser step."""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    """Muon's, in AdamW's units, on B alone over whitened routes (adapters/muon.py)."""
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Linear warm-up, then cosine to a tenth."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    """LoRA scale s = alpha / r."""
    most_epochs: Annotated[int, Field(gt=0)] = 3
    """An author with less text than the budget is read at most this often (method-decomposition 1.2)."""
    dev_points: Annotated[int, Field(gt=0)] = 4
    """Evenly spaced dev losses to stop on, besides the start."""
    dev_tokens: Annotated[int, Field(gt=0)] = 4_000
    """Scored dev tokens read at each, spread over the dev slice: a paired difference needs no more. At eight
    points of an author's 40,000 tokens dev losses took 37 % of the training's time."""
    seed: int = 0
    """Order of the data; equal for every author of a population."""


class DriftConfig(Dials):
    """How contributions become a calibrated drift score."""

    slices: tuple[float, float, float, float] = (0.6, 0.15, 0.2, 0.05)
    """Shares of commits: train, dev, calibration, held-out, oldest first (routing.md section 3); train also
    takes what the others leave of theirs by slice_commits."""
    passage_tokens: Annotated[int, Field(gt=16)] = 512
    """Longest window read at once; as in training."""
    batch_tokens: Annotated[int, Field(gt=0)] = 1024
    """Padded tokens per forward pass; changes speed and memory, not the result."""
    slice_commits: Annotated[int, Field(gt=0)] = 200
    """Most commits of dev, calibration and held-out each: p-values down to .005 in bounded time, and training
    reaches nearer to now in a long history, which is worth more than any method (EVALUATION.md)."""
    commit_tokens: Annotated[int, Field(gt=0)] = 1_200
    """Scored tokens read of one commit when calibrating: more than the largest size of the power curve."""
    integration_points: Annotated[int, Field(ge=1, le=64)] = 2
    """Gauss-Legendre nodes of phi; the same in calibration and review. On the embedded base the gap of a hunk
    was at most 1.11 of its bound with one node, .11 with two, .05 with three."""
    view: View = "fused"
    """What the verdict is made of: routes and character n-grams, half and half, or the routes alone. Fused
    finds most strangers at a low false-alarm rate (fingerprint/evaluation/EVALUATION.md); each part's own
    p-value stands in every answer."""
    lexical_texts: Annotated[int, Field(gt=0)] = 800
    """Newest files of commits whose n-grams the lexical view holds: about 15 kB each."""
    combination: Combination | None = None
    """How the routes' two standardised statistics become one score (routing/combination.py); None: whichever
    tells dev commits best from foreign text."""
    language_commits: Annotated[float, Field(gt=0)] = 10.0
    """Commits at which a language's own mean weighs as much as the mean over all languages."""
    least_dev: Annotated[int, Field(ge=4)] = 8
    """Fewer dev commits cannot fit means and variances."""
    recency_half_life: Annotated[float, Field(gt=0)] | None = None
    """Commits after which a calibration score weighs half (NexCP); None: split-conformal."""
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
    power_sizes: tuple[int, ...] = (30, 60, 120, 240, 480, 960)
    """Scored tokens at which the power to flag foreign text is measured."""
    power_draws: Annotated[int, Field(ge=10)] = 200
    """Foreign texts drawn per size."""
    least_power: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The least number of scored tokens is the first size at which foreign text is flagged this often."""
    findings_per_hunk: Annotated[int, Field(ge=0)] = 5
    """Findings of an explained hunk, at most one a line."""
    explained_hunks: Annotated[int, Field(ge=0)] = 5
    """Hunks that get full contributions and findings, most drifting first."""


class ProfileConfig(Dials):
    """The dials of one profile."""

    base: str = "starter"
    """The embedded base, a model directory, or a hub id."""
    revision: str | None = None
    """The hub commit of the base; required for a hub id, so that a signature stays reproducible."""
    adapter: AdapterConfig = AdapterConfig()
    """Training of the team's B and the authors' D."""
    drift: DriftConfig = DriftConfig()
    """From contributions to the calibrated score."""
    with_agents: bool = False
    """Enrol declared agents in the team."""
    n_null_sets: Annotated[int, Field(ge=0)] = 1
    """Sets of null adapters (authors shuffled by commit; another repository for the team)."""
    null_authors: Annotated[int, Field(ge=1)] = 2
    """Shuffled authors trained in each null set: enough for the band beside every author's figures."""
