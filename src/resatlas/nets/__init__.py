"""Plan -> nn.Module."""
