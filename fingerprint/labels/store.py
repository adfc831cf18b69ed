"""Labels with their scores as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fingerprint import FingerprintError
from fingerprint.evaluation.metrics import Interval
from fingerprint.labels.label import Label
from fingerprint.labels.scoring import LabelScore
from fingerprint.storage import read_format, write_json

FORMAT = 1


class LabelsError(FingerprintError):
    """Stored labels are missing, damaged or of an unknown format."""


@dataclass(frozen=True)
class Labels:
    """Every component's label of one harvest.

    Attributes:
        labels: in the order of components. scores: of those that could be scored, by component.
            dealt_auroc: mean AUROC of the same labels dealt out to other components: chance.
        mean_auroc: of the labels where they belong.
    """

    labels: tuple[Label, ...]
    scores: dict[int, LabelScore]
    mean_auroc: float
    dealt_auroc: float

    def save(self, path: Path) -> None:
        """Write them."""
        facts = {
            "format": FORMAT,
            "labels": [asdict(label) for label in self.labels],
            "scores": [asdict(score) for score in self.scores.values()],
            "mean_auroc": _number(self.mean_auroc),
            "dealt_auroc": _number(self.dealt_auroc),
        }
        write_json(path, facts)

    @classmethod
    def load(cls, path: Path) -> Labels:
        """Read what ``save`` wrote.

        Raises:
            LabelsError: missing, damaged, or of another format.
        """
        facts = read_format(path, FORMAT, LabelsError, what=f"labels in {path}", remedy="Label again")
        scores = [_score(stored) for stored in facts["scores"]]
        return cls(
            tuple(_label(stored) for stored in facts["labels"]),
            {score.component: score for score in scores},
            _figure(facts["mean_auroc"]),
            _figure(facts["dealt_auroc"]),
        )

    @property
    def n_clear(self) -> int:
        """Labels that say something."""
        return sum(label.is_clear for label in self.labels)


def _number(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124 - NaN is no JSON


def _figure(value: float | None) -> float:
    return float("nan") if value is None else value


def _label(stored: dict[str, Any]) -> Label:
    def tokens(side: Sequence[Sequence[Any]]) -> tuple[tuple[int, str, float], ...]:
        return tuple((int(token), str(text), float(weight)) for token, text, weight in side)

    return Label(**{**stored, "inputs": tokens(stored["inputs"]), "outputs": tokens(stored["outputs"])})


def _score(stored: dict[str, Any]) -> LabelScore:
    return LabelScore(
        **{**stored, "auroc": Interval(**stored["auroc"]), "balanced": Interval(**stored["balanced"])}
    )
