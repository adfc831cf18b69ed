"""Everything a person can see of their own signature, gathered from what the profile stored.

Words and spectra are read once and kept: the second page is a look-up.
"""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.contribution import Contribution
from connectors.identity.author import Author, AuthorKind
from fingerprint.attribution.report import AttributionBundle
from fingerprint.config import ProfileConfig
from fingerprint.passage import Corpus, Passage
from fingerprint.provenance import CODE_VERSION, digest_of
from fingerprint.readings.report import AuthorReads
from fingerprint.report import Habits, SeedStability, SiteSpectrum
from fingerprint.sae.report import RateShift
from fingerprint.signature import RoutingSignature
from fingerprint.vpd.report import AliveSetDiff, EditReport
from service.artifacts import ArtifactStore, read_json, reading_of, write_json
from service.flows.ingest import Ingested, load_ingested
from service.flows.passages import corpus_of
from service.flows.profile import find_profile
from service.flows.signatures import load_routing_signature
from service.flows.team import TeamChoice, find_author
from service.reports.attribution import shift_sentences
from service.reports.decomposition import edit_page
from service.reports.pages.author import AuthorReport, Command, OwnCode
from service.reports.profile_summary import AuthorRow, ProfileSummary
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.adapters.adapter import Adapter

MOST_TOKENS = 8_000
"""Scored tokens of unseen code read for the words, about: one forward pass a state."""
_HABITS_LAYOUT = 2
"""Grows with what is told of a word, so that words told before are read again."""


def author_report(repository: Path, settings: Settings, word: str, version: str = "") -> AuthorReport:
    """The report of the author that ``word`` names, from the current profile or a version of it.

    Raises:
        NotProfiledError, NotIngestedError, UnknownAuthorError: what to do is in the message.
    """
    _, place = find_profile(repository, settings, version)
    opened = _Opened.of(repository, settings, read_json(place / "profile.json"))
    author = find_author(opened.ingested.authors, word)
    row = next((row for row in opened.summary.authors if row.key == author.key), None)
    is_trained = author.key in opened.adapters
    return AuthorReport(
        repository=repository.resolve().name,
        row=row or AuthorRow(key=author.key, name=author.name, kind=author.kind.value),
        code=opened.own_code(author),
        signature=opened.signature(author.key),
        habits=opened.habits(author.key) if is_trained else None,
        spectrum=opened.spectrum(author.key) if is_trained else None,
        rate_shift=opened.rate_shift(author.key) if is_trained else None,
        edits=opened.edits(author.key) if is_trained else (),
        attributions=opened.attributions(author.key) if is_trained else (),
        reads=opened.reads(author.key) if is_trained else None,
        seeds=opened.seeds(author.key) if is_trained else None,
        commands=commands_of(repository, author.key),
        missing=missing_of(repository, author.key),
        provenance=opened.summary.provenance | {"team signature": opened.summary.signature},
    )


def commands_of(repository: Path, key: str) -> tuple[Command, ...]:
    """Export and deletion."""
    where = ["--repo", str(repository)]
    export = shlex.join(["routeprint", "report", *where, "--author", key, "--format", "json"])
    forget = shlex.join(["routeprint", "forget", *where])
    return (
        Command("Export: the figures of this page's profile as JSON.", export),
        Command(
            "Delete: everything kept about this repository: signatures, adapters, contributions. It asks "
            "first, and cannot be undone.", forget,
        ),
    )  # fmt: skip


def missing_of(repository: Path, key: str) -> dict[str, str]:
    """What makes each reading that a profile does not bring."""
    where = f"--repo {shlex.quote(str(repository))}"
    return {
        "seeds": f"routeprint seeds {shlex.quote(key)} {where}",
        "latents": f"routeprint sae shift {where} --author {shlex.quote(key)}",
        "edits": f"routeprint decompose edit {where} --author {shlex.quote(key)}",
        "reads": f"routeprint explain {shlex.quote(key)} {where}",
        "attributions": f"routeprint attribute {where} --author {shlex.quote(key)}",
    }


@dataclass(frozen=True)
class _Opened:
    """A profile's stored facts, and the history it was made from."""

    repository: Path
    settings: Settings
    store: ArtifactStore
    ingested: Ingested
    facts: dict[str, Any]
    config: ProfileConfig
    summary: ProfileSummary
    choice: TeamChoice

    @classmethod
    def of(cls, repository: Path, settings: Settings, facts: dict[str, Any]) -> _Opened:
        return cls(
            repository, settings, ArtifactStore(settings.home), load_ingested(repository, settings), facts,
            ProfileConfig.model_validate(facts["config"]), ProfileSummary.model_validate(facts["summary"]),
            TeamChoice.from_json(facts["choice"]),
        )  # fmt: skip

    @property
    def adapters(self) -> dict[str, str]:
        """Digests by name."""
        return self.facts["adapters"]

    @property
    def nulls(self) -> list[str]:
        """Names of the adapters of shuffled authors: "<author>/<set>"."""
        return sorted(name for name in self.adapters if "/" in name)

    def signature(self, key: str) -> RoutingSignature | None:
        """The author's routing signature, None when the author was not trained."""
        digest = self.facts["author_signatures"].get(key)
        if digest is None:
            return None
        return load_routing_signature(self.store.require("author-signature", digest))

    def reads(self, key: str) -> AuthorReads | None:
        """What `routeprint explain` said of this adapter last, if it was asked."""
        place = self._stored("author-reads", key)
        return None if place is None else AuthorReads.model_validate(read_json(place / "reads.json"))

    def seeds(self, key: str) -> SeedStability | None:
        """What `routeprint seeds` said of this adapter last, if it was asked."""
        place = self._stored("seeds", key)
        return None if place is None else SeedStability.model_validate(read_json(place / "seeds.json"))

    def own_code(self, author: Author) -> OwnCode:
        """What of the author's code is in the history, and what of it the team took."""
        taken, left_out, commits = _Tally(), Counter[str](), defaultdict[str, set[str]](set)
        for contribution in self.ingested.store:
            if contribution.author != author.key:
                continue
            reason = self.choice.why_not(contribution, author.kind)
            if reason:
                left_out[reason] += contribution.n_added
                commits[reason].add(contribution.commit)
            else:
                taken.add(contribution)
        dropped = self.ingested.ledger.dropped.items()
        return OwnCode(
            len(taken.commits), taken.n_lines, min(taken.dates, default=None), max(taken.dates, default=None),
            Counter(taken.commits.values()), taken.languages, left_out,
            {reason.value: tally.lines for reason, tally in dropped if tally.lines or tally.commits},
            {reason: len(found) for reason, found in commits.items()},
            {reason.value: tally.commits for reason, tally in dropped if tally.commits},
        )  # fmt: skip

    def habits(self, key: str) -> Habits:
        """Words that come back, read from code after the training slice."""
        passages = self._unseen(key)
        digest = digest_of(
            {"what": "habits", "author": key, "adapters": [self.adapters[n] for n in ("reference", key)],
             "nulls": [self.adapters[n] for n in self.nulls], "text": Corpus(tuple(passages)).digest,
             "code": CODE_VERSION, "layout": _HABITS_LAYOUT}
        )  # fmt: skip

        def write(directory: Path) -> None:
            write_json(directory / "habits.json", self._find_habits(key, passages).model_dump(mode="json"))

        place = self._make("habits", digest, key, write)
        return Habits.model_validate(read_json(place / "habits.json"))

    def _find_habits(self, key: str, passages: list[Passage]) -> Habits:
        from fingerprint.drift.habits import find_habits
        from service.flows.base import load_routed

        revision = self.summary.provenance["revision"]
        routed = load_routed(self.settings, self.config.base, revision, self.config.adapter.scale)
        reference, own, *nulls = (self._adapter(name).state for name in ("reference", key, *self.nulls))
        return find_habits(
            routed, passages, reference=reference, author=own, nulls=nulls,
            passage_tokens=self.config.drift.passage_tokens, batch_tokens=self.config.drift.batch_tokens,
        )  # fmt: skip

    def _unseen(self, key: str) -> list[Passage]:
        """The author's passages of dev and calibration, evenly over time; held-out stays untouched."""
        from fingerprint.routing.team import slice_team

        enrolled = corpus_of(
            c for c in self.ingested.store if not self.choice.why_not(c, self._kind(c.author))
        )
        _, *later, _ = slice_team(enrolled, self.config.drift)
        own = [passage for corpus in later for passage in corpus if passage.author == key]
        n_tokens = sum(len(passage.marked) for passage in own) / 4
        return own[:: max(1, round(n_tokens / MOST_TOKENS))]

    def _kind(self, key: str) -> AuthorKind:
        return next((a.kind for a in self.ingested.authors if a.key == key), AuthorKind.HUMAN)

    def spectrum(self, key: str) -> tuple[SiteSpectrum, ...]:
        """Singular values of the author's difference by site, beside the nulls'."""
        names = [key, *self.nulls]
        digest = digest_of(
            {"what": "spectrum", "adapters": [self.adapters[name] for name in names], "code": CODE_VERSION}
        )

        def write(directory: Path) -> None:
            from fingerprint.adapters.spectrum import singular_values

            loaded = [self._adapter(name) for name in names]
            found = [singular_values(one.weights, one.routes.A, one.scale) for one in loaded]
            rows = [[site, [one[site].tolist() for one in found]] for site in found[0]]
            write_json(directory / "spectrum.json", rows)

        stored = read_json(self._make("spectrum", digest, key, write) / "spectrum.json")
        return tuple(
            SiteSpectrum.model_validate({"site": site, "values": own, "null_values": nulls})
            for site, (own, *nulls) in stored
        )

    def rate_shift(self, key: str) -> RateShift | None:
        """Measured by `routeprint sae shift`, if it was, of this adapter."""
        place = self._stored("rate-shift", key)
        found = None if place is None else read_json(place / "shifts.json").get(key)
        return None if found is None else RateShift.model_validate(found)

    def edits(self, key: str) -> tuple[str, ...]:
        """What `routeprint decompose edit` and `decompose alive` said of this adapter, if they were asked."""
        found: tuple[str, ...] = ()
        if (place := self._stored("edits", key)) is not None:
            found += edit_page(EditReport.model_validate(read_json(place / "edits.json"))).sentences
        if (place := self._stored("alive-sets", key)) is not None:
            found += (AliveSetDiff.model_validate(read_json(place / "alive.json")).statement,)
        return found

    def attributions(self, key: str) -> tuple[str, ...]:
        """What `routeprint attribute` said of this adapter last, if it was asked."""
        place = self._stored("attribution", key)
        if place is None:
            return ()
        bundle = AttributionBundle.model_validate(read_json(place / "attribution.json"))
        return shift_sentences(bundle)

    def _stored(self, kind: str, key: str) -> Path | None:
        """What another command stored about an author's adapter last: of this very adapter, no other."""
        digest = self.store.record(self.repository).pointer(reading_of(kind, self.adapters[key]))
        return None if digest is None else self.store.find(kind, digest)

    def _make(self, kind: str, digest: str, key: str, write: Any) -> Path:
        record = self.store.record(self.repository)
        record.use(kind, digest)
        record.point(reading_of(kind, self.adapters[key]), digest)
        return self.store.put(kind, digest, write)

    def _adapter(self, name: str) -> Adapter:
        from fingerprint.adapters.adapter import Adapter

        return Adapter.load(self.store.require("adapter", self.adapters[name]))


class _Tally:
    """Counts of one author's contributions."""

    def __init__(self) -> None:
        self.commits: dict[str, str] = {}
        self.dates: list[datetime] = []
        self.languages: Counter[str] = Counter()
        self.n_lines = 0

    def add(self, contribution: Contribution) -> None:
        """Count one."""
        self.commits[contribution.commit] = (
            contribution.credit.label.value if contribution.credit else "undeclared"
        )
        self.dates.append(contribution.authored_at)
        self.languages[contribution.language] += contribution.n_added
        self.n_lines += contribution.n_added
