"""Comparison of a foreign module with a paper's network: whether both are the same function, and where they differ."""
