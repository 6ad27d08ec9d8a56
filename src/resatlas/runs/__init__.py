"""A run on disk: JSON and text only."""
