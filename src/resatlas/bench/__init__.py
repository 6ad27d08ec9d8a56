"""Benchmarks of speed, one module each, against other libraries in the same run."""
