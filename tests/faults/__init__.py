"""Abuse: what must survive, what must be refused."""
