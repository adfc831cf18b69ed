"""Adversarial parameter decomposition: rank-1 components of weights or weight edits, gated by token."""
