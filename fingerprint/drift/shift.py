"""The next-token table of a prompt: base, team and authors side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.tokens import full_batch, guess_log_probs
from fingerprint.report import ShiftRow, ShiftTable


def next_token_table(
    routed: RoutedModel, states: Mapping[str, RouteWeights], prompt: str, k: int = 10, most_tokens: int = 512
) -> ShiftTable:
    """Probabilities of the likeliest next tokens after a prompt, in every state.

    Args:
        states: route weights by column name, the control first (for the base, ``routed.zero_weights()``).
        k: likeliest tokens taken of each state; the rows are their union.
        most_tokens: the prompt's last tokens that are read.
    """
    encoded = routed.base.tokenizer.backend_tokenizer.encode(prompt, add_special_tokens=False).ids
    ids = torch.tensor([[routed.base.first_token, *encoded[-most_tokens:], 0]], device=routed.device)
    batch, place = full_batch(ids), ([0], [ids.shape[1] - 1])
    columns: list[np.ndarray] = []
    with torch.no_grad():
        for state in states.values():
            with routed.at(state, state, 0.0) as model:
                columns.append(guess_log_probs(model, batch, *place)[0].double().cpu().numpy())
    log_probs = np.stack(columns)
    tops = {int(token) for column in log_probs for token in np.argsort(-column)[:k]}
    ordered = sorted(tops, key=lambda token: -log_probs[:, token].max())
    rows = tuple(
        ShiftRow(
            text=routed.base.token_text(token), probabilities=tuple(np.exp(log_probs[:, token]).tolist())
        )
        for token in ordered
    )
    divergences = (np.exp(log_probs) * (log_probs - log_probs[0])).sum(axis=1).tolist()
    return ShiftTable(prompt=prompt, columns=tuple(states), rows=rows, kl_nats=tuple(divergences))
