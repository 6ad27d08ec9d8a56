"""Experiments from start to end, further tests of finished runs, and studies of many runs."""
