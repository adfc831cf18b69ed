"""Train the embedded base model: ``python -m fingerprint.starter.train --data DIR --out DIR``.

A Qwen2 language model small enough to ship and to train on a CPU. Data-parallel over worker
processes of one thread each (two torch threads in one process stall on a loaded machine), Muon
(Jordan et al. 2024) on the hidden matrices and AdamW on the rest, warm-up, a constant stage and a
linear decay (WSD, Hu et al. 2024), so that a run can be cut or lengthened before the decay begins.
A killed run goes on from its last checkpoint, also with another number of workers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from jaxtyping import Int
from pydantic import Field
from rich.console import Console
from transformers import Qwen2Config, Qwen2ForCausalLM

from fingerprint import FingerprintError
from fingerprint.config import Dials
from fingerprint.lm.fit import kept_steps
from fingerprint.provenance import digest_of
from fingerprint.starter import tokenizer
from fingerprint.storage import write_json, written_whole


class StarterConfig(Dials):
    """Shape and recipe of the embedded base."""

    vocab_size: int = 2048
    """Small on purpose: layout stays visible and parameters go into layers (routing.md section 6)."""
    hidden_size: int = 256
    intermediate_size: int = 640
    n_layers: int = 5
    n_heads: int = 4
    n_kv_heads: int = 2
    row_tokens: int = 512
    rows_per_step: int = 16
    rows_per_pass: int = 8
    total_tokens: int = 24_000_000
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    warmup_share: float = 0.02
    decay_share: float = 0.3
    weight_decay: float = 0.05
    language_share: dict[str, float] = Field(
        default={"python": 0.37, "typescript": 0.27, "go": 0.17, "rust": 0.19}
    )
    seed: int = 0
    start: str | None = None
    """A finished model to go on from, warmed up again: cheaper than its tokens once more."""
    start_steps: int = 0
    """Steps the start was trained for with this data order: their rows are passed over."""

    @property
    def n_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.total_tokens // (self.rows_per_step * self.row_tokens)


def build_model(config: StarterConfig) -> Qwen2ForCausalLM:
    """Return the model to train: the start in fp32, or a new one initialised from the config's seed.

    Raises:
        FingerprintError: the start has another shape than the config.
    """
    torch.manual_seed(config.seed)
    new = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            max_position_embeddings=2048,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    )
    if config.start is not None:
        old = Qwen2ForCausalLM.from_pretrained(config.start, dtype=torch.float32)
        shapes = ({name: tuple(p.shape) for name, p in model.named_parameters()} for model in (old, new))
        if next(shapes) != next(shapes):
            raise FingerprintError(f"{config.start} has another shape than the recipe: start from nothing")
        new.load_state_dict(old.state_dict())
    return new


def row_stream(data: Path, config: StarterConfig) -> Iterator[np.ndarray]:
    """Yield rows [row_tokens] for ever: languages by share, each walked in a shuffled order of windows."""
    rng = np.random.default_rng(config.seed)
    languages = sorted(config.language_share)
    share = np.array([config.language_share[name] for name in languages])
    walks = {name: _walk(data / f"train_{name}.npy", config.row_tokens, rng) for name in languages}
    while True:
        yield next(walks[languages[rng.choice(len(languages), p=share / share.sum())]])


def _walk(path: Path, width: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    tokens = np.load(path, mmap_mode="r")
    n_windows = len(tokens) // width
    if n_windows == 0:
        raise FingerprintError(f"{path} holds {len(tokens)} tokens, a row needs {width}: pack more text")
    while True:
        for window in rng.permutation(n_windows):
            yield np.asarray(tokens[window * width : (window + 1) * width], dtype=np.int64)


def learning_rate_factor(progress: float, config: StarterConfig) -> float:
    """WSD: linear warm-up, constant, linear decay to zero; ``progress`` in [0, 1]."""
    if progress < config.warmup_share:
        return progress / config.warmup_share
    return min(1.0, max(0.0, (1 - progress) / config.decay_share))


def build_optimizers(model: Qwen2ForCausalLM, config: StarterConfig) -> list[torch.optim.Optimizer]:
    """Return Muon over the layers' matrices and AdamW over embeddings, norms and biases."""
    layers = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(layers, lr=config.muon_lr, weight_decay=config.weight_decay, momentum=0.95),
        torch.optim.AdamW(others, lr=config.adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


@dataclass
class Run:
    """The state of a training run in one worker."""

    config: StarterConfig
    model: Qwen2ForCausalLM
    optimizers: list[torch.optim.Optimizer]
    history: list[dict[str, float]]
    step: int = 0


def save_checkpoint(run: Run, out: Path) -> None:
    """Write the run's state atomically, and the model in Hugging Face format beside it."""
    state: dict[str, Any] = {
        "config": run.config.model_dump_json(),
        "model": run.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in run.optimizers],
        "history": run.history,
        "step": run.step,
    }
    partial = out / "checkpoint.pt.partial"
    torch.save(state, partial)
    partial.replace(out / "checkpoint.pt")
    (out / "history.json").write_text(json.dumps(run.history))


def resume(run: Run, out: Path) -> None:
    """Load the last checkpoint, if there is one; refuse one of another shape or seed."""
    path = out / "checkpoint.pt"
    if not path.exists():
        return
    state = torch.load(path, weights_only=True)
    fixed = {"total_tokens", "decay_share"}  # a run may be lengthened or shortened before its decay
    before = StarterConfig.model_validate_json(state["config"]).model_dump(exclude=fixed)
    if digest_of(before) != digest_of(run.config.model_dump(exclude=fixed)):
        raise FingerprintError(f"{path} was made with another recipe; remove it or choose another --out")
    run.model.load_state_dict(state["model"])
    for optimizer, saved in zip(run.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    run.history, run.step = state["history"], state["step"]


def step_rows(stream: Iterator[np.ndarray], config: StarterConfig) -> Int[torch.Tensor, "rows row_tokens"]:
    """Return one step's rows [rows_per_step, row_tokens]."""
    return torch.from_numpy(np.stack([next(stream) for _ in range(config.rows_per_step)]))


def accumulate_gradients(
    model: Any, rows: Int[torch.Tensor, "rows row_tokens"], config: StarterConfig
) -> float:
    """Backpropagate the mean loss of this worker's rows; return it, nats per token."""
    n_passes = max(1, len(rows) // config.rows_per_pass)
    total = 0.0
    for part in rows.chunk(n_passes):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=part, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), part[:, 1:].flatten())
        (loss / n_passes).backward()
        total += loss.item() / n_passes
    return total


def average_gradients(run: Run, loss: float, n_workers: int) -> float:
    """Average gradients and loss over the workers."""
    if n_workers == 1:
        return loss
    gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients] + [torch.tensor([loss])])
    dist.all_reduce(flat)
    flat /= n_workers
    for gradient, part in zip(gradients, flat[:-1].split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
    return float(flat[-1])


def apply_step(run: Run) -> None:
    """Clip, set the learning rates, step and clear."""
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
    factor = learning_rate_factor((run.step + 1) / run.config.n_steps, run.config)
    for optimizer, rate in zip(run.optimizers, (run.config.muon_lr, run.config.adam_lr), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    run.step += 1


@dataclass(frozen=True)
class Job:
    """Where a run reads and writes, and how long it may take.

    Attributes:
        n_kept: whole models to keep in ``out``/checkpoints at log-spaced steps, the first and the last among
            them; 0: none. tokenizer: folder whose tokenizer goes with them, so that each loads as a base.
    """

    n_workers: int
    data: Path
    out: Path
    minutes: float
    n_kept: int = 0
    tokenizer: Path | None = None

    def keeps(self, config: StarterConfig) -> frozenset[int]:
        """Steps after which the model is kept."""
        return frozenset(kept_steps(config.n_steps, self.n_kept) if self.n_kept else ())


def keep_model(run: Run, job: Job) -> None:
    """Write the model at this step in fp32, whole or not at all, with its tokenizer and what it has read."""
    tokens = run.step * run.config.rows_per_step * run.config.row_tokens
    with written_whole(job.out / "checkpoints" / f"step-{run.step:06}") as fresh:
        run.model.save_pretrained(fresh)
        if job.tokenizer is not None:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copyfile(job.tokenizer / name, fresh / name)
        write_json(fresh / "checkpoint.json", {"step": run.step, "tokens_seen": tokens})


def worker(rank: int, job: Job, config: StarterConfig) -> None:
    """Train until the last step or for the job's minutes, whichever comes first."""
    torch.set_num_threads(1)
    if job.n_workers > 1:
        meeting = f"file://{job.out.resolve()}/rendezvous"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=job.n_workers)
    model = build_model(config).train()
    run = Run(config, model, build_optimizers(model, config), [])
    resume(run, job.out)
    train(run, rank, job)
    if rank == 0:
        torch.nn.Module.to(run.model, torch.bfloat16)
        run.model.save_pretrained(job.out / "model")


def train(run: Run, rank: int, job: Job) -> None:
    """Take steps until the run or the job's time is over; worker 0 reports and saves."""
    config = run.config
    stream, compiled = row_stream(job.data, config), torch.compile(run.model)
    for _ in range(config.start_steps + run.step):  # pass over what start and checkpoint have read
        step_rows(stream, config)
    started = saved = time.monotonic()
    first_step, stop = run.step, run.step >= config.n_steps
    keeps = job.keeps(config) if rank == 0 else frozenset()
    if run.step in keeps:
        keep_model(run, job)
    while not stop:
        rows = step_rows(stream, config).chunk(job.n_workers)[rank]
        loss = average_gradients(run, accumulate_gradients(compiled, rows, config), job.n_workers)
        apply_step(run)
        now = time.monotonic()
        stop = agree(run.step >= config.n_steps or now - started > 60 * job.minutes, job.n_workers)
        if rank == 0:
            run.history.append({"step": run.step, "loss": loss})
            if run.step in keeps:
                keep_model(run, job)
            if run.step % 10 == 0:
                print_progress(run, loss, (run.step - first_step) / (now - started))
            if stop or now - saved > 120:
                save_checkpoint(run, job.out)
                saved = now


def agree(stop: bool, n_workers: int) -> bool:
    """Let worker 0 decide for all."""
    if n_workers == 1:
        return stop
    flag = torch.tensor([float(stop)])
    dist.broadcast(flag, 0)
    return bool(flag.item())


def print_progress(run: Run, loss: float, steps_per_second: float) -> None:
    """Print one line: step, loss, speed and time left."""
    config = run.config
    rate = steps_per_second * config.rows_per_step * config.row_tokens
    left = (config.n_steps - run.step) / steps_per_second / 60
    Console(width=110).print(
        f"step {run.step}/{config.n_steps}  {loss:.3f} nats  {loss / math.log(2):.3f} bits a token"
        f"  {rate:,.0f} tokens/s  {left:.0f} min left"
    )


def languages_in(data: Path) -> dict[str, float]:
    """The recipe's shares of the languages that a packed corpus has.

    Raises:
        FingerprintError: it has none of them.
    """
    shares = StarterConfig().language_share
    found = {name: share for name, share in shares.items() if (data / f"train_{name}.npy").is_file()}
    if not found:
        raise FingerprintError(
            f"No packed corpus in {data}: expected train_<language>.npy for one of {', '.join(shares)}; "
            "run `python -m fingerprint.starter.corpus pack` first"
        )
    return found


def main() -> None:
    """Parse the command line and start the workers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="packed corpus")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints and the finished model")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--minutes", type=float, default=120, help="stop after this long; run again to go on")
    parser.add_argument("--tokens", type=int, default=StarterConfig().total_tokens, help="whole run's length")
    parser.add_argument("--start", help="folder of a finished model to go on from")
    parser.add_argument("--start-steps", type=int, default=0, help="steps that model has read of this data")
    parser.add_argument(
        "--keep", type=int, default=0, help="whole models to keep at log-spaced steps, the start among them"
    )
    parser.add_argument("--layers", type=int, default=StarterConfig().n_layers, help="blocks of the model")
    parser.add_argument("--hidden", type=int, default=StarterConfig().hidden_size, help="width of the model")
    parser.add_argument("--row", type=int, default=StarterConfig().row_tokens, help="tokens of a row")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "rendezvous").unlink(missing_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    job = Job(
        arguments.workers, arguments.data, arguments.out, arguments.minutes, arguments.keep, tokenizer.MODEL
    )
    config = StarterConfig(
        total_tokens=arguments.tokens, start=arguments.start, start_steps=arguments.start_steps,
        n_layers=arguments.layers, hidden_size=arguments.hidden,
        intermediate_size=arguments.hidden * 5 // 2, row_tokens=arguments.row,
        language_share=languages_in(arguments.data),
    )  # fmt: skip
    if job.n_workers == 1:
        worker(0, job, config)
    else:
        mp.spawn(worker, args=(job, config), nprocs=job.n_workers)


if __name__ == "__main__":
    main()
