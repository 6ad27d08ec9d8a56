"""Second implementations: same weights, same output."""
