"""Speed of training many adapters: ``python -m tests.bench.training REPO``, part of ``make bench``.

One optimiser step of eight adapters at several block sizes, in CPU-seconds on one thread: a plain peft loop
(set_adapter, one adapter after the other), our own loop, and all adapters stacked. Then whole runs of real
authors, and how much of a batch is text.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel, get_peft_model

from fingerprint.adapters import stacked, train
from fingerprint.adapters.budget import count_scored, windows_by_author
from fingerprint.adapters.muon import Muon
from fingerprint.adapters.plan import wants_bf16
from fingerprint.adapters.stacked import StackedTask, train_stacked
from fingerprint.adapters.train import fast_passes, train_adapter
from fingerprint.config import AdapterConfig
from fingerprint.lm.load import load_base
from fingerprint.lm.pair import BATCH_TOKENS, RoutedModel, lora_config
from fingerprint.lm.routes import Routes, load_starter_routes
from fingerprint.lm.stack import StackedModel
from fingerprint.lm.tokens import (
    Batch,
    TokenizedPassage,
    full_batch,
    length_buckets,
    mean_loss,
    tokenize_passages,
)
from tests.bench.clock import ask, cpu_seconds, read_corpus, show

N_ADAPTERS = 8
BLOCKS = ((1, 128), (4, 128), (1, 512), (8, 128))
"""(rows, columns) of an adapter's step."""
AIMS = {(1, 128): 2.3, (4, 128): 1.5, (1, 512): 1.5, (8, 128): 1.0}
"""Times a peft loop with frozen A (performance.md section 6)."""
N_AUTHORS = 6
RUN_TOKENS = 6_000
"""Scored tokens of each author of a whole run."""
BF16 = torch.bfloat16

Step = Callable[[], object]


def peft_step(routed: RoutedModel, blocks: Sequence[Batch], *, frozen: bool, autocast: bool) -> Step:
    """One step of every adapter of one real peft model, one after the other.

    ``frozen``: the A stay as they are, as ours do; peft by itself trains them.
    """
    routes = routed.routes
    own = copy.deepcopy(routed.base.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(own, lora_config(routes, 1.0), adapter_name="a0")
        for number in range(1, len(blocks)):
            model.add_adapter(f"a{number}", lora_config(routes, 1.0))
    assert isinstance(model, PeftModel)
    model.eval()
    _set_routes(model, routes, len(blocks))
    trained = ("lora_B",) if frozen else ("lora_A", "lora_B")
    by_adapter = [
        [p for name, p in model.named_parameters() if f".a{n}." in name and any(t in name for t in trained)]
        for n in range(len(blocks))
    ]
    downs = [p for name, p in model.named_parameters() if "lora_A" in name]
    optimisers = [torch.optim.AdamW(own, lr=1e-3, weight_decay=0.0, fused=True) for own in by_adapter]

    def step() -> None:
        for number, (batch, optimiser) in enumerate(zip(blocks, optimisers, strict=True)):
            model.set_adapter(f"a{number}")
            if frozen:
                for down in downs:
                    down.requires_grad_(False)
            with torch.autocast("cpu", BF16, enabled=autocast):
                loss = mean_loss(model, batch)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    return step


@torch.no_grad()
def _set_routes(model: PeftModel, routes: Routes, n_adapters: int) -> None:
    for site, down in routes.A.items():
        for n in range(n_adapters):
            model.get_parameter(f"base_model.model.{site}.lora_A.a{n}.weight").copy_(down)


def own_step(routed: RoutedModel, blocks: Sequence[Batch], *, autocast: bool) -> Step:
    """The step of ``train_adapter``, for one adapter after the other."""
    n_weights = sum(b.numel() for b in routed.parameters.values())
    muons = [Muon(torch.zeros(n_weights)) for _ in blocks]
    states = [routed.zero_weights() for _ in blocks]

    def step() -> None:
        with fast_passes(routed, autocast):
            for number, (batch, muon) in enumerate(zip(blocks, muons, strict=True)):
                routed.set_weights(states[number])
                with torch.autocast("cpu", BF16, enabled=autocast):
                    loss = mean_loss(routed.model, batch)
                train._move(routed, muon, loss, 1e-3)
                states[number] = routed.weights()

    return step


def stacked_step(
    routed: RoutedModel, windows: Sequence[TokenizedPassage], rows: int, *, autocast: bool
) -> Step:
    """The step of ``train_stacked``, for all adapters at once."""
    columns = len(windows[0])
    config = AdapterConfig(
        batch_tokens=rows * columns, max_passage_tokens=columns, most_epochs=10_000, learning_rate=1e-3
    )
    n_tokens = 500 * rows * columns  # more steps than will be taken
    task = StackedTask(windows, windows, routed.zero_weights(), config, n_tokens)
    runs = [stacked._Run.planned(routed, str(n), task) for n in range(N_ADAPTERS)]
    for run in runs:
        run.start(routed, autocast)
    model = StackedModel(routed, BF16 if autocast else torch.float32, columns)
    return lambda: stacked._step(model, runs)


def bench_steps(routed: RoutedModel, n_rounds: int) -> None:
    """A step of eight adapters by size of its block."""
    autocast = wants_bf16(routed, "auto")
    rows_shown: list[tuple[str, ...]] = []
    generator = torch.Generator().manual_seed(0)
    for rows, columns in BLOCKS:
        ids = torch.randint(2, 2000, (N_ADAPTERS, rows, columns), generator=generator)
        blocks = [full_batch(own) for own in ids]
        windows = [window_of(row) for row in ids[0]]
        found = cpu_seconds(
            {
                "peft, A trained": peft_step(routed, blocks, frozen=False, autocast=autocast),
                "peft, A frozen": peft_step(routed, blocks, frozen=True, autocast=autocast),
                "own loop": own_step(routed, blocks, autocast=autocast),
                "stacked": stacked_step(routed, windows, rows, autocast=autocast),
            },
            n_rounds,
        )
        n_tokens, reference = N_ADAPTERS * rows * columns, found["peft, A frozen"]
        rows_shown += [
            (
                f"{rows} x {columns}", name, f"{n_tokens / seconds:,.0f}", f"{reference / seconds:.2f} x",
                f">= {AIMS[rows, columns]}" if name == "stacked" else "",
            )
            for name, seconds in found.items()
        ]  # fmt: skip
    title = f"A step of {N_ADAPTERS} adapters, {'bf16' if autocast else 'fp32'}"
    show(title, rows_shown, "tokens an adapter", "how", "tokens/CPU-s", "times peft, A frozen", "aim")


def window_of(row: torch.Tensor) -> TokenizedPassage:
    """A row in which every token but the first is scored."""
    ids = row.numpy().astype(np.int32)
    return TokenizedPassage(ids, np.arange(len(ids)) > 0, np.zeros((len(ids), 2), np.int32), 0)


def bench_runs(routed: RoutedModel, repository: Path, n_rounds: int) -> None:
    """Whole runs of real authors, and the share of each batch that is text."""
    passages = read_corpus(repository).passages
    windows = tokenize_passages(routed.base, passages)
    by_author = windows_by_author(passages, windows)
    chosen = sorted(by_author, key=lambda author: -count_scored(by_author[author]))[:N_AUTHORS]
    config = AdapterConfig(dev_points=1)
    lengths = np.array([len(window) for window in windows])
    rng = np.random.default_rng(0)
    shares = [
        (
            "useful share, training batches",
            useful(lengths, length_buckets(windows, config.batch_tokens, rng)),
        ),
        ("useful share, scoring batches", useful(lengths, length_buckets(windows, BATCH_TOKENS))),
    ]
    rows = [(name, f"{share:.3f}", ">= .9") for name, share in shares]
    tasks = {
        author: StackedTask(by_author[author], windows[-8:], routed.zero_weights(), config, RUN_TOKENS)
        for author in chosen
    }

    def one_by_one() -> None:
        for task in tasks.values():
            train_adapter(
                routed, task.train, task.dev, start=task.start, config=config, budget_tokens=RUN_TOKENS
            )

    found = cpu_seconds(
        {"one by one": one_by_one, "stacked": lambda: train_stacked(routed, tasks)}, max(1, n_rounds // 2)
    )
    rows += [(f"{len(tasks)} authors, {name}", f"{seconds:.1f} CPU-s", "") for name, seconds in found.items()]
    rows.append(("times our own loop", f"{found['one by one'] / found['stacked']:.2f} x", ">= 1"))
    show(f"{repository.resolve().name}, blocks of {config.batch_tokens}", rows, "what", "measured", "aim")


def useful(lengths: np.ndarray, batches: Sequence[Sequence[int]]) -> float:
    """Real tokens over padded tokens."""
    padded = sum(len(batch) * int(lengths[batch].max()) for batch in batches)
    return float(lengths.sum() / padded)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    asked = ask(__doc__)
    base = load_base()
    routed = RoutedModel(base, load_starter_routes(base))
    bench_steps(routed, asked.rounds)
    bench_runs(routed, asked.repository, asked.rounds)


if __name__ == "__main__":
    main()
