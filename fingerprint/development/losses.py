"""Losses of a language model on fixed windows of text, in the two forms a sampler wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.adapters.budget import count_scored
from fingerprint.development.sampling import LOSS, Loss, Observe
from fingerprint.lm.load import Base
from fingerprint.lm.pair import BATCH_TOKENS, RoutedModel
from fingerprint.lm.tokens import (
    TokenizedPassage,
    length_buckets,
    pad_batch,
    target_log_probs,
    tokenize_passages,
)
from fingerprint.passage import Passage

Windows = Sequence[TokenizedPassage]


def module_of(model: Base | RoutedModel | nn.Module) -> nn.Module:
    """The module to run, in eval mode, of whatever a checkpoint loads as."""
    return model.eval() if isinstance(model, nn.Module) else model.model.eval()


def batch_loss(model: nn.Module, windows: Windows, n_rows: int) -> Loss:
    """Minibatch loss over windows drawn with replacement: an unbiased estimate of ``mean_loss_of``.

    The sum over a batch's scored tokens is divided by the expected number of them, not by the batch's own:
    the mean of ratios would weigh tokens of short windows more.

    Args:
        n_rows: windows of one minibatch.
    """
    if not count_scored(windows):
        raise FingerprintError("The windows to sample on have no scored token: give text with marked spans")
    expected = n_rows * count_scored(windows) / len(windows)
    device = next(model.parameters()).device

    def loss(generator: torch.Generator) -> Float[Tensor, ""]:
        drawn = torch.randint(len(windows), (n_rows,), generator=generator, device=generator.device).tolist()
        return -target_log_probs(model, pad_batch(windows, drawn).to(device)).sum() / expected

    return loss


@torch.no_grad()
def token_losses(model: nn.Module, windows: Windows, batch_tokens: int = BATCH_TOKENS) -> list[Tensor]:
    """Loss of each window's scored tokens, nats, in token order, in the model's present state."""
    device = next(model.parameters()).device
    found: list[Tensor] = [torch.zeros(0)] * len(windows)
    for indices in length_buckets(windows, batch_tokens):
        batch = pad_batch(windows, indices).to(device)
        values = -target_log_probs(model, batch)
        for row, i in enumerate(indices):
            found[i] = values[row][batch.scored[row]]
    return found


def mean_loss_of(losses: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Mean over all scored tokens of all windows, nats."""
    return torch.cat(list(losses)).double().mean()


def observe_windows(
    model: nn.Module,
    windows: Windows,
    others: Mapping[str, Windows] | None = None,
    *,
    per_token: Sequence[str] = (),
    also: Callable[[], Mapping[str, Tensor]] | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Observe:
    """Read the mean loss, every window's, and those of other sets, in one forward pass over each set.

    Gives "loss" and "losses" [n] (mean per scored token of each window) for ``windows``; "loss/<set>" and
    "losses/<set>" for each of ``others``; "tokens/<set>" [tokens] for the sets named in ``per_token`` (""
    for ``windows``: "tokens/"); and what ``also`` gives: gates, norms, any named observable.
    """
    sets = {"": windows, **(others or {})}

    def observe() -> Mapping[str, Tensor]:
        seen: dict[str, Tensor] = {}
        for name, own in sets.items():
            end = f"/{name}" if name else ""
            losses = token_losses(model, own, batch_tokens)
            seen[f"{LOSS}{end}"] = mean_loss_of(losses)
            seen[f"losses{end}"] = torch.stack([one.mean() for one in losses])
            if name in per_token:
                seen[f"tokens/{name}"] = torch.cat(losses)
        return seen | dict(also() if also else {})

    return observe


def windows_of_length(base: Base, passages: Sequence[Passage], n_tokens: int) -> list[TokenizedPassage]:
    """Whole texts cut into unpadded windows of one length in which every token but the first is scored."""
    backend = base.tokenizer.backend_tokenizer
    windows: list[TokenizedPassage] = []
    for index, passage in enumerate(passages):
        encoding = backend.encode(passage.text, add_special_tokens=False)
        ids, offsets = np.array(encoding.ids, np.int32), np.array(encoding.offsets, np.int32).reshape(-1, 2)
        for start in range(0, len(ids) - n_tokens + 2, n_tokens - 1):
            part = slice(start, start + n_tokens - 1)
            scored = np.arange(n_tokens) > 0
            first = np.array([base.first_token], np.int32)
            spans = np.concatenate([np.zeros((1, 2), np.int32), offsets[part]])
            windows.append(TokenizedPassage(np.concatenate([first, ids[part]]), scored, spans, index))
    return windows


def choose_windows(windows: Windows, n_most: int, seed: int) -> list[TokenizedPassage]:
    """At most ``n_most`` of the windows, drawn without replacement, in their order."""
    if len(windows) <= n_most:
        return list(windows)
    chosen = np.random.default_rng(seed).choice(len(windows), n_most, replace=False)
    return [windows[i] for i in sorted(chosen)]


def tokenized(
    base: Base, passages: Sequence[Passage], max_tokens: int, n_most: int, seed: int
) -> list[TokenizedPassage]:
    """Windows of passages whose marked lines are scored, at most ``n_most`` of them."""
    return choose_windows(tokenize_passages(base, passages, max_tokens), n_most, seed)
