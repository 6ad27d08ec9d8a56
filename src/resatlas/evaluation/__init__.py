"""Evaluators of a trained network, one file each; they yield (name, value)."""
