"""Everything refitted up to the cut: what a deployed Routeprint would have read by then.

Systems are combined by weights that the past slice gave them, which they must not have read; once these are
known, the past slice is code like any other, and the most recent. Recency beats volume (README.md).
"""

from __future__ import annotations

from dataclasses import replace

from fingerprint.passage import Corpus
from service.flows.evaluation.setup import Setup
from service.flows.training import refit_authors

DEV_EVERY = 8
"""Of so many commits before the cut one is stopped on, so that the newest code is read as well."""


def refit(setup: Setup) -> Setup:
    """The same repository with authors, and samples to fit text on, that hold everything before the cut."""
    known = set(setup.trained.authors)
    slices = (setup.slices.train, setup.slices.dev, setup.slices.calibration)
    before = Corpus.of(passage for part in slices for passage in part if passage.author in known)
    for_dev = set(before.groups[DEV_EVERY - 1 :: DEV_EVERY])
    train = before.where_groups(group for group in before.groups if group not in for_dev)
    trained = refit_authors(setup.bench, train, before.where_groups(for_dev), setup.trained)
    material = replace(setup.material, train=setup.material.before)
    return replace(setup, trained=trained, material=material)
