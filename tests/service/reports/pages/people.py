"""The author report's and the team page's nouns in the shapes that real runs give them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np

from fingerprint.provenance import Provenance
from fingerprint.readings.report import Agreement, AuthorReads, Missing
from fingerprint.report import Guess, Habits, SiteSpectrum, WordPlace, WordShift
from fingerprint.signature import RoutingSignature
from service.reports.pages.author import AuthorReport, Command, OwnCode
from service.reports.pages.team import (
    AuthorMap,
    CalibrationPoint,
    LanguageRow,
    LoneIdiom,
    MapPoint,
    PowerRow,
    SignatureVersion,
    StreamPoint,
    TeamReport,
)
from service.reports.profile_summary import AuthorRow, ProfileSummary
from tests.service.reports.pages.shapes import HOSTILE, SITES, WHEN

PHI = [f"{kind}/{depth}/word" for kind in ("attend", "carry", "mlp") for depth in ("early", "middle", "late")]


def signature(n_null: int = 2) -> RoutingSignature:
    rng = np.random.default_rng(0)
    shape = (len(SITES), 4)
    readings = {
        "difference_by_route": rng.uniform(0.2, 1.4, shape),
        "difference_to_reference": rng.uniform(0, 1, shape),
        "use_against_base": rng.uniform(0, 2, shape), "use_cosine": rng.uniform(-1, 1, shape),
        "phi_mean": rng.normal(0, 0.01, len(PHI)), "phi_spread": rng.uniform(0, 0.1, len(PHI)),
        "log_ratio_per_token": np.array([0.068]),
    }  # fmt: skip
    null = {
        name: np.array([value * (0.7 + 0.2 * i) for i in range(n_null)]) for name, value in readings.items()
    }
    facts = {"sites": list(SITES), "phi_names": PHI}
    return RoutingSignature(
        "human:ann", readings, null if n_null else {}, facts, Provenance("b", "r", "a", "c", "d", 0)
    )


def word(text: str = " object", line: str = "    '''Init the object.'''", column: int = 16) -> WordShift:
    place = WordPlace(
        line=line, column=column, path="app/mail.py", base=0.05, reference=0.02, author=0.77,
        base_guess=Guess(text=HOSTILE if text == HOSTILE else " class", probability=0.31),
        author_guess=Guess(text=text, probability=0.77),
    )  # fmt: skip
    return WordShift(
        text=text,
        n_first=13,
        n_second=17,
        first_gain=1.45,
        second_gain=1.57,
        null_gains=(0.29, 0.41),
        example=place,
    )


def habits() -> Habits:
    return Habits(
        words=(word(), word("):", "    def __init__(self):", 21)), n_tested=165, n_chosen=103,
        n_tokens=11_515, correlation=0.68, null_correlations=(0.4, 0.43),
    )  # fmt: skip


def row(**changes: object) -> AuthorRow:
    found = AuthorRow(
        key="human:ann", name="Ann Other", n_commits=81, n_tokens=29_342, n_trained_tokens=40_297,
        base_loss=1.86, team_loss=1.59, reference_loss=1.667, author_loss=1.645, null_gains=(-0.045, -0.037),
    )  # fmt: skip
    return found.model_copy(update=changes)


def author_report() -> AuthorReport:
    spectrum = tuple(
        SiteSpectrum(site=site, values=(3.0, 1.0, 0.5), null_values=((2.0, 1.5, 0.5), (2.2, 1.2, 0.4)))
        for site in SITES
    )
    code = OwnCode(
        156, 6_863, WHEN - timedelta(days=700), WHEN, {"undeclared": 150, "assisted": 6}, {"python": 6_863},
        {"with a declared agent": 40}, {"vendored": 1_322, "merge": 0}, {"with a declared agent": 3},
        {"merge": 12},
    )  # fmt: skip
    return AuthorReport(
        "sample", row(), code, signature(), habits(), spectrum,
        commands=(Command("Export.", "routeprint report --author human:ann --format json"),
                  Command("Delete.", "routeprint forget --repo .")),
        missing={"seeds": "routeprint seeds human:ann --repo ."}, provenance={"base": "starter"},
    )  # fmt: skip


def reads(shared: str = "config") -> AuthorReads:
    one = Agreement(
        first="routes", second="latents", axis="tokens", n_places=900, correlation=0.61, beyond=0.32,
        expected=0.01, p_value=0.0005, q_value=0.001, null_low=-0.02, null_high=0.05, n_nulls=4,
        verdict="agree", shared=(shared,),
    )  # fmt: skip
    untested = Agreement(first="routes", second="edits", axis="tokens", n_places=900, correlation=0.5)
    return AuthorReads(
        author="human:ann", n_tokens=2_993, n_commits=12, parts=(), statements={},
        missing=(Missing(read="alive sets", reason="no dictionary", command="routeprint decompose train"),),
        agreements=(one, untested),
    )  # fmt: skip


def insufficient() -> AuthorReport:
    bare = row(author_loss=None, null_gains=(), n_missing_tokens=3_100, n_trained_tokens=0, n_tokens=4_900)
    return AuthorReport("sample", bare, OwnCode(12, 400), commands=author_report().commands)


def hostile_author() -> AuthorReport:
    report = author_report()
    code = replace(report.code, labels={HOSTILE: 1}, languages={HOSTILE: 2}, left_out={HOSTILE: 3})
    evil = word(HOSTILE, HOSTILE, 0)
    return replace(
        report, repository=HOSTILE, row=row(key=HOSTILE, name=HOSTILE), code=code, edits=(HOSTILE,),
        reads=reads(HOSTILE),
        habits=report.habits and report.habits.model_copy(update={"words": (evil,)}),
        commands=(Command(HOSTILE, HOSTILE),), missing={"latents": HOSTILE}, provenance={HOSTILE: HOSTILE},
    )  # fmt: skip


def summary(**changes: object) -> ProfileSummary:
    found = ProfileSummary(
        repository="sample", team="the whole repository, everybody", signature="ab" * 32,
        base_loss=1.913, team_loss=1.677, null_team_loss=1.902, n_tokens=89_246, n_trained_tokens=100_822,
        n_commits={"train": 252, "dev": 63, "calibration": 84, "held_out": 21}, n_calibration=81,
        least_tokens=60,
        realised_false_alarms=0.095, n_held_out=21, ledger={"vendored": 1_322, "codemod": 62}, n_lines=20_027,
        languages={"python": 11_607, "rust": 800}, provenance={"base": "starter"},
        warnings=("The team's null adapter was trained on Python's standard library.",),
    )  # fmt: skip
    return found.model_copy(update=changes)


def stream() -> tuple[StreamPoint, ...]:
    rng = np.random.default_rng(1)
    return tuple(
        StreamPoint(f"{i:040x}", WHEN + timedelta(days=i), float(rng.uniform(0.01, 1)), 60 + 7 * i,
                    "agent" if i % 9 == 4 else "person", i > 80)
        for i in range(105)
    )  # fmt: skip


def team_report() -> TeamReport:
    points = ((0.01, 0), (0.05, 2), (0.1, 3), (0.2, 5), (0.3, 7))
    return TeamReport(
        summary(),
        tuple(CalibrationPoint(level, n, 21, n / 60, min(1.0, n / 21 + 0.2)) for level, n in points),
        stream(), (LanguageRow("python", 11_607, 81, True), LanguageRow("rust", 800, 3, False)),
        (LoneIdiom("logger.bind(", 7, 3, WHEN, "log = logger.bind(user=user)", "app/log.py"),
         LoneIdiom("attrs.define(", 5, 2, WHEN, "@attrs.define(slots=True)", "app/model.py", "Ann Other")), 3,
        AuthorMap((MapPoint("Ann", 0, 1), MapPoint("Bob", 1, 0), MapPoint("Cleo", -1, -1)), "PCA", 0.83),
        3, tuple(PowerRow(30 * 2**i, 0.5 + 0.1 * i, 0.4 + 0.1 * i, 0.55 + 0.1 * i) for i in range(5)),
        "routeprint report --repo . --format html --out team.html", versions(),
    )  # fmt: skip


def versions() -> tuple[SignatureVersion, ...]:
    return (
        SignatureVersion("cd" * 32, WHEN - timedelta(days=300), 120, 0.141, 0.02, 1, 12, (0.61, 0.17)),
        SignatureVersion("ef" * 32, WHEN - timedelta(days=90), 190, 0.2, None, 0, 0, None),
        SignatureVersion("ab" * 32, WHEN, 252, 0.236, 0.011, 2, 21, None, is_shown=True),
    )


def hostile_team() -> TeamReport:
    evil = summary(
        repository=HOSTILE, team=HOSTILE, ledger={HOSTILE: 1}, languages={HOSTILE: 1},
        provenance={HOSTILE: HOSTILE},
        warnings=(HOSTILE,),
    )  # fmt: skip
    return replace(
        team_report(), summary=evil, languages=(LanguageRow(HOSTILE, 1, 1, False),), command=HOSTILE,
        stream=tuple(StreamPoint(HOSTILE, None, 0.01, 60) for _ in range(3)),
        idioms=(LoneIdiom(HOSTILE, 4, 2, None, HOSTILE, HOSTILE, HOSTILE),),
        authors=AuthorMap((MapPoint(HOSTILE, 0, 0), MapPoint("b", 1, 1)), HOSTILE),
    )  # fmt: skip
