"""The design page: knobs of a family or of a cross, the network that they make, and what to copy. Needs no torch."""
