"""Laws: what must hold between networks."""
