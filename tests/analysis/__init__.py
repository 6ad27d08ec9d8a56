"""Tests of what is found inside networks."""
