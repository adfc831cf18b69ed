"""The review page: one diff, its answer, and everything the answer rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from connectors.contribution import FilePatch
from connectors.diff import format_patch
from fingerprint.report import DriftReport, Evidence, Finding, HunkDrift, ScorePart, Verdict
from service.reports import wording
from service.reports.pages import charts
from service.reports.pages.diff_view import HunkView, view_diff
from service.reports.pages.environment import render_template, site_name
from service.reports.pages.page import WebPage

_WORDS = {Verdict.TYPICAL: "Typical", Verdict.UNUSUAL: "Unusual", Verdict.NOT_SCORED: "Not scored"}


@dataclass(frozen=True)
class ScoreBand:
    """One number of the answer among the team's own.

    Attributes:
        name: "score" for the whole, else a part's: "routes", "n-grams". value: of the diff. scores: of the
            team's calibration commits, oldest first. threshold: calibration score from which an alarm is
            raised, None when there are too few commits for one.
    """

    name: str
    value: float
    scores: tuple[float, ...]
    threshold: float | None


@dataclass(frozen=True)
class Review:
    """One reviewed diff.

    Attributes:
        report: the answer. patches: the diff itself, which the answer does not hold.
        repository: its name. subject: what was reviewed, in words ("main..HEAD", "standard input").
        command: what makes this page again. bands: the team's own values, () when they are not at hand.
        reviewed_at: when, None when not known. is_expert: open the expert parts at first.
    """

    report: DriftReport
    patches: tuple[FilePatch, ...]
    repository: str
    subject: str
    command: str
    bands: tuple[ScoreBand, ...] = ()
    reviewed_at: datetime | None = None
    is_expert: bool = False


def review_page(review: Review, number: int = 0, address: str = "") -> WebPage:
    """The page of one review.

    Args:
        number: of the page of hunks, from 1, for a diff too long for one; beyond the last it is the last.
            0: every hunk. address: of the page, for links to the other ones.
    """
    report = review.report
    scored, left_out = view_diff(review.patches, report)
    pages = by_rows((*scored, *left_out), ROWS_PER_PAGE) if number else ((*scored, *left_out),)
    here = min(max(1, number), len(pages))
    first, shown = sum(map(len, pages[: here - 1])), set(map(id, pages[here - 1]))
    parts = Parts(first + 1, len(shown), len(scored) + len(left_out), here, len(pages), address)
    body = render_template(
        "review.html.jinja", review=review, report=report, word=_WORDS[report.verdict],
        headline=_headline(report), reading=wording.reading_sentence(report), pages=parts,
        scored=[hunk for hunk in scored if id(hunk) in shown],
        left_out=[hunk for hunk in left_out if id(hunk) in shown],
        numbers=_numbers(report.evidence, review.bands) if report.evidence else (),
        controls=_controls(report.evidence) if report.evidence else (), provenance=_provenance(review),
        explain=explain_finding, control=wording.control_sentence, share_bar=charts.share_bar,
        signed_bar=charts.signed_bar, sums=_sums, route_rows=_route_rows, token_rows=_token_rows,
        hunk_sum=_hunk_sum(report),
    )  # fmt: skip
    title = f"{_WORDS[report.verdict]}: {review.subject}"
    return WebPage(title, body, "Review", ("base.css", "review.css"))


ROWS_PER_PAGE = 500
"""Lines of hunks on one served page: about 150 KB."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Which hunks of all stand here. first: of them, from 1. number: of the page, of n_pages."""

    first: int
    n_here: int
    n: int
    number: int
    n_pages: int
    address: str


def by_rows(hunks: Sequence[HunkView], most: int) -> tuple[tuple[HunkView, ...], ...]:
    """Hunks in their order, cut where a page has enough lines; at least one page, and one hunk on each."""
    pages: list[list[HunkView]] = [[]]
    n_rows = 0
    for hunk in hunks:
        if pages[-1] and n_rows + len(hunk.rows) > most:
            pages.append([])
            n_rows = 0
        pages[-1].append(hunk)
        n_rows += len(hunk.rows)
    return tuple(map(tuple, pages))


def _headline(report: DriftReport) -> str:
    """The verdict's sentence without its first word, which stands above it."""
    if report.evidence is None:
        return f"{report.reason[:1].upper()}{report.reason[1:]}"
    sentence = wording.verdict_line(report).partition(" · ")[2]
    return f"This diff {sentence}"


@dataclass(frozen=True, slots=True)
class _Number:
    """A row of the table of scores: what it is, its p-value, where it stands."""

    name: str
    note: str
    p_value: str
    chart: object


def _numbers(evidence: Evidence, bands: tuple[ScoreBand, ...]) -> tuple[_Number, ...]:
    """The whole score, then each part, each with the team's own values around it."""
    known = {band.name: band for band in bands}
    whole = known.get("score", ScoreBand("score", evidence.score, (), evidence.threshold))
    rows = [
        _Number("The whole score", "decides the verdict", wording.p_value(evidence.p_value),
                charts.strip("score", whole.value, whole.scores, whole.threshold))
    ]  # fmt: skip
    for part in evidence.parts:
        band = known.get(part.name, ScoreBand(part.name, part.score, (), None))
        rows.append(
            _Number(part.name.capitalize(), _part_note(part, evidence), wording.p_value(part.p_value),
                    charts.strip(part.name, band.value, band.scores, band.threshold))
        )  # fmt: skip
    return tuple(rows)


_PARTS = {
    "routes": "how its tokens pass through the team’s model",
    "n-grams": "how its characters follow each other",
}


def _part_note(part: ScorePart, evidence: Evidence) -> str:
    """What a part reads, in words; how much of the whole it is; and the routes' rule, for experts."""
    told = f"{_PARTS.get(part.name, part.name)}; {wording.percent(part.share)} of the whole"
    return f"{told} (rule: {evidence.combination})" if part.name == "routes" else told


def _controls(evidence: Evidence) -> tuple[tuple[str, str, str], ...]:
    """The rows of the shared wording that are not scores: figures beside their control."""
    drawn = {"p-value", *(row[0] for row in wording.evidence_rows(evidence) if row[0].startswith("· "))}
    rows = [row for row in wording.evidence_rows(evidence) if row[0] not in drawn]
    null = "no null adapter" if evidence.null_p_value is None else wording.p_value(evidence.null_p_value)
    n = f"{wording.p_value(evidence.p_value)} among {evidence.n_calibration} commits ({evidence.cell})"
    return (("the same diff read by the null adapter", null, f"the team's adapter: {n}"), *rows)


def explain_finding(finding: Finding) -> tuple[tuple[str, bool], ...]:
    """Pieces (text, is_code) of the sentence, its first letter a capital."""
    (first, is_code), *rest = wording.finding_sentence(finding)
    return ((first[:1].upper() + first[1:], is_code), *rest)


def _sums(hunk: HunkDrift) -> tuple[float, float]:
    """(sum of the shares, the largest of their sizes)."""
    return sum(share.nats for share in hunk.shares), max((abs(s.nats) for s in hunk.shares), default=0.0)


@dataclass(frozen=True, slots=True)
class _Share:
    """A row of shares. code: a token to show as such, before the name; None without one."""

    name: str
    nats: float
    code: str | None = None


class _Shares(tuple[_Share, ...]):
    """Rows that add up to what they are shares of."""

    __slots__ = ()

    @property
    def largest(self) -> float:
        """Largest of their sizes."""
        return max((abs(row.nats) for row in self), default=0.0)


def _route_rows(hunk: HunkDrift) -> _Shares:
    """The largest routes, then what is left of all the others, of context and of the first token."""
    known = [_Share(f"{site_name(one.site)} · route {one.route}", one.nats) for one in hunk.routes]
    rest = sum(share.nats for share in hunk.shares if not share.is_context)
    context = sum(share.nats for share in hunk.shares if share.is_context)
    others = _Share("all other routes", rest - sum(row.nats for row in known))
    return _Shares((*known, others, _Share("context and first token", context)))


def _token_rows(hunk: HunkDrift) -> _Shares:
    """The tokens that part most, then the others together."""
    known = [_Share(f"line {one.line}", one.nats, one.text) for one in hunk.tokens]
    n_left = hunk.n_tokens - len(known)
    others = _Share(
        f"the other {wording.plural(n_left, 'token')}", hunk.log_ratio - sum(r.nats for r in known)
    )
    return _Shares((*known, others) if n_left else known)


def _hunk_sum(report: DriftReport) -> str:
    """How the hunks' log-ratios make the figure that the routes' score reads."""
    if report.evidence is None:
        return ""
    total = sum(hunk.log_ratio for hunk in report.hunks)
    return (
        f"All hunks’ log-ratios add up to {wording.nats(total)} nats over "
        f"{wording.plural(report.n_tokens, 'token')}: {wording.nats(report.evidence.log_ratio_per_token)} a "
        "token. With the distance of routing, this is what the routes’ score is made of."
    )


def _provenance(review: Review) -> tuple[tuple[str, str], ...]:
    report = review.report
    diff = sha256("".join(map(format_patch, review.patches)).encode("utf-8", "surrogateescape")).hexdigest()
    facts = {
        "reviewed": "" if review.reviewed_at is None else f"{review.reviewed_at:%Y-%m-%d %H:%M %Z}".strip(),
        "diff (SHA-256, normalised)": diff if review.patches else "",
        "team signature": report.signature or "none",
        "answer's format": str(report.format),
        **{name: report.provenance[name] for name in sorted(report.provenance)},
    }
    return tuple((name, value) for name, value in facts.items() if value)
