"""When a route appears: sampled losses, influence, susceptibility and probes, along checkpoints."""
