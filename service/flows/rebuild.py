"""One call makes again, for another base, everything that belongs to a base.

Calibration, dictionaries and labels are keyed by the base's hash: under a new base none of an old one's is
found, and none is read by mistake. What there was, and with which dials, is taken from the record; of the old
base nothing else is looked at, for it may be gone. Under the same base everything is found and nothing made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingerprint import FingerprintError
from fingerprint.config import ProfileConfig
from fingerprint.sae.config import RateShiftConfig, SaeConfig
from fingerprint.sae.report import RateShift
from fingerprint.vpd.config import AliveSetConfig, VpdConfig
from fingerprint.vpd.report import AliveSetDiff
from service import ServiceError
from service.artifacts import ArtifactStore, RepositoryRecord, read_json, reading_of
from service.flows import decomposition, dictionary, kept_pages
from service.flows.bench import Progress
from service.flows.browsable import BASE, Browsable, components_of, latents_of
from service.flows.labelling import label_state
from service.flows.opened import OpenedProfile, open_profile
from service.flows.profile import find_profile, profile
from service.flows.rate_shift import measure_shifts
from service.flows.team import TeamChoice
from service.settings import Settings


@dataclass(frozen=True)
class Rebuilt:
    """One thing that there was.

    Attributes:
        what: its name. outcome: what there is of it now, or why there is nothing. is_made: whether there is.
    """

    what: str
    outcome: str
    is_made: bool = True


@dataclass(frozen=True)
class _Had:
    """What a repository had, with the dials it was made with; None and empty where it had none.

    Attributes:
        latents: dials and text of the dictionary of latents. components: matrices and dials of the decomposed
            base. shifts: dials of rate shifts; alive: of alive sets, by adapter.
        labelled: states with labels, by the kind of their cards.
    """

    latents: tuple[SaeConfig, dictionary.TextSource] | None
    components: tuple[tuple[str, ...], VpdConfig] | None
    shifts: RateShiftConfig | None
    alive: Mapping[str, AliveSetConfig]
    labelled: Mapping[kept_pages.CardKind, Sequence[str]]


def rebuild(
    repository: Path, settings: Settings, base: str | None = None, revision: str | None = None,
    report: Progress = lambda _: None,
) -> tuple[Rebuilt, ...]:  # fmt: skip
    """Profile a repository on a base with the dials that it has, then whatever was made for its base before.

    A part that this base has no place for (a block or matrix it lacks) is told, and does not stop the others.

    Args:
        base: None: the profile's own, which an upgrade of the package may have changed. revision: its commit.

    Raises:
        NotProfiledError: there is nothing to make again. TooLittleHistoryError, InsufficientCodeError,
        BaseModelError: the profile cannot be made.
    """
    _, place = find_profile(repository, settings)
    facts, record = read_json(place / "profile.json"), ArtifactStore(settings.home).record(repository)
    had, config = _inventory(record, facts), ProfileConfig.model_validate(facts["config"])
    if base is not None:
        config = config.model_copy(update={"base": base, "revision": revision})
    elif revision is not None:
        config = config.model_copy(update={"revision": revision})
    summary = profile(
        repository, settings, config, choice=TeamChoice.from_json(facts["choice"]), report=report
    )
    opened = open_profile(repository, settings, report)
    revision = opened.routed.base.revision
    kept_pages.drop_cards(record)  # of the old base; those of this one are written again below
    made = Rebuilt(
        "calibration", f"{config.base} at {revision[:12]}, {summary.n_calibration} commits behind a p-value"
    )
    return made, *_latents(opened, had), *_components(opened, had)


def _latents(opened: OpenedProfile, had: _Had) -> Iterator[Rebuilt]:
    """The dictionary of latents, rate shifts and labels."""
    if had.latents is None:
        return
    config, source = had.latents

    def train() -> str:
        found = dictionary.train_dictionary(opened, config, source)
        return f"{config.n_latents:,} latents after block {config.layer}, {found.sae.digest[:12]}"

    trained = _attempt("dictionary of latents", train)
    yield trained
    if not trained.is_made:
        return
    latents = dictionary.load_dictionary(opened)
    if had.shifts is not None:
        dials = had.shifts
        yield _attempt("rate shifts", lambda: f"of {len(measure_shifts(opened, latents, dials))} adapters")
    yield from _labels(opened, latents_of(opened, latents), had)


def _components(opened: OpenedProfile, had: _Had) -> Iterator[Rebuilt]:
    """The decomposed base, alive sets and labels."""
    if had.components is None:
        return
    sites, config = had.components

    def train() -> str:
        here = [site for site in sites if site in opened.routed.base.sites]
        found = decomposition.decompose_sites(opened, here, config)
        return f"{len(here)} of {len(sites)} matrices, {found.dictionary[:12]}: {found.verdict}"

    trained = _attempt("decomposed base", train)
    yield trained
    if not trained.is_made:
        return
    for name, dials in had.alive.items():
        if name in opened.digests:
            yield _attempt(f"alive sets of {name}", lambda n=name, d=dials: _alive(opened, n, d))
    yield from _labels(opened, components_of(opened, decomposition.load_dictionary(opened)), had)


def _alive(opened: OpenedProfile, name: str, config: AliveSetConfig) -> str:
    total = decomposition.compare_alive(opened, name, config).alive.change.total
    return f"{total.n_alive_base} alive in the base, {total.n_alive_adapted} in the adapted model"


def _labels(opened: OpenedProfile, what: Browsable, had: _Had) -> Iterator[Rebuilt]:
    for who in had.labelled[what.kind]:
        if who == BASE or who in opened.digests:
            yield _attempt(f"labels of {what.noun}s, {who}", lambda w=who: _label(opened, what, w))


def _label(opened: OpenedProfile, what: Browsable, who: str) -> str:
    found = label_state(opened, what, who).labels
    return f"{found.n_clear} of {len(found.labels)} say something, mean AUROC {found.mean_auroc:.3f}"


def _attempt(what: str, make: Callable[[], str]) -> Rebuilt:
    try:
        return Rebuilt(what, make())
    except (FingerprintError, ServiceError) as error:
        return Rebuilt(what, str(error), is_made=False)


# -------------------------------------------------------------------------------------- what there was


def _inventory(record: RepositoryRecord, facts: Mapping[str, Any]) -> _Had:
    """From the record and the present profile's facts; no model is loaded."""
    labelled: dict[kept_pages.CardKind, Sequence[str]] = {
        kind: kept_pages.whose(record, kind) for kind in ("components", "decomposition")
    }
    alive = {
        name: AliveSetDiff.model_validate(read_json(place / "alive.json")).config
        for name, digest in facts["adapters"].items()
        if (place := _pointed(record, "alive-sets", reading_of("alive-sets", digest))) is not None
    }
    return _Had(_latents_of(record), _components_of(record), _shifts_of(record, facts), alive, labelled)


def _pointed(record: RepositoryRecord, kind: str, name: str) -> Path | None:
    digest = record.pointer(name)
    return None if digest is None else record.store.find(kind, digest)


def _latents_of(record: RepositoryRecord) -> tuple[SaeConfig, dictionary.TextSource] | None:
    place = _pointed(record, dictionary.KIND, dictionary.POINTER)
    if place is None:
        return None
    stored = read_json(place / "dictionary.json")
    return SaeConfig.model_validate(stored["config"]), stored["source"]


def _components_of(record: RepositoryRecord) -> tuple[tuple[str, ...], VpdConfig] | None:
    """The one made last: several bases may have had theirs."""
    names = record.pointers(decomposition.POINTER)
    places = [place for name in names if (place := _pointed(record, "decomposition", name)) is not None]
    if not places:
        return None
    stored = read_json(max(places, key=lambda place: place.stat().st_mtime) / "vpd" / "config.json")
    return tuple(stored["sites"]), VpdConfig.model_validate(stored["config"])


def _shifts_of(record: RepositoryRecord, facts: Mapping[str, Any]) -> RateShiftConfig | None:
    for digest in facts["adapters"].values():
        place = _pointed(record, "rate-shift", reading_of("rate-shift", digest))
        if place is not None:
            return RateShift.model_validate(next(iter(read_json(place / "shifts.json").values()))).config
    return None
