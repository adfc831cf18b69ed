"""The sample organisation: a git repository with planted habits, built on the spot. No torch."""
