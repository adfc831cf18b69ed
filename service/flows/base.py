"""The base of the settings, and the routes it is read by."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.passage import Passage
from fingerprint.provenance import CODE_VERSION, digest_of
from service.artifacts import ArtifactStore
from service.settings import Settings

if TYPE_CHECKING:
    from fingerprint.lm.load import Base
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import Routes

RANDOM_RANK = 16
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Options of glibc's mallopt(3)."""
_MOMENT_TOKENS = 30_000


def base_identity(name: str, revision: str | None) -> str:
    """Whether a base is still the one it was, told without loading it.

    The embedded base changes with the package, a hub's with its pinned commit, a directory's with its files.
    To be wrong is cheap: what is learned again from the same base is found, not trained.
    """
    files = sorted(Path(name).glob("*.safetensors"))
    stamps = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    return digest_of(["base", name, revision, CODE_VERSION, stamps])


def load_routed(settings: Settings, name: str, revision: str | None, scale: float) -> RoutedModel:
    """A base at its revision with its routes: the shipped ones, a directory's own, or random ones.

    The starter brings fitted routes; so does a local base directory with a ``routes`` folder. Any other
    base gets random directions, whitened on Python's standard library and kept under the home.

    Raises:
        FingerprintError: the base or its routes cannot be loaded.
    """
    import torch

    from fingerprint.lm.load import STARTER, load_base
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import Routes, load_starter_routes

    if settings.threads:
        torch.set_num_threads(settings.threads)
    _keep_freed_memory()
    base = load_base(name, revision=revision, device=settings.device)
    if name == STARTER:
        routes = load_starter_routes(base)
    elif (Path(name) / "routes").is_dir():
        routes = Routes.load(Path(name) / "routes", base)
    else:
        routes = _whitened_random_routes(base, ArtifactStore(settings.home))
    return RoutedModel(base, routes, scale=scale)


def _keep_freed_memory() -> None:
    """Let glibc keep what torch frees: every step asks for the same again, and pages cost to get back.

    Training took 3 to 16 % less CPU time, with a tenth of the page faults. Only glibc has the call.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # its largest
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _whitened_random_routes(base: Base, store: ArtifactStore) -> Routes:
    from fingerprint.lm.routes import Routes

    digest = digest_of({"what": "random routes", "revision": base.revision, "rank": RANDOM_RANK, "format": 1})
    place = store.put("routes", digest, lambda directory: _fit(base).save(directory))
    return Routes.load(place, base)


def _fit(base: Base) -> Routes:
    from fingerprint.lm.fit import site_second_moments
    from fingerprint.lm.pair import RoutedModel
    from fingerprint.lm.routes import canonicalise, random_routes
    from fingerprint.lm.tokens import length_buckets, pad_batch, tokenize_passages
    from service.flows.foreign import read_foreign

    passages: Sequence[Passage] = read_foreign(None, (20,), _MOMENT_TOKENS, 0).corpus.passages
    windows = tokenize_passages(base, passages)
    routes = random_routes(base, RANDOM_RANK, 0)
    batches = (pad_batch(windows, indices) for indices in length_buckets(windows, 8192))
    return canonicalise(routes, site_second_moments(RoutedModel(base, routes), batches), [])
