"""Tests of the training loop, its checkpoints and its restarts."""
