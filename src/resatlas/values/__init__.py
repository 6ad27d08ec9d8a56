"""Modules that every other package may import; they need the standard library only."""
