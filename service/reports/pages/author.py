"""The author report: what moved when the model learned one person's code, with the null beside everything.

It is made for the person it is about. Nobody else's figures are on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from fingerprint.readings.report import AuthorReads
from fingerprint.report import Habits, SeedStability, SiteSpectrum
from fingerprint.sae.report import RateShift
from fingerprint.signature import RoutingSignature
from service.reports.author_reads import agreement_rows
from service.reports.pages import charts, moved
from service.reports.pages.environment import render_template
from service.reports.pages.page import WebPage
from service.reports.profile_summary import PURPOSE, AuthorRow


@dataclass(frozen=True)
class OwnCode:
    """What of a person's code was read.

    Attributes:
        n_commits, n_lines: enrolled. first, last: dates of their commits. labels: commits by what they
            declare. languages: added lines by language. left_out: added lines not the team's, by reason.
        ledger: lines of the whole repository that were left out before they were anyone's, by reason.
        left_out_commits: own commits with such lines. ledger_commits: commits left out whole.
    """

    n_commits: int
    n_lines: int
    first: datetime | None = None
    last: datetime | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    ledger: Mapping[str, int] = field(default_factory=dict)
    left_out_commits: Mapping[str, int] = field(default_factory=dict)
    ledger_commits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """Something the reader can do: what it is for, and the command line."""

    purpose: str
    line: str


@dataclass(frozen=True)
class AuthorReport:
    """Everything a person can see of their own signature.

    Attributes:
        repository: its name. row: the profile's figures of this author. code: what was read.
        signature: routing signature, None when there is too little code for one. habits: words that come
            back; spectrum: of the learned difference, by site; both None without an adapter.
        rate_shift: of a dictionary's latents, None when there is none. edits: sentences of the parameter
            decomposition, () when there is none. attributions: sentences of the attribution graphs, likewise.
        reads: every read on one text, and where they agree; None before `explain` was asked. seeds: what
            came back with other seeds; None before `seeds` was asked.
        commands: export and deletion first. missing: commands that make the readings that are not there, by
            reading ("latents", "edits", "attributions", "reads", "seeds").
    """

    repository: str
    row: AuthorRow
    code: OwnCode
    signature: RoutingSignature | None = None
    habits: Habits | None = None
    spectrum: tuple[SiteSpectrum, ...] | None = None
    rate_shift: RateShift | None = None
    edits: tuple[str, ...] = ()
    reads: AuthorReads | None = None
    attributions: tuple[str, ...] = ()
    seeds: SeedStability | None = None
    commands: tuple[Command, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def author_page(report: AuthorReport, links: Sequence[tuple[str, str]] = ()) -> WebPage:
    """The page of one author. links: (name, address) of other pages about them."""
    signature = report.signature
    body = render_template(
        "author.html.jinja", report=report, row=report.row, purpose=PURPOSE,
        gain=_gain(report.row), headline=_headline(report.row), moves=_moves(signature),
        heat=None if signature is None else moved.heat_map(signature),
        sites=() if signature is None else moved.site_rows(signature),
        classes=() if signature is None else moved.class_rows(signature),
        spectrum=None if not report.spectrum else _spectrum(report.spectrum),
        spectrum_rows=_spectrum_rows(report.spectrum or ()), reads=_reads(report),
        agreements=() if report.reads is None else agreement_rows(report.reads),
        losses=_losses(report.row), counts=_counts(report.code), signed_bar=charts.signed_bar,
        share_bar=charts.share_bar, provenance=_provenance(report), links=links,
    )  # fmt: skip
    return WebPage(f"How {report.row.name} writes", body, "Author report", ("base.css", "author.css"))


def _headline(row: AuthorRow) -> str:
    if row.n_missing_tokens:
        return f"Insufficient data: {row.n_missing_tokens:,} more tokens of code are needed"
    if _gain(row) is None:
        return "No adapter of one's own in this profile"
    return "What the model learned from this code"


def _gain(row: AuthorRow) -> float | None:
    if row.reference_loss is None or row.author_loss is None:
        return None
    return row.reference_loss - row.author_loss


def _losses(row: AuthorRow) -> tuple[tuple[str, float, str], ...]:
    """(state, loss, what it is) of the states that there are."""
    states = (
        ("the base", row.base_loss, "before it saw any of this repository"),
        ("the team's adapter", row.team_loss, "trained on everybody, with more code"),
        ("everybody's, same amount", row.reference_loss, "as much code as the own adapter: the control"),
        ("the own adapter", row.author_loss, "trained on this person's code alone"),
    )
    return tuple((name, loss, note) for name, loss, note in states if loss is not None)


def _moves(signature: RoutingSignature | None) -> tuple[moved.Move, ...]:
    """Routes in the order of how far they left the null adapters."""
    return () if signature is None else moved.strongest(signature)


def _counts(code: OwnCode) -> tuple[tuple[str, str], ...]:
    period = "not known"
    if code.first is not None and code.last is not None:
        period = f"{code.first:%Y-%m-%d} to {code.last:%Y-%m-%d}"
    return (
        ("commits", f"{code.n_commits:,}"), ("added lines", f"{code.n_lines:,}"), ("dates", period),
        ("labels", _listed(code.labels) or "none"), ("languages", _listed(code.languages) or "none"),
    )  # fmt: skip


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _spectrum(spectrum: Sequence[SiteSpectrum]) -> object:
    """Share of the difference's energy in its first k directions, over all sites, beside the nulls."""
    own = moved.energy_curve([site.values for site in spectrum])
    n_null = min((len(site.null_values) for site in spectrum), default=0)
    nulls = [moved.energy_curve([site.null_values[i] for site in spectrum]) for i in range(n_null)]
    return charts.energy(own, nulls)


def _spectrum_rows(spectrum: Sequence[SiteSpectrum]) -> tuple[tuple[str, float, float, str], ...]:
    """(site, size, stable rank, the nulls' stable ranks), the largest first."""
    rows = [
        (site.site, float(np.linalg.norm(site.values)), moved.stable_rank(site.values),
         moved.band([moved.stable_rank(values) for values in site.null_values], 1))
        for site in spectrum
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: -row[1]))


@dataclass(frozen=True, slots=True)
class _Read:
    """One method's statement. state: "there" or "missing"; command: what makes it."""

    name: str
    what: str
    statements: tuple[str, ...]
    command: str = ""


def _reads(report: AuthorReport) -> tuple[_Read, ...]:
    """The methods side by side: routes, latents, edits, attributions."""
    shift = report.rate_shift
    return (
        _Read("Routes", "weights over the base's own input directions", moved.sentences(report.signature)),
        _Read("Latents", "firing rates of a dictionary of the base's activity",
              () if shift is None else (shift.statement,), report.missing.get("latents", "")),
        _Read("Edits", "rank-one components of the adapter's own weights", report.edits,
              report.missing.get("edits", "")),
        _Read("Attributions", "parts of both models that raise or suppress a token, ablated to check",
              report.attributions, report.missing.get("attributions", "")),
    )  # fmt: skip


def _provenance(report: AuthorReport) -> tuple[tuple[str, str], ...]:
    found = {"author": report.row.key, **dict(report.provenance)}
    return tuple(found.items())
