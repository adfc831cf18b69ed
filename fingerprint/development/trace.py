"""What sampling leaves: every draw of every whole chain, what w* itself gives, and how it was made."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fingerprint import FingerprintError


class TraceError(FingerprintError):
    """A stored trace cannot be read, or lacks what is asked for."""


@dataclass(frozen=True, eq=False)
class Chain:
    """One chain.

    Attributes:
        draws: by name, [draw] or [draw, n]. losses: of every step's minibatch, burn-in included, nats.
        is_finite: False for a chain that diverged: it has no draws.
    """

    draws: dict[str, np.ndarray]
    losses: Float[np.ndarray, " step"]
    is_finite: bool


@dataclass(frozen=True, eq=False)
class Trace:
    """Draws around one checkpoint, burn-in left out.

    Attributes:
        draws: by name, [chain, draw] for scalars, [chain, draw, n] for vectors. at_star: the same at w*.
        batch_losses: [chain, step] minibatch losses, burn-in included, nats. diverged: numbers of the chains
            left out. n_params: entries that moved (d). step_size: epsilon. curvature: top eigenvalue of
            G^1/2 H G^1/2 at w* in absolute value; nan where the step size was given. gradient_norm: of the
            mean loss at w*, over the entries that move. seconds: CPU time of this process.
    """

    draws: dict[str, np.ndarray]
    at_star: dict[str, np.ndarray]
    batch_losses: Float[np.ndarray, "chain step"]
    diverged: tuple[int, ...]
    n_params: int
    step_size: float
    curvature: float
    gradient_norm: float
    n_beta: float
    gamma: float
    seconds: float

    @property
    def n_chains(self) -> int:
        """Whole chains."""
        return len(self.batch_losses)

    def of(self, name: str) -> Float[np.ndarray, "chain draw *n"]:
        """The draws of one observable.

        Raises:
            TraceError: it was not observed.
        """
        if name not in self.draws:
            raise TraceError(f"{name!r} was not observed; there are {', '.join(sorted(self.draws))}")
        return self.draws[name]

    def pooled(self, name: str) -> Float[np.ndarray, "draws ..."]:
        """The draws of one observable, chain after chain."""
        values = self.of(name)
        return values.reshape(-1, *values.shape[2:])

    def save(self, path: Path) -> None:
        """Write one npz file, whole or not at all."""
        facts = {k: np.array(v) for k, v in asdict(self).items() if k not in {"draws", "at_star"}}
        draws = {f"draw/{name}": values for name, values in self.draws.items()}
        _save(path, facts | draws | {f"star/{name}": values for name, values in self.at_star.items()})

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Read what ``save`` wrote.

        Raises:
            TraceError: missing or damaged.
        """
        stored = _load(path)
        parts = {
            part: {k.removeprefix(part): v for k, v in stored.items() if k.startswith(part)}
            for part in ("draw/", "star/")
        }
        numbers: dict[str, Any] = {
            field.name: stored[field.name].item() for field in fields(cls) if field.type in {"int", "float"}
        }
        return cls(
            draws=parts["draw/"], at_star=parts["star/"], batch_losses=stored["batch_losses"],
            diverged=tuple(int(n) for n in stored["diverged"]), **numbers,
        )  # fmt: skip


def write_chain(path: Path, digest: str, chain: Chain) -> None:
    """Keep a finished chain."""
    draws = {f"draw/{name}": values for name, values in chain.draws.items()}
    facts = {"digest": np.array(digest), "is_finite": np.array(chain.is_finite), "losses": chain.losses}
    _save(path, facts | draws)


def read_chain(path: Path, digest: str) -> Chain | None:
    """A chain kept by ``write_chain``; None when there is none.

    Raises:
        TraceError: it is damaged, or of another run.
    """
    if not path.exists():
        return None
    stored = _load(path)
    if str(stored["digest"]) != digest:
        raise TraceError(f"{path} is of another run (other dials or another checkpoint); delete its folder")
    draws = {name.removeprefix("draw/"): v for name, v in stored.items() if name.startswith("draw/")}
    return Chain(draws, stored["losses"], bool(stored["is_finite"]))


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")
    with fresh.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # pyright: ignore[reportArgumentType]
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError) as error:
        raise TraceError(f"{path} cannot be read: {error}. Delete it and run again.") from error
