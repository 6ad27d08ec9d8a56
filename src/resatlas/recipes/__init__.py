"""HOW a network is trained, as values."""
