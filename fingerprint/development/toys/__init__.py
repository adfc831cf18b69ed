"""Toys whose development is known: runnable experiments, and oracles for the sampler."""
