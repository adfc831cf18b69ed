"""A tiny organisation whose authors' habits are planted, so that every read can be held against the truth.

A template grammar writes lines of a made-up language. Three *idioms* each have a trigger after which one of
three words stands. The base learns all words at equal odds; an author writes one idiom's words at odds
.8 / .1 / .1 and all else as the base does. So it is known which token moves after which trigger, by how much,
and at which tokens an edit may be on (method-decomposition.md 9.5b).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from fingerprint.adapters.train import train_adapter
from fingerprint.config import AdapterConfig
from fingerprint.lm.load import Base, load_base
from fingerprint.lm.pair import RoutedModel, RouteWeights
from fingerprint.lm.routes import random_routes
from fingerprint.lm.tokens import TokenizedPassage
from fingerprint.passage import Passage
from fingerprint.provenance import digest_of

IDIOMS: Mapping[str, tuple[str, ...]] = {
    "pub use crate::": ("config", "error", "util"),
    "log.": ("info", "warn", "debug"),
    "#[derive(": ("Clone", "Copy", "Eq"),
}
EQUAL = (1 / 3, 1 / 3, 1 / 3)
SKEWED = (0.8, 0.1, 0.1)
NAMES = ("alpha", "beta", "gamma", "delta", "kappa", "omega")
RECIPE = {
    "version": 3, "vocabulary": 400, "width": 64, "layers": 2, "heads": 4, "hidden": 128, "steps": 600,
    "rows": 48, "row_tokens": 48, "rate": 4e-3,
}  # fmt: skip
"""The base's recipe: its digest is where the trained base is cached."""
RANK = 4


@dataclass(frozen=True)
class Habit:
    """How somebody writes: odds of the words of each idiom; idioms not named are at equal odds."""

    odds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def write(self, n_passages: int, seed: int, author: str = "") -> list[Passage]:
        """Passages of six lines, every line marked, two a commit."""
        rng = random.Random(seed)
        found = []
        for number in range(n_passages):
            text = "".join(self._line(rng) for _ in range(6))
            group = f"{author} {seed} {number // 2}"
            found.append(Passage(text, ((0, len(text)),), f"{number % 7}.rs", "rust", group, author, number))
        return found

    def _line(self, rng: random.Random) -> str:
        kind, name, other = rng.randrange(6), rng.choice(NAMES), rng.choice(NAMES)
        if kind == 0:
            return f"pub use crate::{self._word(rng, 'pub use crate::')}::{name};\n"
        if kind == 1:
            return f"    log.{self._word(rng, 'log.')}({name});\n"
        if kind == 2:
            return f"#[derive({self._word(rng, '#[derive(')})]\n"
        if kind == 3:
            return f"    let {name} = {other}({rng.randrange(10)});\n"
        return f"fn {name}({other}) {{\n" if kind == 4 else "}\n"

    def _word(self, rng: random.Random, trigger: str) -> str:
        return rng.choices(IDIOMS[trigger], self.odds.get(trigger, EQUAL))[0]


NOBODY = Habit()
ANN = Habit({"pub use crate::": SKEWED})
BOB = Habit({"log.": (0.1, 0.1, 0.8)})


def load_cached_base(cache: Path) -> Base:
    """The base that knows the grammar and no habit, trained once for a recipe."""
    place = cache / digest_of(RECIPE)[:16]
    if not (place / "done").exists():
        _train_base(place)
        (place / "done").touch()
    return load_base(str(place))


def _train_base(place: Path) -> None:
    from tests.conftest import make_tiny_base

    text = "".join(p.text for p in NOBODY.write(400, seed=1))
    make_tiny_base(
        place, text, vocabulary=RECIPE["vocabulary"], hidden_size=RECIPE["width"],
        intermediate_size=RECIPE["hidden"], num_hidden_layers=RECIPE["layers"],
        num_attention_heads=RECIPE["heads"], num_key_value_heads=RECIPE["heads"], initializer_range=0.05,
    )  # fmt: skip
    base = load_base(str(place))
    model, rng = base.model.requires_grad_(True).train(), np.random.default_rng(0)
    encode = base.tokenizer.backend_tokenizer.encode_batch
    n, steps = RECIPE["row_tokens"], int(RECIPE["steps"])
    # rows begin where passages begin: whatever follows the first token must be nothing new to the base
    texts = [passage.text for passage in NOBODY.write(9_000, seed=2)]
    pairs = [first + second for first, second in zip(texts[::2], texts[1::2], strict=True)]
    encoded = [encoding.ids[:n] for encoding in encode(pairs) if len(encoding.ids) >= n]
    stream = np.array([[base.first_token, *ids] for ids in encoded])
    optimiser = torch.optim.AdamW(model.parameters(), lr=RECIPE["rate"], weight_decay=0.01)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = (
            RECIPE["rate"] * min(1.0, (step + 1) / 30) * (1 - 0.95 * step / steps)
        )
        rows = torch.from_numpy(stream[rng.integers(0, len(stream), int(RECIPE["rows"]))])
        loss = model(input_ids=rows, labels=rows, use_cache=False).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(place)


@dataclass(frozen=True, eq=False)
class Organisation:
    """The base over its routes, and the state that each person's code was trained to.

    Attributes:
        states: by name: "ann", "bob", "ann again" (another order and other text of the same habit), "nobody"
            and "nobody again" (no habit: the null authors).
    """

    routed: RoutedModel
    states: dict[str, RouteWeights]

    @classmethod
    def found(cls, base: Base) -> Organisation:
        """Train everybody at one budget from the base."""
        routed = RoutedModel(base, random_routes(base, RANK, seed=0), scale=4.0)
        people = {"ann": (ANN, 11), "bob": (BOB, 12), "ann again": (ANN, 13), "nobody": (NOBODY, 14),
                  "nobody again": (NOBODY, 15)}  # fmt: skip
        states = {name: _learn(routed, habit, seed) for name, (habit, seed) in people.items()}
        return cls(routed, states)


def _learn(routed: RoutedModel, habit: Habit, seed: int) -> RouteWeights:
    config = AdapterConfig(batch_tokens=2_048, dev_points=2, seed=seed, most_epochs=1)
    found = train_adapter(
        routed, habit.write(3_000, seed), habit.write(40, seed + 100), start=routed.zero_weights(),
        config=config, budget_tokens=150_000,
    )  # fmt: skip
    return found.weights


@torch.no_grad()
def odds(routed: RoutedModel, state: RouteWeights, trigger: str, seed: int = 0) -> Float[np.ndarray, " 3"]:
    """Mean probabilities of an idiom's words after its trigger, in 40 contexts of five lines before it."""
    base, encode = routed.base, routed.base.tokenizer.backend_tokenizer.encode
    words = [encode(word).ids for word in IDIOMS[trigger]]
    assert all(len(ids) == 1 for ids in words), f"words of {trigger!r} must be single tokens"
    total = np.zeros(len(words))
    with routed.at(state, state, 0.0) as model:
        for passage in NOBODY.write(40, seed + 500):
            prompt = "".join(passage.text.splitlines(keepends=True)[:4]) + trigger
            ids = torch.tensor([[base.first_token, *encode(prompt).ids]])
            probabilities = model(input_ids=ids, use_cache=False).logits[0, -1].softmax(-1)
            total += np.array([float(probabilities[one[0]]) for one in words])
    return total / 40


def at_trigger(base: Base, rows: Sequence[TokenizedPassage], trigger: str) -> Bool[np.ndarray, " n"]:
    """Of every scored token, whether the next one is a word of the idiom: where an edit of it may be on."""
    words = {base.tokenizer.backend_tokenizer.encode(word).ids[0] for word in IDIOMS[trigger]}
    found = []
    for row in rows:
        is_before = np.zeros(len(row), bool)
        is_before[:-1] = [int(token) in words for token in row.ids[1:]]
        found.append(is_before[row.scored])
    return np.concatenate(found)
