"""The shipped base as the product loads it."""

import pytest

from fingerprint.lm.load import load_base
from fingerprint.lm.routes import load_starter_routes
from fingerprint.starter import tokenizer

TEXT = '@@ .go func main() {\n\tif err != nil {\n\t\treturn "é\u0301\ufb01"\n\t}\n'


def test_base_reads_text_with_the_tokenizer_it_was_trained_with() -> None:
    seen = load_base("starter").tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert seen == tokenizer.load_tokenizer().encode(TEXT).ids


def test_limits_of_size() -> None:
    base = load_base("starter")
    assert sum(p.numel() for p in base.model.parameters()) <= 16_000_000
    weights = tokenizer.MODEL / "model.safetensors"
    assert weights.stat().st_size <= 32_000_000


def test_routes_belong_to_the_base() -> None:
    base = load_base("starter")
    routes = load_starter_routes(base)
    assert set(routes.sites) == set(base.sites)
    assert routes.rank == pytest.approx(16)
