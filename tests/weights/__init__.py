"""Tests of resatlas.weights."""
