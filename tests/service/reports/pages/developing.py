"""A developmental view in the shape that real runs give it: clusters of tokens that grow apart."""

from __future__ import annotations

import random

from fingerprint.development.token_kinds import TOKEN_KINDS
from fingerprint.development.view import DevelopmentView, MapView, Quality, RowsView

STEPS = (0, 64, 512, 4_096)
TEXTS = ("def", " load", "(", "path", "\n    ", "return", " 12", '"x"', "# all", "  ")


def rows(
    what: str, n: int, texts: tuple[str, ...], classes: tuple[str, ...], methods: tuple[str, ...]
) -> RowsView:
    draw = random.Random(n)
    kinds = tuple(draw.randrange(min(len(classes), 9)) for _ in range(n))
    return RowsView(
        what=what,  # pyright: ignore[reportArgumentType]
        labels=tuple(
            texts[k % len(texts)] if what == "tokens" else f"head.{i // 4}.{i % 4}"
            for i, k in enumerate(kinds)
        ),
        contexts=tuple(("for x in ", ":\n        y") if what == "tokens" else ("", "") for _ in kinds),
        classes=kinds, class_names=classes,
        maps=tuple(one_map(draw, kinds, method) for method in methods),
    )  # fmt: skip


def one_map(draw: random.Random, kinds: tuple[int, ...], method: str) -> MapView:
    points = tuple(
        tuple((draw.gauss(s * (k % 3), 1), draw.gauss(s * (k // 3), 1)) for k in kinds)
        for s in range(len(STEPS))
    )
    quality = tuple(
        Quality(trust=0.7 + 0.05 * s, purity=0.2 + 0.1 * s, chance=0.12, null_trust=0.6, null_purity=0.13,
                stability=0.5 if method == "UMAP" else None, move=None if s == 0 else 0.4)
        for s in range(len(STEPS))
    )  # fmt: skip
    axes = ((("head.1.2", 0.41), ("mlp.3", -0.33)), (("head.0.0", 0.5),)) if method == "PCA" else ()
    return MapView(
        method=method,  # pyright: ignore[reportArgumentType]
        points=points, quality=quality, explained=(0.41, 0.17) if method == "PCA" else None, axes=axes,
    )  # fmt: skip


def development(subject: str = "the embedded base", n_tokens: int = 300) -> DevelopmentView:
    texts = TEXTS if subject == "the embedded base" else (subject,)
    return DevelopmentView(
        subject=subject, steps=STEPS, tokens_seen=(0, 524_288, 4_194_304, None), losses=(7.62, 5.1, 3.2, 2.1),
        n_draws=200,
        views=(
            rows("tokens", n_tokens, texts, TOKEN_KINDS, ("PCA", "UMAP")),
            rows("components", 25, texts, ("head", "mlp", "site", "latent"), ("PCA",)),
        ),
    )  # fmt: skip
