"""What the service's pages show: written when work ends, read by the API, which loads no model.

A page's data is an artifact. A reviewed diff's is named for its job; the others are found by pointers in the
repository's record: the team's, a person's, the attribution graph's and the components' of a state.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from connectors.contribution import FilePatch
from connectors.diff import format_patch, parse_diff
from fingerprint.attribution.report import AttributionBundle
from fingerprint.provenance import digest_of
from fingerprint.readings.report import AuthorReads, Missing
from fingerprint.report import DriftReport, Habits, SeedStability, SiteSpectrum
from fingerprint.sae.report import RateShift
from fingerprint.storage import write_json
from service.artifacts import ArtifactError, ArtifactStore, RepositoryRecord, read_json
from service.flows.signatures import load_routing_signature
from service.reports import machine
from service.reports.pages.author import AuthorReport, OwnCode
from service.reports.pages.components import Browsed
from service.reports.pages.review import Review, ScoreBand
from service.reports.pages.team import TeamReport
from service.reports.profile_summary import AuthorRow

REPORT, REVIEW, PAGE = "report", "review-page", "page"
FORMAT = 1
CardKind = Literal["components", "decomposition"]
"""Cards of a dictionary's latents, and of the decomposed base's components."""
Kind = Literal["team", "author", "graph"] | CardKind


def shown_name(full_name: str) -> str:
    """A repository as pages name it: of a folder of this machine the last part of its path alone."""
    return Path(full_name).name if full_name.startswith("/") else full_name


# ------------------------------------------------------------------------------------ reviewed diffs


def keep_report(store: ArtifactStore, report: DriftReport) -> str:
    """Keep an answer; returns its digest. When its page is deleted it stays, without the code it quotes."""
    text = machine.render(report)
    digest = digest_of(text)
    store.put(REPORT, digest, lambda place: _write_text(place / "report.json", text))
    return digest


def _quote_no_more(store: ArtifactStore, before: float) -> None:
    """Let answers of long ago quote no code any more, under the names they have."""
    for place in (store.home / "artifacts" / REPORT).glob("[!.]*"):
        if place.stat().st_mtime >= before:
            continue
        with suppress(ArtifactError, ValueError, OSError):  # a damaged one is told of when it is asked for
            report = read_report(store, place.name)
            hunks = tuple(hunk.model_copy(update={"findings": (), "header": ""}) for hunk in report.hunks)
            bare = machine.render(report.model_copy(update={"hunks": hunks}))
            if hunks != report.hunks:
                store.remove(REPORT, place.name)
                store.put(REPORT, place.name, lambda here, text=bare: _write_text(here / "report.json", text))
            os.utime(place)  # looked at; not again for as long


def read_report(store: ArtifactStore, digest: str) -> DriftReport:
    """An answer that was kept.

    Raises:
        ArtifactError: it was not, or is damaged.
    """
    path = store.require(REPORT, digest) / "report.json"
    return DriftReport.model_validate_json(path.read_text(encoding="utf-8"))


class _KeptReview(BaseModel):
    """A review without its patches, which stand beside it as the diff that they were read from."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    report: DriftReport
    repository: str
    subject: str
    command: str
    bands: tuple[ScoreBand, ...] = ()
    reviewed_at: datetime | None = None


def keep_review(store: ArtifactStore, record: RepositoryRecord, job_id: str, review: Review) -> None:
    """Keep what a review's page shows, the diff among it, once for each job.

    Deleted with the repository, or by `drop_old_reviews`.
    """
    kept = _KeptReview(
        report=review.report, repository=review.repository, subject=review.subject, command=review.command,
        bands=review.bands, reviewed_at=review.reviewed_at,
    )  # fmt: skip

    def write(directory: Path) -> None:
        diff = "".join(map(format_patch, review.patches))
        (directory / "change.diff").write_text(diff, encoding="utf-8", errors="surrogateescape")
        _write(directory / "review.json", kept.model_dump(mode="json"))

    digest = _of_job(job_id)
    record.use(REVIEW, digest)
    store.put(REVIEW, digest, write)


def find_review(store: ArtifactStore, job_id: str) -> Review | None:
    """What a review's page shows; None when it was never kept, or not any more.

    Raises:
        ArtifactError: it is damaged, or of another version's format.
    """
    place = store.find(REVIEW, _of_job(job_id))
    if place is None:
        return None
    kept = _KeptReview.model_validate(_read(place / "review.json"))
    text = (place / "change.diff").read_text(encoding="utf-8", errors="surrogateescape")
    patches: tuple[FilePatch, ...] = parse_diff(text) if text.strip() else ()
    return Review(
        kept.report, patches, kept.repository, kept.subject, kept.command, kept.bands, kept.reviewed_at
    )


def drop_old_reviews(store: ArtifactStore, older_than_s: float) -> int:
    """Delete the pages of reviews that ended long ago, diffs and quotations with them; verdicts stay.

    Returns how many.
    """
    before, n = time.time() - older_than_s, 0
    _quote_no_more(store, before)
    records = [store.record(Path(facts["repository"])) for facts in store.records()]
    for place in (store.home / "artifacts" / REVIEW).glob("[!.]*"):
        if place.stat().st_mtime >= before:
            continue
        store.remove(REVIEW, place.name)
        for record in records:
            record.release(REVIEW, place.name)
        n += 1
    return n


def _of_job(job_id: str) -> str:
    """Of the job, not of the content: two jobs may have one diff, and each is deleted in its time."""
    return digest_of(f"review page of {job_id}")


# -------------------------------------------------------------------------------------- teams, people


class _KeptAuthor(BaseModel):
    """An author report whose signature is an artifact of its own ("" for none)."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    repository: str
    row: AuthorRow
    code: OwnCode
    signature: str
    habits: Habits | None
    spectrum: tuple[SiteSpectrum, ...] | None
    rate_shift: RateShift | None
    edits: tuple[str, ...]
    attributions: tuple[str, ...]
    reads: AuthorReads | None = None
    seeds: SeedStability | None = None
    provenance: dict[str, str]


_TEAM = TypeAdapter(TeamReport)


def keep_team(record: RepositoryRecord, team: str, report: TeamReport) -> None:
    """Keep what a team's page shows, in place of what it showed before."""
    _keep(record, "team", team, {"format": FORMAT, "report": _TEAM.dump_python(report, mode="json")})


def find_team(record: RepositoryRecord, team: str) -> TeamReport | None:
    """What a team's page shows; errors as for a review's."""
    kept = _find(record, "team", team)
    return None if kept is None else _TEAM.validate_python(kept["report"])


def keep_author(record: RepositoryRecord, report: AuthorReport, signature: str) -> None:
    """Keep what a person's own page shows, in place of what it showed before.

    Args:
        signature: digest of the signature that is on it, "" for none. Command lines are left out: they hold
            paths of this machine.
    """
    kept = _KeptAuthor(
        repository=report.repository, row=report.row, code=report.code, signature=signature,
        habits=report.habits, spectrum=report.spectrum, rate_shift=report.rate_shift, edits=report.edits,
        attributions=report.attributions, reads=_without_commands(report.reads), seeds=report.seeds,
        provenance=dict(report.provenance),
    )  # fmt: skip
    _keep(record, "author", report.row.key, kept.model_dump(mode="json"))


def _without_commands(reads: AuthorReads | None) -> AuthorReads | None:
    if reads is None:
        return None
    missing = tuple(Missing(read=one.read, reason="not made yet") for one in reads.missing)
    return reads.model_copy(update={"missing": missing})


def find_author(record: RepositoryRecord, key: str) -> AuthorReport | None:
    """What a person's own page shows; errors as for a review's."""
    found = _find(record, "author", key)
    if found is None:
        return None
    kept = _KeptAuthor.model_validate(found)
    place = record.store.find("author-signature", kept.signature) if kept.signature else None
    return AuthorReport(
        kept.repository, kept.row, kept.code, None if place is None else load_routing_signature(place),
        kept.habits, kept.spectrum, kept.rate_shift, kept.edits, attributions=kept.attributions,
        reads=kept.reads, seeds=kept.seeds, provenance=kept.provenance,
    )  # fmt: skip


def export_author(record: RepositoryRecord, key: str) -> Any:
    """What is kept of a person's report, as JSON; None for nothing."""
    return _find(record, "author", key)


def drop_people(record: RepositoryRecord, key: str) -> int:
    """Delete a person's pages, and the teams', which may name them; returns how many there were."""
    kinds: tuple[Kind, ...] = ("author", "graph", "components", "decomposition")
    names = [_pointer(kind, key) for kind in kinds]
    names += record.pointers(_pointer("team", ""))
    return sum(_drop(record, name) for name in names)


def drop_cards(record: RepositoryRecord) -> int:
    """Delete the components browsers of every state, which quote windows of everybody's code."""
    kinds: tuple[CardKind, ...] = ("components", "decomposition")
    return sum(_drop(record, name) for kind in kinds for name in record.pointers(_pointer(kind, "")))


# ----------------------------------------------------------------------------------- inside the model


def keep_graph(record: RepositoryRecord, who: str, bundle: AttributionBundle) -> None:
    """Keep what the attribution graph of a state shows: "team", or an author's key."""
    _keep(record, "graph", who, {"format": FORMAT, "bundle": bundle.model_dump(mode="json")})


def find_graph(record: RepositoryRecord, who: str) -> AttributionBundle | None:
    """What a state's attribution graph shows; errors as for a review's."""
    kept = _find(record, "graph", who)
    return None if kept is None else AttributionBundle.model_validate(kept["bundle"])


def keep_components(
    record: RepositoryRecord, who: str, browsed: Browsed, kind: CardKind = "components"
) -> None:
    """Keep what the components browser of a state shows: "base", "team", or an author's key."""
    kept = {
        "format": FORMAT, "what": browsed.what, "cards": [dict(card) for card in browsed.cards],
        "changes": browsed.changes, "warning": browsed.warning, "dictionary": browsed.dictionary,
    }  # fmt: skip
    _keep(record, kind, who, kept)


def find_components(record: RepositoryRecord, who: str, kind: CardKind = "components") -> Browsed | None:
    """What a state's components browser shows; errors as for a review's."""
    kept = _find(record, kind, who)
    if kept is None:
        return None
    said = (kept.get(name, "") for name in ("changes", "warning", "dictionary"))
    return Browsed(tuple(kept["cards"]), kept["what"], *said)


def whose(record: RepositoryRecord, kind: Kind) -> tuple[str, ...]:
    """Whose pages of a kind are kept."""
    start = _pointer(kind, "")
    return tuple(sorted(name.removeprefix(start) for name in record.pointers(start)))


def version_of(record: RepositoryRecord, kind: Kind, who: str) -> str | None:
    """Digest of what is kept now, None without anything: what was read is good while this is the same."""
    return record.pointer(_pointer(kind, who))


# ------------------------------------------------------------------------------------------- storage


def _pointer(kind: Kind, who: str) -> str:
    return f"page {kind}:{who}"


def _keep(record: RepositoryRecord, kind: Kind, who: str, value: dict[str, Any]) -> None:
    value = _without_surrogates(value)
    name, digest = _pointer(kind, who), digest_of([record.place.name, kind, who, value])
    before = record.pointer(name)
    record.use(PAGE, digest)
    record.store.put(PAGE, digest, lambda directory: write_json(directory / "page.json", value))
    record.point(name, digest)
    if before is not None and before != digest:
        record.store.remove(PAGE, before)
        record.release(PAGE, before)


def _find(record: RepositoryRecord, kind: Kind, who: str) -> Any:
    digest = record.pointer(_pointer(kind, who))
    place = None if digest is None else record.store.find(PAGE, digest)
    return None if place is None else _read(place / "page.json")


def _drop(record: RepositoryRecord, name: str) -> bool:
    digest = record.pointer(name)
    if digest is None:
        return False
    record.unpoint(name)
    record.store.remove(PAGE, digest)
    record.release(PAGE, digest)
    return True


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write(path: Path, value: dict[str, Any]) -> None:
    write_json(path, _without_surrogates(value))


def _read(path: Path) -> Any:
    found = read_json(path)
    if found.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} has format {found.get('format')}, this version reads {FORMAT}; score or profile again"
        )
    return found


def _without_surrogates(value: Any) -> Any:
    """Bytes of a repository that are no UTF-8 reach us as lone surrogates, which JSON cannot carry."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    return value
