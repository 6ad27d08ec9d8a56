"""Probes of trained networks, one file each; every value in a result has a name and a unit."""
