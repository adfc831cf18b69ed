"""The dictionary of a base: trained once on text, found by the base's revision, measured on unread code.

A dictionary belongs to one revision of one base. What a repository points to is refused, with the command
that makes it anew, as soon as the profile's base is another.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import CODE_VERSION, digest_of
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import read_json
from service.flows.bench import Stage
from service.flows.foreign import read_foreign
from service.flows.opened import OpenedProfile
from service.flows.passages import spread_passages

if TYPE_CHECKING:
    from fingerprint.sae.artifact import Sae
    from fingerprint.sae.config import SaeConfig
    from fingerprint.sae.quality import Quality
    from fingerprint.sae.train import SaeProgress

TextSource = Literal["both", "library", "repository"]
"""What a dictionary is trained on, and all that it can name: Python's standard library, own code, or both."""
KIND, POINTER = "dictionary", "dictionary"
QUALITY_TOKENS = 16_000
"""Marked tokens of unread code that quality is measured on, about."""


class NoDictionaryError(ServiceError):
    """A repository has no dictionary for the base of its profile; the message names the command."""


@dataclass(frozen=True)
class Dictionary:
    """A trained dictionary in the store.

    Attributes:
        digest: of the artifact. sae: the autoencoder. facts: text, tokens and dials, for people.
    """

    digest: str
    sae: Sae
    facts: dict[str, Any]


def train_dictionary(opened: OpenedProfile, config: SaeConfig, source: TextSource = "both") -> Dictionary:
    """Train (or find) the dictionary of the profile's base and let it be the repository's current one.

    A killed training goes on from its checkpoint.

    Raises:
        FingerprintError: no such block, or too little text.
    """
    from fingerprint.sae.train import train_sae

    bench = opened.bench
    base, report = bench.routed.base, bench.report
    text = _text(opened, config, source)
    digest = digest_of(
        {"what": KIND, "revision": base.revision, "text": Corpus(tuple(text)).digest, "config": config.digest,
         "code": CODE_VERSION}
    )  # fmt: skip

    def progress(state: SaeProgress) -> None:
        report(Stage(KIND, state.step, state.steps, state.tokens_per_second, state.seconds_left))

    def write(directory: Path) -> None:
        checkpoint = bench.store.begin_checkpoint(digest)
        sae = train_sae(base, text, config, checkpoint=checkpoint, progress=progress)
        sae.save(directory / "sae")
        facts = {
            "base": base.name, "revision": base.revision, "layer": config.layer, "source": source,
            "config": config.model_dump(mode="json"), "n_latents": config.n_latents, **asdict(sae.facts),
        }  # fmt: skip
        write_json(directory / "dictionary.json", facts)

    place = bench.make(KIND, digest, KIND, write)
    bench.store.drop_checkpoints(digest)
    assert bench.record is not None, "a profiled repository has a record"
    bench.record.point(POINTER, digest)
    return _load(opened, digest, place)


def _text(opened: OpenedProfile, config: SaeConfig, source: TextSource) -> list[Passage]:
    """Passages to train on: the repository's training slice, Python's standard library, or both."""
    train = opened.plan.slices.train.passages
    own = [] if source == "library" else list(train)
    if source == "repository":
        return own
    sizes = [passage.marked.count("\n") for passage in train]
    n_tokens = config.tokens if source == "library" else max(20_000, config.tokens // 2)
    return own + list(read_foreign(None, sizes, n_tokens, config.seed).corpus.passages)


def load_dictionary(opened: OpenedProfile) -> Dictionary:
    """The repository's current dictionary, for the profile's base and no other.

    Raises:
        NoDictionaryError: there is none, or it belongs to another base or revision.
    """
    bench = opened.bench
    base = bench.routed.base
    remedy = f"run `routeprint sae train --repo {opened.repository}` to make one"
    digest = bench.record.pointer(POINTER) if bench.record else None
    place = None if digest is None else bench.store.find(KIND, digest)
    if digest is None or place is None:
        raise NoDictionaryError(f"no dictionary: {opened.repository} has none yet; {remedy}")
    facts = read_json(place / "dictionary.json")
    if facts["revision"] != base.revision:
        raise NoDictionaryError(
            f"the dictionary of {opened.repository} belongs to the base {facts['base']!r} at "
            f"{facts['revision'][:12]}, but the profile's base is {base.name!r} at {base.revision[:12]}; "
            f"{remedy}, or `routeprint rebuild --repo {opened.repository}` for all that the old base had"
        )
    return _load(opened, digest, place)


def _load(opened: OpenedProfile, digest: str, place: Path) -> Dictionary:
    from fingerprint.sae.artifact import Sae

    sae = Sae.load(place / "sae", opened.bench.routed.base)
    return Dictionary(digest, sae, read_json(place / "dictionary.json"))


def measure_dictionary(
    opened: OpenedProfile, dictionary: Dictionary, n_tokens: int = QUALITY_TOKENS
) -> Quality:
    """What the dictionary reconstructs of code that neither it nor an adapter has read; stored."""
    from fingerprint.sae.quality import PatchedLoss, Quality, Reconstruction, measure_quality

    bench = opened.bench
    text = spread_passages(opened.unread, n_tokens)
    window = dictionary.facts["config"]["window_tokens"]
    digest = digest_of(
        {"what": "dictionary quality", "dictionary": dictionary.digest, "text": Corpus(tuple(text)).digest,
         "code": CODE_VERSION}
    )  # fmt: skip

    def write(directory: Path) -> None:
        found = measure_quality(dictionary.sae, bench.routed.base, text, window_tokens=window)
        write_json(directory / "quality.json", asdict(found))

    stored = read_json(bench.make("quality", digest, "quality of the dictionary", write) / "quality.json")
    stored["reconstruction"]["densities"] = tuple(stored["reconstruction"]["densities"])
    return Quality(Reconstruction(**stored["reconstruction"]), PatchedLoss(**stored["loss"]))
