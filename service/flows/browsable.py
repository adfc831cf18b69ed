"""What is given words and browsed: the latents of a dictionary, the components of a decomposition.

Both are read in the base and in adapted states over the same text; labels, scores and pages (labelling.py) do
not know which of the two they are of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from fingerprint.attribution.sites import node_id
from fingerprint.vpd.report import ComponentChange
from service import ServiceError
from service.flows.decomposition import find_alive
from service.flows.dictionary import Dictionary
from service.flows.kept_pages import CardKind
from service.flows.opened import OpenedProfile
from service.flows.rate_shift import find_shift

if TYPE_CHECKING:
    from fingerprint.harvest.sources import Source
    from fingerprint.sae.report import RateShift
    from fingerprint.vpd.alive_set import SharedDictionary

BASE = "base"
Part = Literal["labels", "scores"]
LATENT_TOKENS: dict[Part, int] = {"labels": 60_000, "scores": 30_000}
COMPONENT_TOKENS: dict[Part, int] = {"labels": 20_000, "scores": 16_000}
"""Marked tokens that labels are made from, and scored on, about. Many more components than latents fire on a
token, and every pair of them is counted."""


@dataclass(frozen=True)
class Changes:
    """What a state changes in the parts of a dictionary against the base.

    Attributes:
        statement: of all parts, with its controls. changed: numbers of those that change beyond their nulls.
        tested: gates of both states, with interval and null band, by number; of components alone.
    """

    statement: str
    changed: frozenset[int]
    tested: Mapping[int, ComponentChange] = field(default_factory=dict[int, ComponentChange])


@dataclass(frozen=True)
class Browsable:
    """A frozen dictionary whose parts get words.

    Attributes:
        kind: under which its cards are kept. noun: one part. what: as pages name it. warning: what must be
            known before anything is read, "" for nothing. digest: of the dictionary; found: as other answers
            name it. n_tokens: marked tokens of each text, about. shown: the text whose firings cards show.
        source: what is run, given the name of the state that the caller holds.
        changes: what was measured last of a state, None when nothing was, or of another dictionary;
            measured_by: the command that does it.
    """

    kind: CardKind
    noun: str
    what: str
    warning: str
    digest: str
    found: str
    n_tokens: Mapping[Part, int]
    shown: Part
    source: Callable[[str], Source]
    changes: Callable[[str], Changes | None]
    measured_by: str


def latents_of(opened: OpenedProfile, dictionary: Dictionary) -> Browsable:
    """The latents of the base's sparse autoencoder; cards show the text that labels were made from."""

    def source(state: str) -> Source:
        from fingerprint.harvest.sources import SaeSource

        return SaeSource(dictionary.sae, opened.routed.base, opened.routed.model, state)

    def changes(who: str) -> Changes | None:
        shift = find_shift(opened, who)
        if shift is None or shift.dictionary != dictionary.sae.digest:
            return None
        return Changes(shift.statement, changed_latents(shift))

    return Browsable(
        "components", "latent", "the dictionary of latents", "", dictionary.digest, dictionary.sae.digest,
        LATENT_TOKENS, "labels", source, changes, "sae shift",
    )  # fmt: skip


def components_of(opened: OpenedProfile, dictionary: SharedDictionary) -> Browsable:
    """The components of the decomposed base; cards show code that no adapter was trained or stopped on."""
    parts, digest = dictionary.found.components, dictionary.digest
    starts = dict(zip(parts.sites, accumulate(parts.counts, initial=0), strict=False))

    def source(state: str) -> Source:
        from fingerprint.harvest.sources import VpdSource

        return VpdSource(dictionary.target, dictionary.found, state)

    def changes(who: str) -> Changes | None:
        answer = find_alive(opened, who)
        if answer is None or answer.alive.dictionary != digest:
            return None
        tested = {starts[row.matrix] + row.component: row for row in answer.alive.components}
        has_band = any(row.null_low is not None for row in tested.values())
        changed = (n for n, row in tested.items() if (row.is_beyond_nulls if has_band else row.is_changed))
        return Changes(answer.alive.statement, frozenset(changed), tested)

    verdict = dictionary.found.verdict
    warning = "" if verdict.is_valid else f"The decomposition is {verdict}: nothing here means anything."
    return Browsable(
        "decomposition", "component", "the decomposed base", warning, digest, digest, COMPONENT_TOKENS,
        "scores", source, changes, "decompose alive",
    )  # fmt: skip


def number_of(dictionary: SharedDictionary, name: str) -> int:
    """Number of the component that the attribution graph calls "L3__self_attn_v_proj:5".

    Raises:
        ServiceError: there is none.
    """
    parts = dictionary.found.components
    names = [node_id(site, c) for site, n in zip(parts.sites, parts.counts, strict=True) for c in range(n)]
    if name not in names:
        raise ServiceError(
            f"no component {name!r}: they are called {names[0]} to {names[-1]}, as in the attribution graph"
        )
    return names.index(name)


def changed_latents(shift: RateShift) -> frozenset[int]:
    """Latents that changed, and where there are null adapters enough for a band, left it too."""
    return frozenset(
        one.latent for one in shift.latents
        if one.is_changed and (one.null_low is None or one.is_beyond_nulls)
    )  # fmt: skip
