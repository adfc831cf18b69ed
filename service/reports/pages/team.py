"""The team page: what the signature rests on, whether its alarms keep their promise, and how drift went.

People are not ranked and not named, except those who opted in to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup, escape

from service.reports import wording
from service.reports.escape import visible
from service.reports.pages import charts
from service.reports.pages.environment import day, render_template, signed
from service.reports.pages.page import WebPage
from service.reports.profile_summary import ProfileSummary, facts, ledger_rows

ROLLING = 9
"""Commits in the running median of the timeline."""


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """Promised against measured: the share of held-out commits flagged at a level, with its 95 % interval."""

    level: float
    n_flagged: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StreamPoint:
    """One commit after training. kind: "person" or "agent", the latter only by declared evidence."""

    commit: str
    at: datetime | None
    p_value: float
    n_tokens: int
    kind: str = "person"
    is_held_out: bool = False


@dataclass(frozen=True, slots=True)
class LanguageRow:
    """How far one language is covered. has_own_cell: p-values are among commits of this language."""

    name: str
    n_lines: int
    n_calibration: int
    has_own_cell: bool


@dataclass(frozen=True, slots=True)
class LoneIdiom:
    """A call that one author alone writes. author: their name when they opted in, else ""."""

    text: str
    n_commits: int
    n_files: int
    last: datetime | None
    line: str
    path: str
    author: str = ""


@dataclass(frozen=True, slots=True)
class MapPoint:
    """One author who opted in, in a plane where alike signatures lie near."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class AuthorMap:
    """The map. method: how it was made, in words. explained: share of the variance it shows, or None."""

    points: tuple[MapPoint, ...]
    method: str
    explained: float | None = None


@dataclass(frozen=True, slots=True)
class PowerRow:
    """How often foreign code of a size is flagged, with its 95 % interval."""

    n_tokens: int
    power: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SignatureVersion:
    """One signature that the team has or had.

    Attributes:
        signature: digest. at: date of the newest commit behind it. n_commits: learned from. gain, null_gain:
            nats per token that the team's adapter, and the null one, take off the base's loss on later code.
        n_flagged, n_held_out: of held-out commits at the alarm level.
        shift: (how far its mean routing lies from the shown one's, what chance alone would move it), in
            standard deviations of one commit; None where they cannot be compared. is_shown: this page's.
    """

    signature: str
    at: datetime | None
    n_commits: int
    gain: float
    null_gain: float | None
    n_flagged: int
    n_held_out: int
    shift: tuple[float, float] | None = None
    is_shown: bool = False


@dataclass(frozen=True)
class TeamReport:
    """Everything the team page shows.

    Attributes:
        summary: of the profile. calibration: by level. stream: commits after training, oldest first.
        languages: covered ones. idioms: carried by one author alone. n_people: authors behind the idioms.
        authors: map of those who opted in; None with fewer than three. n_opted_in; n_signed: of these, with a
            signature of their own. power: by size.
        command: what makes the page again. versions: the team's signatures, the oldest first.
    """

    summary: ProfileSummary
    calibration: tuple[CalibrationPoint, ...] = ()
    stream: tuple[StreamPoint, ...] = ()
    languages: tuple[LanguageRow, ...] = ()
    idioms: tuple[LoneIdiom, ...] = ()
    n_people: int = 0
    authors: AuthorMap | None = None
    n_opted_in: int = 0
    power: tuple[PowerRow, ...] = ()
    command: str = ""
    versions: tuple[SignatureVersion, ...] = ()
    n_signed: int = 0


def team_page(report: TeamReport) -> WebPage:
    """The page of one team."""
    summary = report.summary
    body = render_template(
        "team.html.jinja", report=report, summary=summary, facts=facts(summary),
        calibration=_calibration(report.calibration) if report.calibration else None,
        promise=_promise(report), timeline=_timeline(report) if report.stream else None,
        flagged=_flagged(report), ledger=ledger_rows(summary.ledger, summary.n_lines),
        losses=_losses(summary), power=_power(report.power) if report.power else None,
        map=None if report.authors is None else _map(report.authors), share_bar=charts.share_bar,
        most_lines=max((row.n_lines for row in report.languages), default=1),
        versions=_versions(report.versions) if len(report.versions) > 1 else None,
    )  # fmt: skip
    return WebPage(f"Team of {summary.repository}", body, "Team", ("base.css", "author.css"))


def _promise(report: TeamReport) -> str:
    """The one sentence that says whether alarms mean what they promise."""
    level = report.summary.alarm_level
    point = next((p for p in report.calibration if abs(p.level - level) < 1e-9), None)
    if point is None or not point.n:
        return "No held-out commit was left to say how often the team's own code would be flagged."
    measured = (
        f"{point.n_flagged} of {point.n} held-out commits were flagged at a promised {wording.percent(level)}"
    )
    interval = f"the 95 % interval is {wording.percent(point.low)} to {wording.percent(point.high)}"
    if point.low > level:
        return f"{measured}; {interval}. More than promised: do not gate on this signature."
    return f"{measured}; {interval}, which holds the promise."


def _losses(summary: ProfileSummary) -> tuple[tuple[str, float, str], ...]:
    states = (
        ("the base", summary.base_loss, "before it saw this repository"),
        ("null adapter", summary.null_team_loss, "the same training on other people's code: the control"),
        ("the team's adapter", summary.team_loss, "on later commits than it was trained on"),
    )
    return tuple((name, loss, note) for name, loss, note in states if loss is not None)


def _calibration(points: Sequence[CalibrationPoint]) -> Markup:
    """Measured share over promised level; on the diagonal the promise is kept."""
    top = max(0.3, *(point.level for point in points))
    x, y = charts.Axis(0, top, 48, 348), charts.Axis(0, min(1.0, 1.6 * top), 236, 14)
    parts = charts.frame(
        x, y, x_name="promised share of false alarms", y_name="measured on held-out commits",
        x_format=wording.percent, y_format=wording.percent,
    )  # fmt: skip
    parts.append(charts.line(x(0), y(0), x(top), y(top), "null"))
    for point in points:
        at, share = x(point.level), point.n_flagged / point.n if point.n else 0.0
        parts.append(charts.line(at, y(point.low), at, y(point.high), "whisker"))
        told = f"promised {wording.percent(point.level)}: {point.n_flagged} of {point.n}"
        parts.append(
            f'<circle class="dot" cx="{at:.1f}" cy="{y(share):.1f}" r="4"><title>{told}</title></circle>'
        )
    told = "; ".join(f"promised {wording.percent(p.level)}, measured {p.n_flagged} of {p.n}" for p in points)
    return charts.svg(360, 272, "Promised against measured false alarms", parts, told)


def _versions(versions: Sequence[SignatureVersion]) -> Markup:
    """What each signature's adapter adds on later code, over the null adapters' dashed line."""
    gains = [version.gain for version in versions]
    nulls = [(n, version.null_gain) for n, version in enumerate(versions) if version.null_gain is not None]
    known = [0.0, *gains, *(gain for _, gain in nulls)]
    x = charts.Axis(-0.25, len(versions) - 0.75, 48, 348)
    y = charts.Axis(min(known), max(known) * 1.1 or 1.0, 140, 18)
    parts = [charts.line(x.start, y(tick), x.end, y(tick), "grid-line") for tick in y.ticks(4)]
    parts += [charts.label(x.start - 6, y(tick) + 4, f"{tick:g}", "end") for tick in y.ticks(4)]
    parts.append(charts.polyline([(x(n), y(gain)) for n, gain in nulls], "null"))
    parts.append(charts.polyline([(x(n), y(gain)) for n, gain in enumerate(gains)], "own"))
    parts += [
        f'<circle class="dot" cx="{x(n):.1f}" cy="{y(v.gain):.1f}" r="{5 if v.is_shown else 3.5}">'
        f"<title>{_day(v)}: {signed(v.gain)} nats per token</title></circle>"
        for n, v in enumerate(versions)
    ]
    ends = {0: "start", len(versions) - 1: "end"}
    parts += [charts.label(x(n), 158, _day(versions[n]), anchor) for n, anchor in ends.items()]
    parts.append(charts.label(x.start - 34, 9, "nats per token"))
    title = f"What {len(versions)} signatures of the team add to the base, each beside its null adapter"
    return charts.svg(360, 166, title, parts)


def _day(version: SignatureVersion) -> str:
    return day(version.at)


def _timeline(report: TeamReport) -> Markup:
    """How far every commit after training drifts, in order; agents ringed, flagged ones filled orange."""
    points, level = report.stream, report.summary.alarm_level
    wide = 760.0
    x, y = charts.Axis(-0.5, len(points) - 0.5, 52, wide - 12), charts.Axis(0, 1, 190, 24)
    parts = [charts.line(x.start, y(v), x.end, y(v), "grid-line") for v in (0.0, 0.5, 1.0)]
    parts += [charts.label(x.start - 6, y(v) + 4, wording.percent(v), "end") for v in (0.0, 0.5, 1.0)]
    parts += [charts.line(x.start, y(1 - level), x.end, y(1 - level), "alarm")]
    first_held_out = next((n for n, point in enumerate(points) if point.is_held_out), None)
    if first_held_out:
        at = x(first_held_out - 0.5)
        parts += [charts.line(at, 10, at, 190, "axis"), charts.label(at + 4, 204, "held out →")]
    parts.append(charts.polyline([(x(n), y(v)) for n, v in _running_median(points)], "own"))
    parts += [_mark(point, x(n), y(1 - point.p_value), level) for n, point in enumerate(points)]
    told = f"alarm at p = {wording.probability(level)}"
    parts.append(charts.label(x.end, y(1 - level) - 14, told, "end", "halo"))
    parts += [
        charts.label(x(n), 220, f"{points[n].at:%Y-%m-%d}", anchor)
        for n, anchor in ((0, "start"), (len(points) - 1, "end")) if points[n].at is not None
    ]  # fmt: skip
    n_agents = sum(point.kind == "agent" for point in points)
    title = f"Drift of {len(points)} commits after training, {n_agents} of them by declared agents"
    return charts.svg(wide, 226, title, parts)


def _running_median(points: Sequence[StreamPoint]) -> list[tuple[float, float]]:
    """Of people's commits: (position, median of 1 - p over the window around it)."""
    own = [(n, 1 - point.p_value) for n, point in enumerate(points) if point.kind == "person"]
    found = []
    for i in range(ROLLING // 2, len(own) - ROLLING // 2):
        window = [value for _, value in own[i - ROLLING // 2 : i + ROLLING // 2 + 1]]
        found.append((float(own[i][0]), charts.quantile(window, 0.5)))
    return found


def _mark(point: StreamPoint, x: float, y: float, level: float) -> str:
    css = "flagged" if point.p_value <= level else "ring"
    date = "" if point.at is None else f"{point.at:%Y-%m-%d}, "
    figures = f"{wording.p_value(point.p_value)}, {point.n_tokens} tokens"
    told = f"<title>{date}{escape(visible(point.commit[:12]))}: {escape(figures)}</title>"
    if point.kind == "agent":
        css = "agent" if css == "ring" else "agent flagged"
        return f'<rect class="{css}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">{told}</rect>'
    return f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">{told}</circle>'


def _flagged(report: TeamReport) -> tuple[StreamPoint, ...]:
    """The newest commits with an alarm."""
    flagged = [point for point in report.stream if point.p_value <= report.summary.alarm_level]
    return tuple(reversed(flagged))[:10]


def _power(rows: Sequence[PowerRow]) -> Markup:
    """How often foreign code is flagged, by its size."""
    x, y = charts.Axis(0, len(rows) - 1, 48, 340), charts.Axis(0, 1, 160, 14)
    parts = [charts.line(x.start, y(v), x.end, y(v), "grid-line") for v in (0.0, 0.5, 1.0)]
    parts += [charts.label(x.start - 6, y(v) + 4, wording.percent(v), "end") for v in (0.0, 0.5, 1.0)]
    parts += [charts.line(x(n), y(row.low), x(n), y(row.high), "whisker") for n, row in enumerate(rows)]
    parts.append(charts.polyline([(x(n), y(row.power)) for n, row in enumerate(rows)], "own"))
    parts += [charts.label(x(n), 176, f"{row.n_tokens}", "middle") for n, row in enumerate(rows)]
    parts.append(charts.label(194, 194, "scored tokens of a foreign diff", "middle"))
    return charts.svg(360, 200, "Share of foreign diffs flagged, by size", parts)


def _map(found: AuthorMap) -> Markup:
    """Names in a plane, its two axes to the same scale."""
    xs, ys = [p.x for p in found.points], [p.y for p in found.points]
    reach = max(max(xs) - min(xs), max(ys) - min(ys)) / 2 or 1.0
    mid_x, mid_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    x = charts.Axis(mid_x - reach, mid_x + reach, 40, 320)
    y = charts.Axis(mid_y - reach, mid_y + reach, 230, 30)
    parts = [charts.line(20, 250, 340, 250, "axis"), charts.line(20, 10, 20, 250, "axis")]
    for point in found.points:
        at, height = x(point.x), y(point.y)
        parts.append(f'<circle class="dot" cx="{at:.1f}" cy="{height:.1f}" r="5"/>')
        anchor = "end" if at > 240 else "start"
        parts.append(
            charts.label(at + (-9 if anchor == "end" else 9), height + 4, point.name, anchor, "strong")
        )
    return charts.svg(360, 262, f"Map of {len(found.points)} authors who opted in", parts)
