"""Tests of the probes of trained networks."""
