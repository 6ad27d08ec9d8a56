"""Several processes train together."""
