"""Every read of an author side by side, and where they agree, as a page of tables."""

from __future__ import annotations

from collections.abc import Iterable

from fingerprint.readings.report import Agreement, AuthorReads, PartSummary
from service.reports.page import Page, Table

MOST_TOP = 4


def reads_page(reads: AuthorReads) -> Page:
    """The answer of `explain AUTHOR`."""
    uncontrolled = sorted({part.read for part in reads.parts if not part.is_controlled})
    warnings = [f"NOT CONTROLLED: no null adapter stands beside {', '.join(uncontrolled)}."]
    told = [f"{read}: {text}" for read, text in reads.statements.items()]
    return Page(
        f"How {reads.author} reads",
        (
            reads.statement,
            f"Read on {reads.n_tokens:,} tokens of {reads.n_commits} commits that no adapter was trained on.",
            *told,
        ),
        tuple(_tables(reads)),
        tuple(warnings) if uncontrolled else (),
    )


def _tables(reads: AuthorReads) -> Iterable[Table]:
    yield Table(
        "Reads, each beside null adapters",
        ("read", "by", "places", "nulls", "above all nulls", "expected", "farthest beyond"),
        tuple(_part_row(part) for part in reads.parts),
        "Expected: places at which one more null adapter would lie above the others.", 2,
    )  # fmt: skip
    yield Table(
        "Where two reads agree",
        ("reads", "by", "places", "as they are", "beyond nulls", "permuted", "p", "q", "nulls", "verdict"),
        tuple(_agreement_row(one) for one in reads.agreements),
        "Correlations, over matrices of ranks. Beyond nulls: of what each shows of the author against null "
        "adapters. Permuted: matrices within their kind, tokens turned round as a sequence. Nulls: the same "
        "of null adapters, each beyond the others. * read off the same weights.", 2,
    )  # fmt: skip
    shared = [one for one in reads.agreements if one.verdict == "agree" and one.shared]
    if shared:
        rows = tuple((_pair(one), one.axis, ", ".join(one.shared)) for one in shared)
        yield Table("High in both", ("reads", "by", "places"), rows, "", 3)
    if reads.missing:
        rows = tuple((one.read, one.reason, one.command) for one in reads.missing)
        yield Table("Not read", ("read", "why", "what makes it"), rows, "", 3)


def _part_row(part: PartSummary) -> tuple[str, ...]:
    top = ", ".join(place.place for place in part.top[:MOST_TOP])
    above = "-" if part.n_above is None else str(part.n_above)
    expected = "-" if part.expected_above is None else f"{part.expected_above:.1f}"
    return (part.read, part.axis, str(part.n_places), str(part.n_nulls), above, expected, top)


def agreement_rows(reads: AuthorReads) -> tuple[tuple[str, ...], ...]:
    """(reads, axis, as they are, beyond nulls, p, q, nulls, verdict, shared places) of tested pairs."""
    return tuple(
        (*(row := _agreement_row(one))[:2], row[3], row[4], *row[6:], ", ".join(one.shared))
        for one in reads.agreements
        if one.verdict != "not tested"
    )


def _agreement_row(one: Agreement) -> tuple[str, ...]:
    band = "-"
    if one.null_low is not None and one.null_high is not None:
        band = f"{one.null_low:+.2f} to {one.null_high:+.2f}"
    return (
        _pair(one), one.axis, str(one.n_places), f"{one.correlation:+.2f}", _figure(one.beyond),
        _figure(one.expected), _p(one.p_value), _p(one.q_value), band, one.verdict,
    )  # fmt: skip


def _pair(one: Agreement) -> str:
    return f"{one.first}, {one.second}" + (" *" if one.is_same_source else "")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
