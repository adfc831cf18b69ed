"""A harvest on disk: safetensors with a row a component, a JSON index beside it, read a page at a time.

A page reads its own rows of the components' tables, and of the others only the totals by token and component.
Torch-free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fingerprint import FingerprintError
from fingerprint.harvest.summary import COMPONENT_TABLES, background_tables, component_tables
from fingerprint.harvest.tally import STRENGTH_UNIT, Tally
from fingerprint.provenance import Provenance
from fingerprint.storage import read_format, write_json, written_whole

FORMAT = 1
PAGE = 50
"""Components on a page."""
_TABLES, _INDEX = "harvest.safetensors", "index.json"


class HarvestError(FingerprintError):
    """A stored harvest is missing, damaged or of an unknown format, or a component is not in it."""


@dataclass(frozen=True)
class TokenFigure:
    """A token beside a component.

    Attributes:
        text: of the token. count: firings on it (or before it). pmi: nats. precision: share of the token's
            occurrences on which the component fires. recall: share of its firings that the token takes.
    """

    token: int
    text: str
    count: int
    pmi: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Partner:
    """Another component: tokens on which both fire, and their Jaccard index."""

    component: int
    count: int
    jaccard: float


@dataclass(frozen=True)
class Example:
    """A window around a firing, which is on the token in its middle; -1 stands beyond the text."""

    tokens: tuple[int, ...]
    strength: float

    @property
    def centre(self) -> int:
        """The token it fires on."""
        return self.tokens[len(self.tokens) // 2]

    @property
    def following(self) -> int:
        """The next token of the text."""
        return self.tokens[len(self.tokens) // 2 + 1]


@dataclass(frozen=True)
class Component:
    """Everything kept of a component.

    Attributes:
        number: in the harvest. group, index: its part and its number there. n_firings, density: on counted
            tokens. mean_strength: given firing; None without one. first_share: of all its firings, those at
            position 0; None without any. inputs: tokens it fires on. outputs: tokens that come next.
    """

    number: int
    group: str
    index: int
    n_firings: int
    density: float
    mean_strength: float | None
    first_share: float | None
    inputs: tuple[TokenFigure, ...]
    outputs: tuple[TokenFigure, ...]
    partners: tuple[Partner, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, eq=False)
class Background:
    """Tokens drawn whatever fires there: their windows, and what does fire on each."""

    examples: tuple[Example, ...]
    fired: tuple[frozenset[int], ...]


def save_harvest(
    tally: Tally,
    directory: Path,
    *,
    key: str,
    groups: Sequence[tuple[str, int]],
    provenance: Provenance,
    token_text: Callable[[int], str],
) -> None:
    """Write a finished tally, replacing the directory in one move.

    Args:
        key: digest of what was harvested. groups: (name, components) of each part.
        token_text: the text of a token; kept for those that occur.
    """
    own, shared = component_tables(tally), background_tables(tally)
    used = [own["example_tokens"], own["input_tokens"], own["output_tokens"], shared["background_tokens"]]
    seen = np.unique(np.concatenate([table.ravel() for table in used]))
    with written_whole(directory) as fresh:
        tables = {name: np.ascontiguousarray(table) for name, table in (own | shared).items()}
        save_file(tables, fresh / _TABLES)
        index = {
            "format": FORMAT,
            "key": key,
            "groups": [list(group) for group in groups],
            "provenance": asdict(provenance),
            "config": tally.config.model_dump(mode="json"),
            "n_components": tally.n_components,
            "n_counted": tally.n_counted,
            "n_followed": tally.n_followed,
            "n_windows": tally.n_windows,
            "vocabulary": {str(token): token_text(int(token)) for token in seen if token >= 0},
        }
        write_json(fresh / _INDEX, index)


@dataclass(frozen=True, eq=False)
class Harvest:
    """A stored harvest, of which only the index is in memory.

    Attributes:
        directory: where it is. facts: its index.
    """

    directory: Path
    facts: dict[str, Any]

    @classmethod
    def open(cls, directory: Path) -> Harvest:
        """Read the index.

        Raises:
            HarvestError: missing, damaged, or of another format.
        """
        facts = read_format(
            directory / _INDEX, FORMAT, HarvestError, what=f"harvest in {directory}", remedy="Harvest again"
        )
        return cls(directory, facts)

    @property
    def n_components(self) -> int:
        """Components, those that never fire included."""
        return self.facts["n_components"]

    @property
    def n_pages(self) -> int:
        """Pages of fifty."""
        return -(-self.n_components // PAGE)

    @cached_property
    def vocabulary(self) -> dict[int, str]:
        """Texts of the tokens that occur in the harvest."""
        return {int(token): text for token, text in self.facts["vocabulary"].items()}

    @cached_property
    def _totals(self) -> tuple[Int[np.ndarray, " v"], Int[np.ndarray, " v"]]:
        tables = self._rows(0, None, ("token_counts", "next_token_counts"))
        return tables["token_counts"], tables["next_token_counts"]

    def page(self, number: int, size: int = PAGE) -> list[Component]:
        """Components number * size and following, in order.

        Raises:
            HarvestError: no such page.
        """
        first = number * size
        if not 0 <= first < self.n_components:
            last = -(-self.n_components // size) - 1
            raise HarvestError(f"The harvest in {self.directory} has pages 0 to {last}, not {number}.")
        return self.components(first, min(first + size, self.n_components))

    def components(self, first: int, last: int) -> list[Component]:
        """Components first to last - 1.

        Raises:
            HarvestError: there are not so many.
        """
        if not 0 <= first <= last <= self.n_components:
            raise HarvestError(
                f"{self.directory} holds components 0 to {self.n_components - 1}, not {first} to {last - 1}."
            )
        tables = self._rows(first, last, COMPONENT_TABLES)
        return [self._component(first + i, i, tables) for i in range(last - first)]

    def densities(self) -> Int[np.ndarray, " c"]:
        """Firings of every component."""
        return self._rows(0, None, ("firings",))["firings"]

    def background(self) -> Background:
        """The background sample."""
        names = ("background_tokens", "background_offsets", "background_components")
        tokens, offsets, fired = self._rows(0, None, names).values()
        found = tuple(Example(tuple(row), 0.0) for row in tokens.tolist())
        at = [frozenset(fired[a:b].tolist()) for a, b in pairwise(offsets)]
        return Background(found, tuple(at))

    def _rows(self, first: int, last: int | None, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Rows of tables."""
        try:
            with safe_open(self.directory / _TABLES, framework="numpy") as file:
                return {name: file.get_slice(name)[first:last] for name in names}
        except (OSError, SafetensorError) as error:
            raise HarvestError(
                f"The harvest in {self.directory} cannot be read: {error}. Harvest again."
            ) from error

    def _component(self, number: int, row: int, tables: dict[str, np.ndarray]) -> Component:
        group, index = self.place_of(number)
        n, at_first = int(tables["firings"][row]), int(tables["at_first"][row])
        counts = self._totals
        return Component(
            number, group, index, n, n / max(1, self.facts["n_counted"]),
            float(tables["strength"][row]) / STRENGTH_UNIT / n if n else None,
            at_first / (at_first + n) if at_first + n else None,
            self._figures("input", row, tables, counts[0], n),
            self._figures("output", row, tables, counts[1], int(tables["followed"][row])),
            self._partners(row, tables, n),
            tuple(
                Example(tuple(tokens), float(strength))
                for tokens, strength in zip(
                    tables["example_tokens"][row].tolist(), tables["example_strength"][row], strict=True
                )
                if strength > 0
            ),
        )  # fmt: skip

    def place_of(self, number: int) -> tuple[str, int]:
        """(group, number within it) of a component.

        Raises:
            HarvestError: no such component.
        """
        for name, size in self.facts["groups"]:
            if number < size:
                return name, number
            number -= size
        raise HarvestError(f"The groups of {self.directory} do not hold all components. Harvest again.")

    def _figures(
        self, side: str, row: int, tables: dict[str, np.ndarray], totals: Int[np.ndarray, " v"], n: int
    ) -> tuple[TokenFigure, ...]:
        columns = (tables[f"{side}_{name}"][row].tolist() for name in ("tokens", "counts", "pmi"))
        return tuple(
            TokenFigure(token, self.vocabulary[token], count, told, count / int(totals[token]), count / n)
            for token, count, told in zip(*columns, strict=True)
            if token >= 0
        )

    def _partners(self, row: int, tables: dict[str, np.ndarray], n: int) -> tuple[Partner, ...]:
        pairs = zip(tables["partners"][row].tolist(), tables["partner_counts"][row].tolist(), strict=True)
        others = [(other, count) for other, count in pairs if other >= 0]
        firings = self._all_firings
        return tuple(Partner(o, c, c / (n + int(firings[o]) - c)) for o, c in others)

    @cached_property
    def _all_firings(self) -> Int[np.ndarray, " c"]:
        return self.densities()
