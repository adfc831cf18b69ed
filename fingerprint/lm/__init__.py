"""Language models: a base at a pinned revision, and base and adapted model side by side."""
