"""What a stage of training wrote into each weight matrix, and which stage wrote a direction that is read."""
