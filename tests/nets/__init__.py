"""Tests of plans as torch modules."""
