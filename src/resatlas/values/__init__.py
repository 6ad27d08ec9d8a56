"""The ground floor: what every room may use, by the standard library alone."""
