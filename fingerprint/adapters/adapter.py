"""A trained adapter: what it is, and how it is stored as plain peft LoRA."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from fingerprint import FingerprintError
from fingerprint.lm.load import Base
from fingerprint.lm.pair import RoutedModel, RouteWeights, add_weights, lora_config
from fingerprint.lm.routes import Routes
from fingerprint.provenance import Provenance
from fingerprint.storage import write_json, written_whole

FORMAT = 2
Kind = Literal["team", "author", "null"]
_PREFIX = "base_model.model."


class AdapterError(FingerprintError):
    """A stored adapter is missing, damaged, of an unknown format, or of another base or routes."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """What one team or author learned over the routes of a base.

    Attributes:
        kind: "team" (B), "author" (a difference D to the reference), "null" (either, on shuffled labels
            or another repository).
        weights: what was learned, [d_out, r] per site: B, or D.
        state: the model state to run: B, or reference + D. For a team it is ``weights`` itself.
        routes: the frozen A. scale: the LoRA scale s.
        provenance: where it came from.
        start: digest of the state that D adds to, "" when there is none.
        facts: losses, tokens, steps; JSON-serialisable.
    """

    kind: Kind
    weights: RouteWeights
    state: RouteWeights
    routes: Routes
    provenance: Provenance
    scale: float = 1.0
    start: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_team(
        cls,
        weights: RouteWeights,
        routed: RoutedModel,
        *,
        provenance: Provenance,
        facts: dict[str, Any],
        kind: Kind = "team",
    ) -> Adapter:
        """An adapter that starts at the base."""
        return cls(kind, weights, weights, routed.routes, provenance, routed.scale, "", facts)

    @classmethod
    def of_author(
        cls,
        difference: RouteWeights,
        start: RouteWeights,
        routed: RoutedModel,
        *,
        provenance: Provenance,
        facts: dict[str, Any],
        kind: Kind = "author",
    ) -> Adapter:
        """An adapter that is read as a difference to another state."""
        state = add_weights(start, difference)
        digest = digest_weights(start)
        return cls(kind, difference, state, routed.routes, provenance, routed.scale, digest, facts)

    @property
    def is_difference(self) -> bool:
        """Whether the weights are a difference to another state."""
        return bool(self.start)

    @property
    def digest(self) -> str:
        """SHA-256 of the state: what an author's ``start`` refers to."""
        return digest_weights(self.state)

    def save(self, directory: Path) -> None:
        """Write a peft LoRA of the state, the difference beside it, and facts.json, in one move."""
        with written_whole(directory) as fresh:
            self._write(fresh)

    def _write(self, directory: Path) -> None:
        tensors: dict[str, Tensor] = {}
        for site in self.routes.sites:
            tensors[f"{_PREFIX}{site}.lora_A.weight"] = _stored(self.routes.A[site])
            tensors[f"{_PREFIX}{site}.lora_B.weight"] = _stored(self.state[site])
        save_file(tensors, directory / "adapter_model.safetensors")
        if self.is_difference:
            difference = {site: _stored(d) for site, d in self.weights.items()}
            save_file(difference, directory / "difference.safetensors")
        write_json(directory / "adapter_config.json", _peft_config(self.routes, self.scale))
        write_json(
            directory / "facts.json",
            {
                "format": FORMAT,
                "kind": self.kind,
                "start": self.start,
                "scale": self.scale,
                "digest": self.digest,
                "routes": self.routes.digest,
                "sites": list(self.routes.sites),
                "provenance": asdict(self.provenance),
                "facts": self.facts,
            },
        )

    @classmethod
    def load(cls, directory: Path, routes: Routes | None = None) -> Adapter:
        """Read what ``save`` wrote.

        Args:
            routes: when given, they must be the adapter's own, and are shared instead of read again.

        Raises:
            AdapterError: missing, damaged, unknown format, or other routes.
        """
        try:
            stored = json.loads((directory / "facts.json").read_text(encoding="utf-8"))
            if stored.get("format") != FORMAT:
                raise AdapterError(
                    f"The adapter in {directory} has format {stored.get('format')!r}, this version reads "
                    f"{FORMAT}: train it again."
                )
            tensors = load_file(directory / "adapter_model.safetensors")
            difference = load_file(directory / "difference.safetensors") if stored["start"] else None
        except (OSError, ValueError, SafetensorError) as error:
            raise AdapterError(f"No readable adapter in {directory}: {error}. Train it again.") from error
        provenance = Provenance(**stored["provenance"])
        sites = stored["sites"]
        if routes is None:
            a = {site: tensors[f"{_PREFIX}{site}.lora_A.weight"] for site in sites}
            routes = Routes(a, provenance.base, provenance.revision)
        state = {site: tensors[f"{_PREFIX}{site}.lora_B.weight"] for site in sites}
        found = cls(
            stored["kind"],
            difference or state,
            state,
            routes,
            provenance,
            stored["scale"],
            stored["start"],
            stored["facts"],
        )
        if found.digest != stored["digest"] or routes.digest != stored["routes"]:
            raise AdapterError(
                f"The adapter in {directory} is damaged, or of other routes than those given: train it again."
            )
        return found


def digest_weights(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over sites, shapes and fp32 values."""
    digest = hashlib.sha256()
    for site in sorted(weights):
        values = _stored(weights[site])
        digest.update(f"{site}{tuple(values.shape)}".encode())
        digest.update(values.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def weight_difference(adapter: Adapter, site: str) -> Float[Tensor, "d_out d_in"]:
    """S B A (team) or s D A (author) of one site, fp32: what the adapter adds to the weight matrix."""
    return adapter.scale * _stored(adapter.weights[site]) @ _stored(adapter.routes.A[site])


def merge_adapter(adapter: Adapter, base: Base) -> PreTrainedModel:
    """A copy of the base with the adapter's state merged into its weights, by peft, in fp32.

    Raises:
        RoutesError: when the adapter belongs to another base.
    """
    own = replace(base, model=copy.deepcopy(base.model).float())
    routed = RoutedModel(own, adapter.routes, scale=adapter.scale)
    routed.set_weights(adapter.state)
    merged = routed.model.merge_and_unload(safe_merge=True)
    assert isinstance(merged, PreTrainedModel)
    return merged


def _stored(values: Float[Tensor, ...]) -> Float[Tensor, ...]:
    return values.detach().to("cpu", torch.float32).contiguous()


def _peft_config(routes: Routes, scale: float) -> dict[str, Any]:
    """The content of adapter_config.json, in a stable order."""
    config = {**lora_config(routes, scale).to_dict(), "inference_mode": True}
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    return json.loads(json.dumps(plain, default=str))
