"""Wrong networks, and the checks that catch them."""
