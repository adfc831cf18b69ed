"""Agents told from people by what other repositories teach: every repository of a manifest left out in turn.

``python -m service.flows.evaluation.agents MANIFEST --repositories FOLDER --home HOME --out FILE``. Nothing
is trained but the regressions: a repository costs its ingestion and one backward pass a hunk.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fingerprint.evaluation.agents import AgentTexts, Judged, MeanOver, donors_of, score_elsewhere, shuffled
from fingerprint.evaluation.config import EvaluationConfig
from fingerprint.evaluation.novelty import BASE
from fingerprint.evaluation.protocol import Sample, cap_spread, samples_of
from fingerprint.evaluation.results import AgentRepository, AgentTransfer
from fingerprint.evaluation.systems import B1, B8, FISHER
from fingerprint.passage import Corpus
from service import ServiceError
from service.artifacts import read_arrays, write_arrays
from service.flows.bench import Bench, Progress, Stage, print_steps
from service.flows.evaluation.all import choice_of
from service.flows.evaluation.detection import LEAST_TEXTS
from service.flows.evaluation.fisher import SPREAD_SAMPLES
from service.flows.evaluation.manifest import Manifest, RepositoryEntry, find_clone, read_manifest
from service.flows.evaluation.setup import open_bench
from service.flows.evaluation.text import read_history_of
from service.settings import Settings, read_settings

if TYPE_CHECKING:
    from fingerprint.evaluation.attribution import SampleRows

MOST_HUNKS = 300
"""Hunks of each agent, and of the people, of a repository; evenly over authors."""
N_NULLS = 3


def tell_agents(
    manifest: Manifest, folder: Path, settings: Settings, config: EvaluationConfig, *,
    only: Sequence[str] = (), report: Progress = lambda _: None,
) -> AgentTransfer:  # fmt: skip
    """Read every repository, then try what the others teach on each.

    Args:
        only: repositories that are read; all of the manifest by default.

    Raises:
        ManifestError: a name or a clone is missing. ServiceError: no two repositories can serve each other.
    """
    entries = [manifest.entry(name) for name in only] if only else manifest.repositories
    clones = {entry.name: find_clone(entry, folder) for entry in entries}
    notes: list[str] = []
    every: dict[str, AgentTexts] = {}
    for entry in entries:
        found = _read(entry, clones[entry.name], settings, config, report)
        if found is not None and min(found.is_agent.sum(), (~found.is_agent).sum()) >= LEAST_TEXTS:
            every[entry.name] = found
        else:
            notes.append(f"{entry.name}: fewer than {LEAST_TEXTS} hunks of agents or of people after the cut")
    taught = {name: donors_of(name, every) for name in every}
    notes += [f"{name}: no other repository without its people" for name, own in taught.items() if not own]
    taught = {name: donors for name, donors in taught.items() if donors}
    if not taught:
        raise ServiceError(
            f"expected repositories with declared agents that share no people, saw {len(every)} with agents' "
            f"code among {len(entries)}: add repositories to the manifest"
        )
    scores = {name: score_elsewhere(every[name], donors, n_nulls=N_NULLS) for name, donors in taught.items()}
    return judge(every, taught, scores, config.n_draws, notes)


def judge(
    every: Mapping[str, AgentTexts], taught: Mapping[str, Mapping[str, AgentTexts]],
    scores: Mapping[str, Mapping[str, np.ndarray]], n_draws: int, notes: Sequence[str],
) -> AgentTransfer:  # fmt: skip
    """Rows of every repository and of their mean, and what the routes gain over text and over their null."""
    units = ("hunk", "commit")
    judged = {
        unit: {name: Judged.of(every[name], own, unit) for name, own in scores.items()} for unit in units
    }
    means = [MeanOver(list(judged[unit].values()), unit, n_draws) for unit in units]
    return AgentTransfer(
        repositories=tuple(
            AgentRepository(
                repository=name, donors=tuple(taught[name]), n_by_agent=_by_agent(every[name]),
                rows=tuple(row for unit in units for row in judged[unit][name].rows(unit, n_draws)),
            )
            for name in scores
        ),
        mean=tuple(row for mean in means for row in mean.rows()),
        contrasts=tuple(
            mean.contrast(FISHER, other) for mean in means for other in (B1, B8, shuffled(0))
        ),
        notes=tuple(notes),
    )  # fmt: skip


def _by_agent(texts: AgentTexts) -> dict[str, int]:
    agents = [author for author, own in zip(texts.authors, texts.is_agent, strict=True) if own]
    return {agent: agents.count(agent) for agent in sorted(set(agents))}


def _read(
    entry: RepositoryEntry, clone: Path, settings: Settings, config: EvaluationConfig, report: Progress
) -> AgentTexts | None:
    """Hunks after the cut of agents, and of people between the first and the last of these; None without."""
    report(Stage(f"{entry.name}: read history", 0, None))
    history = read_history_of(clone, settings, config, choice_of(entry))
    most, seed = MOST_HUNKS, config.seed
    theirs = [
        (agent, sample)
        for agent, code in history.agents.items() for sample in cap_spread(samples_of(code), most, seed)
    ]  # fmt: skip
    if not theirs:
        return None
    days = [sample.written_at for _, sample in theirs]
    people = [s for s in samples_of(history.slices[3]) if min(days) <= s.written_at <= max(days)]
    chosen = [*theirs, *((s.author, s) for s in cap_spread(people, most, seed))]
    before = cap_spread(samples_of(history.slices[0]), SPREAD_SAMPLES, seed)
    bench = open_bench(clone, settings, config, report)
    arrays = _measure(bench, [sample for _, sample in chosen], before, config)
    return _texts(chosen, len(theirs), arrays, config.least_hunk_tokens)


def _texts(
    chosen: Sequence[tuple[str, Sample]], n_agents: int, arrays: Mapping[str, np.ndarray], least: int
) -> AgentTexts:
    """What is large enough to be judged."""
    at = np.flatnonzero(arrays["n_scored"] >= least)
    kept = [chosen[int(i)] for i in at]
    return AgentTexts(
        {FISHER: arrays["routes"][at], B8: arrays["hidden"][at]},
        tuple(sample.text for _, sample in kept),
        tuple(author for author, _ in kept),
        at < n_agents,
        tuple(sample.group for _, sample in kept),
        tuple(_quarter(sample.written_at) for _, sample in kept),
        arrays["log_probs"][at],
        arrays["n_scored"][at],
    )


def _quarter(seconds: float) -> str:
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when.year}-{(when.month - 1) // 3}"


def _measure(
    bench: Bench, samples: Sequence[Sample], before: Sequence[Sample], config: EvaluationConfig
) -> dict[str, np.ndarray]:
    """Readings of the samples, centred on what the team wrote before; found or computed."""
    from fingerprint.evaluation.attribution import sample_log_probs, tokenize_samples
    from fingerprint.evaluation.fisher import fit_fisher_space
    from fingerprint.evaluation.hidden import pool_hidden_states

    routed, most = bench.routed, bench.config.adapter.max_passage_tokens
    digests = [Corpus(tuple(p for s in some for p in s.passages)).digest for some in (samples, before)]
    digest = bench.digest(
        "agents' hunks at the base", samples=digests[0], before=digests[1], most=config.sample_tokens
    )

    def compute() -> dict[str, np.ndarray]:
        own, older = (
            tokenize_samples(routed, some, max_tokens=most, most_scored=config.sample_tokens)
            for some in (samples, before)
        )
        count = bench.counter("routes at the base", own.n_tokens + 2 * older.n_tokens)
        space = fit_fisher_space(routed, older, progress=count)
        hidden = _standardised(*(pool_hidden_states(routed, rows).reshape(len(rows.n_scored), -1)
                                 for rows in (own, older)))  # fmt: skip
        log_probs = sample_log_probs(routed, {BASE: routed.zero_weights()}, own)[BASE]
        centre = _mean_of_read(space.place(older, count), older)
        placed = space.place(own, count).astype(np.float32) - centre
        return {"routes": placed.astype(np.float16), "hidden": hidden, "log_probs": log_probs,
                "n_scored": own.n_scored.astype(float)}  # fmt: skip

    def write(directory: Path) -> None:
        write_arrays(directory / "values.safetensors", compute())

    return read_arrays(bench.make("evaluation", digest, "agents' hunks", write) / "values.safetensors")


def _mean_of_read(values: np.ndarray, read: SampleRows) -> np.ndarray:
    return values[read.n_scored > 0].astype(np.float32).mean(axis=0)


def _standardised(own: np.ndarray, older: np.ndarray) -> np.ndarray:
    return (own - older.mean(axis=0)) / (older.std(axis=0) + 1e-6)


def main() -> None:
    """Read the repositories named on the command line and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--repositories", type=Path, required=True, help="where the clones are, by name")
    parser.add_argument("--home", type=Path, help="where results are kept")
    parser.add_argument("--only", action="append", default=[], help="one repository; may be repeated")
    parser.add_argument("--out", type=Path, required=True, help="file of the result")
    given = parser.parse_args()
    settings = read_settings(home=given.home)
    found = tell_agents(
        read_manifest(given.manifest), given.repositories, settings, EvaluationConfig(), only=given.only,
        report=print_steps,
    )  # fmt: skip
    given.out.write_text(found.model_dump_json() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
