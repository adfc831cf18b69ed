"""Where checkpoints and pairs come from: folders, and what they hold told by looking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.passage import Passage
from service import ServiceError
from service.flows.bench import Progress
from service.flows.development.record import author_of, load_recording
from service.flows.development.susceptibility import routed_bases
from service.flows.opened import OpenedProfile

if TYPE_CHECKING:
    from fingerprint.development.checkpoints import CheckpointSeries
    from fingerprint.development.config import SusceptibilityConfig
    from fingerprint.lm.pair import RoutedModel


def open_series(
    folder: Path, opened: OpenedProfile | None, config: SusceptibilityConfig, n_most: int
) -> CheckpointSeries[RoutedModel]:
    """The checkpoints in a folder, at most ``n_most`` of them spread evenly.

    Whole models are taken over random routes with B at zero; adapters are put on the profile's base.

    Raises:
        CheckpointsError: there is none. ServiceError: adapters without a profile.
    """
    from fingerprint.development.checkpoints import adapter_series, folder_series

    if not any(folder.glob("*/adapter_config.json")):
        return routed_bases(folder_series(folder).spread(n_most), config)
    if opened is None:
        raise ServiceError(
            f"{folder} holds adapters, which belong to a profile's base: give --repo, the profiled repository"
        )
    return adapter_series(opened.bench.routed, folder).spread(n_most)


def recorded_series(
    opened: OpenedProfile | None, author: str | None, n_most: int
) -> CheckpointSeries[RoutedModel]:
    """The recorded training of an author's adapter, at most ``n_most`` states of it.

    Raises:
        ServiceError: no profile is given. NotRecordedError: the training was not recorded.
    """
    if opened is None:
        raise ServiceError("give --checkpoints a folder, or --repo a profiled repository with a recording")
    recording = load_recording(opened, author_of(opened, author))
    return recording.series(opened.bench.routed).spread(n_most)


def read_pairs(home: Path, report: Progress) -> tuple[Sequence[Passage], Sequence[Passage]]:
    """Correct and incorrect programs, pair by pair, the whole program scored: those of `develop mutants`."""
    from fingerprint.development.pairs.make import PairConfig
    from fingerprint.development.pairs.store import pair_passages
    from service.flows.development.pairs import read_tasks, store_pairs

    return pair_passages(store_pairs(home, read_tasks(), PairConfig(), report).pairs.pairs)
