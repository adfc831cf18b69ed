"""What a component seems to be for, in words, and how far these words can be trusted. Torch-free."""
