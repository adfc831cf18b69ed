"""A decomposition as a directory: config.json with dials, verdict and metrics, and the tensors beside it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fingerprint.storage import write_json, written_whole
from fingerprint.vpd.components import VpdError
from fingerprint.vpd.config import VpdConfig
from fingerprint.vpd.metrics import Metrics, SiteMetrics
from fingerprint.vpd.targets import Target, digest_target
from fingerprint.vpd.train import Decomposition, start
from fingerprint.vpd.verdict import Verdict, Watch

FORMAT = 1
_COMPONENTS, _GATES = "components.", "gates."


def save_decomposition(found: Decomposition, target: Target, directory: Path) -> None:
    """Write U, V, the gating network and everything measured, replacing the directory in one move."""
    tensors = {_COMPONENTS + name: value for name, value in found.components.state_dict().items()}
    tensors |= {_GATES + name: value for name, value in found.gates.state_dict().items()}
    stored = {name: value.cpu().contiguous() for name, value in tensors.items()}
    with written_whole(directory) as fresh:
        save_file(stored, fresh / "vpd.safetensors")
        write_json(fresh / "config.json", _facts(found, target))


def load_decomposition(directory: Path, target: Target) -> Decomposition:
    """Read what ``save_decomposition`` wrote.

    Raises:
        VpdError: missing, damaged, of another format, or of another target.
    """
    try:
        facts = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(directory / "vpd.safetensors", device=str(target.device))
    except (OSError, ValueError, SafetensorError) as error:
        raise VpdError(f"No readable decomposition in {directory}: {error}. Run it again.") from error
    if facts.get("format") != FORMAT:
        raise VpdError(
            f"The decomposition in {directory} has format {facts.get('format')!r}, not {FORMAT}: run again."
        )
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


def _facts(found: Decomposition, target: Target) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "target": digest_target(target),
        "sites": list(target.sites),
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
