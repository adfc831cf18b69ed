"""What one read says of an author, place by place, beside null adapters at the same places. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from fingerprint import FingerprintError
from fingerprint.signature import RoutingSignature

Axis = Literal["matrices", "tokens", "latents", "components"]
"""What the places are. Several reads have matrices and tokens; the others belong to one dictionary."""
COMMON_AXES: tuple[Axis, ...] = ("matrices", "tokens")
_FLOOR = 0.01
"""Share of the usual size added to both sides of a ratio, so that next to nothing is not infinitely more."""


@dataclass(frozen=True, eq=False)
class Part:
    """One read on one axis.

    Attributes:
        read: "routes", "spectrum", "latents", "alive sets", "edits" or "attribution". axis: what places are.
        unit: of the values. places: names, one a value. own: the author's, [p]. null_names: of the null
            adapters. null: their values at the same places, [n, p].
        is_signed: whether values are changes with a sign; else they are sizes, never negative.
    """

    read: str
    axis: Axis
    unit: str
    places: tuple[str, ...]
    own: Float[np.ndarray, " p"]
    null_names: tuple[str, ...]
    null: Float[np.ndarray, "n p"]
    is_signed: bool = False

    def __post_init__(self) -> None:
        expected = (len(self.null_names), len(self.places))
        if (len(self.null_names), len(self.own)) != expected or self.null.shape != expected:
            raise FingerprintError(
                f"{self.name}: expected {expected[1]} values and nulls of shape {expected}, got "
                f"{len(self.own)} and {self.null.shape}; read it again"
            )

    @property
    def name(self) -> str:
        """Read and axis, as "routes/matrices"."""
        return f"{self.read}/{self.axis}"

    @property
    def signatures(self) -> Float[np.ndarray, "s p"]:
        """Own and null values, one row a state, sizes as logarithms: what cosines are taken of."""
        values = np.vstack([self.own[None], self.null])
        if self.is_signed:
            return values
        return np.log(values + (_FLOOR * float(values.mean()) or 1e-12))

    @property
    def band(self) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """Least and largest null at every place; NaN without nulls."""
        if not len(self.null):
            nothing = np.full(len(self.own), np.nan)
            return nothing, nothing
        return self.null.min(axis=0), self.null.max(axis=0)

    def beyond(self) -> Float[np.ndarray, " p"]:
        """What is the author's own at every place: own minus the nulls' mean, a matrix's size as a log-ratio.

        Matrices differ in size by orders of magnitude; tokens do not, and most of them hold next to nothing.
        """
        return self._against(self.own, self.null)

    def null_beyond(self, name: str) -> Float[np.ndarray, " p"]:
        """The same of one null against the other nulls: what an adapter of nobody shows."""
        index = self.null_names.index(name)
        return self._against(self.null[index], np.delete(self.null, index, axis=0))

    def _against(
        self, own: Float[np.ndarray, " p"], others: Float[np.ndarray, "n p"]
    ) -> Float[np.ndarray, " p"]:
        mean = others.mean(axis=0)
        if self.is_signed or self.axis != "matrices":
            return own - mean
        floor = _FLOOR * float(mean.mean()) or 1e-12
        return np.log((own + floor) / (mean + floor))

    def at(self, places: Sequence[str]) -> Part:
        """Some of the places, in the order asked for."""
        index = {place: i for i, place in enumerate(self.places)}
        rows = [index[place] for place in places]
        return replace(self, places=tuple(places), own=self.own[rows], null=self.null[:, rows])


@dataclass(frozen=True)
class Absence:
    """A part that is not there: which read, why, and the command that makes it ("" where none can)."""

    read: str
    reason: str
    command: str = ""


def gather(
    signature: RoutingSignature, parts: Sequence[Part], absences: Sequence[Absence], facts: Mapping[str, Any]
) -> RoutingSignature:
    """The routing signature with every other read as a named part, each with its null.

    A part's values are reading and null "read/axis"; its unit, places and null names stand in
    ``facts["parts"]``, what is missing in ``facts["absent"]``.
    """
    described = {
        part.name: {
            "read": part.read, "axis": part.axis, "unit": part.unit, "places": list(part.places),
            "nulls": list(part.null_names), "is_signed": part.is_signed,
        }
        for part in parts
    }  # fmt: skip
    absent = [{"read": a.read, "reason": a.reason, "command": a.command} for a in absences]
    return replace(
        signature,
        readings=signature.readings | {part.name: np.asarray(part.own, float) for part in parts},
        null=signature.null | {part.name: np.asarray(part.null, float) for part in parts if len(part.null)},
        facts=signature.facts | {"parts": described, "absent": absent} | dict(facts),
    )


def parts_of(signature: RoutingSignature) -> tuple[Part, ...]:
    """The parts that ``gather`` put into a signature."""
    found = []
    for name, about in signature.facts.get("parts", {}).items():
        own = signature.readings[name]
        null = signature.null.get(name, np.zeros((0, len(own))))
        found.append(
            Part(
                about["read"], about["axis"], about["unit"], tuple(about["places"]), own,
                tuple(about["nulls"]), null, about["is_signed"],
            )
        )  # fmt: skip
    return tuple(found)


def absences_of(signature: RoutingSignature) -> tuple[Absence, ...]:
    """What ``gather`` found missing."""
    return tuple(Absence(**row) for row in signature.facts.get("absent", ()))
