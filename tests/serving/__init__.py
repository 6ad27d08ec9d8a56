"""Tests of resatlas.serving."""
