"""WHAT a network is: ops, unit, widths, streams, blueprint, plan, cost, paths. Standard library only."""
