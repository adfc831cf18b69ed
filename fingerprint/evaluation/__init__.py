"""Protocol, baselines and tables."""
