"""Foreign code made to look like the team's, and who still sees it: the evasion table of a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fingerprint.development.evasion_report import PLAIN, EvasionReport
from fingerprint.development.probe_config import ProbeConfig
from fingerprint.evaluation.renaming import Vocabulary, renamed
from fingerprint.evaluation.rewriting import NoViewError
from fingerprint.evaluation.views import view_passages
from fingerprint.passage import Corpus, Passage, passage_from_lines
from fingerprint.provenance import digest_of
from fingerprint.storage import write_json
from service import ServiceError
from service.artifacts import read_json
from service.flows.bench import Stage
from service.flows.development.units import LEAST_GROUPS
from service.flows.opened import TEAM, OpenedProfile
from service.flows.passages import spread_passages
from service.flows.signatures import load_team_signature
from service.flows.team import agents_code

if TYPE_CHECKING:
    from fingerprint.development.evasion import Form
    from fingerprint.development.units import UnitReadings
    from fingerprint.sae.artifact import Sae
    from fingerprint.sae.config import SaeConfig

FORMATTED, RENAMED, BOTH = "formatted, both sides", "renamed", "formatted and renamed"
FUSED = "routing drift, fused"
_NOTES = (
    (
        "Probes and n-grams trained on labels know foreign code; the product's scores know the team "
        "alone. The probes read the base, the routes the team's model."
    ),
    (
        "Formatted: both sides go through the formatter, so that layout tells nothing; the profile has read "
        "the team's own layout, so the product's scores move for both sides alike."
    ),
)


@dataclass(frozen=True)
class Case:
    """The texts of an evasion table.

    Attributes:
        foreign, team: the sides, in words. forms: by disguise, the passages of all units in one order.
        labels: whether a unit is foreign. groups: what is resampled and kept on one side. dropped: units that
            a disguise could not be put on. unworn: disguises that most units could not put on.
    """

    foreign: str
    team: str
    forms: dict[str, list[Passage]]
    labels: list[bool]
    groups: list[str]
    dropped: int
    unworn: tuple[str, ...] = ()


def report_evasion_of(
    opened: OpenedProfile, case: Case, config: ProbeConfig, dictionary: SaeConfig
) -> EvasionReport:
    """The evasion table of a profile and a case (``history_case``, ``hands_case``); stored."""
    bench, signature_digest = opened.bench, opened.team_signature
    digest = bench.digest(
        "evasion", team=opened.digests[TEAM], signature=signature_digest, config=config.digest,
        dictionary=dictionary.digest, groups=case.groups, labels=case.labels,
        text={name: Corpus(tuple(passages)).digest for name, passages in case.forms.items()},
    )  # fmt: skip

    def write(directory: Path) -> None:
        from fingerprint.development.evasion import report_evasion

        forms = read_forms(opened, case, find_dictionary(opened, dictionary), signature_digest)
        bench.report(Stage("evasion table", 0, None))
        found = report_evasion(case.foreign, case.team, forms, config, dropped=case.dropped)
        write_json(directory / "evasion.json", found.model_dump(mode="json"))

    place = bench.make("evasion", digest, "evasion table", write)
    found = EvasionReport.model_validate(read_json(place / "evasion.json"))
    left_out = f"Left out, for most texts have no such form (no formatter): {', '.join(case.unworn)}."
    return found.model_copy(update={"notes": (*_NOTES, left_out) if case.unworn else _NOTES})


# ------------------------------------------------------------------------------------------- the texts


def hands_case(opened: OpenedProfile, pieces: Sequence[tuple[str, Mapping[str, Sequence[str]]]]) -> Case:
    """The same functions in several hands.

    Args:
        pieces: (path, lines by hand) of each. The first hand is the team's, the second the foreign one, which
            is disguised in every way; further ones are disguises of their own.
    """
    team, foreign, *others = pieces[0][1]
    hands = {
        hand: [_passage_of(lines[hand], path, f"piece {i}") for i, (path, lines) in enumerate(pieces)]
        for hand in (team, foreign, *others)
    }
    forms = _disguised(opened, hands[team], hands[foreign])
    forms |= {name: [*hands[team], *hands[name]] for name in others}
    return _complete(f"{foreign}, in disguises", f"{team}, the same functions", forms, len(pieces))


def history_case(opened: OpenedProfile, against: Literal["agents", "foreign"], n: int) -> Case:
    """The team's unread commits beside declared agents' or other people's code.

    Raises:
        ServiceError: too few commits or files on a side.
    """
    slices = opened.plan.slices
    team = _pieces([*slices.calibration.passages, *slices.held_out.passages], n)
    if against == "agents":
        ingested = opened.plan.ingested
        code = agents_code(ingested.store, ingested.authors).values()
        foreign = _pieces([passage for corpus in code for passage in corpus], n)
        what = "declared agents"
    else:
        languages = {passage.language for passage in team}
        power = [p for p in opened.plan.foreign.power if p.language in languages]
        foreign, what = _pieces(power, n), f"files of {opened.plan.foreign.name}"
    for side, name in ((team, "the team"), (foreign, what)):
        n_groups = len({passage.group for passage in side})
        if n_groups < LEAST_GROUPS:
            raise ServiceError(
                f"{name}: {n_groups} commits or files to read, {LEAST_GROUPS} are needed; choose another "
                "side with --against"
            )
    n = min(len(team), len(foreign))
    return _complete(what, "the team's later commits", _disguised(opened, team[:n], foreign[:n]), n)


def _pieces(passages: Sequence[Passage], n: int) -> list[Passage]:
    """At most n hunks of some size, evenly over time, each grouped by its commit or file."""
    large = [replace(p, group=p.group or p.path) for p in passages if p.marked.count("\n") >= 6]
    return large[:: max(1, len(large) // n)][:n]


def _passage_of(lines: Sequence[str], path: str, group: str) -> Passage:
    added = [(True, line) for line in lines]
    return passage_from_lines(added, path=path, language="python", group=group)


def _disguised(
    opened: OpenedProfile, team: Sequence[Passage], foreign: Sequence[Passage]
) -> dict[str, list[Passage | None]]:
    """Each disguise of the foreign side beside the team; None where it cannot be put on."""
    vocabulary = Vocabulary.of(opened.plan.slices.train.passages)

    def formatted(passages: Sequence[Passage]) -> list[Passage | None]:
        found = view_passages(passages, "formatted")
        seen = dict(zip(found.kept, found.passages, strict=True))
        return [seen.get(i) for i in range(len(passages))]

    def rename(passages: Sequence[Passage | None]) -> list[Passage | None]:
        return [None if passage is None else _rename(passage, vocabulary) for passage in passages]

    team_formatted, foreign_formatted = formatted(team), formatted(foreign)
    return {
        PLAIN: [*team, *foreign],
        RENAMED: [*team, *rename(foreign)],
        FORMATTED: [*team_formatted, *foreign_formatted],
        BOTH: [*team_formatted, *rename(foreign_formatted)],
    }


def _rename(passage: Passage, vocabulary: Vocabulary) -> Passage | None:
    try:
        return renamed(passage, vocabulary)
    except NoViewError:
        return None


def _complete(foreign: str, team: str, forms: Mapping[str, Sequence[Passage | None]], n: int) -> Case:
    """Only units that every disguise has, of pairs both or neither; no disguise that most cannot wear."""
    first = list(forms[PLAIN])
    worn = {name: own for name, own in forms.items() if _is_worn(own[:n]) and _is_worn(own[n:])}
    unworn, forms = tuple(name for name in forms if name not in worn), worn
    missing = {i for own in forms.values() for i, passage in enumerate(own) if passage is None}
    is_paired = [p.group for p in first[:n] if p] == [p.group for p in first[n:] if p]
    if is_paired:
        missing |= {(i + n) % (2 * n) for i in missing}
    kept = [i for i in range(len(first)) if i not in missing]
    chosen = {name: [p for i in kept if (p := own[i]) is not None] for name, own in forms.items()}
    return Case(
        foreign, team, chosen, [i >= n for i in kept], [p.group for i in kept if (p := first[i])],
        len(missing), unworn
    )  # fmt: skip


def _is_worn(side: Sequence[Passage | None]) -> bool:
    """Whether at least half of a side's units have a disguise: there is no formatter for every language."""
    return sum(passage is not None for passage in side) * 2 >= len(side)


# ---------------------------------------------------------------------------------------- the readings


def find_dictionary(opened: OpenedProfile, config: SaeConfig) -> Sae:
    """A dictionary of the profile's base on the team's training slice and other people's code; stored."""
    from fingerprint.sae.artifact import Sae
    from fingerprint.sae.train import train_sae

    bench, base = opened.bench, opened.routed.base
    foreign = opened.plan.foreign
    own = spread_passages(opened.plan.slices.train.passages, config.tokens // 2)
    text = [*own, *(foreign.power if foreign.train is None else foreign.train.passages)]
    digest = digest_of(
        {"what": "dictionary", "revision": base.revision, "config": config.digest,
         "text": Corpus(tuple(text)).digest}
    )  # fmt: skip

    def write(directory: Path) -> None:
        train_sae(base, text, config, checkpoint=bench.store.begin_checkpoint(digest)).save(directory / "sae")

    place = bench.make("dictionary", digest, "dictionary of the base", write)
    bench.store.drop_checkpoints(digest)
    return Sae.load(place / "sae", base)


def read_forms(opened: OpenedProfile, case: Case, sae: Sae, signature_digest: str) -> dict[str, Form]:
    """Everything the detectors read; a text that stands in several forms is read once."""
    from fingerprint.development.evasion import Form
    from fingerprint.development.units import Unit, read_units

    places: dict[tuple[bool, str, str], int] = {}
    units: list[Unit] = []
    rows: dict[str, list[int]] = {}
    for name, passages in case.forms.items():
        rows[name] = []
        for passage, is_foreign, group in zip(passages, case.labels, case.groups, strict=True):
            key = (is_foreign, group, passage.text)
            if key not in places:
                places[key] = len(units)
                units.append(Unit(passage, is_foreign, group))
            rows[name].append(places[key])
    opened.bench.report(Stage("texts read by the base", 0, None))
    readings: UnitReadings = read_units(opened.routed, units, dictionaries={sae.layer: sae.autoencoder})
    scores = product_scores(opened, [unit.passage for unit in units], signature_digest)
    return {
        name: Form(
            readings.take(at), {detector: values[at] for detector, values in scores.items()},
            [units[i].passage.marked for i in at],
        )
        for name, at in rows.items()
    }  # fmt: skip


def product_scores(
    opened: OpenedProfile, passages: Sequence[Passage], signature_digest: str
) -> dict[str, np.ndarray]:
    """The nonconformity score of each text under the team's profile: fused, and its parts."""
    from fingerprint.drift.nonconformity import Nonconformity, fuse
    from fingerprint.lm.pair import ModelPair
    from fingerprint.routing.extract import measure_passages

    routed, drift = opened.routed, opened.bench.config.drift
    signature = load_team_signature(opened.bench.store.require("team-signature", signature_digest))
    pair = ModelPair(routed, routed.zero_weights(), opened.adapter(TEAM).state)
    n_tokens = sum(len(passage.marked) for passage in passages) / 4
    measures = measure_passages(
        pair, passages, drift, progress=opened.bench.counter("texts scored", n_tokens)
    )
    scorer = Nonconformity.of_team(signature)
    parts = scorer.parts(scorer.read(measures, passages))
    return {FUSED: fuse(parts)} | {f"{name} part": values for name, values in parts.items()}
