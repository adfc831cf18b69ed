"""The team page's figures, gathered from the profile, its signature and the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from fingerprint.config import ProfileConfig
from fingerprint.signature import TeamSignature
from fingerprint.storage import write_json
from service.artifacts import ArtifactStore, read_json
from service.flows.author_map import map_authors
from service.flows.idioms import lone_idioms
from service.flows.ingest import Ingested, load_ingested
from service.flows.profile import find_profile
from service.flows.signature_versions import signature_versions
from service.flows.signatures import load_routing_signature, load_team_signature
from service.flows.team import TeamChoice, agents_code, find_author
from service.reports.pages.team import (
    CalibrationPoint,
    LanguageRow,
    PowerRow,
    StreamPoint,
    TeamReport,
)
from service.reports.profile_summary import ProfileSummary
from service.settings import Settings

LEVELS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.3)
AGENT_COMMITS, AGENT_TOKENS = 24, 600
"""Newest commits of declared agents that are scored for the timeline, and scored tokens read of each."""


def team_report(
    repository: Path, settings: Settings, named: Sequence[str], command: str, version: str = ""
) -> TeamReport:
    """Everything the team page shows.

    Args:
        named: authors who opted in to be named, as `find_author` takes them. command: makes the page again.
        version: digest of the profile, "" for the current one.

    Raises:
        NotProfiledError, NotIngestedError, UnknownAuthorError: what to do is in the message.
    """
    digest, place = find_profile(repository, settings, version)
    facts, store = read_json(place / "profile.json"), ArtifactStore(settings.home)
    summary, config = (
        ProfileSummary.model_validate(facts["summary"]), ProfileConfig.model_validate(facts["config"]),
    )  # fmt: skip
    signature = load_team_signature(store.require("team-signature", facts["signature"]))
    ingested = load_ingested(repository, settings)
    names = {a.key: a.name for a in (find_author(ingested.authors, word) for word in named)}
    choice, kinds = TeamChoice.from_json(facts["choice"]), {a.key: a.kind for a in ingested.authors}
    agents = _agents(repository, settings, digest, ingested, signature)
    dates = {c.commit: c.authored_at for c in ingested.store}
    team = [c for c in ingested.store if not choice.why_not(c, kinds[c.author])]
    return TeamReport(
        summary=summary,
        calibration=calibration_points(
            signature.facts.get("stream", ()), signature.facts["least_tokens"]
        ),
        versions=signature_versions(store.record(repository), digest, dates),
        stream=_stream(signature, agents, dates),
        languages=_languages(summary, signature, config), idioms=lone_idioms(team, names),
        n_people=len({c.author for c in team}),
        n_opted_in=len(names), n_signed=len(names.keys() & facts["author_signatures"]),
        authors=map_authors({
            names[key]: load_routing_signature(store.require("author-signature", found))
            for key, found in facts["author_signatures"].items() if key in names
        }),
        power=tuple(
            PowerRow(p["n_tokens"], p["power"], p["low"], p["high"]) for p in signature.facts["power_curve"]
        ),
        command=command,
    )  # fmt: skip


def calibration_points(
    stream: Sequence[Mapping[str, Any]], least_tokens: int
) -> tuple[CalibrationPoint, ...]:
    """Measured against promised on commits judged before they calibrated; the others keep any promise."""
    from fingerprint.drift.calibrate import flagged_share, judged_p_values

    p_values = judged_p_values(stream, least_tokens)
    if not len(p_values):
        return ()
    shares = [flagged_share(p_values, level) for level in LEVELS]
    return tuple(CalibrationPoint(s.level, s.n_flagged, s.n, s.low, s.high) for s in shares)


def _stream(
    signature: TeamSignature, agents: Sequence[Mapping[str, Any]], dates: Mapping[str, datetime]
) -> tuple[StreamPoint, ...]:
    """People's and agents' commits in the order of their dates."""
    own = [
        StreamPoint(
            e["commit"], dates.get(e["commit"]), e["p_value"], e["n_tokens"],
            is_held_out=e["slice"] != "calibration",
        )
        for e in signature.facts.get("stream", ())
    ]  # fmt: skip
    first = min((p.at for p in own if p.at is not None), default=None)
    others = [
        StreamPoint(e["commit"], dates.get(e["commit"]), e["p_value"], e["n_tokens"], "agent") for e in agents
    ]
    shown = [*own, *(p for p in others if first is None or (p.at is not None and p.at >= first))]
    return tuple(sorted(shown, key=lambda p: p.at.timestamp() if p.at else 0.0))


def _languages(
    summary: ProfileSummary, signature: TeamSignature, config: ProfileConfig
) -> tuple[LanguageRow, ...]:
    cells = signature.facts["n_calibration"]
    names = sorted(
        {*summary.languages, *signature.facts["languages"]}, key=lambda n: -summary.languages.get(n, 0)
    )
    least = config.drift.least_calibration
    return tuple(
        LanguageRow(name, summary.languages.get(name, 0), cells.get(name, 0), cells.get(name, 0) >= least)
        for name in names
    )


def _agents(
    repository: Path, settings: Settings, profile: str, ingested: Ingested, signature: TeamSignature
) -> list[dict[str, Any]]:
    """Scores of declared agents' newest commits, read once for a profile."""
    code = agents_code(ingested.store, ingested.authors)
    if not code or not signature.facts.get("stream"):
        return []
    from fingerprint.provenance import CODE_VERSION, digest_of

    store = ArtifactStore(settings.home)
    digest = digest_of(
        {"what": "agents' commits", "profile": profile, "code": CODE_VERSION,
         "text": [corpus.digest for corpus in code.values()]}
    )  # fmt: skip

    def write(directory: Path) -> None:
        write_json(
            directory / "commits.json", _score_agents(profile, settings, list(code.values()), signature)
        )

    store.record(repository).use("agent-stream", digest)
    return read_json(store.put("agent-stream", digest, write) / "commits.json")


def _score_agents(
    profile: str, settings: Settings, code: Sequence[Any], signature: TeamSignature
) -> list[dict[str, Any]]:
    """P-values of commits large enough to be scored, as a review would give them."""
    from fingerprint.drift.calibrate import cell_p_values, cells_of
    from fingerprint.drift.nonconformity import Nonconformity
    from fingerprint.drift.reference import cap_commits, newest_commits
    from fingerprint.lm.pair import ModelPair
    from fingerprint.passage import Corpus
    from fingerprint.routing.extract import measure_passages
    from service.flows.profile import load_profile_version

    loaded = load_profile_version(profile, settings)
    drift, scorer = loaded.config.drift, Nonconformity.of_team(signature)
    whole = Corpus.of(passage for corpus in code for passage in corpus)
    texts = cap_commits(newest_commits(whole, AGENT_COMMITS), AGENT_TOKENS)
    pair = ModelPair(loaded.routed, loaded.routed.zero_weights(), loaded.team.state)
    measures = scorer.read(measure_passages(pair, texts, drift), texts).by_group()
    kept = measures.take(np.flatnonzero(measures.n_scored >= signature.facts["least_tokens"]))
    scores = scorer.score(kept) if len(kept) else np.zeros(0)
    p_values = cell_p_values(scores, kept.languages, cells_of(signature.readings), drift)
    return [
        {"commit": commit, "p_value": float(p), "n_tokens": int(n)}
        for commit, p, n in zip(kept.groups, p_values, kept.n_scored, strict=True)
    ]
