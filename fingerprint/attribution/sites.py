"""Names of nodes, for people and for JSON. Torch-free."""

from __future__ import annotations

from fingerprint.lm.sites import layer_of, matrix_of


def node_id(site: str, component: int) -> str:
    """Id of a node: "L3__self_attn_v_proj:5"."""
    return f"L{layer_of(site)}__{matrix_of(site)}:{component}"
