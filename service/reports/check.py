"""A DriftReport as a check run: title, summary, text, annotations, buttons and conclusion. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.github.asks import Button
from connectors.github.checks import (
    MAX_MESSAGE_BYTES,
    MAX_TEXT_BYTES,
    MAX_TITLE,
    Action,
    Annotation,
    CheckOutput,
    Conclusion,
)
from fingerprint.report import DriftReport, HunkDrift, Verdict
from service.reports import markdown, wording
from service.reports.clip import clip, cut_bytes
from service.reports.escape import code, prose, shorten, visible
from service.reports.place import Place
from service.repository_config import RepositoryConfig, Stage

RUNNING_TITLE = "Scoring this change"
RESCORE = Action(Button.RESCORE, "Re-score", "Score this commit again")
ACCEPT = Action(Button.ACCEPT, "Accept as intended", "It differs, and it is meant to")
MUTE = Action(Button.MUTE, "Mute path", "Stop scoring the path that drifts most")


def render_check(
    report: DriftReport, place: Place, config: RepositoryConfig, *, is_accepted: bool = False
) -> CheckOutput:
    """The finished check.

    Args:
        is_accepted: somebody with write permission said that this head is meant to differ.
    """
    is_unusual = report.verdict is Verdict.UNUSUAL
    return CheckOutput(
        conclude(report, config.stage, is_accepted=is_accepted),
        shorten(visible(wording.check_title(report, is_accepted=is_accepted)), MAX_TITLE),
        clip("\n".join(_summary(report, place, config, is_accepted=is_accepted)) + "\n", MAX_TEXT_BYTES),
        text="" if report.evidence is None else clip(_text(report, config), MAX_TEXT_BYTES),
        annotations=tuple(_annotations(report, config.annotations)) if is_unusual and not is_accepted else (),
        actions=(RESCORE, ACCEPT, MUTE) if is_unusual and not is_accepted else (RESCORE,),
    )


def conclude(report: DriftReport, stage: Stage, *, is_accepted: bool = False) -> Conclusion:
    """Neutral, unless the repository asked for a gate; and what was not scored never passes for good."""
    if stage is not Stage.GATE or report.verdict is Verdict.NOT_SCORED or report.evidence is None:
        return Conclusion.NEUTRAL
    if report.verdict is Verdict.TYPICAL:
        return Conclusion.SUCCESS
    return Conclusion.NEUTRAL if is_accepted else Conclusion.FAILURE


def render_unscored(reason: str) -> CheckOutput:
    """A check that ends without a score: timed out, a draft, a merge queue's commit."""
    report = DriftReport(verdict=Verdict.NOT_SCORED, reason=reason)
    title = shorten(visible(wording.check_title(report)), MAX_TITLE)
    summary = (
        f"{prose(wording.change_sentence(report))}\n\n{prose(reason)}\n\n<sub>{wording.MEASURES}</sub>\n"
    )
    return CheckOutput(Conclusion.NEUTRAL, title, summary, actions=(RESCORE,))


def score_table(report: DriftReport) -> Iterator[str]:
    """Score, null and threshold as a Markdown table."""
    if report.evidence is not None:
        yield from ("", "| | |", "|---|---|")
        yield from (f"| {name} | {prose(said)} |" for name, said in wording.score_rows(report.evidence))


def _summary(
    report: DriftReport, place: Place, config: RepositoryConfig, *, is_accepted: bool
) -> Iterator[str]:
    yield prose(wording.change_sentence(report, is_accepted=is_accepted))
    if report.reason:
        yield from ("", f"NOT SCORED: {prose(report.reason)}.")
    if report.n_lines:
        yield from ("", prose(wording.reading_sentence(report)) + ".")
    yield from (f"\n> ⚠ {prose(warning)}" for warning in report.warnings)
    yield from score_table(report)
    if report.hunks:
        yield from ("", "**Hunks that drift most**", "")
    for rank, hunk in enumerate(report.hunks[: config.hunks], 1):
        link = place.line_link(hunk.path, hunk.first_line)
        yield f"- **{rank}.** {link}: {prose(wording.hunk_numbers(hunk))}"
    if place.report_url is not None:
        yield from ("", f"[The whole report]({place.report_url})")
    yield from _method(report, config.stage)
    yield from ("", f"<sub>{wording.MEASURES}</sub>")


def _method(report: DriftReport, stage: Stage) -> Iterator[str]:
    """What the numbers are, and the hashes that make them again."""
    yield from ("", "<details><summary>Method and hashes</summary>", "")
    yield (
        "A small code model, taught this repository's merged code, reads the added lines. The score says how "
        "far its computation lies from that of the team's own commits that it was not taught."
    )
    yield f"Stage: {stage.value}."
    yield ""
    facts = {**report.provenance, "signature": report.signature or "none"}
    yield from (f"- {prose(name)}: {code(shorten(value, 90))}" for name, value in sorted(facts.items()))
    yield from ("", "</details>")


def _text(report: DriftReport, config: RepositoryConfig) -> str:
    return markdown.render(report, n_hunks=config.hunks)


def _annotations(report: DriftReport, most: int) -> Iterator[Annotation]:
    """A note on the leading line of each hunk that stands out, most drifting first."""
    standing = [hunk for hunk in report.hunks if hunk.percentile > wording.STANDS_OUT]
    for hunk in standing[:most]:
        line = hunk.findings[0].shift.line if hunk.findings else hunk.first_line
        title = f"Drifts more than {int(hunk.percentile * 100 + 1e-9)} % of this team's commits"
        message = cut_bytes(_message(hunk), MAX_MESSAGE_BYTES)
        yield Annotation(hunk.path, max(1, line), max(1, line), title, message)


def _message(hunk: HunkDrift) -> str:
    """Plain text, for GitHub renders no markup here."""
    lines = [f"{wording.hunk_numbers(hunk)}."]
    for finding in hunk.findings:
        pieces = (visible(shorten(text, 60)) for text, _ in wording.finding_sentence(finding))
        lines.append(f"Line {finding.shift.line}: {''.join(pieces)}.")
        lines += [
            f"The team writes: {visible(shorten(line.text.strip(), 100))}" for line in finding.team_lines
        ]
    return "\n".join(lines)
