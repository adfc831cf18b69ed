"""Who wrote it: aliases, agents and the evidence for each."""
