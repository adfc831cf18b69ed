"""Labels by a language model behind an OpenAI-compatible endpoint: off unless an endpoint is set.

What is sent: a component's place, figures and token tables, and example windows, which are pieces of the
repository's code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from fingerprint.endpoint import Endpoint, EndpointError
from fingerprint.harvest.store import Component, Example, TokenFigure
from fingerprint.labels.label import UNCLEAR, Label, visible_token

MOST_EXAMPLES, MOST_FIGURES = 12, 8
"""Windows and tokens of a table that are sent."""
LEAST_EXAMPLES = 3
"""A component with fewer windows is not asked about."""
_TASK = (
    "You name what a component of a code language model responds to. You get its place in the model, how "
    "often it fires, the tokens it fires on, the tokens that come next, and windows of code in which the "
    "token it fires on stands between ⟦ and ⟧. "
    'Answer with one JSON object: {"label": "..."}. The label has at most '
    f'fifteen words and says what the firings have in common. Answer {{"label": "{UNCLEAR}"}} when they have '
    "nothing in common; do not guess."
)
_JUDGE = (
    "A component of a code language model is said to respond to this: {label}. For each numbered window, "
    "does it fire on the token between ⟦ and ⟧? Answer with one JSON object, "
    '{{"fires": [...]}}, holding a number from 0 (no) to 1 (yes) for each of the {n} windows, in order.'
)


def label_by_model(endpoint: Endpoint, component: Component, vocabulary: Mapping[int, str]) -> Label:
    """Ask for a label; components with too few windows are unclear without being asked about.

    Raises:
        EndpointError: no usable answer.
    """
    text = UNCLEAR
    if len(component.examples) >= LEAST_EXAMPLES:
        answer = endpoint.ask(_TASK, describe(component, vocabulary))
        text = " ".join(str(answer.get("label", UNCLEAR)).split())[:200] or UNCLEAR
    return Label(component.number, text, "language model")


def judge_by_model(
    endpoint: Endpoint, vocabulary: Mapping[int, str]
) -> Callable[[Label, Sequence[Example]], list[float]]:
    """A judge that asks; above zero means more than half sure.

    Raises:
        EndpointError: when called, no usable answer.
    """

    def judge(label: Label, windows: Sequence[Example]) -> list[float]:
        shown = "\n\n".join(f"{i}:\n{show_window(w, vocabulary)}" for i, w in enumerate(windows, 1))
        answer = endpoint.ask(_JUDGE.format(label=json.dumps(label.text), n=len(windows)), shown)
        fires = answer.get("fires")
        if not isinstance(fires, list) or len(fires) != len(windows):
            raise EndpointError(f"The endpoint {endpoint.url} did not judge every window: try another model.")
        return [float(value) - 0.5 for value in fires]

    return judge


def describe(component: Component, vocabulary: Mapping[int, str]) -> str:
    """What is sent about a component."""
    first = component.first_share
    lines = [
        f"place: {component.group}, number {component.index}",
        f"fires on {component.density:.3%} of tokens",
        f"share of its firings at the first position of a text: {0.0 if first is None else first:.2f}",
        "",
        "tokens it fires on (precision, recall, PMI in nats):",
        *map(_figure, component.inputs[:MOST_FIGURES]),
        "",
        "tokens that come next:",
        *map(_figure, component.outputs[:MOST_FIGURES]),
        "",
        "windows:",
    ]
    windows = [show_window(example, vocabulary) for example in component.examples[:MOST_EXAMPLES]]
    return "\n".join(lines) + "\n" + "\n---\n".join(windows)


def show_window(example: Example, vocabulary: Mapping[int, str]) -> str:
    """A window's text, its middle token between brackets."""
    middle = len(example.tokens) // 2
    return "".join(
        f"⟦{vocabulary[token]}⟧" if place == middle else vocabulary[token]
        for place, token in enumerate(example.tokens)
        if token >= 0
    )


def _figure(figure: TokenFigure) -> str:
    return f"{visible_token(figure.text)}  ({figure.precision:.2f}, {figure.recall:.2f}, {figure.pmi:.1f})"
