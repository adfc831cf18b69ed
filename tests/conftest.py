"""What every test shares: one torch thread, no network, no settings from the developer's shell."""

from __future__ import annotations

import os

import pytest


def pytest_configure() -> None:
    """Set the environment before anything imports torch or huggingface_hub."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # git must not read the developer's own configuration: signing, hooks, default branch, mailmap
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    os.environ["GIT_CONFIG_SYSTEM"] = os.devnull
    for name in [name for name in os.environ if name.startswith("ROUTEPRINT_")]:
        del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests where there is no CUDA device, so that ``-m gpu`` is honest anywhere."""
    if not any("gpu" in item.keywords for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
