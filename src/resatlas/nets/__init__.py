"""Networks as torch modules: units, whole networks, initial weights."""
