"""Names of sites, taken apart for people and for JSON. Torch-free."""

from __future__ import annotations

import re

_LAYER = re.compile(r"\.(\d+)\.")


def layer_of(site: str) -> int:
    """Number of the block that a site belongs to: its first number; 0 where there is none."""
    found = _LAYER.search(f".{site}.")
    return int(found[1]) if found else 0


def is_in_block(name: str) -> bool:
    """Whether a parameter or module belongs to a numbered block: embeddings and the final norm do not."""
    return _LAYER.search(f".{name}.") is not None


def block_of(name: str) -> str:
    """Path of the numbered block that a module belongs to, "model.layers.2"; "" where there is none."""
    found = _LAYER.search(f".{name}.")
    return f".{name}."[1 : found.end() - 1] if found else ""


def matrix_of(site: str) -> str:
    """What a site is called within its block: "self_attn_v_proj"."""
    found = _LAYER.search(f".{site}.")
    inside = site if found is None else f".{site}."[found.end() :].rstrip(".")
    return inside.replace(".", "_")
