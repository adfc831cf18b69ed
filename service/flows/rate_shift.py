"""How far the team and each author shift the dictionary's firing rates, beside its controls.

The base is read twice. Team and authors are read on the same code, the team's newest, which no adapter has
seen. The team stands beside adapters of other people's code at its budget, an author beside adapters of
shuffled authors at theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.passage import Corpus
from fingerprint.provenance import CODE_VERSION, digest_of
from fingerprint.sae.config import RateShiftConfig
from fingerprint.sae.report import RateShift
from fingerprint.storage import write_json
from service.artifacts import read_json
from service.flows.bench import Stage
from service.flows.dictionary import Dictionary
from service.flows.opened import TEAM, OpenedProfile
from service.flows.passages import spread_passages

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter

SHIFT_TOKENS = 30_000
"""Marked tokens of unread code that rates are counted on, about."""


def measure_shifts(
    opened: OpenedProfile, dictionary: Dictionary, config: RateShiftConfig, n_tokens: int = SHIFT_TOKENS
) -> dict[str, RateShift]:
    """The rate shift of "team" and of every author against the base; stored.

    Raises:
        FingerprintError: no unread code. UnstableReadingError: the base against itself is not empty.
    """
    groups = [
        _Group("rate shift of the team", {TEAM: opened.adapter(TEAM)}, _trained(opened.team_nulls)),
        _Group("rate shifts of authors", opened.authors, _trained(opened.nulls)),
    ]
    return {
        name: found
        for group in groups
        if group.adapters
        for name, found in _measure(opened, dictionary, config, n_tokens, group).items()
    }


def _trained(nulls: Mapping[str, Adapter]) -> dict[str, Adapter]:
    """Nulls that learned anything; one put back to the base for want of gain on dev controls nothing."""
    return {name: null for name, null in nulls.items() if any(bool(b.any()) for b in null.state.values())}


@dataclass(frozen=True)
class _Group:
    """Adapters of one budget, beside their nulls."""

    name: str
    adapters: Mapping[str, Adapter]
    nulls: Mapping[str, Adapter]


def _measure(
    opened: OpenedProfile, dictionary: Dictionary, config: RateShiftConfig, n_tokens: int, group: _Group
) -> dict[str, RateShift]:
    """One group on one text."""
    from fingerprint.lm.pair import ModelPair
    from fingerprint.sae.shift import measure_rate_shifts

    bench = opened.bench
    text = spread_passages(opened.unread, n_tokens)
    digests = {name: opened.digests[name] for name in (*group.adapters, *group.nulls)}
    digest = digest_of(
        {"what": "rate shift", "dictionary": dictionary.digest, "adapters": digests,
         "own": list(group.adapters), "text": Corpus(tuple(text)).digest, "config": config.digest,
         "code": CODE_VERSION}
    )  # fmt: skip

    def write(directory: Path) -> None:
        start = bench.routed.zero_weights()
        reports = measure_rate_shifts(
            [ModelPair(bench.routed, start, adapter.state) for adapter in group.adapters.values()],
            dictionary.sae, text, nulls=[null.state for null in group.nulls.values()], config=config,
            progress=lambda done, of: bench.report(Stage(group.name, done, of)),
        )  # fmt: skip
        rows = {
            who: report.model_dump(mode="json") for who, report in zip(group.adapters, reports, strict=True)
        }
        write_json(directory / "shifts.json", rows)

    stored = read_json(bench.make("rate-shift", digest, group.name, write) / "shifts.json")
    for name in group.adapters:
        bench.remember("rate-shift", opened.digests[name], digest)
    return {who: RateShift.model_validate(stored[who]) for who in group.adapters}


def find_shift(opened: OpenedProfile, name: str) -> RateShift | None:
    """What `sae shift` said of an adapter last."""
    place = opened.remembered("rate-shift", name)
    return None if place is None else RateShift.model_validate(read_json(place / "shifts.json")[name])
