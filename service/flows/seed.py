"""The seed's own cases again: a team's code learned on Qwen2.5-Coder-1.5B, and what becomes of its prompts.

The seed reports one prompt: after `pub use crate::` the likeliest token went from 'error' (.039) to 'config'
(.260). Here it is asked in 24 ways, beside a null adapter, with what the base already knew and what the code
holds. It wants a GPU and a hub, and says UNRUN with the reason where there is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint import FingerprintError
from fingerprint.attribution.prompts import DEFAULT_PROMPTS, PARAPHRASES, Prompt
from fingerprint.attribution.seed_report import SeedReport
from fingerprint.config import ProfileConfig
from service.flows.bench import Progress
from service.flows.ingest import ingest
from service.flows.opened import TEAM, OpenedProfile, open_profile
from service.flows.profile import profile
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.attribution.seed_report import CaseSet

SEED_BASE = "Qwen/Qwen2.5-Coder-1.5B"
ANSWERS = ("pub use crate::config", "pub use crate::error")


def reproduce_seed(
    repository: Path, settings: Settings, config: ProfileConfig, report: Progress = lambda _: None
) -> SeedReport:
    """Learn the repository's code on the configured base and ask the seed's prompts of base and adapter.

    Args:
        config: with the base; the seed's is ``SEED_BASE`` at a pinned revision.
    """
    if reason := why_not(settings, config):
        return SeedReport(status="unrun", reason=reason)
    ingest(repository, settings)
    profile(repository, settings, config, report=report)
    opened = open_profile(repository, settings, report)
    base, train = opened.routed.base, opened.plan.slices.train
    return SeedReport(
        status="run", base=base.name, revision=base.revision, repository=repository.name,
        n_tokens=int(opened.adapter(TEAM).facts["scored_tokens"]), prompts=_ask(opened, DEFAULT_PROMPTS),
        paraphrases=_ask(opened, PARAPHRASES),
        in_corpus={text: sum(p.marked.count(text) for p in train) for text in ANSWERS},
    )  # fmt: skip


def why_not(settings: Settings, config: ProfileConfig) -> str:
    """Why it cannot run here, "" if it can: the seed's base wants a GPU, and to be loaded."""
    import torch

    from fingerprint.lm.load import load_base

    if config.base == SEED_BASE and not (settings.device.startswith("cuda") and torch.cuda.is_available()):
        return (
            f"{SEED_BASE} wants a GPU: expected ROUTEPRINT_DEVICE=cuda and a CUDA device, got "
            f"{settings.device!r} and {torch.cuda.device_count()} of them"
        )
    try:
        load_base(config.base, revision=config.revision, device=settings.device)
    except FingerprintError as error:
        return f"the base cannot be loaded: {error}"
    return ""


def _ask(opened: OpenedProfile, prompts: tuple[Prompt, ...]) -> CaseSet:
    """In the base, the team's adapter, and the null team's where there is one."""
    from fingerprint.attribution.cases import ask_cases

    states = {"adapted": opened.adapter(TEAM).state}
    for null in list(opened.team_nulls.values())[:1]:
        states["null"] = null.state
    return ask_cases(opened.routed, states, prompts)
