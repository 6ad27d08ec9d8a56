"""What a trained network gets right: one file an evaluator, each yields (name, value)."""
