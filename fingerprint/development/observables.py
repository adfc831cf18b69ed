"""Read-outs of a model along the draws: an adapter's energy at each site, and a choice of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel
from fingerprint.lm.tokens import TokenizedPassage, causal_model, hidden_states, pad_batch

ROUTES, CHOICE = "phi/routes", "phi/choice"
"""Names of the observables: mean energy by site, and a difference of two logits."""


def route_energies(
    routed: RoutedModel, windows: Sequence[TokenizedPassage]
) -> Callable[[], Mapping[str, Tensor]]:
    """Mean of |s B A h|^2 over scored tokens at each site [site]: what the adapter adds to the site's output.

    A base, whose B is zero, reads zero at every site.
    """
    batch = pad_batch(windows, range(len(windows))).to(routed.device)
    n_scored = batch.scored.sum().clamp(min=1)

    def observe() -> Mapping[str, Tensor]:
        found: dict[str, Tensor] = {}
        with torch.no_grad(), _inputs_of(routed, found, batch.scored):
            hidden_states(routed.model, batch)
        return {ROUTES: torch.stack([found[site] for site in routed.sites]) / n_scored}

    return observe


@contextmanager
def _inputs_of(routed: RoutedModel, found: dict[str, Tensor], scored: Bool[Tensor, "b t"]) -> Iterator[None]:
    """While open, every forward pass leaves the summed energy of each site's adapter in ``found``."""

    def hook_for(site: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            added = routed.scale * inputs[0][scored] @ routed.directions[site].T @ routed.parameters[site].T
            found[site] = added.square().sum()

        return hook

    handles = [module.register_forward_pre_hook(hook_for(site)) for site, module in routed.modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def logit_choice(
    base: Base, model: nn.Module, prompt: str, wanted: str, other: str
) -> Callable[[], Mapping[str, Tensor]]:
    """Logit of one continuation minus that of another after a prompt, by the first token of each.

    Raises:
        FingerprintError: an empty text, or both continuations begin with the same token.
    """
    encode = base.tokenizer.backend_tokenizer.encode
    first, second = (encode(text, add_special_tokens=False).ids[:1] for text in (wanted, other))
    if not first or not second or first == second:
        raise FingerprintError(
            f"Expected two continuations that begin with different tokens, got {wanted!r} and {other!r}"
        )
    ids = torch.tensor(
        [[base.first_token, *encode(prompt, add_special_tokens=False).ids]], device=base.device
    )

    def observe() -> Mapping[str, Tensor]:
        with torch.no_grad():
            logits = causal_model(model)(input_ids=ids, use_cache=False).logits[0, -1].float()
        return {CHOICE: (logits[first[0]] - logits[second[0]])[None]}

    return observe
