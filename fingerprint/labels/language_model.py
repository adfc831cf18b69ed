"""Labels by a language model behind an OpenAI-compatible endpoint: off unless an endpoint is set.

What is sent: a component's place, figures and token tables, and example windows, which are pieces of the
repository's code. Nothing else in this package sends anything anywhere.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

from fingerprint import FingerprintError
from fingerprint.harvest.store import Component, Example, TokenFigure
from fingerprint.labels.label import UNCLEAR, Label, visible_token

MOST_EXAMPLES, MOST_FIGURES = 12, 8
"""Windows and tokens of a table that are sent."""
LEAST_EXAMPLES = 3
"""A component with fewer windows is not asked about."""
_RETRIES = 3
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


class EndpointError(FingerprintError):
    """The endpoint cannot be reached or does not answer as asked; the message says what to do."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask.

    Attributes:
        url: such as https://host/v1, to which /chat/completions is added. model: its name there. key:
            bearer token, "" for none. timeout_s: of one request. wait_s: before the first repetition.
    """

    url: str
    model: str
    key: str = ""
    timeout_s: float = 60.0
    wait_s: float = 1.0

    def ask(self, system: str, user: str) -> Mapping[str, Any]:
        """One question, answered by a JSON object; refusals for load are repeated three times.

        Raises:
            EndpointError: no answer, or none that is JSON.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = {"model": self.model, "messages": messages, "temperature": 0}
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        address = f"{self.url.rstrip('/')}/chat/completions"
        for attempt in range(_RETRIES + 1):
            try:
                response = httpx.post(address, json=body, headers=headers, timeout=self.timeout_s)
            except httpx.HTTPError as error:
                raise EndpointError(
                    f"The endpoint {self.url} gave no answer ({error}): check ROUTEPRINT_LABEL_URL."
                ) from error
            is_busy = response.status_code == 429 or response.status_code >= 500
            if not is_busy or attempt == _RETRIES:
                return self._content(response)
            time.sleep(self.wait_s * 2**attempt)
        raise AssertionError

    def _content(self, response: httpx.Response) -> Mapping[str, Any]:
        if response.status_code != 200:
            raise EndpointError(
                f"The endpoint {self.url} answered {response.status_code}: check ROUTEPRINT_LABEL_URL, "
                "ROUTEPRINT_LABEL_MODEL and ROUTEPRINT_LABEL_KEY."
            )
        try:
            text = response.json()["choices"][0]["message"]["content"]
            found = json.loads(re.sub(r"^```(json)?|```$", "", text.strip(), flags=re.MULTILINE))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise EndpointError(
                f"The endpoint {self.url} did not answer with a JSON object as asked: try another model."
            ) from error
        if not isinstance(found, Mapping):
            raise EndpointError(
                f"The endpoint {self.url} answered JSON that is no object: try another model."
            )
        return found


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
