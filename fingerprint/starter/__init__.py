"""The embedded base model: recipe, tokenizer, weights and its routes."""
