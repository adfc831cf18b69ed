"""Passages as token windows with marked targets, batches of them, and log-probabilities.

Models here are causal and batches are padded on the right, so padding can never be attended to by a
real token and no attention mask is passed: the results are those of solo runs, and the fast causal
kernel stays in use. ``use_cache=False`` everywhere: with a cache, transformers 5 mixes rows of packed
input up (performance.md section 1).
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from fingerprint.lm.load import Base
from fingerprint.passage import Passage

LOGITS_PER_CHUNK = 1 << 25
"""Logits held at once (128 MB in fp32): a 152k vocabulary needs 10 GB for 16k tokens otherwise."""
SHUFFLE_WINDOW = 512
"""Rows sorted together when training batches are shuffled (performance.md: 93 % useful tokens)."""

_SPACES = np.array([c for c in range(0x3001) if chr(c).isspace()], dtype=np.uint32)


@dataclass(frozen=True, eq=False)
class TokenizedPassage:
    """One window of a passage, as the model reads it.

    Attributes:
        ids: token ids, starting with the base's first token.
        scored: whether token t is a scored target; never at 0.
        offsets: half-open character range of each token in the passage's text; (0, 0) at 0.
        passage_index: position of the passage in the sequence that was tokenized.
    """

    ids: Int32[np.ndarray, " t"]
    scored: Bool[np.ndarray, " t"]
    offsets: Int32[np.ndarray, "t 2"]
    passage_index: int

    @property
    def n_scored(self) -> int:
        """Number of scored targets."""
        return int(self.scored.sum())

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right to one length.

    Attributes:
        ids: token ids. mask: real tokens. scored: scored targets (a subset of mask, never column 0).
    """

    ids: Int[Tensor, "b t"]
    mask: Bool[Tensor, "b t"]
    scored: Bool[Tensor, "b t"]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(self.ids.to(device), self.mask.to(device), self.scored.to(device))


def tokenize_passages(
    base: Base, passages: Sequence[Passage], max_tokens: int = 512
) -> list[TokenizedPassage]:
    """Tokenize passages whole and cut them into windows of at most ``max_tokens``.

    A token is scored iff its first non-space character (its first character, for pure whitespace)
    lies in a span. Each such token is scored in exactly one window, there with at least a quarter
    window of left context where the passage has it. What follows a window's last scored token cannot
    influence a causal model and is cut; a passage without scored tokens gives no window.
    """
    backend = base.tokenizer.backend_tokenizer
    encodings = backend.encode_batch([passage.text for passage in passages], add_special_tokens=False)
    windows: list[TokenizedPassage] = []
    for index, (passage, encoding) in enumerate(zip(passages, encodings, strict=True)):
        ids = np.array(encoding.ids, dtype=np.int32)
        offsets = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        scored = _scored_tokens(passage, offsets)
        for start, score_from, end in _windows(np.flatnonzero(scored), max_tokens):
            keep = scored[start:end] & (np.arange(start, end) >= score_from)
            windows.append(
                TokenizedPassage(
                    np.concatenate([np.array([base.first_token], np.int32), ids[start:end]]),
                    np.concatenate([np.array([False]), keep]),
                    np.concatenate([np.zeros((1, 2), np.int32), offsets[start:end]]),
                    index,
                )
            )
    return windows


def _scored_tokens(passage: Passage, offsets: Int32[np.ndarray, "t 2"]) -> Bool[np.ndarray, " t"]:
    """Whether each token's first non-space character is marked."""
    n_chars = len(passage.text)
    if not len(offsets):
        return np.zeros(0, bool)
    is_space = np.isin(np.frombuffer(passage.text.encode("utf-32-le", "surrogatepass"), np.uint32), _SPACES)
    positions = np.where(is_space, n_chars, np.arange(n_chars))
    next_visible = np.minimum.accumulate(positions[::-1])[::-1]
    start, end = offsets[:, 0].clip(0, n_chars - 1), offsets[:, 1]
    first = next_visible[start]
    first = np.where(first < end, first, start)
    is_marked = np.zeros(n_chars, bool)
    for span_start, span_end in passage.spans:
        is_marked[span_start:span_end] = True
    return is_marked[first]


def _windows(targets: Int[np.ndarray, " n"], max_tokens: int) -> list[tuple[int, int, int]]:
    """Windows (start, first target scored, end) over a text's tokens, for its scored positions."""
    room = max_tokens - 1
    context = -(-max_tokens // 4)
    found: list[tuple[int, int, int]] = []
    done = 0
    while done < len(targets):
        first, last = int(targets[done]), int(targets[-1])
        start = 0 if first < room and not found else max(0, first - context)
        start = max(0, min(start, last + 1 - room))
        n_covered = int(np.searchsorted(targets, start + room))
        found.append((start, first, int(targets[n_covered - 1]) + 1))
        done = n_covered
    return found


def length_buckets(
    items: Sequence[Sized], batch_tokens: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Group items of like length into batches of at most ``batch_tokens`` padded tokens.

    Args:
        rng: when given, items are shuffled, sorted only within windows of 512, and the batches are
            shuffled again: random order for training at the same useful share.

    Returns:
        Lists of item positions, each position once. An item longer than the budget is alone.
    """
    lengths = np.array([len(item) for item in items], dtype=np.int64)
    if rng is None:
        return _fill(np.argsort(-lengths, kind="stable"), lengths, batch_tokens)
    order = rng.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), SHUFFLE_WINDOW):
        window = order[start : start + SHUFFLE_WINDOW]
        batches += _fill(window[np.argsort(-lengths[window], kind="stable")], lengths, batch_tokens)
    return [batches[i] for i in rng.permutation(len(batches))]


def _fill(order: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " m"], batch_tokens: int) -> list[list[int]]:
    """Cut an order of falling lengths into full batches."""
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        n_rows = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        batches.append([int(i) for i in order[start : start + n_rows]])
        start += n_rows
    return batches


def pad_batch(items: Sequence[TokenizedPassage], indices: Sequence[int]) -> Batch:
    """Stack the chosen items, padded on the right with id 0."""
    n_columns = max(len(items[i]) for i in indices)
    ids = np.zeros((len(indices), n_columns), np.int64)
    mask, scored = np.zeros(ids.shape, bool), np.zeros(ids.shape, bool)
    for row, i in enumerate(indices):
        n = len(items[i])
        ids[row, :n], mask[row, :n], scored[row, :n] = items[i].ids, True, items[i].scored
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(scored))


def full_batch(ids: Int[Tensor, "b t"]) -> Batch:
    """A batch of unpadded rows in which every token but the first is scored."""
    mask = torch.ones_like(ids, dtype=torch.bool)
    scored = mask.clone()
    scored[:, 0] = False
    return Batch(ids.long(), mask, scored)


def causal_model(model: nn.Module) -> PreTrainedModel:
    """The Hugging Face model inside a model or its peft wrapping."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # pyright: ignore[reportCallIssue]
    assert isinstance(inner, PreTrainedModel)
    return inner


def output_matrix(model: nn.Module) -> nn.Linear:
    """The layer that turns hidden states into logits."""
    head = causal_model(model).get_output_embeddings()
    assert isinstance(head, nn.Linear)
    return head


def hidden_states(model: nn.Module, batch: Batch) -> Float[Tensor, "b t d"]:
    """Last hidden states of the (possibly adapted) model, before the output matrix."""
    decoder = causal_model(model).base_model
    return decoder(input_ids=batch.ids, use_cache=False).last_hidden_state


def target_log_probs(
    model: nn.Module, batch: Batch, where: Bool[Tensor, "b t"] | None = None
) -> Float[Tensor, "b t"]:
    """Give log p(ids[t] | ids[<t]) in nats at the chosen positions, 0 elsewhere, in fp32.

    Args:
        where: positions wanted, by default the scored ones; column 0 must be False.

    The output matrix is applied at those positions alone, in chunks; with gradients, all chunks but
    a single one are recomputed in the backward pass.
    """
    where = batch.scored if where is None else where
    rows, columns = where.nonzero(as_tuple=True)
    states = hidden_states(model, batch)[rows, columns - 1]
    log_probs = _chunked(model, states, batch.ids[rows, columns])
    out = torch.zeros(batch.ids.shape, dtype=torch.float32, device=states.device)
    return out.index_put((rows, columns), log_probs)


def _chunked(
    model: nn.Module, states: Float[Tensor, "n d"], targets: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    head = output_matrix(model)
    size = max(1, LOGITS_PER_CHUNK // head.out_features)

    def log_probs(chunk: Tensor, wanted: Tensor) -> Tensor:
        return -F.cross_entropy(head(chunk).float(), wanted, reduction="none")

    if len(states) <= size:
        return log_probs(states, targets)
    pairs = zip(states.split(size), targets.split(size), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([log_probs(chunk, wanted) for chunk, wanted in pairs])
    done = [checkpoint(log_probs, chunk, wanted, use_reentrant=False) for chunk, wanted in pairs]
    return torch.cat([part for part in done if isinstance(part, Tensor)])


def mean_loss(model: nn.Module, batch: Batch) -> Float[Tensor, ""]:
    """Mean negative log-probability over the batch's scored tokens, nats."""
    return -target_log_probs(model, batch).sum() / batch.scored.sum().clamp(min=1)


def guess_log_probs(
    model: nn.Module, batch: Batch, rows: Sequence[int], columns: Sequence[int]
) -> Float[Tensor, "n v"]:
    """Log-probabilities of every token at the targets (row, column), given what stands before them."""
    states = hidden_states(model, batch)[list(rows), [column - 1 for column in columns]]
    return output_matrix(model)(states).float().log_softmax(-1)


def top_guesses(
    base: Base, log_probs: Float[Tensor, "n v"], k: int = 5
) -> list[tuple[tuple[str, float], ...]]:
    """The k most probable tokens of each row as (text, probability), best first."""
    values, tokens = log_probs.topk(k)
    return [
        tuple((base.token_text(token), float(np.exp(value))) for token, value in zip(ids, row, strict=True))
        for ids, row in zip(tokens.tolist(), values.tolist(), strict=True)
    ]
