"""Series of checkpoints: step, tokens seen and loader, from a hub's revisions, from folders, from memory.

A loader gives a noun that the rest of the house reads already: whole models a ``Base``, states over frozen
routes a ``RoutedModel``, other people's LoRA a ``PeftModel``, toys their own module. Adapters are swapped on
one base, so the last one loaded is the one that is live: read a checkpoint before loading the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from peft import PeftModel, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fingerprint import FingerprintError
from fingerprint.adapters.adapter import Adapter, AdapterError
from fingerprint.lm.load import Base, load_base
from fingerprint.lm.pair import ADAPTER, RoutedModel, RouteWeights

PYTHIA_TOKENS_PER_STEP = 2_097_152
"""1,024 sequences of 2,048 tokens (Biderman et al. 2023)."""
FACTS = "checkpoint.json"
"""Beside a kept model: {"step", "tokens_seen"}."""
_FOLDER = re.compile(r"(?:step|checkpoint)-?(\d+)")
_BRANCH = re.compile(r"step(\d+)")
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


def step_folder(step: int) -> str:
    """Name of a checkpoint's folder."""
    return f"step-{step:06}"


class CheckpointsError(FingerprintError):
    """A series of checkpoints is missing, empty, or lacks what is asked for."""


@dataclass(frozen=True)
class Checkpoint(Generic[T_co]):
    """One point of a training.

    Attributes:
        step: optimiser steps taken. tokens_seen: tokens read by then, with repetition; None: unknown.
        load: gives the model at that point, in eval mode.
    """

    step: int
    tokens_seen: int | None
    load: Callable[[], T_co]


@dataclass(frozen=True)
class CheckpointSeries(Generic[T_co]):
    """Checkpoints of one training, by rising step.

    Attributes:
        name: what was trained, for people.
    """

    name: str
    checkpoints: tuple[Checkpoint[T_co], ...]

    def __iter__(self) -> Iterator[Checkpoint[T_co]]:
        return iter(self.checkpoints)

    def __len__(self) -> int:
        return len(self.checkpoints)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps, rising."""
        return tuple(checkpoint.step for checkpoint in self.checkpoints)

    def at(self, steps: Collection[int]) -> CheckpointSeries[T_co]:
        """The checkpoints at the given steps.

        Raises:
            CheckpointsError: one of them is not there.
        """
        if missing := sorted(set(steps) - set(self.steps)):
            raise CheckpointsError(
                f"{self.name} has no checkpoint at {_list(missing)}; there are {_list(self.steps)}"
            )
        return CheckpointSeries(self.name, tuple(c for c in self.checkpoints if c.step in set(steps)))

    def spread(self, n_most: int) -> CheckpointSeries[T_co]:
        """At most ``n_most`` checkpoints evenly over the series, first and last among them; one: the last."""
        n_there = len(self.checkpoints)
        if n_there <= n_most:
            return self
        if n_most == 1:  # what was trained: the first of any adapter's is the base
            return CheckpointSeries(self.name, self.checkpoints[-1:])
        chosen = {round(i * (n_there - 1) / (n_most - 1)) for i in range(n_most)}
        return CheckpointSeries(self.name, tuple(self.checkpoints[i] for i in sorted(chosen)))


def hub_series(
    name: str,
    steps: Collection[int] | None = None,
    *,
    device: str | torch.device = "cpu",
    tokens_per_step: int | None = PYTHIA_TOKENS_PER_STEP,
) -> CheckpointSeries[Base]:
    """Revisions ``stepN`` of a hub model, as Pythia publishes them, each pinned to its commit when loaded.

    Args:
        steps: the steps wanted; None: all there are.

    Raises:
        CheckpointsError: the revisions cannot be listed, or a step asked for is not among them.
    """
    found = []
    for branch, commit in list_revisions(name).items():
        if match := _BRANCH.fullmatch(branch):
            found.append((int(match[1]), commit))
    if not found:
        raise CheckpointsError(f"{name} has no revision named like step1000; give a model that keeps them")
    series = CheckpointSeries(
        name,
        tuple(
            Checkpoint(
                step,
                None if tokens_per_step is None else step * tokens_per_step,
                partial(load_base, name, revision=commit, device=device),
            )
            for step, commit in sorted(found)
        ),
    )
    return series if steps is None else series.at(steps)


def list_revisions(name: str) -> dict[str, str]:
    """Commit of every branch of a hub model; without a network, of every branch in the local cache.

    Raises:
        CheckpointsError: neither knows the model.
    """
    try:
        return {ref.name: ref.target_commit for ref in HfApi().list_repo_refs(name).branches}
    except (OfflineModeIsEnabled, HfHubHTTPError, HFValidationError, OSError) as error:
        refs = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs"
        cached = {path.name: path.read_text().strip() for path in sorted(refs.glob("*")) if path.is_file()}
        if not cached:
            raise CheckpointsError(
                f"The revisions of {name!r} cannot be listed ({error}), and none is in the local cache "
                f"({refs.parent}). Check the name and the network, or give a folder of checkpoints."
            ) from error
        return cached


def folder_series(folder: Path, *, device: str | torch.device = "cpu") -> CheckpointSeries[Base]:
    """Whole models in folders named by step (``step-0008``, ``checkpoint-500``), with their tokenizer.

    Raises:
        CheckpointsError: there is none.
    """
    return CheckpointSeries(
        folder.name,
        tuple(
            Checkpoint(step, _tokens_seen(place), partial(load_base, str(place), device=device))
            for step, place in _step_folders(folder, "config.json")
        ),
    )


def adapter_series(routed: RoutedModel, folder: Path) -> CheckpointSeries[RoutedModel]:
    """States kept while an author's or team's adapter was trained, swapped on one routed model.

    Raises:
        CheckpointsError: there is none.
    """

    def load(place: Path) -> RoutedModel:
        routed.set_weights(Adapter.load(place, routed.routes).state)
        return routed

    return CheckpointSeries(
        folder.name,
        tuple(
            Checkpoint(step, _tokens_seen(place), partial(load, place))
            for step, place in _step_folders(folder, "adapter_config.json")
        ),
    )


def state_series(
    routed: RoutedModel, states: Mapping[int, RouteWeights], tokens: Mapping[int, int], name: str = "states"
) -> CheckpointSeries[RoutedModel]:
    """States held in memory, by step, swapped on one routed model."""

    def load(step: int) -> RoutedModel:
        routed.set_weights(states[step])
        return routed

    return CheckpointSeries(
        name, tuple(Checkpoint(step, tokens.get(step), partial(load, step)) for step in sorted(states))
    )


def snapshot_series(
    model: T,
    snapshots: Mapping[int, Mapping[str, Tensor]],
    tokens: Mapping[int, int] | None = None,
    name: str = "snapshots",
) -> CheckpointSeries[T]:
    """State dicts held in memory, by step, loaded into one module (toys, tests)."""
    assert isinstance(model, nn.Module)

    def load(step: int) -> T:
        model.load_state_dict(dict(snapshots[step]))
        model.eval()
        return model

    seen = tokens or {}
    return CheckpointSeries(
        name, tuple(Checkpoint(step, seen.get(step), partial(load, step)) for step in sorted(snapshots))
    )


def peft_series(base: Base, folder: Path) -> CheckpointSeries[PeftModel]:
    """Folders of plain peft LoRA of one shape (``checkpoint-500``), whose A may differ, swapped on one base.

    The wrapped base is a copy: the base itself stays bare.

    Raises:
        CheckpointsError: there is none. AdapterError: one cannot be read, or is of another shape.
    """
    import copy

    places = _step_folders(folder, "adapter_config.json")
    live: list[PeftModel] = []  # made at the first load, so that listing costs nothing

    def load(place: Path) -> PeftModel:
        if not live:
            live.append(PeftModel.from_pretrained(copy.deepcopy(base.model), str(place), is_trainable=True))
        _swap(live[0], place)
        return live[0].eval()

    return CheckpointSeries(
        folder.name,
        tuple(Checkpoint(step, _tokens_seen(place), partial(load, place)) for step, place in places),
    )


def _swap(model: PeftModel, place: Path) -> None:
    try:
        tensors = load_file(place / "adapter_model.safetensors")
        outcome = set_peft_model_state_dict(model, tensors, adapter_name=ADAPTER)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise AdapterError(
            f"The adapter in {place} cannot be put on this base: {error}. Every checkpoint of a series must "
            "have the same rank and target modules."
        ) from error
    unread = [key for key in outcome.unexpected_keys if "lora_" in key]
    n_live = sum("lora_" in key for key, _ in model.named_parameters())
    if unread or len(tensors) < n_live:
        raise AdapterError(
            f"The adapter in {place} has {len(tensors)} tensors, the model {n_live}: every checkpoint of a "
            "series must have the same rank and target modules."
        )


def trained_parameters(model: Base | RoutedModel | PeftModel | nn.Module) -> dict[str, nn.Parameter]:
    """What training moved, by name: what a sampler may move.

    Of a routed model the B of every site (A is frozen), of other peft models A and B, else every parameter.
    Parameters that are tied appear once.
    """
    if isinstance(model, RoutedModel):
        return model.parameters
    if isinstance(model, PeftModel):
        return {name: p for name, p in model.named_parameters() if "lora_" in name}
    return dict((model.model if isinstance(model, Base) else model).named_parameters())


def _step_folders(folder: Path, file: str) -> list[tuple[int, Path]]:
    found = [
        (int(match[1]), place)
        for place in (folder.iterdir() if folder.is_dir() else ())
        if (match := _FOLDER.fullmatch(place.name)) and (place / file).is_file()
    ]
    if not found:
        raise CheckpointsError(
            f"No checkpoint in {folder}: expected folders named like step-0008 or checkpoint-500 with a "
            f"{file} in each. The starter's recipe keeps them with --keep, an author's adapter with "
            "`routeprint develop record`."
        )
    return sorted(found)


def _tokens_seen(place: Path) -> int | None:
    facts = place / FACTS
    return json.loads(facts.read_text(encoding="utf-8"))["tokens_seen"] if facts.is_file() else None


def _list(steps: Collection[int]) -> str:
    shown = [str(step) for step in steps]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:6], "…", *shown[-5:]]) or "none"
