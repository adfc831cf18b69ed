"""Held-out bits per byte of the embedded base: ``python -m fingerprint.starter.evaluate``.

Whole held-out packages, by language, beside xz and a 5-gram on the same files. The 5-gram sees the
training tokens, as the base does; xz sees only the files themselves, all of a language in one stream.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from fingerprint.starter.ngram import KneserNey

LANGUAGES = ("python", "typescript", "go", "rust")
WIDTH, STRIDE = 512, 384
MOST_TOKENS = 400_000


def model_bits(model: torch.nn.Module, tokens: np.ndarray, batch: int = 8) -> float:
    """Return the bits the model needs for ``tokens`` [n], every id but the first predicted once.

    Windows of 512 overlap by 128, so that every target but the first ones sees at least 128 tokens.
    """
    starts = list(range(0, max(1, len(tokens) - 1), STRIDE))
    total = 0.0
    for first in range(0, len(starts), batch):
        rows = [tokens[s : s + WIDTH].astype(np.int64) for s in starts[first : first + batch]]
        ids = torch.zeros(len(rows), WIDTH, dtype=torch.long)
        weight = torch.zeros(len(rows), WIDTH - 1)
        for row, (start, values) in enumerate(zip(starts[first : first + batch], rows, strict=True)):
            ids[row, : len(values)] = torch.from_numpy(values)
            weight[row, (0 if start == 0 else WIDTH - STRIDE - 1) : len(values) - 1] = 1
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        flat = logits[:, :-1].flatten(0, 1).float()
        nats = torch.nn.functional.cross_entropy(flat, ids[:, 1:].flatten(), reduction="none")
        total += float((nats.view_as(weight) * weight).sum())
    return total / math.log(2)


def evaluate(data: Path, model_dir: Path) -> dict[str, dict[str, float]]:
    """Return {language: {bytes, tokens, base, ngram, xz}} in bits per byte."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    ngram = KneserNey(np.concatenate([np.load(data / f"train_{name}.npy") for name in LANGUAGES]))
    table: dict[str, dict[str, float]] = {}
    for name in LANGUAGES:
        tokens = np.load(data / f"heldout_{name}.npy")[:MOST_TOKENS]
        raw = tokenizer.decode(tokens.tolist(), skip_special_tokens=True).encode()
        table[name] = {
            "bytes": len(raw),
            "tokens": len(tokens),
            "base": model_bits(model, tokens) / len(raw),
            "ngram": float(-ngram.log2_probs(tokens)[1:].sum()) / len(raw),
            "xz": 8 * len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)) / len(raw),
        }
    return table


def main() -> None:
    """Print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="packed corpus")
    parser.add_argument("--model", type=Path, required=True, help="model directory with tokenizer.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    Console().print_json(json.dumps(evaluate(arguments.data, arguments.model)))


if __name__ == "__main__":
    main()
