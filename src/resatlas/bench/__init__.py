"""How fast it is: one module a question, measured against the peers in one run."""
