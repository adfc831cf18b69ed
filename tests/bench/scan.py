"""Speed and reach of the first-order scan: ``python -m tests.bench.scan REPO``, part of ``make bench``.

Time: one diff of some 2,000 tokens under 64 and 256 authors, in forward passes of the base over the same
rows, CPU-seconds on one thread. Reach: real authors trained over a team on the repository, their newest
hunks scored exactly and by the scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata

from fingerprint.adapters.budget import count_scored, windows_by_author
from fingerprint.adapters.stacked import StackedTask, train_stacked
from fingerprint.config import AdapterConfig
from fingerprint.lm.load import load_base
from fingerprint.lm.pair import RoutedModel, RouteWeights, scored_log_probs, subtract_weights
from fingerprint.lm.routes import load_starter_routes
from fingerprint.lm.tokens import (
    TokenizedPassage,
    length_buckets,
    pad_batch,
    target_log_probs,
    tokenize_passages,
)
from fingerprint.routing.scan import Scan, StackedDifferences, measure_bias, scan, scan_scores
from tests.bench.clock import ask, cpu_seconds, read_corpus, show

DIFF_TOKENS = 2_000
AUTHORS = {64: 3.5, 256: 7.0}
"""Authors scanned, and the most base forwards it may take (performance.md section 6: 4.5 and 7)."""
N_TRAINED = 12
N_HUNKS = 80
AUTHOR_TOKENS, REFERENCE = 6_000, "reference"


def random_authors(routed: RoutedModel, n: int) -> StackedDifferences:
    """D of as many authors as asked for."""
    generator = torch.Generator().manual_seed(n)
    shapes = {site: b.shape for site, b in routed.parameters.items()}
    return StackedDifferences.of(
        {
            str(k): {site: 1e-3 * torch.randn(shape, generator=generator) for site, shape in shapes.items()}
            for k in range(n)
        }
    )


@torch.inference_mode()
def base_forward(routed: RoutedModel, rows: Sequence[TokenizedPassage]) -> None:
    """Log-probabilities of a diff under the plain base."""
    for indices in length_buckets(rows, 2048):
        target_log_probs(routed.base.model, pad_batch(rows, indices))


def bench_time(routed: RoutedModel, windows: Sequence[TokenizedPassage], n_rounds: int) -> None:
    """One diff under many authors."""
    rows = list(windows[-400:])
    while sum(len(row) for row in rows) > DIFF_TOKENS:
        rows.pop(0)
    team = {site: 1e-3 * torch.ones_like(b) for site, b in routed.zero_weights().items()}
    stacks = {n: random_authors(routed, n) for n in AUTHORS}
    found = cpu_seconds(
        {
            "base": lambda: base_forward(routed, rows),
            "K alone": lambda: scan(routed, team, rows),
            **{
                f"{n} authors": lambda stack=stack: scan(routed, team, rows).totals(stack)
                for n, stack in stacks.items()
            },
        },
        n_rounds,
    )
    aims = {f"{n} authors": f"<= {most}" for n, most in AUTHORS.items()}
    shown = [
        (name, f"{1000 * seconds:.0f} ms", f"{seconds / found['base']:.2f}", aims.get(name, ""))
        for name, seconds in found.items()
    ]
    title = f"A diff of {len(rows)} hunks, {sum(len(row) for row in rows):,} tokens, fp32"
    show(title, shown, "what", "CPU time", "base forwards", "aim")


def train(
    routed: RoutedModel, every: list[TokenizedPassage], own: dict[str, list[TokenizedPassage]]
) -> tuple[RouteWeights, dict[str, RouteWeights]]:
    """The reference and its authors' states (adapters/population.py)."""
    config, zero = AdapterConfig(dev_points=1), routed.zero_weights()
    tasks = {a: StackedTask(part, part[-8:], zero, config, AUTHOR_TOKENS) for a, part in own.items()}
    tasks[REFERENCE] = StackedTask(every, every[-8:], zero, config, AUTHOR_TOKENS)
    states = {name: found.weights for name, found in train_stacked(routed, tasks).items()}
    return states.pop(REFERENCE), states


def bench_reach(routed: RoutedModel, repository: Path) -> None:
    """Whether the scan's first four hold the author that exact scoring puts first."""
    before, after = read_corpus(repository).split_by_time((0.85, 0.15))
    every = tokenize_passages(routed.base, before.passages)
    own = windows_by_author(before.passages, every)
    chosen = sorted(own, key=lambda author: -count_scored(own[author]))[:N_TRAINED]
    start, states = train(routed, every, {author: own[author] for author in chosen})
    windows = [w for w in tokenize_passages(routed.base, after.passages) if w.n_scored >= 20]
    rows = windows[:: max(1, len(windows) // N_HUNKS)][:N_HUNKS]
    at_start = sums_of(routed, start, rows)
    exact = np.stack([sums_of(routed, state, rows) - at_start for state in states.values()], axis=1)
    differences = StackedDifferences.of({a: subtract_weights(b, start) for a, b in states.items()})
    found = scan(routed, start, rows, np.arange(len(rows)))
    unbiased = np.zeros_like(exact)
    for own_half, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        bias = measure_bias(part(found, other), differences, exact[other])
        unbiased[own_half] = scan_scores(part(found, own_half), differences, bias)
    per_token = exact / found.n_scored[:, None]
    shown = [
        (name, f"{reach(scores, exact):.3f}", f"{correlation(scores, per_token):.2f}")
        for name, scores in (("as it is", scan_scores(found, differences)), ("bias taken off", unbiased))
    ]
    title = f"{repository.resolve().name}: {len(chosen)} authors, {len(rows)} later hunks (aim >= .95)"
    show(title, shown, "scan", "exact best in the first 4", "rank correlation over authors")


def part(found: Scan, texts: slice) -> Scan:
    """Some of the texts of a scan."""
    return Scan({site: k[:, :, texts] for site, k in found.K.items()}, found.n_scored[texts], found.scale)


def sums_of(routed: RoutedModel, state: RouteWeights, rows: Sequence[TokenizedPassage]) -> np.ndarray:
    """Exact log-probability of every row under a state, nats."""
    with routed.at(state, state, 0.0):
        return np.array([float(values.sum()) for values in scored_log_probs(routed, rows)])


def reach(scores: np.ndarray, exact: np.ndarray) -> float:
    """Share of texts whose exact best author is among the first four."""
    first_four = np.argsort(-scores, axis=1)[:, :4]
    return float((first_four == exact.argmax(axis=1)[:, None]).any(axis=1).mean())


def correlation(scores: np.ndarray, exact: np.ndarray) -> float:
    """Mean over texts of Spearman's correlation over authors."""
    first, second = (rankdata(values, axis=1) for values in (scores, exact))
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True)]))


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    asked = ask(__doc__)
    base = load_base()
    routed = RoutedModel(base, load_starter_routes(base))
    windows = tokenize_passages(base, read_corpus(asked.repository).passages)
    bench_time(routed, windows, asked.rounds)
    bench_reach(routed, asked.repository)


if __name__ == "__main__":
    main()
