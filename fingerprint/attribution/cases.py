"""One habit asked for in many ways: what base, adapted model and null adapter make of the same next token.

A single prompt is an anecdote (method-decomposition.md 9.2). Prompts are the unit: the mean change over
paraphrases with its interval, beside the same of a null adapter, and how likely the base already found the
token before anybody was learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from fingerprint.attribution.prompts import Prompt
from fingerprint.attribution.question import Question, ask_prompt
from fingerprint.attribution.seed_report import Case, CaseSet, Outcome
from fingerprint.evaluation.metrics import bootstrap_draws, percentile_interval
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.tokens import top_guesses

N_DRAWS = 2_000


def ask_cases(
    routed: RoutedModel, states: Mapping[str, RouteWeights], prompts: Sequence[Prompt], *, seed: int = 0
) -> CaseSet:
    """Every prompt in the base and in every state, by the state's name."""
    every = {"base": routed.zero_weights(), **states}
    questions = [ask_prompt(routed.base, prompt) for prompt in prompts]
    outcomes = {name: [_outcome(routed, state, q) for q in questions] for name, state in every.items()}
    cases = tuple(
        Case(
            name=q.name, prompt=q.prompt, asked=q.describe(routed.base), note=q.note,
            outcomes={name: found[i] for name, found in outcomes.items()},
        )
        for i, q in enumerate(questions)
    )  # fmt: skip
    base = np.array([one.value for one in outcomes["base"]])
    shifts = {name: _mean(np.array([one.value for one in outcomes[name]]) - base, seed) for name in states}
    return CaseSet(cases=cases, shifts=shifts)


@torch.no_grad()
def _outcome(routed: RoutedModel, state: RouteWeights, question: Question) -> Outcome:
    with routed.at(state, state, 0.0) as model:
        logits = question.logits(model)
    probabilities = logits.softmax(-1)[0]
    ((guess, chance),) = top_guesses(routed.base, probabilities.log()[None], 1)[0]
    target = probabilities[question.target]
    against = None if question.against is None else float(probabilities[question.against])
    return Outcome(
        value=float(question.value(logits)[0]), target=float(target), against=against,
        rank=1 + int((probabilities > target).sum()), guess=guess, guess_probability=chance,
    )  # fmt: skip


def _mean(changes: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Mean over prompts with its 95 % percentile interval by resampling prompts."""
    names = [str(i) for i in range(len(changes))]
    draws = bootstrap_draws(lambda rows: float(changes[rows].mean()), names, n_draws=N_DRAWS, seed=seed)
    found = percentile_interval(float(changes.mean()), draws, 0.95)
    return found.value, found.low, found.high
