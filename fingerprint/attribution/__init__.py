"""Which parts of a model raise one token after one prompt, and what ablating them does."""
