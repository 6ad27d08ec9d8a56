"""The loop, its state, its checkpoints."""
