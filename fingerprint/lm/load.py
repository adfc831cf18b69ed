"""A base language model at a pinned revision, with the names of its linear sites."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import processors
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as hf_logging

from fingerprint import FingerprintError

STARTER = "starter"
STARTER_DIRECTORY = Path(__file__).resolve().parent.parent / "starter" / "model"

SITE_NAMES = frozenset(
    {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "out_proj",
        "qkv_proj",
        "query_key_value",
        "dense",
        "gate_proj",
        "up_proj",
        "down_proj",
        "gate_up_proj",
        "fc1",
        "fc2",
        "dense_h_to_4h",
        "dense_4h_to_h",
    }
)
"""Last parts of the module names that count as linear sites, over the common architectures."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HEAD_CHANGES = ("final_logit_softcapping", "logits_scaling", "logit_scale")
"""Config entries of architectures that change the logits after the output matrix."""


class BaseModelError(FingerprintError):
    """A base model cannot be loaded or has no place for routes."""


@dataclass(frozen=True)
class Base:
    """A frozen language model and what is needed to talk to it.

    Attributes:
        name: "starter", a hub id, or a local directory.
        revision: SHA-256 of the weights (starter, local) or the hub commit.
        model: the model in eval mode, no parameter requires a gradient. Never changed in place:
            ``RoutedModel`` works on a copy that shares the weights.
        tokenizer: its byte-level tokenizer.
        sites: module names of the linear sites in layer order ("model.layers.0.self_attn.q_proj").
        first_token: id put before every text, so that no text stands at position 0.
        device: where the model lives.
    """

    name: str
    revision: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    sites: tuple[str, ...]
    first_token: int
    device: torch.device

    def site_shape(self, site: str) -> tuple[int, int]:
        """(d_out, d_in) of one site's weight matrix."""
        weight = self.model.get_parameter(f"{site}.weight")
        return weight.shape[0], weight.shape[1]

    def token_text(self, token: int) -> str:
        """The text of one token id."""
        return str(self.tokenizer.decode([token]))


def load_base(
    name: str = STARTER,
    *,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Base:
    """Load a base.

    Args:
        name: "starter" (shipped with this package), a local model directory, or a hub id.
        revision: the hub commit, 40 hex digits; required for a hub id.
        device: torch device. dtype: of the weights in memory.

    Raises:
        BaseModelError: no such model, an unpinned hub id, or an architecture without linear sites.
    """
    source, pinned = _locate(name, revision)
    options: dict[str, Any] = {"revision": pinned} if source == name and not Path(name).is_dir() else {}
    hf_logging.disable_progress_bar()  # a bar per shard tells a reader nothing; long work shows its own
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            attn_implementation="sdpa",
            trust_remote_code=False,
            use_safetensors=True,
            **options,
        )
        # not AutoTokenizer: for model_type qwen2 it rebuilds Qwen's own pre-tokenizer over ours
        tokenizer = PreTrainedTokenizerFast.from_pretrained(source, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise BaseModelError(f"Cannot load the base model {name!r}: {error}") from error
    nn.Module.to(model, device)
    model.requires_grad_(False).eval()
    _check_head(model, name)
    return Base(
        name,
        pinned,
        model,
        _prepare_tokenizer(tokenizer, name),
        find_sites(model, name),
        _first_token(tokenizer, name),
        torch.device(device),
    )


def find_sites(model: nn.Module, name: str = "model") -> tuple[str, ...]:
    """Names of the linear sites, in the model's own (layer) order.

    Raises:
        BaseModelError: when there is none.
    """
    sites = tuple(
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and path.rpartition(".")[2] in SITE_NAMES
    )
    if not sites:
        raise BaseModelError(
            f"The base model {name!r} has no linear layer with a known name (such as q_proj or down_proj). "
            "Choose a model with separate nn.Linear projections, like the Qwen2 or Llama family."
        )
    return sites


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 autocast pays: CUDA, or a CPU with AMX or AVX512 bf16 (performance.md section 0)."""
    if device.type == "cuda":
        return True
    capabilities = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def _locate(name: str, revision: str | None) -> tuple[str, str]:
    """The place to load from, and the revision to record."""
    directory = STARTER_DIRECTORY if name == STARTER else Path(name)
    if name == STARTER or directory.is_dir():
        weights = sorted(directory.glob("*.safetensors"))
        if not weights or not (directory / "config.json").is_file():
            raise BaseModelError(
                f"No model in {directory}: expected config.json and *.safetensors. "
                "For the embedded base, run `python -m fingerprint.starter.train`."
            )
        seen = _digest_files(weights)
        if revision not in (None, seen):
            raise BaseModelError(f"The weights in {directory} have revision {seen}, expected {revision}.")
        return str(directory), seen
    if revision is None or not _COMMIT.fullmatch(revision):
        raise BaseModelError(
            f"The base model {name!r} must be pinned to a commit (40 hex digits), got {revision!r}. "
            f"Find it under 'Files and versions' on https://huggingface.co/{name}, "
            f"or with `git ls-remote https://huggingface.co/{name} HEAD`."
        )
    return name, revision


def _digest_files(paths: list[Path]) -> str:
    """SHA-256 over the files' bytes, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _check_head(model: PreTrainedModel, name: str) -> None:
    """Refuse heads whose logits are more than hidden states times a matrix."""
    changed = [key for key in _HEAD_CHANGES if getattr(model.config, key, None) not in (None, 1, 1.0)]
    if changed:
        raise BaseModelError(f"The base model {name!r} rescales its logits ({changed[0]}): not supported.")


def _prepare_tokenizer(tokenizer: PreTrainedTokenizerFast, name: str) -> PreTrainedTokenizerFast:
    """Make offsets tile the text, and special tokens in a text plain text."""
    if not tokenizer.is_fast:
        raise BaseModelError(f"The base model {name!r} has no fast tokenizer: character offsets are needed.")
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.encode_special_tokens = True
    tokenizer.split_special_tokens = True  # else a call of the tokenizer itself sets the line above back
    return tokenizer


def _first_token(tokenizer: PreTrainedTokenizerFast, name: str) -> int:
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if isinstance(token, int):
            return token
    token = tokenizer.backend_tokenizer.token_to_id("<|endoftext|>")
    if token is None:
        raise BaseModelError(
            f"The tokenizer of {name!r} has neither a bos nor an eos token nor <|endoftext|>: "
            "no fixed first token can be set. Add one of them to its tokenizer_config.json."
        )
    return token
