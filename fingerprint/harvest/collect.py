"""Run a source over text and keep what fires."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fingerprint import FingerprintError
from fingerprint.adapters.plan import Text
from fingerprint.harvest.config import HarvestConfig
from fingerprint.harvest.sources import Source
from fingerprint.harvest.store import Harvest, save_harvest
from fingerprint.harvest.tally import Tally
from fingerprint.lm.load import Base
from fingerprint.lm.pair import BATCH_TOKENS
from fingerprint.lm.tokens import length_buckets, pad_batch
from fingerprint.provenance import Provenance
from fingerprint.sae.stream import as_windows, digest_windows


def harvest(
    source: Source,
    base: Base,
    text: Text,
    directory: Path,
    config: HarvestConfig | None = None,
    *,
    window_tokens: int = 512,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Harvest:
    """Read text and store what every component of a source does on its scored tokens.

    Args:
        source: runs the model; a state it needs must hold while this runs.
        base: whose tokens these are. text: passages or windows.
        progress: called with the windows read and their number.

    Raises:
        FingerprintError: there is no text.
    """
    config = config or HarvestConfig()
    windows = as_windows(base, text, window_tokens)
    if not windows:
        raise FingerprintError("There is no marked token to harvest: give passages with marked spans.")
    tally = Tally(sum(size for _, size in source.groups), int(base.model.config.vocab_size), config)
    for indices in length_buckets(windows, BATCH_TOKENS):
        chosen = [windows[i] for i in indices]
        tally.add(chosen, source.read(pad_batch(windows, indices).to(base.device)))
        progress(tally.n_windows, len(windows))
    provenance = Provenance(base.name, base.revision, "", digest_windows(windows), config.digest, config.seed)
    save_harvest(
        tally,
        directory,
        key=source.key,
        groups=source.groups,
        provenance=provenance,
        token_text=base.token_text,
    )
    return Harvest.open(directory)
