"""Search for the members of a family within a budget: their space, their price, the search, their names."""
