"""LoRA adapters over a base's frozen routes."""
