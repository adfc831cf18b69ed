"""The base's dictionary, an adapter's rank-1 edits, and the alive sets of both models: each an artifact.

A dictionary belongs to one revision of one base. Another base asks for another pointer and finds none: it
never reads an old one, and the error names the command that makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.passage import Corpus, Passage
from fingerprint.vpd.config import AliveSetConfig, VpdConfig
from fingerprint.vpd.report import AliveSetDiff, DictionarySummary, EditReport, SpanReport
from service import ServiceError
from service.artifacts import read_json, write_json
from service.flows.bench import Bench, Stage
from service.flows.edit_uses import read_uses
from service.flows.opened import TEAM, OpenedProfile

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter
    from fingerprint.vpd.alive_set import SharedDictionary
    from fingerprint.vpd.targets import TokenTarget
    from fingerprint.vpd.train import Decomposition, VpdProgress

POINTER = "dictionary of "
"""Start of the record's pointers to dictionaries; the base's revision follows."""
MOST_HELD_OUT = 16
"""Passages that a decomposition's metrics are read on: every adversary step runs them all."""
ALIVE_TOKENS = 8_000
"""Scored tokens, about, that alive sets are compared on."""
USED_TOKENS = 4_000
"""Scored tokens, about, on which an adapter's edits are seen to open."""
_OWN, _OTHERS, _FOREIGN = 0.5, 0.25, 0.25
"""Shares of text for an author's edit: the gates must also learn where it is inactive (9.1b)."""


class NoDictionaryError(ServiceError):
    """The base at this revision has no dictionary yet."""


@dataclass(frozen=True)
class AliveAnswer:
    """What `decompose alive` says: which components an adapter wakes, and how much of it they span."""

    alive: AliveSetDiff
    span: SpanReport


# ------------------------------------------------------------------------------------- the dictionary


def train_dictionary(
    opened: OpenedProfile, layers: Sequence[int], matrices: Sequence[str], config: VpdConfig,
    coefficients: Sequence[float] = (), n_starts: int = 1,
) -> DictionarySummary:  # fmt: skip
    """Decompose the base's weights on the team's code and foreign code, and let it be the base's dictionary.

    Args:
        coefficients: sparsity coefficients to try; the sparsest valid run whose gates leave at most a tenth
            of the ablated model's distance is taken. None: the config's own. n_starts: of every run, the
            one whose objective ends lowest is taken.

    Raises:
        VpdError: no such matrix.
    """
    from fingerprint.vpd.language import choose_sites

    sites = choose_sites(opened.routed.base, layers, matrices)
    return decompose_sites(opened, sites, config, coefficients, n_starts)


def decompose_sites(
    opened: OpenedProfile, sites: Sequence[str], config: VpdConfig, coefficients: Sequence[float] = (),
    n_starts: int = 1,
) -> DictionarySummary:  # fmt: skip
    """The same for matrices by their whole names.

    Raises:
        VpdError: the base has no such matrix, or none is asked for.
    """
    from fingerprint.vpd.edits import choose_on_front
    from fingerprint.vpd.restarts import best_of_starts

    record = opened.bench.record
    assert record is not None, "a profiled repository has a record"
    run = _WeightsRun(opened, tuple(sites))
    found, front = choose_on_front(
        lambda dials: best_of_starts(run.decompose, dials, n_starts), config,
        coefficients or (config.importance_coefficient,),
    )  # fmt: skip
    record.point(POINTER + opened.routed.base.revision, run.digest(found.config))
    return load_dictionary(opened).summary().model_copy(update={"front": front if len(front) > 1 else ()})


@dataclass(frozen=True)
class _WeightsRun:
    """Text to decompose some of the base's matrices on."""

    opened: OpenedProfile
    sites: tuple[str, ...]

    @property
    def corpora(self) -> list[tuple[float, list[Passage]]]:
        """The team's code and foreign code with their shares."""
        return _shared(self.opened.plan.slices.train.passages, _foreign(self.opened))

    @property
    def held_out(self) -> list[Passage]:
        """The newest code that dictionaries are not trained on."""
        return list(self.opened.plan.slices.calibration.passages)[-MOST_HELD_OUT:]

    def digest(self, config: VpdConfig) -> str:
        """Of one run."""
        texts = _digests(self.corpora, self.held_out)
        return self.opened.bench.digest(
            "dictionary", sites=list(self.sites), config=config.digest, texts=texts
        )

    def decompose(self, config: VpdConfig) -> Decomposition:
        """One run, an artifact of its own; a killed one goes on from its checkpoint."""
        from fingerprint.vpd.language import decompose_weights
        from fingerprint.vpd.store import load_decomposition, save_decomposition, stored_sites
        from fingerprint.vpd.targets import weights_target

        bench, base, digest = self.opened.bench, self.opened.routed.base, self.digest(config)
        name = "dictionary of the base"

        def write(directory: Path) -> None:
            found = decompose_weights(
                base, self.sites, self.corpora, self.held_out, config,
                checkpoint=bench.store.begin_checkpoint(digest), progress=_told(bench, name),
            )  # fmt: skip
            target = weights_target(base, self.sites, taps=found.gates.taps)
            save_decomposition(found, target, directory / "vpd")

        place = bench.make("decomposition", digest, name, write)
        bench.store.drop_checkpoints(digest)
        sites, taps = stored_sites(place / "vpd")
        return load_decomposition(place / "vpd", weights_target(base, sites, taps=taps))


def has_dictionary(opened: OpenedProfile) -> bool:
    """Whether the profile's base has one."""
    record = opened.bench.record
    return record is not None and record.pointer(POINTER + opened.routed.base.revision) is not None


def load_dictionary(opened: OpenedProfile) -> SharedDictionary:
    """The dictionary of the profile's base at its revision.

    Raises:
        NoDictionaryError: there is none, or only another base's.
    """
    from fingerprint.vpd.alive_set import SharedDictionary

    base, record = opened.routed.base, opened.bench.record
    assert record is not None
    digest = record.pointer(POINTER + base.revision)
    if digest is None:
        others = [name.removeprefix(POINTER)[:12] for name in record.pointers(POINTER)]
        what = f"only of the base at {', '.join(others)}" if others else "none is kept"
        every = f", or `routeprint rebuild --repo {record.repository}` for all that the old base had"
        raise NoDictionaryError(
            f"no dictionary of the base {base.name!r} at {base.revision[:12]}: {what}; run "
            f"`routeprint decompose train --repo {record.repository}`{every if others else ''}"
        )
    return SharedDictionary.load(opened.bench.store.require("decomposition", digest) / "vpd", opened.routed)


# ------------------------------------------------------------------------------------------ the edits


def decompose_adapter(
    opened: OpenedProfile, word: str | None, config: VpdConfig, coefficients: Sequence[float] = (),
    n_starts: int = 1,
) -> EditReport:  # fmt: skip
    """LoRA-VPD of the team's or an author's adapter, a null adapter decomposed alike beside it.

    Args:
        word: the author; None: the team. coefficients: sparsity coefficients to try; none: the config's own.
            n_starts: of every run, the null's too; the one whose objective ends lowest is taken.

    Raises:
        UnknownAuthorError, NotProfiledError: no such adapter.
    """
    from fingerprint.vpd.edits import choose_on_front, report_edit
    from fingerprint.vpd.restarts import best_of_starts

    name, bench = opened.name_of(word), opened.bench
    run = _EditRun(opened, name)
    nulls = list(opened.nulls_of(name).items())[:1]
    facts = {"config": config.digest, "tried": list(coefficients), "texts": run.texts, "name": name,
             "starts": n_starts, "format": 4}  # fmt: skip
    digest = bench.digest(
        "edits", adapters=[opened.adapter(name).digest, *(null.digest for _, null in nulls)], **facts
    )

    def write(directory: Path) -> None:
        def at(adapter: Adapter, who: str, dials: VpdConfig) -> Decomposition:
            return best_of_starts(lambda start: run.decompose(adapter, who, start), dials, n_starts)

        own = opened.adapter(name)
        found, front = choose_on_front(
            lambda dials: at(own, name, dials), config, coefficients or (config.importance_coefficient,)
        )
        dials = found.config.model_copy(update={"seed": config.seed})
        beside = {n: at(null, n, dials) for n, null in nulls}
        target = run.target(own)
        report = report_edit(
            bench.routed.base, name, found, target, run.batches(config),
            front=front if len(front) > 1 else (), nulls=beside,
        )  # fmt: skip
        adapters, runs = {name: own, **dict(nulls)}, {name: found, **beside}
        on = {who: (run.target(adapter), runs[who]) for who, adapter in adapters.items()}
        uses, n_untold, n_used = read_uses(bench.routed.base, on, opened.read(name, USED_TOKENS))
        report = report.model_copy(update={"uses": uses, "n_untold": n_untold, "n_used": n_used})
        write_json(directory / "edits.json", report.model_dump(mode="json"))
        made = [[who, run.digest(adapter, runs[who].config)] for who, adapter in adapters.items()]
        write_json(directory / "runs.json", made)

    place = bench.make("edits", digest, f"edits of {name}", write)
    bench.remember("edits", opened.digests[name], digest)
    return EditReport.model_validate(read_json(place / "edits.json"))


def find_edits(opened: OpenedProfile, name: str) -> EditReport | None:
    """What `decompose edit` said of an adapter last."""
    place = opened.remembered("edits", name)
    return None if place is None else EditReport.model_validate(read_json(place / "edits.json"))


def load_edits(opened: OpenedProfile, name: str) -> dict[str, tuple[TokenTarget, Decomposition]]:
    """The decompositions behind ``find_edits``: the adapter's own first, then null adapters'; empty: none."""
    from fingerprint.vpd.store import load_decomposition
    from fingerprint.vpd.targets import edit_target

    place = opened.remembered("edits", name)
    found: dict[str, tuple[TokenTarget, Decomposition]] = {}
    for who, digest in [] if place is None else read_json(place / "runs.json"):
        target = edit_target(opened.routed, opened.adapter(who.removeprefix("null ")).state)
        found[who] = target, load_decomposition(opened.bench.store.require("edit", digest) / "vpd", target)
    return found


@dataclass(frozen=True)
class _EditRun:
    """Text to decompose one adapter's edit, or a null's, on."""

    opened: OpenedProfile
    name: str

    @property
    def corpora(self) -> list[tuple[float, list[Passage]]]:
        """Own, others' and foreign text with their shares."""
        slices, foreign = self.opened.plan.slices, _foreign(self.opened)
        if self.name == TEAM:
            return _shared(slices.train.passages, foreign)
        own = self.opened.code_of(self.name, slices.train.passages)
        others = [passage for passage in slices.train.passages if passage.author != self.name]
        parts = [(_OWN, own), (_OTHERS, others), (_FOREIGN, foreign)]
        return [(share, list(text)) for share, text in parts if text]

    @property
    def held_out(self) -> list[Passage]:
        """The newest of the adapter's own code that nothing was trained on."""
        return self.opened.read(self.name, 1_000_000)[-MOST_HELD_OUT:]

    @property
    def texts(self) -> list[str]:
        """Digests of all text."""
        return _digests(self.corpora, self.held_out)

    def target(self, adapter: Adapter) -> TokenTarget:
        """What is decomposed."""
        from fingerprint.vpd.targets import edit_target

        return edit_target(self.opened.routed, adapter.state)

    def batches(self, config: VpdConfig) -> Sequence[object]:
        """Held-out batches, the ones that a run's own metrics are read on."""
        from fingerprint.vpd.targets import passage_data

        return passage_data(
            self.opened.routed.base, self.corpora, self.held_out, rows=config.rows,
            max_tokens=config.row_tokens, seed=config.seed,
        ).held_out  # fmt: skip

    def digest(self, adapter: Adapter, config: VpdConfig) -> str:
        """Of one run."""
        return self.opened.bench.digest(
            "edit", adapter=adapter.digest, config=config.digest, texts=self.texts
        )

    def decompose(self, adapter: Adapter, name: str, config: VpdConfig) -> Decomposition:
        """One run, an artifact of its own."""
        from fingerprint.vpd.language import decompose_edit
        from fingerprint.vpd.store import load_decomposition, save_decomposition
        from fingerprint.vpd.targets import edit_target

        bench = self.opened.bench
        target = edit_target(bench.routed, adapter.state)
        digest = self.digest(adapter, config)

        def write(directory: Path) -> None:
            found = decompose_edit(
                bench.routed, adapter.state, self.corpora, self.held_out, config,
                checkpoint=bench.store.begin_checkpoint(digest), progress=_told(bench, f"edit of {name}"),
            )  # fmt: skip
            save_decomposition(found, target, directory / "vpd")

        place = bench.make("edit", digest, f"edit of {name}", write)
        bench.store.drop_checkpoints(digest)
        return load_decomposition(place / "vpd", target)


# ---------------------------------------------------------------------------------------- alive sets


def compare_alive(
    opened: OpenedProfile, word: str | None, config: AliveSetConfig | None = None,
    n_tokens: int = ALIVE_TOKENS, n_rotations: int = 99,
) -> AliveAnswer:  # fmt: skip
    """The alive sets of the base and of an adapted state under the base's one dictionary, and its span.

    Raises:
        NoDictionaryError: the base has no dictionary at this revision.
    """
    from fingerprint.lm.pair import ModelPair
    from fingerprint.vpd.alive_set import compare_alive_sets
    from fingerprint.vpd.span import measure_span

    name, bench, config = opened.name_of(word), opened.bench, config or AliveSetConfig()
    dictionary, own, nulls = load_dictionary(opened), opened.adapter(name), opened.nulls_of(name)
    passages = opened.read(name, n_tokens)
    digest = bench.digest(
        "alive sets", dictionary=dictionary.digest, adapters=[own.digest, *(n.digest for n in
        nulls.values())], text=Corpus(tuple(passages)).digest, config=config.model_dump(mode="json"),
        rotations=n_rotations,
    )  # fmt: skip

    def write(directory: Path) -> None:
        states = {n: null.state for n, null in nulls.items()}
        pair = ModelPair(bench.routed, bench.routed.zero_weights(), own.state)
        alive = compare_alive_sets(
            pair, dictionary, passages, adapter=name, nulls=states, config=config,
            progress=_counted(bench, "alive sets"),
        )  # fmt: skip
        span = measure_span(
            dictionary.found.components, bench.routed, own.state, dictionary=dictionary.digest, adapter=name,
            nulls=states, n_rotations=n_rotations, progress=_counted(bench, "span of the adapter"),
        )  # fmt: skip
        write_json(directory / "alive.json", alive.model_dump(mode="json"))
        write_json(directory / "span.json", span.model_dump(mode="json"))

    place = bench.make("alive-sets", digest, f"alive sets of {name}", write)
    bench.remember("alive-sets", opened.digests[name], digest)
    return _answer_in(place)


def find_alive(opened: OpenedProfile, name: str) -> AliveAnswer | None:
    """What `decompose alive` said of an adapter last."""
    place = opened.remembered("alive-sets", name)
    return None if place is None else _answer_in(place)


def _answer_in(place: Path) -> AliveAnswer:
    return AliveAnswer(
        AliveSetDiff.model_validate(read_json(place / "alive.json")),
        SpanReport.model_validate(read_json(place / "span.json")),
    )


# ------------------------------------------------------------------------------------------- shared


def _foreign(opened: OpenedProfile) -> list[Passage]:
    """Other people's code: the null's, or what the power curve is measured on where there is no null."""
    foreign = opened.plan.foreign
    return list(foreign.power if foreign.train is None else foreign.train.passages)


def _shared(team: Sequence[Passage], foreign: Sequence[Passage]) -> list[tuple[float, list[Passage]]]:
    return [(1 - _FOREIGN, list(team)), (_FOREIGN, list(foreign))]


def _digests(corpora: Sequence[tuple[float, Sequence[Passage]]], held_out: Sequence[Passage]) -> list[str]:
    return [Corpus(tuple(text)).digest for _, text in corpora] + [Corpus(tuple(held_out)).digest]


def _told(bench: Bench, name: str) -> Callable[[VpdProgress], None]:
    return lambda state: bench.report(Stage(name, state.step, state.steps, seconds_left=state.seconds_left))


def _counted(bench: Bench, name: str) -> Callable[[int, int], None]:
    return lambda done, of: bench.report(Stage(name, done, of))
