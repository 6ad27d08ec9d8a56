"""A network for inference alone: the same outputs, faster."""
