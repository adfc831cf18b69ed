"""Names of sites, taken apart for people and for JSON. Torch-free."""

from __future__ import annotations

import re

_LAYER = re.compile(r"\.(\d+)\.")


def layer_of(site: str) -> int:
    """Number of the block that a site belongs to: its first number; 0 where there is none."""
    found = _LAYER.search(f".{site}.")
    return int(found[1]) if found else 0


def matrix_of(site: str) -> str:
    """What a site is called within its block: "self_attn_v_proj"."""
    found = _LAYER.search(f".{site}.")
    inside = site if found is None else f".{site}."[found.end() :].rstrip(".")
    return inside.replace(".", "_")


def node_id(site: str, component: int) -> str:
    """Id of a node: "L3__self_attn_v_proj:5"."""
    return f"L{layer_of(site)}__{matrix_of(site)}:{component}"
