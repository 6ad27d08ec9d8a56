"""Tests of resatlas.inference."""
