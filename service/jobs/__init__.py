"""Durable work: the flows as workflows of steps, the workers that run them, and who looks after these."""
