"""Other engines for inference: a network as one graph, and the programs that run it."""
