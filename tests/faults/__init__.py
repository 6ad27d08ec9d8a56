"""Abuse: what must survive, what must be refused; README.md tells which test proves which of it."""
