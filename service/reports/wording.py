"""The sentences of an answer: one home for how a number is said. Plain text, unescaped."""

from __future__ import annotations

from fingerprint.report import DriftReport, Evidence, Finding, HunkDrift, ScorePart, TokenShift, Verdict

MEASURES = "Routeprint compares code with this team's code. It does not judge quality, correctness or people."
_PLACES_WITHOUT_WORD = "(line end)"


def verdict_line(report: DriftReport) -> str:
    """The answer in one line, with the percentile and the n behind it."""
    if report.verdict is Verdict.NOT_SCORED or report.evidence is None:
        return f"NOT SCORED: {report.reason}"
    return (
        f"{report.verdict.value.upper()} · {_standing(report.evidence)} ({p_value(report.evidence.p_value)})"
    )


def _standing(evidence: Evidence) -> str:
    """Where the diff stands among the calibration commits.

    A split-conformal p-value is (1 + number at least as large) / (n + 1), so the share of commits
    that drift less is (n + 1)(1 - p) / n.
    """
    n = evidence.n_calibration
    share = min(1.0, max(0.0, (n + 1) * (1 - evidence.p_value) / n)) if n else 0.0
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
