"""Comparison of a foreign module with a paper's network: whether it is the same, and where it differs."""
