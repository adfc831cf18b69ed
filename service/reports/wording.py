"""The sentences of an answer: one home for how a number is said. Plain text, unescaped."""

from __future__ import annotations

from fingerprint.report import DriftReport, Evidence, Finding, HunkDrift, ScorePart, TokenShift, Verdict

MEASURES = "Routeprint compares code with this team's code. It does not judge quality, correctness or people."
_PLACES_WITHOUT_WORD = "(line end)"


def duration(seconds: float) -> str:
    """``3 min 05 s``; hours from an hour on."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def verdict_line(report: DriftReport) -> str:
    """The answer in one line, with the percentile and the n behind it."""
    if report.verdict is Verdict.NOT_SCORED or report.evidence is None:
        return f"NOT SCORED: {report.reason}"
    return (
        f"{report.verdict.value.upper()} · {_standing(report.evidence)} ({p_value(report.evidence.p_value)})"
    )


def standing_share(evidence: Evidence) -> float:
    """Share of the calibration commits that drift less than the diff.

    A split-conformal p-value is (1 + number at least as large) / (n + 1), so the share of commits
    that drift less is (n + 1)(1 - p) / n.
    """
    n = evidence.n_calibration
    return min(1.0, max(0.0, (n + 1) * (1 - evidence.p_value) / n)) if n else 0.0


def _standing(evidence: Evidence) -> str:
    """Where the diff stands among the calibration commits."""
    n, share = evidence.n_calibration, standing_share(evidence)
    what = f"of this team's last {n} {'' if evidence.cell == 'all' else evidence.cell + ' '}commits"
    if share >= 1:
        return f"drifts more than all {what}"
    return f"drifts more than {int(share * 100 + 1e-9)} % {what}"


def p_value(p: float) -> str:
    """``p = .03``: two significant digits, no leading zero."""
    return f"p = {probability(p)}"


def probability(value: float) -> str:
    """``.26``, ``.004``, ``1``; below .001 only the bound is said."""
    if value >= 0.995:
        return "1" if value > 0.9995 else f"{value:.3f}".lstrip("0")
    if value < 0.001:
        return "<.001"
    return (f"{value:.2f}" if value >= 0.01 else f"{value:.3f}").lstrip("0")


def finding_sentence(finding: Finding) -> tuple[tuple[str, bool], ...]:
    """What the team's model expected and what the diff has: (text, is_code) pieces."""
    shift = finding.shift
    guess = _expected(shift)
    has = (("the diff has ", False), (shift.text or _PLACES_WITHOUT_WORD, True),
           (f" (p {probability(shift.probability)})", False))  # fmt: skip
    if guess is None:
        return (("here ", False), *has, (", which the team's model did not expect", False))
    text, chance = guess
    return (("here the team's model expects ", False), (text or _PLACES_WITHOUT_WORD, True),
            (f" (p {probability(chance)}), ", False), *has)  # fmt: skip


def _expected(shift: TokenShift) -> tuple[str, float] | None:
    for guess in shift.expected:
        if guess.text.strip() != shift.text.strip():
            return guess.text, guess.probability
    return None


def control_sentence(shift: TokenShift) -> str:
    """The base's probability beside the team's: the control."""
    return f"the base gives it p {probability(shift.base_probability)}; {nats(shift.log_ratio)} nats"


def nats(value: float) -> str:
    """A signed number with a true minus."""
    return f"{value:+.2f}".replace("-", "−")


def hunk_place(hunk: HunkDrift) -> str:
    """``path:line``, with the enclosing definition when the hunk names one."""
    return f"{hunk.path}:{hunk.first_line}" + (f" · {hunk.header.strip()}" if hunk.header.strip() else "")


def hunk_numbers(hunk: HunkDrift) -> str:
    """The hunk's own numbers; it has a percentile and no verdict."""
    return (
        f"{nats(hunk.log_ratio)} nats over {plural(hunk.n_tokens, 'token')}; drifts more than "
        f"{int(hunk.percentile * 100 + 1e-9)} % of the calibration commits"
    )


def evidence_rows(evidence: Evidence) -> tuple[tuple[str, str, str], ...]:
    """(what, this diff, its control or null) for the table beside a verdict."""
    null = "no null adapter" if evidence.null_p_value is None else p_value(evidence.null_p_value)
    held_out = (
        "no held-out commits"
        if evidence.realised_false_alarms is None
        else f"{percent(evidence.realised_false_alarms)} of {evidence.n_held_out} held-out commits flagged"
    )
    return (
        ("p-value", f"{p_value(evidence.p_value)}, n = {evidence.n_calibration} ({evidence.cell})",
         f"null: {null}"),
        ("log-ratio per token", f"{nats(evidence.log_ratio_per_token)} nats",
         f"team's mean {nats(evidence.typical_log_ratio_per_token)}"),
        ("distance of routing", f"{evidence.distance:.2f}", f"team's median {evidence.typical_distance:.2f}"),
        (f"drift score ({' and '.join(part.name for part in evidence.parts) or 'routes'})",
         f"{evidence.score:.2f}", f"alarm from {evidence.threshold:.2f}"),
        *(_part_row(part, evidence) for part in evidence.parts),
        ("completeness gap", f"{nats(evidence.gap_nats)} nats", f"bound {evidence.gap_bound_nats:.2f} nats"),
        ("context and first token",
         f"{percent(evidence.context_share)} and {percent(evidence.position0_share)} of Σ|c|",
         "counted, not shown by line"),
        ("false alarms so far", held_out, ""),
    )  # fmt: skip


def _part_row(part: ScorePart, evidence: Evidence) -> tuple[str, str, str]:
    """One part of the score: its size in the team's standard deviations, its share, what it says alone."""
    rule = f" ({evidence.combination})" if part.name == "routes" else ""
    share = "" if len(evidence.parts) == 1 else f", {percent(part.share)} of it"
    return (f"· {part.name}{rule}", f"{nats(part.score)} sd{share}", f"alone: {p_value(part.p_value)}")


def reading_sentence(report: DriftReport) -> str:
    """How much of the diff was read, and what was left out."""
    read = f"{report.n_tokens} tokens scored on {plural(report.n_lines, 'added line')}"
    if not report.dropped:
        return f"{read}; nothing left out"
    return f"{read}; left out: {dropped_sentence(report.dropped)}"


def dropped_sentence(dropped: dict[str, int]) -> str:
    """Lines by reason, most first."""
    ordered = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{plural(count, 'line')} ({reason})" for reason, count in ordered)


def percent(share: float) -> str:
    """``6 %``."""
    return f"{share * 100:.0f} %"


def plural(count: int, noun: str) -> str:
    """``1 line``, ``2 lines``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# --------------------------------------------------------------------------- on a pull request

STANDS_OUT = (
    0.9  # a hunk is counted in a title when it drifts more than this share of the calibration commits
)


def check_title(report: DriftReport, *, is_accepted: bool = False) -> str:
    """The title of a check: what a person sees in the list of checks."""
    if report.verdict is Verdict.NOT_SCORED or report.evidence is None:
        return f"NOT SCORED: {report.reason or 'no reason was given'}"
    percentile = f"p{int(standing_share(report.evidence) * 100 + 1e-9)}"
    if report.verdict is Verdict.TYPICAL:
        return f"Typical for this team · {percentile} (n = {plural(report.evidence.n_calibration, 'commit')})"
    n_out, n_all = sum(hunk.percentile > STANDS_OUT for hunk in report.hunks), len(report.hunks)
    where = f"in {n_out} of {plural(n_all, 'hunk')}" if n_out else f"over {plural(n_all, 'hunk')} together"
    return f"{'Accepted as intended · unusual' if is_accepted else 'Unusual'} · {percentile} {where}"


def change_sentence(report: DriftReport, *, is_accepted: bool = False) -> str:
    """What a verdict means, in one sentence about the code."""
    if report.verdict is Verdict.NOT_SCORED:
        return "This change was not scored, so nothing is said about it."
    if report.verdict is Verdict.TYPICAL:
        return "This change routes through the model as this repository's code usually does."
    sentence = "This change routes through the model differently from this repository's usual code"
    return f"{sentence}; that was accepted as intended." if is_accepted else f"{sentence}."


def score_rows(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Score, null and threshold: what stands beside a verdict on a pull request."""
    null = evidence.null_p_value
    control = "no adapter" if null is None else f"{p_value(null)} with an adapter"
    drift = f"drift {evidence.score:.2f}, alarm from {evidence.threshold:.2f}"
    return (
        ("score", f"{_standing(evidence)} ({p_value(evidence.p_value)})"),
        ("null", f"{control} of other people's code"),
        ("threshold", f"{drift}; {_alarms(evidence)}"),
    )


def _alarms(evidence: Evidence) -> str:
    if evidence.realised_false_alarms is None:
        return "false alarms not measured yet"
    return f"{percent(evidence.realised_false_alarms)} of {evidence.n_held_out} held-out commits were flagged"
