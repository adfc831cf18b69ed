"""One prompt and one target token, the same for every model that is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.attribution.prompts import Prompt
from fingerprint.lm.load import Base
from fingerprint.lm.tokens import full_batch, hidden_states, output_matrix


class SameTokenError(FingerprintError):
    """Two words begin with the same token of a base, so that their difference is nothing."""


Measure = Literal["logit", "log-probability"]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked: how much does a model favour one token after a prompt?

    Attributes:
        name, prompt: id and text. ids: the prompt's tokens behind the base's first one, [1, t].
        target: the token. against: a token it is compared with, or None. measure: f is the target's logit
            or its log-probability; with ``against``, the target's minus the other's, where the two agree.
        note: what a reader should know of the target.
    """

    name: str
    prompt: str
    ids: Int[Tensor, "1 t"]
    target: int
    against: int | None = None
    measure: Measure = "logit"
    note: str = ""

    @property
    def n_tokens(self) -> int:
        """Tokens, the first one included."""
        return self.ids.shape[1]

    def logits(self, model: nn.Module, n_rows: int = 1) -> Float[Tensor, "n v"]:
        """Logits of the next token, fp32, for n identical rows (which hooks may treat differently)."""
        batch = full_batch(self.ids.expand(n_rows, -1))
        return output_matrix(model)(hidden_states(model, batch)[:, -1]).float()

    def value(self, logits: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
        """F of every row."""
        if self.measure == "log-probability":
            logits = logits.log_softmax(-1)
        found = logits[:, self.target]
        return found if self.against is None else found - logits[:, self.against]

    def describe(self, base: Base) -> str:
        """F in words."""
        target = repr(base.token_text(self.target))
        if self.against is None:
            return f"{self.measure} of {target}"
        return f"{self.measure} of {target} minus {base.token_text(self.against)!r}"


def ask(
    base: Base,
    prompt: str,
    target: str,
    against: str | None = None,
    *,
    name: str = "prompt",
    measure: Measure = "logit",
    most_tokens: int = 512,
) -> Question:
    """A question in a base's own tokens.

    A target of several tokens is asked for by its first one, which the note says.

    Args:
        most_tokens: the prompt's last tokens that are read.

    Raises:
        FingerprintError: an empty target. SameTokenError: a target that begins as ``against`` does.
    """
    prompt_ids = _encode(base, prompt)[-most_tokens:]
    found, note = _first_token(base, target)
    other = None if against is None else _first_token(base, against)[0]
    if found == other:
        raise SameTokenError(
            f"The target {target!r} and {against!r} begin with the same token: compare with another."
        )
    ids = torch.tensor([[base.first_token, *prompt_ids]], device=base.device)
    return Question(name, prompt, ids, found, other, measure, note)


def ask_prompt(base: Base, prompt: Prompt) -> Question:
    """A stored prompt's question; of its target alone where this base begins both words with the same token.

    Raises:
        FingerprintError: an empty target.
    """
    try:
        return ask(base, prompt.text, prompt.target, prompt.against, name=prompt.name)
    except SameTokenError:
        alone = ask(base, prompt.text, prompt.target, name=prompt.name)
        why = f"not compared with {prompt.against!r}, which this base begins with the same token"
        return replace(alone, note="; ".join(filter(None, (alone.note, why))))


def _first_token(base: Base, text: str) -> tuple[int, str]:
    ids = _encode(base, text)
    if not ids:
        raise FingerprintError("The target is empty: name the token whose logit is to be explained.")
    if len(ids) == 1:
        return ids[0], ""
    return ids[
        0
    ], f"{text!r} is {len(ids)} tokens of this base; asked for is the first, {base.token_text(ids[0])!r}"


def _encode(base: Base, text: str) -> list[int]:
    return list(base.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)
