"""Sparse autoencoders on a base's residual stream, and how an adapter shifts their firing rates."""
