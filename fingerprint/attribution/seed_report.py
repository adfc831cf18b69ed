"""The seed's cases as they are kept and shown. No torch, JSON both ways."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fingerprint.storage import FrozenModel


class Outcome(FrozenModel):
    """One model after one prompt.

    Attributes:
        value: f: the target's logit minus the other's. target, against: probabilities of the two words'
            tokens. rank: of the target, 1 the likeliest. guess, guess_probability: the likeliest token.
    """

    value: float
    target: float
    against: float | None
    rank: int
    guess: str
    guess_probability: float


class Case(FrozenModel):
    """One prompt in every model. ``outcomes`` by model: "base", "adapted", "null"."""

    name: str
    prompt: str
    asked: str
    note: str
    outcomes: dict[str, Outcome]


class CaseSet(FrozenModel):
    """Several prompts. shifts: mean change of f against the base by model, with its 95 % interval."""

    cases: tuple[Case, ...]
    shifts: dict[str, tuple[float, float, float]]


class SeedReport(FrozenModel):
    """The seed's cases on one base and one repository.

    Attributes:
        status: "run", or "unrun" with the ``reason``; then nothing else is there.
        base, revision, repository, n_tokens: what was asked, and scored tokens that the adapter read.
        prompts: the default prompts. paraphrases: `pub use crate::` in 24 ways.
        in_corpus: how often the code that was read holds each of the two answers: what is memorised.
    """

    format: Literal[1] = 1
    status: Literal["run", "unrun"]
    reason: str = ""
    base: str = ""
    revision: str = ""
    repository: str = ""
    n_tokens: int = 0
    prompts: CaseSet | None = None
    paraphrases: CaseSet | None = None
    in_corpus: dict[str, int] = Field(default={})

    @property
    def statement(self) -> str:
        """The answer in sentences."""
        if self.status == "unrun" or self.paraphrases is None:
            return f"UNRUN: {self.reason}"
        cases = self.paraphrases.cases
        ranks = sorted(case.outcomes["base"].rank for case in cases)
        chances = [case.outcomes["base"].target for case in cases]
        shifts = "; ".join(
            f"{name} {mean:+.2f} ({low:+.2f} to {high:+.2f})"
            for name, (mean, low, high) in self.paraphrases.shifts.items()
        )
        counts = ", ".join(f"{text!r} {n} times" for text, n in self.in_corpus.items())
        return (
            f"`pub use crate::` in {len(cases)} ways on {self.base}: logit of 'config' minus 'error' against "
            f"the base: {shifts}. In the base 'config' has rank {ranks[0]} to {ranks[-1]}, mean probability "
            f"{sum(chances) / len(chances):.3f}. The code that was read holds {counts}."
        )
