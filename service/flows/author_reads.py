"""Every read of one author on one text, gathered into the routing signature, and where the reads agree.

Routes, spectrum and attribution need nothing but the profile's adapters. Latents want the base's dictionary
(`sae train`), alive sets its decomposition (`decompose train`), edits the adapter's own (`decompose edit`):
what was not made yet is named, with the command. Null adapters are read by the same lines.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.prompts import DEFAULT_PROMPTS, Prompt
from fingerprint.passage import Corpus
from fingerprint.readings.answer import answer
from fingerprint.readings.part import Absence, Part, gather
from fingerprint.readings.report import AuthorReads
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import read_json
from service.flows.bench import Stage
from service.flows.decomposition import find_alive, find_edits, load_edits
from service.flows.decomposition import load_dictionary as load_components
from service.flows.dictionary import load_dictionary as load_latents
from service.flows.opened import OpenedProfile
from service.flows.rate_shift import find_shift
from service.flows.signatures import load_routing_signature, save_signature

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.readings.measure import States, Text
    from fingerprint.vpd.alive_set import SharedDictionary
    from fingerprint.vpd.targets import TokenTarget
    from fingerprint.vpd.train import Decomposition
    from service.flows.dictionary import Dictionary

READ_TOKENS = 3_000
"""Scored tokens of the author's unread code, about, that every read is made on."""
KIND = "author-reads"


def explain_author(
    opened: OpenedProfile, word: str, *, n_tokens: int = READ_TOKENS,
    prompts: Sequence[Prompt] = DEFAULT_PROMPTS,
) -> AuthorReads:  # fmt: skip
    """Read one author every way there is, beside null adapters, and compare the reads; stored.

    Raises:
        UnknownAuthorError, NotProfiledError: no such adapter. ServiceError: no unread code of theirs.
    """
    from fingerprint.readings.measure import Text

    key, bench = opened.author_of(word), opened.bench
    tools, passages = Tools.of_author(opened, key), opened.read(key, n_tokens)
    digest = bench.digest(
        KIND, author=key, adapters=[opened.digests[name] for name in _names(opened, key)], tools=tools.digest,
        text=Corpus(tuple(passages)).digest, prompts=[[p.text, p.target, p.against] for p in prompts],
    )  # fmt: skip

    def write(directory: Path) -> None:
        text = Text.of(bench.routed.base, passages)
        adapters = {key: opened.adapter(key), **opened.nulls_of(key)}
        parts = read_parts(opened, opened.adapter("reference"), adapters, tools, text, prompts)
        sizes = {"n_tokens": text.n_tokens, "n_commits": text.n_commits}
        told = answer(key, parts, tools.absent, statements=_statements(opened, key), **sizes)
        save_signature(gather(_signature(opened, key), parts, tools.absent, sizes), directory)
        write_json(directory / "reads.json", told.model_dump(mode="json"))

    place = bench.make(KIND, digest, f"reads of {key}", write)
    bench.remember(KIND, opened.digests[key], digest)
    return AuthorReads.model_validate(read_json(place / "reads.json"))


@dataclass(frozen=True)
class Tools:
    """What there is to read with.

    Attributes:
        latents: the base's dictionary. components: its decomposition. edits: the author's own and null
            adapters'. absent: what is not there, with the command that makes it.
    """

    latents: Dictionary | None
    components: SharedDictionary | None
    edits: dict[str, tuple[TokenTarget, Decomposition]]
    absent: list[Absence] = field(default_factory=list)

    @classmethod
    def of_base(cls, opened: OpenedProfile) -> Tools:
        """What belongs to the profile's base."""
        absent: list[Absence] = []
        where = f"--repo {shlex.quote(str(opened.repository))}"

        def find(read: str, load: Callable[[OpenedProfile], Any], command: str) -> Any:
            try:
                return load(opened)
            except ServiceError as error:
                absent.append(Absence(read, str(error), f"routeprint {command} {where}"))
                return None

        latents = find("latents", load_latents, "sae train")
        components = find("alive sets", load_components, "decompose train")
        if components is not None and not components.found.verdict.is_valid:
            absent.append(Absence("alive sets", f"the decomposition is {components.found.verdict}"))
            components = None
        return cls(latents, components, {}, absent)

    @classmethod
    def of_author(cls, opened: OpenedProfile, key: str) -> Tools:
        """The same, and the decompositions of the author's adapter and of null adapters."""
        found, edits = cls.of_base(opened), load_edits(opened, key)
        own = edits.get(key)
        if own is None:
            where = f"--repo {shlex.quote(str(opened.repository))} --author {shlex.quote(key)}"
            reason = f"the adapter of {key} was not decomposed yet"
            found.absent.append(Absence("edits", reason, f"routeprint decompose edit {where}"))
            return found
        if not own[1].verdict.is_valid:
            found.absent.append(Absence("edits", f"the decomposition is {own[1].verdict}"))
            return found
        return replace(found, edits=edits)

    @property
    def digest(self) -> list[Any]:
        """What decides the result."""
        from fingerprint.vpd.store import digest_decomposition

        return [
            None if self.latents is None else self.latents.digest,
            None if self.components is None else self.components.digest,
            [[name, digest_decomposition(found)] for name, (_, found) in self.edits.items()],
        ]


def _names(opened: OpenedProfile, key: str) -> list[str]:
    """The reference, the author and every null adapter."""
    return ["reference", key, *sorted(opened.nulls)]


def read_parts(
    opened: OpenedProfile, reference: Adapter, adapters: Mapping[str, Adapter], tools: Tools, text: Text,
    prompts: Sequence[Prompt],
) -> list[Part]:  # fmt: skip
    """Every part there can be, of the first adapter with the others as its nulls."""
    from fingerprint.readings.measure import (
        read_alive_sets,
        read_edits,
        read_latents,
        read_routes,
        read_spectrum,
    )

    routed, report = opened.routed, opened.bench.report
    states = {name: adapter.state for name, adapter in adapters.items()}
    differences = {name: adapter.weights for name, adapter in adapters.items()}
    report(Stage("routes", 0, None))
    parts = read_routes(routed, reference.state, states, text)
    parts.append(read_spectrum(routed, differences))
    if tools.latents is not None:
        report(Stage("latents", 0, None))
        parts += read_latents(tools.latents.sae, routed, states, text)
    if tools.components is not None:
        report(Stage("alive sets", 0, None))
        parts += read_alive_sets(tools.components, states, text)
    if tools.edits:
        report(Stage("edits", 0, None))
        parts += read_edits(tools.edits, text)
    parts.append(_attribution(opened, states, tools.components, prompts))
    return parts


def _attribution(
    opened: OpenedProfile, states: States, components: SharedDictionary | None, prompts: Sequence[Prompt]
) -> Part:
    """Nodes are components of the base where it is decomposed, routes else."""
    from fingerprint.attribution.nodes import NodeSpace
    from fingerprint.attribution.question import ask_prompt
    from fingerprint.lm.pair import ModelPair, RouteWeights
    from fingerprint.readings.measure import read_attribution

    routed, bench = opened.routed, opened.bench
    asked = [ask_prompt(routed.base, prompt) for prompt in prompts]

    def space_of(state: RouteWeights) -> NodeSpace:
        if components is not None:
            return NodeSpace.of_components(components, state)
        return NodeSpace.of_routes(ModelPair(routed, routed.zero_weights(), state), "")

    return read_attribution(
        space_of, states, asked, AttributionConfig(),
        progress=lambda done, of: bench.report(Stage("attribution", done, of)),
    )  # fmt: skip


def _signature(opened: OpenedProfile, key: str) -> Any:
    """The author's routing signature as the profile made it."""
    return load_routing_signature(opened.bench.store.require("author-signature", opened.signatures[key]))


def _statements(opened: OpenedProfile, key: str) -> Mapping[str, str]:
    """What each read's own report says, where it was asked for."""
    shift, alive, edits = find_shift(opened, key), find_alive(opened, key), find_edits(opened, key)
    found = {
        "latents": None if shift is None else shift.statement,
        "alive sets": None if alive is None else f"{alive.alive.statement} {alive.span.statement}",
        "edits": None if edits is None else edits.statement,
    }
    return {read: text for read, text in found.items() if text is not None}
