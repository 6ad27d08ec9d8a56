"""Tests of single runs and studies from end to end."""
