"""Routes: input directions of the base, fitted once per base and frozen (routing.md section 1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fingerprint import FingerprintError
from fingerprint.lm.load import STARTER_DIRECTORY, Base
from fingerprint.storage import write_json, written_whole

FORMAT = 1
STARTER_ROUTES = STARTER_DIRECTORY.parent / "routes"
"""Where the routes of the embedded base are shipped."""
FLOOR = 1e-9
"""Smallest share of the largest activity variance that whitening divides by."""


class RoutesError(FingerprintError):
    """Routes are missing, of another base, or of an unknown format."""


@dataclass(frozen=True, eq=False)
class Routes:
    """Route (m, i) is row i of A[m].

    Attributes:
        A: per site, the directions [r, d_in], fp32 on the CPU.
        base, revision: the base they belong to.
    """

    A: dict[str, Tensor]
    base: str
    revision: str

    @property
    def rank(self) -> int:
        """Routes per site."""
        return next(iter(self.A.values())).shape[0]

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in layer order."""
        return tuple(self.A)

    @property
    def digest(self) -> str:
        """SHA-256 over sites, shapes and fp32 values."""
        digest = hashlib.sha256()
        for site in sorted(self.A):
            values = self.A[site].detach().to("cpu", torch.float32).contiguous()
            digest.update(f"{site}{tuple(values.shape)}".encode())
            digest.update(values.numpy().astype("<f4").tobytes())
        return digest.hexdigest()

    def check(self, base: Base) -> None:
        """Refuse a base these routes were not fitted for.

        Raises:
            RoutesError: on another revision or other sites.
        """
        if self.revision != base.revision or set(self.A) != set(base.sites):
            raise RoutesError(
                f"These routes belong to the base {self.base!r} at {self.revision[:12]}, but the base is "
                f"{base.name!r} at {base.revision[:12]}. Fit routes for it, or load the base they belong to."
            )

    def save(self, directory: Path) -> None:
        """Write routes.safetensors and routes.json, replacing the directory in one move."""
        values = {site: a.detach().to("cpu", torch.float32).contiguous() for site, a in self.A.items()}
        facts = {
            "format": FORMAT,
            "base": self.base,
            "revision": self.revision,
            "rank": self.rank,
            "sites": list(self.A),
            "digest": self.digest,
        }
        with written_whole(directory) as fresh:
            save_file(values, fresh / "routes.safetensors")
            write_json(fresh / "routes.json", facts)

    @classmethod
    def load(cls, directory: Path, base: Base | None = None) -> Routes:
        """Read what ``save`` wrote; with ``base``, check that they belong to it.

        Raises:
            RoutesError: missing, damaged, of another format or of another base.
        """
        try:
            facts = json.loads((directory / "routes.json").read_text(encoding="utf-8"))
            values = load_file(directory / "routes.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise RoutesError(f"No readable routes in {directory}: {error}. Fit them first.") from error
        if facts.get("format") != FORMAT:
            raise RoutesError(
                f"The routes in {directory} have format {facts.get('format')!r}, this version reads {FORMAT}."
            )
        routes = cls({site: values[site] for site in facts["sites"]}, facts["base"], facts["revision"])
        if routes.digest != facts["digest"]:
            raise RoutesError(f"The routes in {directory} are damaged: the digest is not the one noted.")
        if base is not None:
            routes.check(base)
        return routes


def load_starter_routes(base: Base) -> Routes:
    """The routes shipped with the embedded base."""
    return Routes.load(STARTER_ROUTES, base)


def random_routes(base: Base, rank: int, seed: int) -> Routes:
    """Gaussian directions with entries of variance 1 / d_in: the ablation, and a start for fitting."""
    generator = torch.Generator().manual_seed(seed)
    directions: dict[str, Tensor] = {}
    for site in base.sites:
        n_in = base.site_shape(site)[1]
        directions[site] = torch.randn(rank, n_in, generator=generator) / n_in**0.5
    return Routes(directions, base.name, base.revision)


def canonicalise(
    routes: Routes,
    second_moments: Mapping[str, Float[Tensor, "i i"]],
    weights: Sequence[Mapping[str, Tensor]],
) -> Routes:
    """Choose the basis in which activities are decorrelated and ordered by energy; the span stays.

    Args:
        routes: any basis. second_moments: E[h h^T] of each site's input, not centred.
        weights: B [d_out, r] per adapter and site in the given basis; they define the energy,
            the eigenvalues of sum B^T B after whitening. None: the whitened basis as it is.

    Returns:
        Routes with E[z z^T] = I for z = A h, strongest first; each row's largest entry is positive.
    """
    done: dict[str, Tensor] = {}
    for site, a in routes.A.items():
        done[site] = _canonical_rows(a, second_moments[site], [w[site] for w in weights])
    return Routes(done, routes.base, routes.revision)


def _canonical_rows(
    a: Float[Tensor, "r i"], moment: Float[Tensor, "i i"], weights: Sequence[Float[Tensor, "o r"]]
) -> Float[Tensor, "r i"]:
    rows = a.detach().to("cpu", torch.float64)
    activity = rows @ moment.detach().to("cpu", torch.float64) @ rows.T
    values, vectors = torch.linalg.eigh((activity + activity.T) / 2)
    root = values.clamp(min=float(values.max()) * FLOOR).sqrt()
    rows = (vectors / root) @ vectors.T @ rows
    if weights:
        back = (vectors * root) @ vectors.T
        whitened = [b.detach().to("cpu", torch.float64) @ back for b in weights]
        energy = torch.stack([b.T @ b for b in whitened]).sum(0)
        rows = torch.linalg.eigh(energy).eigenvectors.flip(1).T @ rows
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return (rows * largest.sign()).float()
