"""Words for a dictionary's latents, as the base or an adapted state fires them, each beside the base control.

Labels are made on the team's training code and scored on its newest. Those of an adapted state that the base
earns too are marked: they describe the text. Nothing leaves the machine unless an endpoint is set and asked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.store import PAGE, Component, Harvest
from fingerprint.labels.control import mark_corpus
from fingerprint.labels.label import Label
from fingerprint.labels.language_model import Endpoint, judge_by_model, label_by_model
from fingerprint.labels.offline import label_tokens
from fingerprint.labels.scoring import (
    Judge,
    LabelScore,
    ScoringText,
    dealt_out,
    judge_tokens,
    mean_auroc,
    score_label,
)
from fingerprint.labels.store import Labels
from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import CODE_VERSION, digest_of
from fingerprint.sae.report import RateShift
from service import ServiceError
from service.flows.dictionary import Dictionary
from service.flows.kept_pages import keep_components
from service.flows.opened import OpenedProfile
from service.flows.passages import spread_passages
from service.flows.rate_shift import find_shift
from service.flows.training import Stage
from service.reports.pages.components import Card, card_data
from service.settings import Settings

Part = Literal["labels", "scores"]
BASE, TOKENS = "base", "tokens"
LATENTS = "the dictionary of latents"
TEXT_TOKENS: dict[Part, int] = {"labels": 60_000, "scores": 30_000}
"""Marked tokens that labels are made from, and scored on, about."""


@dataclass(frozen=True)
class Labelled:
    """A state's latents with their labels.

    Attributes:
        harvest: of the text that labels were made from. labels: of all latents, or of one page. shift: of
            the latents' firing rates against the base, where it was measured.
    """

    harvest: Harvest
    labels: Labels
    shift: RateShift | None = None

    @property
    def changes(self) -> str:
        """What the shift says of all latents, with its controls; "" where there is none."""
        return "" if self.shift is None else self.shift.statement


def label_state(opened: OpenedProfile, dictionary: Dictionary, who: str = BASE) -> Labelled:
    """Labels by token statistics of "base", "team" or an author, made or found; the service shows them too.

    Raises:
        NotProfiledError: no such author. FingerprintError: there is no text.
    """
    made, scoring = (_harvest(opened, dictionary, who, part) for part in TEXT_TOKENS)
    control = () if who == BASE else label_state(opened, dictionary).labels.labels

    def compute() -> Labels:
        components = made.components(0, made.n_components)
        labels = mark_corpus([label_tokens(one) for one in components], control)
        count = opened.bench.counter(f"labels of {who}", 2 * made.n_components)
        scores = _scores(labels, scoring, judge_tokens, count)
        return _labels(labels, scores, _scores(dealt_out(labels), scoring, judge_tokens, count, n_draws=0))

    labels = _stored(opened, dictionary, who, compute, method=TOKENS)
    found = Labelled(made, labels, _shift_of(opened, dictionary, who))
    _keep_cards(opened, found, who)
    return found


def cards_of(labelled: Labelled) -> list[Card]:
    """Every labelled latent as a card of the components browser."""
    labels, harvest = labelled.labels, labelled.harvest
    components = {one.number: one for one in harvest.components(0, harvest.n_components)}
    changed = None if labelled.shift is None else changed_latents(labelled.shift)
    return [
        Card(
            components[label.component], label, labels.scores.get(label.component),
            None if changed is None else label.component in changed,
        )
        for label in labels.labels
    ]  # fmt: skip


def changed_latents(shift: RateShift) -> frozenset[int]:
    """Latents that changed, and where there are null adapters enough for a band, left it too."""
    return frozenset(
        one.latent for one in shift.latents
        if one.is_changed and (one.null_low is None or one.is_beyond_nulls)
    )  # fmt: skip


def _shift_of(opened: OpenedProfile, dictionary: Dictionary, who: str) -> RateShift | None:
    """What `sae shift` said of a state last, if it was of this dictionary; the base shifts nothing."""
    found = None if who == BASE else find_shift(opened, who)
    return found if found is not None and found.dictionary == dictionary.sae.digest else None


def _keep_cards(opened: OpenedProfile, labelled: Labelled, who: str) -> None:
    """Let the service's components browser show a state's latents."""
    record, vocabulary = opened.bench.record, labelled.harvest.vocabulary
    if record is not None:
        cards = [card_data(card, vocabulary) for card in cards_of(labelled)]
        keep_components(record, who, LATENTS, cards, labelled.changes)


def label_page_by_model(
    opened: OpenedProfile, dictionary: Dictionary, who: str, page: int, endpoint: Endpoint
) -> Labelled:
    """One page's labels by a language model, which also judges them; asked once and stored.

    Raises:
        EndpointError: it does not answer. HarvestError: no such page.
    """
    made, scoring = (_harvest(opened, dictionary, who, part) for part in TEXT_TOKENS)
    control: Sequence[Label] = ()
    if who != BASE:
        control = label_page_by_model(opened, dictionary, BASE, page, endpoint).labels.labels

    def compute() -> Labels:
        asked = [label_by_model(endpoint, one, made.vocabulary) for one in made.page(page)]
        labels = mark_corpus(asked, control)
        clear = [label for label in labels if label.is_clear]
        judge = judge_by_model(endpoint, scoring.vocabulary)
        count = opened.bench.counter(f"judging labels of {who}", len(clear))
        return _labels(labels, _scores(clear, scoring, judge, count), [])

    key = f"{endpoint.url} {endpoint.model} {page}"
    labels = _stored(opened, dictionary, who, compute, method=key)
    return Labelled(made, labels, _shift_of(opened, dictionary, who))


def endpoint_of(settings: Settings) -> Endpoint:
    """The language model that the settings name.

    Raises:
        ServiceError: they name none.
    """
    if settings.label_url is None or not settings.label_model:
        raise ServiceError(
            "no language model to ask: set ROUTEPRINT_LABEL_URL and ROUTEPRINT_LABEL_MODEL; windows of this "
            "repository's code will be sent there"
        )
    return Endpoint(settings.label_url, settings.label_model, settings.label_key.get_secret_value())


def page_of(labelled: Labelled, page: int) -> list[tuple[Component, Label, LabelScore | None]]:
    """One page of components with label and score; only its rows are read.

    Raises:
        HarvestError: no such page.
    """
    by_component = {label.component: label for label in labelled.labels.labels}
    return [
        (one, by_component[one.number], labelled.labels.scores.get(one.number))
        for one in labelled.harvest.page(page, PAGE)
    ]


def _labels(labels: Sequence[Label], scores: Sequence[LabelScore], dealt: Sequence[LabelScore]) -> Labels:
    clear = {label.component for label in labels if label.is_clear}
    told = [score for score in scores if score.component in clear]
    return Labels(
        tuple(labels), {score.component: score for score in scores}, mean_auroc(told),
        mean_auroc([score for score in dealt if score.component in clear]),
    )  # fmt: skip


def _scores(
    labels: Sequence[Label], scoring: Harvest, judge: Judge, count: Callable[[int], None], n_draws: int = 100
) -> list[LabelScore]:
    """Scores of the labels that can be scored."""
    text, components = ScoringText.of(scoring), scoring.components(0, scoring.n_components)
    found: list[LabelScore] = []
    for label in labels:
        score = score_label(label, components[label.component], text, judge, n_draws=n_draws)
        found += [score] if score is not None else []
        count(1)
    return found


def _text(opened: OpenedProfile, part: Part) -> list[Passage]:
    own = opened.plan.slices.train.passages if part == "labels" else opened.unread
    return spread_passages(own, TEXT_TOKENS[part])


def _adapter_digest(opened: OpenedProfile, who: str) -> str:
    """What the state is: nothing for the base."""
    if who not in {BASE, "team"}:
        opened.author_of(who)
    return "" if who == BASE else opened.digests[who]


def _harvest_digest(opened: OpenedProfile, dictionary: Dictionary, who: str, part: Part) -> str:
    return digest_of(
        {"what": "harvest", "dictionary": dictionary.digest, "adapter": _adapter_digest(opened, who),
         "text": Corpus(tuple(_text(opened, part))).digest, "config": HarvestConfig().digest,
         "code": CODE_VERSION}
    )  # fmt: skip


def _harvest(opened: OpenedProfile, dictionary: Dictionary, who: str, part: Part) -> Harvest:
    """What a state fires on one part of the team's code, made or found."""
    from fingerprint.harvest.collect import harvest
    from fingerprint.harvest.sources import SaeSource

    bench = opened.bench
    routed, name = bench.routed, f"harvest of {who}, text for {part}"

    def write(directory: Path) -> None:
        state = routed.zero_weights() if who == BASE else opened.adapter(who).state
        source = SaeSource(dictionary.sae, routed.base, routed.model, _adapter_digest(opened, who) or BASE)
        with routed.at(state, state, 0.0):
            harvest(
                source, routed.base, _text(opened, part), directory / "harvest",
                progress=lambda done, of: bench.report(Stage(name, done, of)),
            )  # fmt: skip

    place = bench.make("harvest", _harvest_digest(opened, dictionary, who, part), name, write)
    return Harvest.open(place / "harvest")


def _labels_digest(opened: OpenedProfile, dictionary: Dictionary, who: str, method: str) -> str:
    harvests = [
        _harvest_digest(opened, dictionary, state, part) for state in {who, BASE} for part in TEXT_TOKENS
    ]
    return digest_of({"what": "labels", "harvests": sorted(harvests), "who": who, "method": method})


def _stored(
    opened: OpenedProfile, dictionary: Dictionary, who: str, compute: Callable[[], Labels], method: str
) -> Labels:
    digest = _labels_digest(opened, dictionary, who, method)
    place = opened.bench.make(
        "labels", digest, f"labels of {who}", lambda directory: compute().save(directory / "labels.json")
    )
    return Labels.load(place / "labels.json")


def find_labels(opened: OpenedProfile, dictionary: Dictionary, who: str = BASE) -> Labels | None:
    """Labels by token statistics, if they were made."""
    place = opened.bench.store.find("labels", _labels_digest(opened, dictionary, who, TOKENS))
    return None if place is None else Labels.load(place / "labels.json")
