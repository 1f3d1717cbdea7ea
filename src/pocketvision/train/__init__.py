"""Training: one loop for every phase, transfer from given weights, checkpoints that resume exactly."""
