"""Tests of the papers' networks: names, sizes and widths."""
