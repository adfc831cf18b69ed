"""Passages against a team signature: the one function behind the command line and the service.

Two statistics of the whole diff, Lambda_team per scored token and the shrunk Mahalanobis distance of phi,
both studentised by the diff's size and standardised on the team's dev commits, are joined into the routes'
score by the rule that dev chose (routing.md section 4, drift/separation.py). It is fused with the lexical
view's score (drift/nonconformity.py). The split-conformal p-value of the fusion among the team's calibration
commits is the verdict; each part's own p-value stands beside it. Hunks are ranked by the same score and have
a percentile, no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from fingerprint import NotScoredError
from fingerprint.config import DriftConfig
from fingerprint.drift.calibrate import (
    Calibration,
    cells_of,
    choose_cell,
    conformal_p_value,
    least_commits,
    share_below,
    threshold_at,
)
from fingerprint.drift.explain import find_findings
from fingerprint.drift.nonconformity import Nonconformity, fuse
from fingerprint.drift.team_lines import TeamLines
from fingerprint.drift.words import LinePlaces, hunk_header, visible_start
from fingerprint.lm.pair import ModelPair, RoutedModel, RouteWeights, scored_log_probs
from fingerprint.lm.tokens import TokenizedPassage, tokenize_passages
from fingerprint.passage import Passage
from fingerprint.report import (
    DiffFacts,
    DriftReport,
    Evidence,
    HunkDrift,
    LineDrift,
    RouteShare,
    ScorePart,
    TokenShare,
    Verdict,
)
from fingerprint.routing.contributions import (
    CONTEXT,
    POSITION0,
    Contributions,
    measure_contributions,
    refine_to_bound,
)
from fingerprint.routing.extract import Measures, summarise
from fingerprint.routing.team import Normaliser
from fingerprint.signature import TeamSignature

MOST_SHARES = 10
"""Single routes, and tokens, told of an explained hunk."""


def score_passages(
    passages: Sequence[Passage],
    *,
    routed: RoutedModel,
    team_weights: RouteWeights | None,
    signature: TeamSignature | None,
    config: DriftConfig,
    null_weights: RouteWeights | None = None,
    team_lines: TeamLines | None = None,
    facts: DiffFacts | None = None,
    scorer: Nonconformity | None = None,
) -> DriftReport:
    """Score a diff against a team.

    Args:
        passages: the diff's hunks, one Passage each.
        team_weights: the team's B; signature: what build_team_signature made of it. None: not scored.
        null_weights: the null team adapter, the control of the p-value.
        team_lines: the team's own lines, quoted in findings.
        facts: what else is known of the diff.
        scorer: of the signature, from whoever scores many diffs; None: read from it here.

    Returns:
        The answer; NOT SCORED with its reason when the diff cannot be judged. Never raises NotScoredError.
    """
    facts = facts or DiffFacts()
    if signature is None or team_weights is None:
        return _not_scored("no signature: profile this team first", passages, None, facts)
    try:
        kept, facts = _readable(passages, signature, facts)
        diff = _measure(kept, routed, team_weights, signature, scorer, config)
    except NotScoredError as reason:
        return _not_scored(str(reason), passages, signature, facts)
    evidence, warnings = _judge(diff, routed, null_weights, signature, config)
    hunks = _explain(diff, _rank_hunks(diff), routed, team_weights, team_lines, config)
    is_unusual = evidence.p_value <= config.alarm_level
    return DriftReport(
        verdict=Verdict.UNUSUAL if is_unusual else Verdict.TYPICAL,
        evidence=evidence,
        hunks=hunks,
        n_tokens=int(diff.measures.n_scored.sum()),
        n_lines=_n_lines(kept) if facts.n_lines is None else facts.n_lines,
        dropped=facts.dropped,
        signature=signature.provenance.digest,
        provenance={name: str(value) for name, value in asdict(signature.provenance).items()},
        warnings=warnings,
    )


@dataclass(frozen=True)
class _Diff:
    """A diff as measured: passages, their windows, contributions, and what is needed to judge them."""

    passages: list[Passage]
    rows: list[TokenizedPassage]
    contributions: Contributions
    measures: Measures
    scorer: Nonconformity
    cell: Calibration


def _readable(
    passages: Sequence[Passage], signature: TeamSignature, facts: DiffFacts
) -> tuple[list[Passage], DiffFacts]:
    """Passages in languages the team writes; the others go to the dropped lines.

    Raises:
        NotScoredError: when none is left, saying what the diff consists of.
    """
    known = set(signature.facts["languages"])
    kept = [passage for passage in passages if passage.language in known]
    foreign = [passage for passage in passages if passage.language not in known]
    dropped = dict(facts.dropped)
    for passage in foreign:
        reason = f"the team has no {passage.language or 'unknown'} code"
        dropped[reason] = dropped.get(reason, 0) + _n_lines([passage])
    facts = facts.model_copy(update={"dropped": dropped})
    if not kept:
        raise NotScoredError(_why_empty(foreign, sorted(known), facts))
    return kept, facts


def _why_empty(foreign: Sequence[Passage], known: Sequence[str], facts: DiffFacts) -> str:
    """The reason why nothing of a diff can be scored."""
    if foreign:
        seen = ", ".join(sorted({passage.language or "unknown" for passage in foreign}))
        return f"the diff is in {seen}; the team has code in {', '.join(known)} only"
    if facts.unknown_languages:
        return f"unknown language: {', '.join(facts.unknown_languages)}"
    if facts.dropped:
        parts = ", ".join(f"{n} lines ({reason})" for reason, n in sorted(facts.dropped.items()))
        return f"no added code is left after leaving out {parts}"
    if facts.n_deleted:
        return f"deletion only: {facts.n_deleted} lines deleted, none added"
    if facts.n_renamed:
        return f"rename only: {facts.n_renamed} files renamed, no line added"
    return "the diff adds no code"


def _measure(
    passages: list[Passage],
    routed: RoutedModel,
    team_weights: RouteWeights,
    signature: TeamSignature,
    scorer: Nonconformity | None,
    config: DriftConfig,
) -> _Diff:
    """Tokenise, check the size, and measure every hunk once.

    Raises:
        NotScoredError: with too few scored tokens.
    """
    rows = tokenize_passages(routed.base, passages, config.passage_tokens)
    n_tokens = sum(row.n_scored for row in rows)
    least = max(1, int(signature.facts.get("least_tokens", config.least_tokens)))
    if n_tokens < least:
        raise NotScoredError(f"too little text: {n_tokens} scored tokens, need {least}")
    found = measure_contributions(
        ModelPair(routed, routed.zero_weights(), team_weights),
        passages,
        rows,
        n_points=config.integration_points,
        batch_tokens=config.batch_tokens,
    )
    scorer = scorer or Nonconformity.of_team(signature)
    measures = scorer.read(summarise(found, passages), passages)
    cell = _choose_calibration(signature.readings, measures, config)
    return _Diff(passages, rows, found, measures, scorer, cell)


def _choose_calibration(
    readings: Mapping[str, np.ndarray], measures: Measures, config: DriftConfig, part: str = ""
) -> Calibration:
    """The calibration cell of the diff's main language, of the score or of one part of it."""
    language = measures.total().languages[0]
    return choose_cell(cells_of(readings, part), language, config.least_calibration)


def _judge(
    diff: _Diff,
    routed: RoutedModel,
    null_weights: RouteWeights | None,
    signature: TeamSignature,
    config: DriftConfig,
) -> tuple[Evidence, tuple[str, ...]]:
    """The numbers behind the verdict, and the caveats."""
    whole = diff.measures.total()
    normaliser, cell = diff.scorer.normaliser, diff.cell
    parts = diff.scorer.parts(whole)
    score = float(fuse(parts)[0])
    magnitude = float(whole.magnitude.sum()) or 1.0
    threshold = threshold_at(cell.scores, config.alarm_level, config.recency_half_life)
    n_tokens = float(whole.n_scored[0])
    realised = _realised(signature, config)
    evidence = Evidence(
        p_value=conformal_p_value(cell.scores, score, config.recency_half_life),
        n_calibration=cell.n,
        cell=cell.cell,
        log_ratio_per_token=float(whole.log_ratio[0]) / n_tokens,
        typical_log_ratio_per_token=float(normaliser.typical[0]),
        distance=float(normaliser.statistics(whole).mahalanobis[0]),
        typical_distance=float(normaliser.typical[1]),
        combination=normaliser.combination,
        parts=_parts(diff, parts, signature, config),
        score=score,
        threshold=threshold if np.isfinite(threshold) else float(np.max(cell.scores)),
        null_p_value=_null_p_value(diff, routed, null_weights, signature, config),
        gap_nats=float(whole.gap[0]),
        gap_bound_nats=max(config.gap_share * magnitude, config.gap_nats * n_tokens),
        context_share=float(whole.magnitude[0, CONTEXT]) / magnitude,
        position0_share=float(whole.magnitude[0, POSITION0]) / magnitude,
        realised_false_alarms=realised[0],
        n_held_out=realised[1],
    )
    return evidence, _warnings(evidence, signature, config)


def _parts(
    diff: _Diff, parts: Mapping[str, np.ndarray], signature: TeamSignature, config: DriftConfig
) -> tuple[ScorePart, ...]:
    """What the routes and the n-grams each say, alone."""
    scores = {name: float(values[0]) for name, values in parts.items()}
    total = sum(map(abs, scores.values())) or 1.0
    return tuple(
        ScorePart(
            name=name,
            score=score,
            share=abs(score) / total,
            p_value=conformal_p_value(
                _choose_calibration(signature.readings, diff.measures, config, name).scores,
                score,
                config.recency_half_life,
            ),
        )
        for name, score in scores.items()
    )


def _realised(signature: TeamSignature, config: DriftConfig) -> tuple[float | None, int]:
    """Flagged share of held-out commits at the alarm level, and their number."""
    for entry in signature.facts.get("realised", ()):
        if abs(entry["level"] - config.alarm_level) < 1e-9:
            return entry["share"], int(entry["n"])
    return None, 0


def _warnings(evidence: Evidence, signature: TeamSignature, config: DriftConfig) -> tuple[str, ...]:
    found = [str(warning) for warning in signature.facts.get("warnings", ())]
    if evidence.n_calibration < least_commits(config.alarm_level) and not any(
        "no p-value" in w for w in found
    ):
        found.append(
            f"Only {evidence.n_calibration} calibration commits: no p-value can reach {config.alarm_level:g}."
        )
    if abs(evidence.gap_nats) > evidence.gap_bound_nats:
        found.append(
            f"The route contributions miss the log-ratio by {abs(evidence.gap_nats):.2f} nats, more than the "
            f"stated {evidence.gap_bound_nats:.2f}; calibration has the same error. Raise integration_points "
            "and profile again."
        )
    return tuple(found)


def _null_p_value(
    diff: _Diff,
    routed: RoutedModel,
    null_weights: RouteWeights | None,
    signature: TeamSignature,
    config: DriftConfig,
) -> float | None:
    """P-value of the log-ratio statistic of the null team adapter, among its own calibration scores.

    The log-ratio alone: it needs one forward pass more, phi would double the time of a review.
    """
    if null_weights is None or "calibration_all" not in signature.null:
        return None
    with routed.at(null_weights, null_weights, 0.0):
        log_probs = scored_log_probs(routed, diff.rows, config.batch_tokens)
    total = sum(float(values.sum(dtype=np.float64)) for values in log_probs)
    change = total - float(diff.contributions.start_log_prob.sum())
    text = replace(diff.measures.total(), log_ratio=np.array([change]))
    normaliser = Normaliser.of_null(signature)
    cell = _choose_calibration(signature.null, diff.measures, config)
    return conformal_p_value(cell.scores, float(normaliser.low_log_ratio(text)[0]), config.recency_half_life)


def _rank_hunks(diff: _Diff) -> list[tuple[int, HunkDrift]]:
    """(passage index, hunk) of every hunk with a scored token, most drifting first."""
    at = np.flatnonzero(diff.measures.n_scored > 0)
    scores = diff.scorer.score(diff.measures.take(at))
    ranked: list[tuple[int, HunkDrift]] = []
    for i in np.argsort(-scores, kind="stable"):
        index = int(at[i])
        passage = diff.passages[index]
        hunk = HunkDrift(
            path=passage.path,
            header=hunk_header(passage),
            first_line=passage.first_line,
            n_tokens=int(diff.measures.n_scored[index]),
            log_ratio=float(diff.measures.log_ratio[index]),
            percentile=share_below(diff.cell.scores, float(scores[i])),
            base_log_prob=float(diff.contributions.start_log_prob[index]),
            lines=_lines(diff, index),
        )
        ranked.append((index, hunk))
    return ranked


def _lines(diff: _Diff, index: int) -> tuple[LineDrift, ...]:
    """Log-ratios of a passage's added lines."""
    passage = diff.passages[index]
    where, sums = LinePlaces(passage), dict[int, tuple[int, float]]()
    for row, ratios in zip(diff.rows, diff.contributions.token_log_ratios, strict=True):
        if row.passage_index != index:
            continue
        for t in np.flatnonzero(row.scored):
            line = where.place(visible_start(passage.text, *row.offsets[t].tolist()))[0]
            n, total = sums.get(line, (0, 0.0))
            sums[line] = (n + 1, total + float(ratios[t]))
    return tuple(LineDrift(line=k, n_tokens=n, log_ratio=x) for k, (n, x) in sorted(sums.items()))


def _explain(
    diff: _Diff,
    ranked: list[tuple[int, HunkDrift]],
    routed: RoutedModel,
    team_weights: RouteWeights,
    team_lines: TeamLines | None,
    config: DriftConfig,
) -> tuple[HunkDrift, ...]:
    """The hunks in order, the first few with full contributions and findings."""
    top = ranked[: config.explained_hunks]
    if not top:
        return tuple(hunk for _, hunk in ranked)
    indices = [index for index, _ in top]
    bound = (config.gap_share, config.gap_nats)
    found = refine_to_bound(
        diff.contributions,
        ModelPair(routed, routed.zero_weights(), team_weights),
        diff.passages,
        diff.rows,
        only=indices,
        n_points=config.explain_points,
        batch_tokens=config.batch_tokens,
        bound=bound,
    )
    bounds = found.bound(*bound)
    rows = [row for row in diff.rows if row.passage_index in set(indices)]
    findings = find_findings(
        routed,
        team_weights,
        diff.passages,
        rows,
        team_lines,
        per_passage=config.findings_per_hunk,
        batch_tokens=config.batch_tokens,
    )
    explained = [
        hunk.model_copy(
            update={
                "shares": site_shares(found, index),
                "routes": largest_routes(found, index),
                "tokens": _largest_tokens(diff, index),
                "findings": findings[index],
                "gap_nats": float(found.gap[index]),
                "gap_bound_nats": float(bounds[index]),
            }
        )
        for index, hunk in top
    ]
    return (*explained, *(hunk for _, hunk in ranked[len(top) :]))


def site_shares(contributions: Contributions, index: int) -> tuple[RouteShare, ...]:
    """One passage's contributions by site, largest first, then context and position 0: all of it."""
    by_site = contributions.by_route[index].sum(axis=1)
    shares = [
        RouteShare(site=contributions.sites[m], route=None, nats=float(by_site[m]))
        for m in np.argsort(-np.abs(by_site), kind="stable")
    ]
    rest = (("context", contributions.context[index]), ("position 0", contributions.position0[index]))
    shares += [RouteShare(site=name, route=None, nats=float(nats), is_context=True) for name, nats in rest]
    return tuple(shares)


def largest_routes(contributions: Contributions, index: int) -> tuple[RouteShare, ...]:
    """One passage's single routes of most |nats|, over its scored source tokens."""
    values = contributions.by_route[index]
    order = np.argsort(-np.abs(values), axis=None, kind="stable")[:MOST_SHARES]
    return tuple(
        RouteShare(site=contributions.sites[m], route=int(i), nats=float(values[m, i]))
        for m, i in zip(*np.unravel_index(order, values.shape), strict=True)
    )


def _largest_tokens(diff: _Diff, index: int) -> tuple[TokenShare, ...]:
    """One passage's scored tokens of most |log-ratio|."""
    passage = diff.passages[index]
    where, found = LinePlaces(passage), list[TokenShare]()
    for row, ratios in zip(diff.rows, diff.contributions.token_log_ratios, strict=True):
        if row.passage_index != index:
            continue
        for t in np.flatnonzero(row.scored):
            start, end = row.offsets[t].tolist()
            line = where.place(visible_start(passage.text, start, end))[0]
            found.append(TokenShare(line=line, text=passage.text[start:end], nats=float(ratios[t])))
    return tuple(sorted(found, key=lambda one: -abs(one.nats))[:MOST_SHARES])


def _n_lines(passages: Sequence[Passage]) -> int:
    return sum(
        len(passage.text[start:end].splitlines()) for passage in passages for start, end in passage.spans
    )


def _not_scored(
    reason: str, passages: Sequence[Passage], signature: TeamSignature | None, facts: DiffFacts
) -> DriftReport:
    """The answer to a diff that cannot be judged: never zero, never green."""
    return DriftReport(
        verdict=Verdict.NOT_SCORED,
        reason=reason,
        n_lines=_n_lines(passages) if facts.n_lines is None else facts.n_lines,
        dropped=facts.dropped,
        signature=signature.provenance.digest if signature else "",
        provenance={k: str(v) for k, v in asdict(signature.provenance).items()} if signature else {},
    )
