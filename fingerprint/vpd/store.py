"""A decomposition as a directory: config.json with dials, verdict and metrics, and the tensors beside it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fingerprint.storage import read_format, write_json, written_whole
from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.metrics import Metrics, SiteMetrics
from fingerprint.vpd.targets import Target, digest_target
from fingerprint.vpd.train import Decomposition, start
from fingerprint.vpd.verdict import Verdict, Watch

FORMAT = 2
_COMPONENTS, _GATES = "components.", "gates."


def save_decomposition(found: Decomposition, target: Target, directory: Path) -> None:
    """Write U, V, the gating network and everything measured, replacing the directory in one move."""
    tensors = {name: value.cpu().contiguous() for name, value in _tensors(found).items()}
    with written_whole(directory) as fresh:
        save_file(tensors, fresh / "vpd.safetensors")
        write_json(fresh / "config.json", _facts(found, target))


def load_decomposition(directory: Path, target: Target) -> Decomposition:
    """Read what ``save_decomposition`` wrote.

    Raises:
        VpdError: missing, damaged, of another format, or of another target.
    """
    facts = _read_facts(directory)
    try:
        tensors = load_file(directory / "vpd.safetensors", device=str(target.device))
    except (OSError, SafetensorError) as error:
        raise VpdError(f"No readable decomposition in {directory}: {error}. Run it again.") from error
    if facts["target"] != digest_target(target):
        raise VpdError(
            f"The decomposition in {directory} is of other matrices. Load it with the model it is of."
        )
    config = VpdConfig.model_validate(facts["config"])
    components, gates = start(target, config)
    components.load_state_dict(_part(tensors, _COMPONENTS))
    gates.load_state_dict(_part(tensors, _GATES))
    return Decomposition(
        components.requires_grad_(False),
        gates.requires_grad_(False),
        config,
        _metrics(facts["metrics"]),
        Verdict(**facts["verdict"]),
        tuple(Watch(**watch) for watch in facts["watches"]),
        tuple(facts["losses"]),
    )


def stored_sites(directory: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(sites, taps) of a stored decomposition: what the target to load it with must have.

    Raises:
        VpdError: missing, damaged, or of another format.
    """
    facts = _read_facts(directory)
    return tuple(facts["sites"]), tuple(facts["taps"])


def digest_decomposition(found: Decomposition) -> str:
    """SHA-256 over the tensors of components and gates, fp32: what tells two dictionaries apart."""
    digest = hashlib.sha256()
    for name, values in sorted(_tensors(found).items()):
        stored = values.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name}{tuple(stored.shape)}".encode())
        digest.update(stored.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _tensors(found: Decomposition) -> dict[str, Any]:
    tensors = {_COMPONENTS + name: value for name, value in found.components.state_dict().items()}
    return tensors | {_GATES + name: value for name, value in found.gates.state_dict().items()}


def _read_facts(directory: Path) -> dict[str, Any]:
    return read_format(
        directory / "config.json",
        FORMAT,
        VpdError,
        what=f"decomposition in {directory}",
        remedy="Run it again",
    )


def _facts(found: Decomposition, target: Target) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "target": digest_target(target),
        "sites": list(target.sites),
        "taps": list(target.taps),
        "is_valid": found.verdict.is_valid,
        "config": found.config.model_dump(mode="json"),
        "metrics": asdict(found.metrics),
        "verdict": asdict(found.verdict),
        "watches": [asdict(watch) for watch in found.watches],
        "losses": list(found.losses),
    }


def _metrics(facts: dict[str, Any]) -> Metrics:
    """Metrics from JSON, in which tuples are lists and integer keys are text."""
    sites = {
        name: SiteMetrics(**{key: _tupled(value) for key, value in site.items()})
        for name, site in facts["sites"].items()
    }
    attack = {int(steps): distance for steps, distance in facts["attack"].items()}
    return Metrics(**{**facts, "sites": sites, "attack": attack})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _part(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
