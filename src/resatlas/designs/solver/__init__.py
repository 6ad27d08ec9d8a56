"""Which members of a family cost what is asked for: their space, their price, the search, their names."""
