"""How fast it is: one module a benchmark, measured against other libraries in one run."""
