"""Words for the parts of a dictionary, as base or adapted state fires them, each beside the base control.

Labels are made on the team's training code and scored on its newest. Those of an adapted state that the base
earns too are marked: they describe the text. Nothing leaves the machine unless an endpoint is set and asked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fingerprint.endpoint import Endpoint
from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.store import PAGE, Component, Harvest
from fingerprint.labels.control import mark_corpus
from fingerprint.labels.label import Label
from fingerprint.labels.language_model import judge_by_model, label_by_model
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
from service import ServiceError
from service.flows.bench import Stage
from service.flows.browsable import BASE, Browsable, Changes, Part
from service.flows.kept_pages import keep_components
from service.flows.opened import OpenedProfile
from service.flows.passages import spread_passages
from service.reports.pages.components import Browsed, Card, card_data
from service.settings import Settings

TOKENS = "tokens"


@dataclass(frozen=True)
class Labelled:
    """A state's parts with their labels.

    Attributes:
        what: whose parts they are. harvest: of the text that cards show. labels: of all parts, or of one
            page. base: firings of every part in the base on the same text; None for the base itself.
        changes: against the base, where they were measured.
    """

    what: Browsable
    harvest: Harvest
    labels: Labels
    base: Sequence[int] | None = None
    changes: Changes | None = None


def label_state(opened: OpenedProfile, what: Browsable, who: str = BASE) -> Labelled:
    """Labels by token statistics of "base", "team" or an author, made or found; the service shows them too.

    Raises:
        NotProfiledError: no such author. FingerprintError: there is no text.
    """
    made, scoring = (_harvest(opened, what, who, part) for part in what.n_tokens)
    control = () if who == BASE else label_state(opened, what).labels.labels

    def compute() -> Labels:
        components = made.components(0, made.n_components)
        labels = mark_corpus([label_tokens(one) for one in components], control)
        count = opened.bench.counter(f"labels of {who}", 2 * made.n_components)
        scores = _scores(labels, scoring, judge_tokens, count)
        return _labels(labels, scores, _scores(dealt_out(labels), scoring, judge_tokens, count, n_draws=0))

    labels = _stored(opened, what, who, compute, method=TOKENS)
    found = _labelled(opened, what, who, labels)
    _keep_cards(opened, found, who)
    return found


def _labelled(opened: OpenedProfile, what: Browsable, who: str, labels: Labels) -> Labelled:
    """Labels beside the text that cards show, in this state and in the base."""
    shown = _harvest(opened, what, who, what.shown)
    if who == BASE:
        return Labelled(what, shown, labels)
    base = _harvest(opened, what, BASE, what.shown).densities().tolist()
    return Labelled(what, shown, labels, base, what.changes(who))


def cards_of(labelled: Labelled) -> list[Card]:
    """Every labelled part as a card of the components browser."""
    labels, harvest, changes = labelled.labels, labelled.harvest, labelled.changes
    components = {one.number: one for one in harvest.components(0, harvest.n_components)}
    return [
        Card(
            components[label.component], label, labels.scores.get(label.component),
            is_changed=None if changes is None else label.component in changes.changed,
            base_firings=None if labelled.base is None else labelled.base[label.component],
            change=None if changes is None else changes.tested.get(label.component),
            is_of_a_matrix=labelled.what.noun == "component",
        )
        for label in labels.labels
    ]  # fmt: skip


def browsed(labelled: Labelled) -> Browsed:
    """What the components browser shows of a state."""
    vocabulary, what = labelled.harvest.vocabulary, labelled.what
    return Browsed(
        tuple(card_data(card, vocabulary) for card in cards_of(labelled)), what.what,
        "" if labelled.changes is None else labelled.changes.statement, what.warning, what.found,
    )  # fmt: skip


def _keep_cards(opened: OpenedProfile, labelled: Labelled, who: str) -> None:
    """Let the service's components browser show a state's parts."""
    if opened.bench.record is not None:
        keep_components(opened.bench.record, who, browsed(labelled), labelled.what.kind)


def label_page_by_model(
    opened: OpenedProfile, what: Browsable, who: str, page: int, endpoint: Endpoint
) -> Labelled:
    """One page's labels by a language model, which also judges them; asked once and stored.

    Raises:
        EndpointError: it does not answer. HarvestError: no such page.
    """
    made, scoring = (_harvest(opened, what, who, part) for part in what.n_tokens)
    control: Sequence[Label] = ()
    if who != BASE:
        control = label_page_by_model(opened, what, BASE, page, endpoint).labels.labels

    def compute() -> Labels:
        asked = [label_by_model(endpoint, one, made.vocabulary) for one in made.page(page)]
        labels = mark_corpus(asked, control)
        clear = [label for label in labels if label.is_clear]
        judge = judge_by_model(endpoint, scoring.vocabulary)
        count = opened.bench.counter(f"judging labels of {who}", len(clear))
        return _labels(labels, _scores(clear, scoring, judge, count), [])

    key = f"{endpoint.url} {endpoint.model} {page}"
    labels = _stored(opened, what, who, compute, method=key)
    return _labelled(opened, what, who, labels)


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


def _text(opened: OpenedProfile, what: Browsable, part: Part) -> list[Passage]:
    own = opened.plan.slices.train.passages if part == "labels" else opened.unread
    return spread_passages(own, what.n_tokens[part])


def _adapter_digest(opened: OpenedProfile, who: str) -> str:
    """What the state is: nothing for the base."""
    if who not in {BASE, "team"}:
        opened.author_of(who)
    return "" if who == BASE else opened.digests[who]


def _harvest_digest(opened: OpenedProfile, what: Browsable, who: str, part: Part) -> str:
    return digest_of(
        {"what": "harvest", "dictionary": what.digest, "adapter": _adapter_digest(opened, who),
         "text": Corpus(tuple(_text(opened, what, part))).digest, "config": HarvestConfig().digest,
         "code": CODE_VERSION}
    )  # fmt: skip


def _harvest(opened: OpenedProfile, what: Browsable, who: str, part: Part) -> Harvest:
    """What a state fires on one part of the team's code, made or found."""
    from fingerprint.harvest.collect import harvest

    bench = opened.bench
    routed, name = bench.routed, f"harvest of {who}, text for {part}"

    def write(directory: Path) -> None:
        state = routed.zero_weights() if who == BASE else opened.adapter(who).state
        source = what.source(_adapter_digest(opened, who) or BASE)
        with routed.at(state, state, 0.0):
            harvest(
                source, routed.base, _text(opened, what, part), directory / "harvest",
                progress=lambda done, of: bench.report(Stage(name, done, of)),
            )  # fmt: skip

    place = bench.make("harvest", _harvest_digest(opened, what, who, part), name, write)
    return Harvest.open(place / "harvest")


def _labels_digest(opened: OpenedProfile, what: Browsable, who: str, method: str) -> str:
    harvests = [_harvest_digest(opened, what, state, part) for state in {who, BASE} for part in what.n_tokens]
    return digest_of({"what": "labels", "harvests": sorted(harvests), "who": who, "method": method})


def _stored(
    opened: OpenedProfile, what: Browsable, who: str, compute: Callable[[], Labels], method: str
) -> Labels:
    digest = _labels_digest(opened, what, who, method)
    place = opened.bench.make(
        "labels", digest, f"labels of {who}", lambda directory: compute().save(directory / "labels.json")
    )
    return Labels.load(place / "labels.json")


def find_labels(opened: OpenedProfile, what: Browsable, who: str = BASE) -> Labels | None:
    """Labels by token statistics, if they were made."""
    place = opened.bench.store.find("labels", _labels_digest(opened, what, who, TOKENS))
    return None if place is None else Labels.load(place / "labels.json")
