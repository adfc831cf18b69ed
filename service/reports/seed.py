"""The seed's cases as a page: prompts and paraphrases in base, adapted model and null."""

from __future__ import annotations

from fingerprint.attribution.seed_report import Case, CaseSet, SeedReport
from service.reports.page import Page, Table


def seed_page(found: SeedReport) -> Page:
    """What was asked and what came of it; a reason and nothing else where it could not be run."""
    title = f"The seed's cases on {found.repository or 'no repository'}"
    sets = (("The seed's prompts", found.prompts), ("One prompt in 24 ways", found.paraphrases))
    tables = tuple(_table(name, cases) for name, cases in sets if cases is not None)
    warnings = () if found.status == "run" else ("Nothing was measured.",)
    uncontrolled = found.paraphrases is not None and "null" not in found.paraphrases.shifts
    return Page(
        title, (found.statement,), tables,
        (*warnings, "NOT CONTROLLED: no null adapter was read.") if uncontrolled else warnings,
    )  # fmt: skip


def _table(title: str, cases: CaseSet) -> Table:
    names = ("base", *cases.shifts)
    headings = ("prompt", "asked", *(f"{name}: {what}" for name in names for what in ("p", "rank", "guess")))
    rows = tuple(_row(case, names) for case in cases.cases)
    return Table(title, headings, rows, "p, rank: of the target. guess: the likeliest token.", 2)


def _row(case: Case, names: tuple[str, ...]) -> tuple[str, ...]:
    found = [case.outcomes[name] for name in names]
    figures = [(f"{one.target:.3f}", str(one.rank), repr(one.guess)) for one in found]
    return (case.name, case.asked, *(figure for row in figures for figure in row))
