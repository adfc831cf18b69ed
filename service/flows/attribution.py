"""A prompt and a target in; graphs of base and adapted model out, each with its ablation beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.prompts import DEFAULT_PROMPTS, Prompt
from fingerprint.attribution.report import AttributionBundle, Transplant
from service.artifacts import read_json, write_json
from service.flows.bench import Stage
from service.flows.decomposition import has_dictionary, load_dictionary
from service.flows.kept_pages import keep_graph
from service.flows.opened import OpenedProfile
from service.flows.passages import spread_passages

if TYPE_CHECKING:
    from fingerprint.attribution.graph import Subjects
    from fingerprint.attribution.question import Question

SWAPPED_ROUTES = 40
"""Routes of each author that are swapped."""
CHOOSING_TOKENS, SWAP_TOKENS = 1_500, 4_000
"""Scored tokens, about, on which they are chosen and read."""
Nodes = Literal["auto", "components", "routes"]


def attribute(
    opened: OpenedProfile, prompts: Sequence[Prompt], word: str | None, *, nodes: Nodes = "auto",
    other: str | None = None, config: AttributionConfig | None = None,
) -> AttributionBundle:  # fmt: skip
    """Ask the base and an adapted model the same questions.

    Args:
        word: the author; None: the team. nodes: components of the base's dictionary, or routes, which need
            none; "auto": components where there is a dictionary. other: an author whose routes are swapped
            with this one's, read on both authors' later code.

    Raises:
        NoDictionaryError: components without a dictionary of this base. FingerprintError: an empty target.
    """
    from fingerprint.attribution.graph import attribute_prompts

    name, bench, config = opened.name_of(word), opened.bench, config or AttributionConfig()
    subjects = _subjects(opened, name, nodes)
    questions = [_ask(opened, prompt) for prompt in prompts]
    nulls = [null.digest for null in opened.nulls_of(name).values()]
    asked = [[q.name, q.prompt, q.target, q.against] for q in questions]
    host = None if other is None else opened.name_of(other)
    digest = bench.digest(
        "attribution", questions=asked, nodes=subjects.lora.kind, dictionary=subjects.lora.dictionary,
        adapter=opened.adapter(name).digest, nulls=nulls, config=config.digest,
        other=None if host is None else opened.adapter(host).digest,
    )  # fmt: skip

    def write(directory: Path) -> None:
        bundle = attribute_prompts(
            subjects, questions, config,
            progress=lambda done, of: bench.report(Stage("attribution and ablation", done, of)),
        )  # fmt: skip
        if host is not None:
            bundle = bundle.model_copy(update={"transplant": _swap(opened, name, host, config)})
        write_json(directory / "attribution.json", bundle.model_dump(mode="json"))

    place = bench.make("attribution", digest, "attribution and ablation", write)
    bench.remember("attribution", opened.digests[name], digest)
    found = AttributionBundle.model_validate(read_json(place / "attribution.json"))
    if bench.record is not None:
        keep_graph(bench.record, name, found)
    return found


def _swap(opened: OpenedProfile, name: str, other: str, config: AttributionConfig) -> Transplant:
    """Two adapters' routes, chosen on dev code and read on later code."""
    from fingerprint.attribution.transplant import transplant

    both, dev = (name, other), opened.plan.slices.dev.passages
    choosing = {who: spread_passages(tuple(opened.code_of(who, dev)), CHOOSING_TOKENS) for who in both}
    return transplant(
        opened.routed, {who: opened.adapter(who).state for who in both}, choosing,
        {who: opened.read(who, SWAP_TOKENS) for who in both}, n_routes=SWAPPED_ROUTES, seed=config.seed,
    )  # fmt: skip


def _ask(opened: OpenedProfile, prompt: Prompt) -> Question:
    from fingerprint.attribution.question import ask, ask_prompt

    if prompt in DEFAULT_PROMPTS:  # nobody here chose its words
        return ask_prompt(opened.routed.base, prompt)
    return ask(opened.routed.base, prompt.text, prompt.target, prompt.against, name=prompt.name)


def _subjects(opened: OpenedProfile, name: str, nodes: Nodes) -> Subjects:
    """Base and adapted model with their nodes, and a null adapter's."""
    from fingerprint.attribution.graph import Subjects
    from fingerprint.attribution.nodes import NodeSpace
    from fingerprint.lm.pair import ModelPair

    routed, own = opened.routed, opened.adapter(name)
    zero, others = routed.zero_weights(), list(opened.nulls_of(name).values())
    pair = ModelPair(routed, zero, own.state)
    nulls = [(ModelPair(routed, zero, null.state), null.digest) for null in others]
    if nodes == "components" or (nodes == "auto" and has_dictionary(opened)):
        dictionary = load_dictionary(opened)
        base, adapted = (NodeSpace.of_components(dictionary, state) for state in (zero, own.state))
        null = NodeSpace.of_components(dictionary, others[0].state) if others else None
        return Subjects(pair, name, base, adapted, null, tuple(one for one, _ in nulls))
    return Subjects.of_routes(pair, name, own.digest, nulls)
