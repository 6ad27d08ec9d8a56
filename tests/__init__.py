"""The tests: the same tree as the package, with golden texts, laws and oracles beside it."""
