"""Write MODEL_CARD.md and its loss curve: ``python -m fingerprint.starter.card``."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from fingerprint.starter.evaluate import LANGUAGES
from fingerprint.starter.tokenizer import MODEL
from fingerprint.starter.train import StarterConfig

FOLDER = Path(__file__).parent
SMOOTHING = 20
"""Steps averaged for one point of the curve; a step's own loss depends on its languages."""


def smoothed(history: list[dict[str, float]]) -> list[tuple[int, float]]:
    """Return (last step, mean loss in nats per token) of every SMOOTHING steps."""
    losses = np.array([entry["loss"] for entry in history])
    steps = [int(entry["step"]) for entry in history]
    ends = range(SMOOTHING, len(losses) + 1, SMOOTHING)
    return [(steps[end - 1], float(losses[end - SMOOTHING : end].mean())) for end in ends]


def curve_svg(points: list[tuple[int, float]], width: int = 640, height: int = 240) -> str:
    """Draw training loss by step, with labelled ends and gridlines, as a self-contained SVG."""
    last, top = points[-1][0], np.ceil(max(loss for _, loss in points))

    def place(step: float, loss: float) -> str:
        return f"{40 + (width - 60) * step / last:.1f},{10 + (height - 40) * (1 - loss / top):.1f}"

    line = " ".join(place(step, loss) for step, loss in points)
    grid = "".join(
        f'<path d="M{place(0, nats)} L{place(last, nats)}" stroke="#8884"/>'
        f'<text x="8" y="{float(place(0, nats).split(",")[1]) + 4:.1f}">{nats}</text>'
        for nats in range(int(top) + 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#777"><title>Training loss, nats per token, by step</title>{grid}'
        f'<polyline points="{line}" fill="none" stroke="#3b7dd8" stroke-width="2"/>'
        f'<text x="{width - 130}" y="{height - 8}">step {last:,}</text></svg>\n'
    )


def bits_table(bits: dict[str, dict[str, float]]) -> str:
    """Held-out bits per byte by language, as Markdown."""
    rows = [
        f"| {name} | {b['bytes'] / 1e6:.2f} | **{b['base']:.3f}** | {b['ngram']:.3f} | {b['xz']:.3f} |"
        for name in LANGUAGES
        if (b := bits[name])
    ]
    return "\n".join(["| language | MB | base | 5-gram | xz |", "|---|---|---|---|---|", *rows])


def token_table(arrays: dict[str, dict[str, Any]], config: StarterConfig) -> str:
    """Packed training text by language, as Markdown."""
    rows = [
        f"| {name} | {a['documents']:,} | {a['bytes'] / 1e6:.1f} | {a['tokens'] / 1e6:.2f} | "
        f"{a['bytes_per_token']} | {config.language_share[name]:.0%} |"
        for name in LANGUAGES
        if (a := arrays[f"train_{name}"])
    ]
    head = "| language | documents | MB | million tokens | bytes a token | share of rows seen |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def package_lists(packages: list[dict[str, Any]]) -> str:
    """Every package with version and licence, by split and language, as Markdown."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for package in packages:
        line = f"{package['name']} {package['version']} ({package['licence']})"
        grouped[package["split"], package["language"]].append(line)
    parts = [
        f"**{split}, {language}** ({len(names)}): {', '.join(sorted(names))}."
        for (split, language), names in sorted(grouped.items())
    ]
    return "\n\n".join(parts)


def render(
    meta: dict[str, Any],
    history: list[dict[str, float]],
    bits: dict[str, dict[str, float]],
    start_steps: int = 0,
) -> str:
    """Return the card's text; ``start_steps`` were taken by the run that this one went on from."""
    steps = start_steps + int(history[-1]["step"])
    config = StarterConfig(total_tokens=steps * StarterConfig().rows_per_step * StarterConfig().row_tokens)
    packed = sum(meta["arrays"][f"train_{name}"]["tokens"] for name in LANGUAGES)
    with safe_open(MODEL / "model.safetensors", "numpy") as weights:
        n_parameters = sum(int(np.prod(weights.get_slice(name).get_shape())) for name in weights.keys())  # noqa: SIM118
    last = smoothed(history)[-1][1]
    return (FOLDER / "card.md.in").read_text(encoding="utf-8").format(
        n_parameters=f"{n_parameters:,}",
        megabytes=f"{(MODEL / 'model.safetensors').stat().st_size / 1e6:.1f}",
        layers=config.n_layers, hidden=config.hidden_size, ff=config.intermediate_size,
        heads=config.n_heads, kv_heads=config.n_kv_heads, vocabulary=config.vocab_size,
        start_steps=f"{start_steps:,}", further=f"{steps - start_steps:,}",
        passes=f"{config.total_tokens / packed:.2f}",
        steps=f"{steps:,}", tokens=f"{config.total_tokens / 1e6:.1f}", last=f"{last:.2f}",
        n_packages=len(meta["packages"]), bits=bits_table(bits), table=token_table(meta["arrays"], config),
        packages=package_lists(meta["packages"]),
    )  # fmt: skip


def main() -> None:
    """Read the three files and write card and curve beside this module."""
    parser = argparse.ArgumentParser(description="Write MODEL_CARD.md")
    parser.add_argument("--data", type=Path, required=True, help="packed corpus (its meta.json)")
    parser.add_argument("--run", type=Path, required=True, help="the training run (its history.json)")
    parser.add_argument("--bits", type=Path, required=True, help="what fingerprint.starter.evaluate printed")
    parser.add_argument("--start-steps", type=int, default=0, help="steps of the run it went on from")
    arguments = parser.parse_args()
    history = json.loads((arguments.run / "history.json").read_text())
    meta, bits = (
        json.loads((arguments.data / "meta.json").read_text()),
        json.loads(arguments.bits.read_text()),
    )
    (FOLDER / "MODEL_CARD.md").write_text(
        render(meta, history, bits, arguments.start_steps), encoding="utf-8"
    )
    (FOLDER / "loss.svg").write_text(curve_svg(smoothed(history)), encoding="utf-8")


if __name__ == "__main__":
    main()
