"""The description of a network: ops, unit, widths, streams, blueprint, plan, cost, paths. Needs no torch."""
