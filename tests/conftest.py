"""What every test shares: one torch thread, no network, no settings from the shell, and a tiny Qwen2."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hypothesis
import pytest

TINY_TEXT = """def add(first, second):
    return first + second

class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

for index, value in enumerate(values):
    print(index, value)
"""


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
    # a pause of a loaded machine is no fault of the code under test
    hypothesis.settings.register_profile("routeprint", deadline=None)
    hypothesis.settings.load_profile("routeprint")


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


def make_tiny_base(directory: Path, text: str, *, vocabulary: int = 300, **changes: Any) -> Path:
    """Write a randomly initialised Qwen2 and byte-level tokens merged on a text.

    Args:
        vocabulary: tokens. changes: of the model's dials: two layers of width 32.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    torch.set_num_threads(1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([text] * 4, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(directory)
    torch.manual_seed(0)
    dials = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
        "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": 0, "initializer_range": 0.1,
    }  # fmt: skip
    Qwen2ForCausalLM(Qwen2Config(**dials | changes)).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny base."""
    return make_tiny_base(tmp_path_factory.mktemp("tiny-base"), TINY_TEXT)


@pytest.fixture(scope="session")
def tiny_base(tiny_base_dir: Path):
    """The tiny model as a Base. Treat it as read-only."""
    from fingerprint.lm.load import load_base

    return load_base(str(tiny_base_dir))
