"""What a killed training goes on from: model state, optimiser and run, in one file."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.lm.pair import RouteWeights


class CheckpointError(FingerprintError):
    """A checkpoint belongs to another run or cannot be read."""


@runtime_checkable
class Optimiser(Protocol):
    """What moves the weights, and keeps a state between steps: torch's, or Muon over B."""

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go on from there."""
        ...


@dataclass
class RunState:
    """The moving parts of a run: what a checkpoint holds, besides B and the optimiser.

    Attributes:
        kept: states by step, of a run that keeps its development.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    dev_history: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    def is_best(self, dev_loss: float, may_keep_start: bool) -> bool:
        """Whether a state's dev loss is below every earlier one, the start's counted or not."""
        return all(dev_loss < loss for step, loss in self.dev_history if step or may_keep_start)


def save_checkpoint(
    path: Path | None, key: str, weights: RouteWeights, optimiser: Optimiser, run: RunState
) -> None:
    """Write model state, optimiser and run atomically; no path, no checkpoint."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.part")
    with fresh.open("wb") as stream:
        torch.save(
            {"key": key, "weights": weights, "optimiser": optimiser.state_dict(), "run": asdict(run)}, stream
        )
        stream.flush()
        os.fsync(stream.fileno())  # a name that outlives a power cut must not outlive its content
    fresh.replace(path)


def resume(
    path: Path | None, key: str, device: torch.device, optimiser: Optimiser
) -> tuple[RunState, RouteWeights | None]:
    """The run a checkpoint holds and its model state, the optimiser's put into ``optimiser``; else a new one.

    Raises:
        CheckpointError: the checkpoint is of another run, or damaged.
    """
    if path is None or not path.exists():
        return RunState(), None
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        message = f"The checkpoint {path} cannot be read: {error}. Delete it to start over."
        raise CheckpointError(message) from error
    if stored["key"] != key:
        raise CheckpointError(
            f"The checkpoint {path} belongs to another run (other code, dials, start or base). "
            "Delete it to start over."
        )
    optimiser.load_state_dict(stored["optimiser"])
    return RunState(**stored["run"]), stored["weights"]
